"""Commands killed (SIGKILL) at random moments, on real daemons: the next one finishes what was begun.

Here one killed command of a lone amphora follows another, so that each begins with what the one before left; among the
long tests each verb of a pair is killed by itself, often enough for sixty in all, and the same command takes it up.
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


#: Kills, and how many of them follow each other before a command may end its work.
KILLS, IN_A_ROW = 21, 7


@pytest.mark.timeout(300)
def test_killed_one_after_another(lab: Lab, moments: random.Random) -> None:
    configuration = lab.file.with_suffix(".conf")
    configuration.write_text("[controller_worker]\nloadbalancer_topology = SINGLE\n")
    lab.options = ("--config-file", str(configuration))
    try:
        _kill_one_after_another(lab, moments)
    finally:
        lab.options = ()
        configuration.unlink()


def _kill_one_after_another(lab: Lab, moments: random.Random) -> None:
    nothing(lab)
    #: How long a command of each kind takes at most, as far as it is known.
    whole: dict[str, float] = {}
    kills = 0
    for attempt in range(1, 3 * KILLS):
        command = moments.choice(sensible(lab))
        started = time.monotonic()
        moment = moments.uniform(0, whole.get(command[0], 2.0))
        killed = lab.start(*command)
        while not killed.ended and time.monotonic() < started + moment:
            time.sleep(0.005)
        if killed.ended:
            whole[command[0]] = max(0.5, time.monotonic() - started)
        else:
            kills += 1
        killed.kill()
        if attempt % IN_A_ROW == 0 or kills >= KILLS:
            if status(lab) == "PENDING_DELETE":
                lab.run("delete", "web")
            running(lab)
            expect_whole(lab, VERBS["create"], 1)
            if kills >= KILLS:
                break
    print(f"{kills} killed")
    assert kills >= 20
    nothing(lab)


def sensible(lab: Lab) -> list[tuple[str, ...]]:
    """Commands that have something to do now: one that is being deleted, say, can only be deleted."""
    current = status(lab)
    if current == "PENDING_DELETE":
        return [("delete", "web")]
    commands = [apply(lab)]
    if current is not None:
        commands = [apply(lab), unplug(lab), ("failover", "web"), ("failover", "web"), ("delete", "web")]
    return commands


def status(lab: Lab) -> str | None:
    """Of its provisioning; None when there is none."""
    found = lab.ask("list")["loadbalancers"]
    return found[0]["provisioning_status"] if found else None


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
        reached.add((len(lab.machines()), tuple(lab.ports()), len(lab.world.haproxy_processes())))
        take_up(lab, verb)
        expect_whole(lab, verb)
    return reached


def take_up(lab: Lab, verb: Verb) -> None:
    """The same command again; what is gone already need not be deleted."""
    if verb.member_ports is None and not lab.ask("list")["loadbalancers"]:
        return
    lab.run(*verb.command(lab))


def expect_whole(lab: Lab, verb: Verb, amphorae: int = 2) -> None:
    """It is what the verb was for: with so many amphorae, nothing missing, nothing double."""
    if verb.member_ports is None:
        assert (lab.machines(), lab.ports()) == (set(), [])
        return
    wanted = PORTS if verb.member_ports else PORTS[:2]
    assert len(lab.machines()) == amphorae
    vips = [name for name in lab.ports() if name not in PORTS]
    assert len(vips) == 1
    assert sorted(name for name in lab.ports() if name in PORTS) == sorted(wanted * amphorae)
    shown = lab.ask("show", "web")
    assert (shown["provisioning_status"], shown["cause"]) == ("ACTIVE", None)
    assert [appliance["status"] for appliance in shown["appliances"]] == ["ALLOCATED"] * amphorae
    assert shown["vip_address"] == document()["loadbalancer"]["vip_address"]
    if verb.member_ports:
        lab.eventually(lambda: lab.client().burst(4) == {"web-1": 2, "web-2": 2})
