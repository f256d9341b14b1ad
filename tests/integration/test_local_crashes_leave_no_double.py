"""Whoever makes or removes a machine may be killed at any moment; there is never a second one, or a rest."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable

import pytest
from support.local_site import LocalSite, a_site, eventually

from lbdrivers.model.infra import MachineStatus
from lbdrivers_amphora.site.guests import Guest, Plug


def killed_after(seconds: float, work: Callable[[], object]) -> None:
    """Do the work in a child that is killed, with no chance to clean up, after so long or when it is done."""
    child = os.fork()
    if not child:
        try:
            work()
        finally:
            os._exit(0)
    time.sleep(seconds)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


@pytest.mark.parametrize("seed", range(3))
def test_a_maker_killed_anywhere_leaves_one_machine_at_most(seed: int) -> None:
    moments = random.Random(seed)
    with a_site() as site:
        for _ in range(12):
            killed_after(moments.uniform(0, 0.07), lambda: site.compute.ensure(site.request("web")))
            machine = site.compute.ensure(site.request("web"))
            assert machine.status is MachineStatus.RUNNING
            assert len(site.processes("machines")) == 1
            assert "eth0" in site.links("web")
            killed_after(moments.uniform(0, 0.05), lambda: site.compute.remove("web"))
            site.compute.remove("web")
            assert site.compute.find("web") is None
            assert site.processes("machines") == []
            assert list(site.site.machines.glob("*")) == []


def test_a_port_plugged_by_a_killed_process_is_plugged_once() -> None:
    moments = random.Random(1)
    with a_site() as site:
        site.compute.ensure(site.request("web"))
        port = site.port("vrrp", "public")
        for _ in range(12):
            killed_after(moments.uniform(0, 0.006), lambda: site.compute.attach("web", "vrrp"))
            # An ip that was started by the killed process may still be at work.
            eventually(lambda: attached(site, port.mac))
            killed_after(moments.uniform(0, 0.006), lambda: site.compute.detach("web", "vrrp"))
            site.compute.detach("web", "vrrp")
            assert port.mac not in macs(site)


def attached(site: LocalSite, mac: str) -> bool:
    site.compute.attach("web", "vrrp")
    return macs(site).count(mac) == 1


def macs(site: LocalSite) -> list[str]:
    return [link["address"] for link in site.links("web").values()]


def test_a_guest_of_a_killed_process_is_found_by_name() -> None:
    moments = random.Random(2)
    with a_site() as site:
        for _ in range(8):
            killed_after(moments.uniform(0, 0.06), lambda: Guest(site.site, "client").ensure([Plug("public-subnet")]))
            with Guest(site.site, "client").ensure([Plug("public-subnet")]) as guest:
                assert guest.run(["ip", "-o", "-4", "address", "show", "eth0"]).stdout.count(guest.addresses[0]) == 1
            assert site.network.ports() == ()
            assert site.processes() == []
