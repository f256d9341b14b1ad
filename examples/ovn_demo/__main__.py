"""A load balancer that Open vSwitch itself carries out, told step by step on a private OVN.

Real ovsdb-server, ovn-northd, ovn-controller and Open vSwitch (in user space), guests in network namespaces; the
system's own services and network are not touched. Ends with one JSON object; exit status 0 only if every step held.
"""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml

from examples.demo import leftovers
from examples.demo.commands import Commands
from examples.demo.story import Broken, Story, milliseconds, require
from examples.ovn_demo.guests import wait_for
from examples.ovn_demo.private_ovn import PrivateOvn
from examples.ovn_demo.world import World, names
from lbdrivers import settings
from lbdrivers.drivers.context import DriverContext
from lbdrivers.memory.records import MemoryRecords
from lbdrivers_ovn.network.driver import OvnNetwork

DOCUMENT = Path(__file__).parents[1] / "ovn.yaml"
#: Environment variable that names the folder of the demonstration's state.
STATE = "LBDRIVERS_DEMO_STATE"
#: What this demonstration allows, in milliseconds: an idle machine needs two seconds, most of it Python's start; a
#: busy one gets time.
FIRST_ANSWER_LIMIT_MS = 15_000
#: A monitor asks every second, or for UDP every three; a failure has to be heard of.
DETECT_LIMIT_MS = 10_000
#: TCP connections that live through a change of members.
TALKS = 12


class Demonstration:
    """The steps."""

    def __init__(self, story: Story, state: Path) -> None:
        self.story = story
        self.state = state
        self.figures: dict[str, Any] = {
            "ovn_ms": None,
            "create_ms": None,
            "first_answer_ms": None,
            "answers": 0,
            "failed_answers": 0,
            "detect_ms": None,
            "member_add_ms": None,
            "broken_connections": None,
            "left_over": [],
        }
        self.document: dict[str, Any] = yaml.safe_load(DOCUMENT.read_text())
        self.tree: dict[str, Any] = self.document["loadbalancer"]
        self.name, self.vip = self.tree["name"], self.tree["vip_address"]
        self.port = self.tree["listeners"][0]["protocol_port"]
        self._ovn: PrivateOvn | None = None
        self._world: World | None = None
        self._commands: Commands | None = None

    @property
    def ovn(self) -> PrivateOvn:
        """The private OVN, once it is there."""
        if self._ovn is None:
            raise Broken("there is no OVN yet")
        return self._ovn

    @property
    def world(self) -> World:
        """Members and client, once they are there."""
        if self._world is None:
            raise Broken("there are no guests yet")
        return self._world

    @property
    def commands(self) -> Commands:
        """The command, once it can be configured."""
        if self._commands is None:
            raise Broken("there is no configuration yet")
        return self._commands

    def close(self) -> None:
        """End what runs."""
        if self._ovn is not None:
            self._ovn.close()

    def run(self) -> None:
        """All steps in order."""
        with self.story.step("A private OVN: databases, ovn-northd, Open vSwitch in user space, one chassis"):
            self._start_ovn()
        with self.story.step("Two members and a client: guests on logical switches"):
            self._start_guests()
        with self.story.step("One file in, rows of the northbound database out"):
            self._create()
        with self.story.step("Connections and datagrams through the VIP"):
            self._balance()
        with self.story.step("A member dies, and comes back"):
            self._lose_member()
        with self.story.step("A third member joins; connections that are open stay where they are"):
            self._add_member()
        with self.story.step("Everything is removed"):
            self._remove()

    def _start_ovn(self) -> None:
        started = time.monotonic()
        self._ovn = PrivateOvn(switching=True, folder=self.state)
        self.figures["ovn_ms"] = milliseconds(time.monotonic() - started)
        file = self.state / "lbdrivers.conf"
        file.write_text(self.ovn.configuration())
        self._commands = Commands(self.story, self.state / "state", file)
        network = OvnNetwork(DriverContext(settings.load([file]), MemoryRecords(), load=lambda *_: None))
        self._world = World(self.ovn, network)
        self.story.ok(f"it runs after {self.figures['ovn_ms']} ms, in {self.state}")

    def _start_guests(self) -> None:
        self.world.guest("client", (self.tree["vip_subnet_id"], None))
        for member in self._members(0):
            self._start_member(member)
        self.story.ok(f"client at {self.world.addresses('client')[0]}")

    def _start_member(self, member: dict[str, Any]) -> None:
        self.world.guest(member["name"], (member["subnet_id"], member["address"]))
        self.world.serve(member["name"], member["protocol_port"])
        self.story.ok(f"{member['name']} answers on {member['address']}:{member['protocol_port']}, TCP and UDP")

    def _create(self) -> None:
        started = time.monotonic()
        with self._first_answer() as first:
            self.commands.show("apply", os.path.relpath(DOCUMENT))
            self.figures["create_ms"] = milliseconds(time.monotonic() - started)
            wait_for(lambda: first, "an answer through the VIP", limit=20)
        self.figures["first_answer_ms"] = milliseconds(first[0] - started)
        self.story.ok(
            f"the first answer came {self.figures['first_answer_ms']} ms after the command was started, which took "
            f"{self.figures['create_ms']} ms in all"
        )
        require(self.figures["first_answer_ms"] <= FIRST_ANSWER_LIMIT_MS, "the first answer came too late")
        self.story.say("for each protocol there is a row now, as ovn-nbctl list Load_Balancer tells:")
        rows = self.ovn.nbctl("--columns=protocol,vips", "list", "Load_Balancer")
        self.story.quote(rows.replace("\n\n", "\n"))

    @contextlib.contextmanager
    def _first_answer(self) -> Iterator[list[float]]:
        """Ask in the background while a block runs; in the list is when the answer came."""
        found: list[float] = []
        stop = threading.Event()

        def ask() -> None:
            while not found and not stop.is_set():
                if self.world.tcp("client", self.vip, self.port, 1, patience=0.1)["failed"] == 0:
                    found.append(time.monotonic())
                stop.wait(0.005)

        thread = threading.Thread(target=ask, daemon=True)
        thread.start()
        try:
            yield found
        finally:
            stop.set()
            thread.join()

    def _balance(self) -> None:
        client = self.world.addresses("client")[0]
        wanted = {f"{member['name']} {client}" for member in self._members(0)}
        for told, asked in (("connections", self.world.tcp), ("datagrams", self.world.udp)):
            answers = self._counted(asked("client", self.vip, self.port, 60))
            self.story.say(
                f"60 {told}: " + "  ".join(f"{name} x {count}" for name, count in sorted(names(answers).items()))
            )
            require(set(answers) == wanted, f"not by both members, or not from the client's address: {dict(answers)}")
        self.story.ok("both members answer, and see the client's own address")
        self.commands.show("show", self.name)

    def _lose_member(self) -> None:
        lost = self._members(0)[0]["name"]
        self._wait_for(lost, "ONLINE")
        wait_for(self._monitors_settled, "OVN's monitors")
        self.world.stop(lost)
        self.figures["detect_ms"] = self._wait_for(lost, "ERROR")
        self.ovn.settled()
        self.story.ok(f"{lost} killed; in ERROR for both protocols after {self.figures['detect_ms']} ms")
        require(self.figures["detect_ms"] <= DETECT_LIMIT_MS, "its death was noticed too late")
        for asked in (self.world.tcp, self.world.udp):
            answers = names(self._counted(asked("client", self.vip, self.port, 40)))
            kind = "connections" if asked == self.world.tcp else "datagrams"
            require(answers["failed"] == 0 and lost not in answers, f"{kind} not all by the other one: {dict(answers)}")
        self.story.ok("40 connections and 40 datagrams, all answered by the other one")
        self.world.serve(lost, self.port)
        took = self._wait_for(lost, "ONLINE")
        wait_for(lambda: lost in names(self.world.tcp("client", self.vip, self.port, 20)), f"answers of {lost}")
        self.story.ok(f"{lost} started; ONLINE after {took} ms, and answers again")

    def _add_member(self) -> None:
        joining = {**self._members(0)[0], "name": "resolver-3", "address": "10.212.32.13"}
        self._start_member(joining)
        talks = [self.world.connect("client", self.vip, self.port) for _ in range(TALKS)]
        before = [talk.ask() for talk in talks]
        for number in (0, 1):
            self._members(number).append(dict(joining))
        edited = self.state / "edited.yaml"
        edited.write_text(yaml.safe_dump(self.document, sort_keys=False))
        started = time.monotonic()
        self.commands.show("apply", str(edited))
        for asked in (self.world.tcp, self.world.udp):
            wait_for(functools.partial(self._answers, joining["name"], asked), f"an answer of {joining['name']}")
        self.figures["member_add_ms"] = milliseconds(time.monotonic() - started)
        broken = 0
        for talk, name in zip(talks, before, strict=True):
            try:
                broken += talk.ask() != name
            except OSError:
                broken += 1
            talk.close()
        self.figures["broken_connections"] = broken
        require(broken == 0, f"{broken} of {TALKS} connections did not stay with their members")
        self.story.ok(
            f"{joining['name']} answers after {self.figures['member_add_ms']} ms; {TALKS} open connections live on"
        )

    def _remove(self) -> None:
        self.commands.show("delete", self.name)
        rows = self.ovn.nbctl("--bare", "--columns=_uuid", "list", "Load_Balancer")
        require(not rows, f"load balancers are left in the northbound database: {rows}")
        self.world.close()
        left = list(self.ovn.contents())
        require(not left, f"the northbound database is not empty: {left}")
        self.story.ok("the northbound database is empty: no load balancer, no port, no switch, no router")
        require(self.figures["failed_answers"] == 0, f"{self.figures['failed_answers']} questions had no answer")

    def _counted(self, answers: Counter[str]) -> Counter[str]:
        self.figures["answers"] += answers.total() - answers["failed"]
        self.figures["failed_answers"] += answers["failed"]
        return answers

    def _answers(self, name: str, ask: Callable[[str, str, int, int], Counter[str]]) -> bool:
        """Whether that member is among those that answer some questions."""
        return name in names(self._counted(ask("client", self.vip, self.port, 5)))

    def _members(self, listener: int) -> list[dict[str, Any]]:
        members: list[dict[str, Any]] = self.tree["listeners"][listener]["default_pool"]["members"]
        return members

    def _monitors_settled(self) -> bool:
        """Whether OVN has heard of every member, for both protocols."""
        online = self.ovn.sbctl("--bare", "--columns=_uuid", "find", "Service_Monitor", "status=online").split()
        return len(online) == sum(len(self._members(number)) for number in (0, 1))

    def _wait_for(self, name: str, status: str) -> int:
        """Milliseconds until the member has the status in both pools."""

        def reached() -> bool:
            shown = self.commands.ask("show", self.name)
            members = [member for pool in shown["pools"] for member in pool["members"]]
            return all(one["operating_status"] == status for one in members if one["name"] == name)

        return milliseconds(wait_for(reached, f"{name} in {status}", limit=30))


def main() -> int:
    """Tell the story; clean up whatever happens."""
    if os.geteuid() != 0:
        sys.exit("Open vSwitch needs to be root here, because it makes a tap device: sudo make demo-ovn")
    story = Story()
    leftovers.clean_when_terminated()
    story.console.print("[bold]lbdrivers[/]: a load balancer that Open vSwitch itself carries out")
    state = Path(os.environ.get(STATE) or Path(tempfile.gettempdir()) / "lbdrivers-demo-ovn")
    # What an interrupted run has started ended with it; its files are still here.
    shutil.rmtree(state, ignore_errors=True)
    before = leftovers.snapshot()
    demonstration = Demonstration(story, state)
    try:
        with contextlib.suppress(Broken):
            demonstration.run()
    except (TimeoutError, RuntimeError) as error:
        story.failures.append(str(error))
    finally:
        demonstration.close()
        left = leftovers.compare(before, state) + ([f"file {state}"] if state.exists() else [])
        shutil.rmtree(state, ignore_errors=True)
    return story.end(demonstration.figures, left)


if __name__ == "__main__":
    sys.exit(main())
