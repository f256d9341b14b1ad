"""The example of datagrams, from the file to a client's answer: a pair without HAProxy that survives its MASTER."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from scenario.conftest import PRIVATE, Lab
from support.datagrams import RESOLVER, Flow, Steady, flows, spread

from lbdrivers_amphora.site.guests import Guest, Plug

EXAMPLE = Path("examples/udp.yaml")
ENTRY = ("10.211.16.20", 53)
_HEADERS = 28


class Resolvers:
    """The two members of the example, each in a guest of its own."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, *numbers: int) -> None:
        for number in numbers:
            name, address = f"resolver-{number}", f"10.211.32.2{number}"
            guest = Guest(self._lab.world.site, name).ensure([Plug(PRIVATE, address)])
            command = [sys.executable, "-I", "-c", RESOLVER, name, address]
            process = guest.popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
            assert process.stdout is not None and process.stdout.readline() == b"ready\n"
            self._processes[name] = process

    def stop(self, number: int) -> None:
        process = self._processes.pop(f"resolver-{number}")
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


@pytest.fixture(scope="module")
def resolvers(lab: Lab) -> Iterator[Resolvers]:
    made = Resolvers(lab)
    try:
        made.start(1, 2)
        lab.run("apply", str(EXAMPLE))
        yield made
    finally:
        for number in (1, 2):
            with contextlib.suppress(KeyError):
                made.stop(number)


@contextlib.contextmanager
def clients(lab: Lab, count: int = 1) -> Iterator[list[Flow]]:
    with flows(lambda make: _in_client(lab, make), ENTRY, count) as made:
        yield made


def _in_client(lab: Lab, make: Any) -> socket.socket:
    made: socket.socket = Guest(lab.world.site, "client").in_namespace(make)
    return made


def status(lab: Lab) -> dict[str, str]:
    """Operating statuses by name."""
    shown = lab.ask("show", "names")
    parts = [shown, *shown["listeners"], *shown["pools"], *shown["pools"][0]["members"]]
    return {part["name"]: part["operating_status"] for part in parts}


def test_the_example_answers_by_weight_and_runs_no_haproxy(lab: Lab, resolvers: Resolvers) -> None:
    with clients(lab, 40) as made:
        assert spread(made) == {"resolver-1": 30, "resolver-2": 10}
    assert lab.world.haproxy_processes() == frozenset()
    assert set(status(lab).values()) == {"ONLINE"}
    assert [one["remark"] for one in lab.ask("show", "names")["appliances"]] == ["", ""]


def test_statistics_are_what_the_client_sent(lab: Lab, resolvers: Resolvers) -> None:
    def counted() -> dict[str, int]:
        (listener,) = lab.ask("stats", "names")["listeners"]
        found: dict[str, int] = listener
        return found

    before = counted()
    with clients(lab, 5) as made:
        answered = [len(flow.ask(b"x" * 100)) + 1 + 100 + _HEADERS for flow in made]
    after = counted()
    assert {name: after[name] - before[name] for name in ("bytes_in", "bytes_out", "total_connections")} == {
        "bytes_in": 5 * (100 + _HEADERS),
        "bytes_out": sum(answered),
        "total_connections": 5,
    }


def test_a_change_is_planned_as_mild_and_moves_no_flow(lab: Lab, resolvers: Resolvers) -> None:
    body = yaml.safe_load(EXAMPLE.read_text())
    body["loadbalancer"]["listeners"][0]["default_pool"]["members"][0]["weight"] = 1
    planned = lab.ask("plan", lab.write(body))
    assert [(one["subject"], one["mildness"]) for one in planned["actions"]] == [("member resolver-1", "runtime")]
    with clients(lab, 4) as made:
        pinned = [flow.ask() for flow in made]
        with Steady(made):
            lab.run("apply", str(lab.file))
        assert [set(flow.answers) for flow in made] == [{name} for name in pinned]
        assert sum(flow.lost for flow in made) == 0
    with clients(lab, 10) as made:
        assert spread(made) == {"resolver-1": 5, "resolver-2": 5}
    lab.run("apply", str(EXAMPLE))


def test_a_dead_member_is_in_error_and_its_flows_are_served(lab: Lab, resolvers: Resolvers) -> None:
    with clients(lab, 4) as made:
        assert set(spread(made)) == {"resolver-1", "resolver-2"}
        resolvers.stop(2)
        lab.eventually(lambda: status(lab)["resolver-2"] == "ERROR")
        assert status(lab)["resolvers"] == "DEGRADED"
        assert spread(made) == {"resolver-1": 4}
    resolvers.start(2)
    lab.eventually(lambda: status(lab)["resolver-2"] == "ONLINE")


def test_rules_that_somebody_removed_are_told_and_mended(lab: Lab, resolvers: Resolvers) -> None:
    assert deviations(lab, 0) == []
    (master,) = [one["id"] for one in lab.ask("show", "names")["appliances"] if one["holds_vip"]]
    pid = lab.world.site.machine(f"amphora-{master}").pid()
    enter = ["nsenter", f"--target={pid}", "--net", "--mount", "--", "ip", "netns", "exec", "amphora-haproxy"]
    subprocess.run([*enter, "nft", "flush", "ruleset"], check=True)
    with clients(lab) as made:
        assert spread(made) == {"refused": 1}
    assert deviations(lab, 1) == ["datagrams.json"]
    lab.run("apply", "--repair", str(EXAMPLE))
    assert deviations(lab, 0) == []
    with clients(lab, 4) as made:
        assert spread(made) == {"resolver-1": 3, "resolver-2": 1}


def deviations(lab: Lab, status: int) -> list[str]:
    """What differs from what was applied."""
    answer = json.loads(lab.run("observe", "names", "--json", status=status).stdout)
    return [one["aspect"] for one in answer["deviations"]]


def test_the_backup_balances_when_the_master_is_gone(lab: Lab, resolvers: Resolvers) -> None:
    (master,) = [one["id"] for one in lab.ask("show", "names")["appliances"] if one["holds_vip"]]
    with clients(lab, 1) as made:
        made[0].ask()
        lab.world.kill_amphora(master)
        lab.eventually(lambda: made[0].ask(patience=0.2).startswith("resolver"))
    with clients(lab, 40) as made:
        assert sum(spread(made).values()) == 40


def test_it_is_removed_whole(lab: Lab, resolvers: Resolvers) -> None:
    lab.run("delete", "names")
    assert lab.machines() == set()
    assert lab.ports() == []
