"""Commands killed (SIGKILL) at random moments, on real daemons: the next one finishes what was begun.

Each verb is killed a handful of times here, and often enough for sixty in all among the long tests.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from scenario.conftest import Lab, document

#: a pair's ports: the VIP, and for each of two amphorae management, VRRP and members
PORTS = ["octavia-lb-mgmt", "octavia-lb-vrrp", "octavia-lb-member"]


def without_networks() -> dict[str, Any]:
    """Members that are reached through no interface of their own: their network is unplugged."""
    body = document()
    for member in body["loadbalancer"]["listeners"][0]["default_pool"]["members"]:
        member.pop("subnet_id")
    return body


def apply(lab: Lab) -> tuple[str, ...]:
    return ("apply", lab.write(document()))


def unplug(lab: Lab) -> tuple[str, ...]:
    return ("apply", lab.write(without_networks()))


def running(lab: Lab) -> None:
    lab.run("apply", lab.write(document()))


def unplugged(lab: Lab) -> None:
    lab.run("apply", lab.write(without_networks()))


def one_is_dead(lab: Lab) -> None:
    running(lab)
    lab.world.kill_amphora(next(a["id"] for a in lab.ask("show", "web")["appliances"] if a["holds_vip"]))


def nothing(lab: Lab) -> None:
    if lab.ask("list")["loadbalancers"]:
        lab.run("delete", "web")
    assert (lab.machines(), lab.ports()) == (set(), [])


@dataclass(frozen=True)
class Verb:
    """A command that is killed, and what must be true after the next one.

    :param command: its arguments.
    :param before: brings about what there is when it begins.
    :param member_ports: of each amphora in the end; None: nothing is left at all.
    """

    command: Callable[[Lab], tuple[str, ...]]
    before: Callable[[Lab], None]
    member_ports: int | None = 1


VERBS = {
    "create": Verb(apply, nothing),
    "unplug": Verb(unplug, running, member_ports=0),
    "plug": Verb(apply, unplugged),
    "failover": Verb(lambda _lab: ("failover", "web"), running),
    "failover of the dead": Verb(lambda _lab: ("failover", "web"), one_is_dead),
    "delete": Verb(lambda _lab: ("delete", "web"), running, member_ports=None),
}


@pytest.fixture(scope="module")
def moments() -> random.Random:
    seed = int(os.environ.get("LBDRIVERS_SEED") or time.time_ns() % 10**9)
    print(f"LBDRIVERS_SEED={seed}")
    return random.Random(seed)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", VERBS)
def test_killed_once(lab: Lab, moments: random.Random, name: str) -> None:
    _kill(lab, moments, VERBS[name], 1)


@pytest.mark.long
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("name", VERBS)
def test_killed_again_and_again(lab: Lab, moments: random.Random, name: str) -> None:
    reached = _kill(lab, moments, VERBS[name], 11)
    assert len(reached) > 2, f"the kills hit too few different states: {reached}"


def _kill(lab: Lab, moments: random.Random, verb: Verb, times: int) -> set[tuple[object, ...]]:
    """Kill the command so often; the states in which it left things."""
    verb.before(lab)
    started = time.monotonic()
    lab.run(*verb.command(lab))
    whole = time.monotonic() - started
    expect_whole(lab, verb)
    reached = set()
    for _ in range(times):
        verb.before(lab)
        killed = lab.start(*verb.command(lab))
        time.sleep(moments.uniform(0.1, whole))
        killed.kill()
        killed.wait()
        reached.add((len(lab.machines()), tuple(lab.ports()), len(lab.world.haproxy_processes())))
        take_up(lab, verb)
        expect_whole(lab, verb)
    return reached


def take_up(lab: Lab, verb: Verb) -> None:
    """The same command again; what is gone already need not be deleted."""
    if verb.member_ports is None and not lab.ask("list")["loadbalancers"]:
        return
    lab.run(*verb.command(lab))


def expect_whole(lab: Lab, verb: Verb) -> None:
    if verb.member_ports is None:
        assert (lab.machines(), lab.ports()) == (set(), [])
        return
    wanted = PORTS if verb.member_ports else PORTS[:2]
    assert len(lab.machines()) == 2
    vips = [name for name in lab.ports() if name not in PORTS]
    assert len(vips) == 1
    assert sorted(name for name in lab.ports() if name in PORTS) == sorted(wanted * 2)
    shown = lab.ask("show", "web")
    assert (shown["provisioning_status"], shown["cause"]) == ("ACTIVE", None)
    assert [appliance["status"] for appliance in shown["appliances"]] == ["ALLOCATED", "ALLOCATED"]
    assert shown["vip_address"] == document()["loadbalancer"]["vip_address"]
    if verb.member_ports:
        lab.eventually(lambda: lab.client().burst(4) == {"web-1": 2, "web-2": 2})
