"""`lbdrivers apply` killed at a random moment, twenty times: the next one finishes what was begun."""

from __future__ import annotations

import os
import random
import time

import pytest
from scenario.conftest import Lab, document

#: a load balancer's ports: the VIP, and for each of two amphorae management, VRRP and members
PORTS = sorted(["octavia-lb-mgmt", "octavia-lb-vrrp", "octavia-lb-member"] * 2)
KILLS = 20


@pytest.mark.timeout(400)
def test_killed_at_random_moments(lab: Lab) -> None:
    seed = int(os.environ.get("LBDRIVERS_SEED") or time.time_ns() % 10**9)
    print(f"LBDRIVERS_SEED={seed}")
    moments = random.Random(seed)
    file = lab.write(document())
    started = time.monotonic()
    lab.run("apply", file)
    whole = time.monotonic() - started
    _works(lab)
    lab.run("delete", "web")
    reached = set()
    for _ in range(KILLS):
        command = lab.start("apply", file)
        time.sleep(moments.uniform(0.1, whole))
        command.kill()
        command.wait()
        reached.add((len(lab.machines()), len(lab.ports())))
        lab.run("apply", file)
        _works(lab)
        lab.run("delete", "web")
        assert (lab.machines(), lab.ports()) == (set(), [])
    assert len(reached) > 2, f"the kills hit too few different states: {reached}"


def _works(lab: Lab) -> None:
    assert len(lab.machines()) == 2
    vips = [name for name in lab.ports() if name not in PORTS]
    assert len(vips) == 1
    assert sorted(name for name in lab.ports() if name in PORTS) == PORTS
    assert lab.client().until_answered(limit=20) is not None
    assert lab.client().burst(10) == {"web-1": 5, "web-2": 5}
    shown = lab.ask("show", "web")
    assert shown["provisioning_status"] == "ACTIVE"
    assert [appliance["status"] for appliance in shown["appliances"]] == ["ALLOCATED", "ALLOCATED"]
