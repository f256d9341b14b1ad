"""An address that changes hands is reachable at once: whoever configures it tells its neighbours."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.local_site import LocalSite, a_site

from lbdrivers.model.infra import FixedAddress, MachineRequest, PortRequest
from lbdrivers_amphora.site.guests import Guest, Plug
from lbdrivers_amphora.site.namespaces import in_namespace

#: A neighbour's stale entry is doubted after five seconds at the earliest (arp(7), delay_first_probe_time).
LIMIT = 1.0
NETWORKS = """
networks:
- id: 11111111-1111-4111-8111-111111111111
  name: both
  subnets:
  - {id: 21111111-1111-4111-8111-111111111111, name: four, cidr: 192.0.2.0/24, controller_address: 192.0.2.1}
  - {id: 31111111-1111-4111-8111-111111111111, name: six, cidr: "2001:db8::/64", controller_address: "2001:db8::1"}
"""
ADDRESSES = {"four": "192.0.2.77", "six": "2001:db8::77"}


@pytest.fixture
def site(tmp_path: Path) -> Iterator[LocalSite]:
    networks, configuration = tmp_path / "networks.yaml", tmp_path / "lbdrivers.conf"
    networks.write_text(NETWORKS)
    configuration.write_text(f"[local]\nnetworks_file = {networks}\n")
    with a_site(configuration=(configuration,)) as local:
        yield local


def answers(address: str) -> bool:
    """Whether the machine of the address answers; that it refuses the connection is an answer."""
    try:
        socket.create_connection((address, 9), LIMIT).close()
    except ConnectionRefusedError:
        return True
    except OSError:
        return False
    return True


def machine(site: LocalSite, name: str) -> str:
    """Boot a machine with both addresses; its MAC."""
    fixed = tuple(FixedAddress(subnet, address) for subnet, address in ADDRESSES.items())
    port = site.network.ensure_port(PortRequest(f"port-{name}", "both", fixed))
    site.compute.ensure(MachineRequest(name, (port.name,), {}))
    return port.mac


def test_a_new_machine_is_reached_under_the_address_of_a_removed_one(site: LocalSite) -> None:
    guest = Guest(site.site, "client").ensure([Plug("four"), Plug("six")])
    pid = site.site.fabric.pid()

    def from_fabric(address: str) -> bool:
        return in_namespace(f"/proc/{pid}/ns/net", answers, address)

    def from_guest(address: str) -> bool:
        return guest.in_namespace(answers, address)

    observers: tuple[Callable[[str], bool], ...] = (from_fabric, from_guest)
    macs = set()
    for name in ("first", "second", "third"):
        macs.add(machine(site, name))
        reached = [observer(address) for observer in observers for address in ADDRESSES.values()]
        assert reached == [True] * 4, name
        site.compute.remove(name)
        site.network.remove_port(f"port-{name}")
    assert len(macs) == 3
