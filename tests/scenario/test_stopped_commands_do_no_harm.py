"""Commands that are stopped (SIGSTOP) at random moments for longer than their lease, on real daemons.

Another command takes over and finishes; the stopped one goes on then, and may do nothing any more.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterator

import pytest
from scenario.conftest import Lab, document
from support.commands import Command

LEASE = 1.5
#: What is stopped, and what is done meanwhile.
CASES = {
    "create, then delete": ("apply", "delete"),
    "create, then the same": ("apply", "apply"),
    "failover, then delete": ("failover", "delete"),
    "failover, then failover": ("failover", "failover"),
    "plug, then the old tree": ("plug", "apply"),
    "delete, then delete": ("delete", "delete"),
}


@pytest.fixture(scope="module")
def moments() -> random.Random:
    seed = int(os.environ.get("LBDRIVERS_SEED") or time.time_ns() % 10**9)
    print(f"LBDRIVERS_SEED={seed}")
    return random.Random(seed)


@pytest.fixture(scope="module", autouse=True)
def short_leases(lab: Lab) -> Iterator[None]:
    configuration = lab.file.with_suffix(".conf")
    configuration.write_text(
        f"[lbdrivers]\nlease_seconds = {LEASE}\n[controller_worker]\nloadbalancer_topology = SINGLE\n"
    )
    lab.options = ("--config-file", str(configuration))
    lab.run("list")
    yield
    if lab.ask("list")["loadbalancers"]:
        lab.run("delete", "web")


@pytest.mark.parametrize("name", ["create, then delete", "failover, then failover"])
def test_stopped_once(lab: Lab, moments: random.Random, name: str) -> None:
    _stop(lab, moments, *CASES[name])


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", CASES)
def test_stopped_again_and_again(lab: Lab, moments: random.Random, name: str) -> None:
    for _ in range(8):
        _stop(lab, moments, *CASES[name])


def without_networks(lab: Lab) -> str:
    """Members that are reached through no interface of their own."""
    body = document()
    for member in body["loadbalancer"]["listeners"][0]["default_pool"]["members"]:
        member.pop("subnet_id")
    return lab.write(body)


def whole(lab: Lab) -> str:
    return lab.write(document())


COMMANDS: dict[str, Callable[[Lab], tuple[str, ...]]] = {
    "apply": lambda lab: ("apply", whole(lab)),
    "plug": lambda lab: ("apply", whole(lab)),
    "failover": lambda _lab: ("failover", "web"),
    "delete": lambda _lab: ("delete", "web"),
}


def _stop(lab: Lab, moments: random.Random, verb: str, meanwhile: str) -> None:
    if lab.ask("list")["loadbalancers"]:
        lab.run("delete", "web")
    if verb == "plug":
        lab.run("apply", without_networks(lab))
    elif verb != "apply":
        lab.run("apply", whole(lab))
    stopped = lab.start(*COMMANDS[verb](lab))
    moment = time.monotonic() + moments.uniform(0.1, 1.5)
    while not stopped.ended and time.monotonic() < moment:
        time.sleep(0.005)
    if stopped.ended:
        stopped.wait(1)
        return
    stopped.pause()
    try:
        other = take_over(lab, verb, meanwhile)
        # It takes over when the lease is over, unless the stopped one holds a lock of this host.
        patience = time.monotonic() + LEASE + 2
        while other is not None and not other.ended and time.monotonic() < patience:
            time.sleep(0.02)
    finally:
        stopped.resume()
    for command in (stopped, other):
        if command is not None:
            command.wait(100)
    for entry in lab.ask("list")["loadbalancers"]:
        if entry["provisioning_status"] != "ACTIVE":  # a last look was asked for when both had ended
            assert entry["provisioning_status"].startswith("PENDING"), entry
            lab.run("apply", "--repair", str(lab.file))
    expect_whole(lab)


def take_over(lab: Lab, verb: str, meanwhile: str) -> Command | None:
    """Another command; none when the stopped one has not even said what it wants."""
    if not lab.ask("list")["loadbalancers"] and meanwhile != "apply":
        return None
    if verb == "plug":
        return lab.start("apply", without_networks(lab))
    return lab.start(*COMMANDS[meanwhile](lab))


def expect_whole(lab: Lab) -> None:
    """One amphora and nothing besides, as it was applied; or nothing at all."""
    entries = lab.ask("list")["loadbalancers"]
    assert lab.ask("orphans")["orphans"] == []
    if not entries:
        assert (lab.machines(), lab.ports()) == (set(), [])
        return
    assert len(lab.machines()) == 1
    lab.run("observe", "web")
    if "octavia-lb-member" in lab.ports():
        lab.eventually(lambda: lab.client().burst(4)["failed"] == 0)
