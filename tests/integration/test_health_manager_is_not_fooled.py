"""A whole health manager, a simulated fleet, a real store: the silent are failed over, nobody by who is blind."""

from __future__ import annotations

import os
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
from support.fleet import make_active

from lbdrivers import registry, settings
from lbdrivers.drivers.amphora import Role
from lbdrivers.drivers.context import Record
from lbdrivers.memory.compute import MemoryCompute
from lbdrivers.memory.provider import MemoryProvider
from lbdrivers.model.infra import MachineRequest
from lbdrivers.model.resources import LoadBalancer
from lbdrivers.reconcile.daemon import DaemonContext
from lbdrivers.reconcile.engine import Engine
from lbdrivers.store.store import Store
from lbdrivers_amphora.health.findings import Heard, Listening
from lbdrivers_amphora.health_manager import run
from lbdrivers_amphora.heartbeat_settings import HeartbeatSettings, read_manager
from lbdrivers_amphora.ledger import Ledger
from lbdrivers_amphora.records import KIND_AMPHORA, Amphora, AmphoraStatus
from lbdrivers_amphora.wire.heartbeat import Form, Heartbeat, seal_octavia, seal_own

PAIRS = 6
KEY = "a-key-of-these-tests-alone-0123456789"
TIMEOUT = 2
PROGRAM = str(Path(sys.executable).parent / "lbdrivers")


def name(kind: str, number: int) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_OID, f"{kind} {number}"))


class Fleet:
    """Amphorae that beat four times a second until they fall silent."""

    def __init__(self, port: int, heartbeats: HeartbeatSettings) -> None:
        self.port = port
        self.silent: set[str] = set()
        self.octavia: dict[str, bytes] = {}
        """The key of those that speak in Octavia's form."""
        self._keys = {name("amphora", n): heartbeats.key_of(name("amphora", n)).reveal() for n in range(2 * PAIRS)}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat)
        self._thread.start()

    def _beat(self) -> None:
        sequence = 0
        with ExitStack() as stack:
            senders = {one: stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) for one in self._keys}
            while not self._ended.wait(0.25):
                for one in senders.keys() - self.silent:
                    if (shared := self.octavia.get(one)) is not None:
                        datagram = seal_octavia(Heartbeat(one, 0, sequence, {}, {}, 3), shared)
                    else:
                        datagram = seal_own(Heartbeat(one, 1, sequence, {}, {}), self._keys[one])
                    senders[one].sendto(datagram, ("127.0.0.1", self.port))
                sequence += 1

    def say(self, datagram: bytes) -> None:
        """Somebody else sends this."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.sendto(datagram, ("127.0.0.1", self.port))

    def end(self) -> None:
        self._ended.set()
        self._thread.join()


def configure(folder: Path, port: int, more: str) -> Path:
    """A configuration file for a health manager that is in a hurry."""
    file = folder / "health.conf"
    file.write_text(
        f"[health_manager]\nbind_port = {port}\ncontroller_ip_port_list = 127.0.0.1:{port}\nheartbeat_key = {KEY}\n"
        f"heartbeat_interval = 1\nheartbeat_timeout = {TIMEOUT}\n"
        "flush_interval = 0.1\nhealth_check_interval = 0.1\n"
        f"failover_threads = 0\nfailover_grace = 2\n{more}"
        "[controller_worker]\ncompute_driver = memory\nnetwork_driver = memory\namphora_driver = memory\n"
    )
    return file


class Wall:
    """The clock on the wall, which somebody sets."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead


class Manager:
    """The daemon in a thread, and what it says."""

    def __init__(self, folder: Path, store: Store, port: int, more: str = "") -> None:
        self.wall = Wall()
        self._store = store
        configuration = settings.load([configure(folder, port, more)], folder)
        self.heartbeats = read_manager(configuration)[1]
        drivers = replace(registry.make_context(configuration, store.records), now=self.wall)
        provider = MemoryProvider(drivers)
        engine = Engine(store, lambda _name: provider, settings.read(configuration))
        self.said: list[str] = []
        self.stop = threading.Event()
        self._context = DaemonContext(drivers, store, engine, self.stop, self.said.append, self.said.append)
        self._thread = threading.Thread(target=run, args=(self._context,))
        self._thread.start()

    def counts(self) -> dict[str, int]:
        """What became of datagrams."""
        found = [Listening.read(one.id, one.owner, one.data) for one in self._store.records.list(Listening.KIND)]
        return dict(max(found, key=lambda one: one.at).counts) if found else {}

    def silent(self) -> int:
        """How many it holds for silent now."""
        found = self._context.exposure.health().details["silent"]
        assert isinstance(found, int)
        return found

    def end(self) -> None:
        self.stop.set()
        self._thread.join(30)
        assert not self._thread.is_alive()


class World:
    """A store with load balancers that are ACTIVE, a fleet, and whoever watches it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / "lbdrivers.sqlite"
        self.store = Store(f"sqlite:///{self.file}")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        for number in range(PAIRS):
            self._add(number)
        self.managers: list[Manager] = []
        self.fleet: Fleet | None = None

    def _add(self, number: int) -> None:
        tree = LoadBalancer(id=name("lb", number), vip_subnet_id=name("subnet", 0))
        make_active(self.store, tree, "memory")
        for n in (2 * number, 2 * number + 1):
            amphora = Amphora(
                id=name("amphora", n),
                load_balancer_id=tree.id,
                role=Role.MASTER,
                priority=1,
                status=AmphoraStatus.ALLOCATED,
            )
            self.store.records.put_all([Record(KIND_AMPHORA, amphora.id, amphora.model_dump(mode="json"), tree.id)])

    def watch(self, more: str = "") -> Manager:
        made = Manager(self.folder, self.store, self.port, more)
        self.managers.append(made)
        if self.fleet is None:
            self.fleet = Fleet(self.port, made.heartbeats)
        return made

    def start_fleet(self, heartbeats: HeartbeatSettings) -> None:
        """For a health manager that runs elsewhere."""
        self.fleet = Fleet(self.port, heartbeats)

    def fall_silent(self, *numbers: int) -> None:
        assert self.fleet is not None
        self.fleet.silent |= {name("amphora", n) for n in numbers}

    def tell(self, number: int, told: str) -> None:
        """Note what an amphora was told of heartbeats, as whoever configures its agent does."""
        self.change(number, told_heartbeats=told)

    def change(self, number: int, **fields: str) -> None:
        """Change the record of an amphora."""
        record = self.store.records.get(KIND_AMPHORA, name("amphora", number))
        assert record is not None
        self.store.records.put(replace(record, data={**record.data, **fields}))

    def wanted(self) -> set[int]:
        """Numbers of the load balancers whose failover was asked for."""
        entries = {entry.id for entry in self.store.list() if entry.failovers_wanted}
        return {number for number in range(PAIRS) if name("lb", number) in entries}

    def heard(self) -> dict[str, Heard]:
        return {one.id: Heard.read(one.id, one.owner, one.data) for one in self.store.records.list(Heard.KIND)}

    def eventually(self, condition: Callable[[], bool], limit: float = 20.0) -> None:
        deadline = time.monotonic() + limit
        while not condition():
            assert time.monotonic() < deadline, [one.said for one in self.managers]
            time.sleep(0.05)

    def nothing_for(self, seconds: float, wanted: frozenset[int] = frozenset()) -> None:
        """Nobody else is failed over meanwhile."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            assert self.wanted() == wanted, [one.said for one in self.managers]
            time.sleep(0.1)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    try:
        yield made
    finally:
        if made.fleet is not None:
            made.fleet.end()
        for one in made.managers:
            one.end()
        made.store.close()


@pytest.mark.long
def test_exactly_the_silent_are_failed_over_and_many_at_once_are_not(world: World) -> None:
    manager = world.watch()
    world.eventually(lambda: len(world.heard()) == 2 * PAIRS)
    world.nothing_for(TIMEOUT + 1)
    began = time.monotonic()
    world.fall_silent(0)
    world.eventually(lambda: world.wanted() == {0})
    # On a machine of its own within timeout + 2 s; here others may be at work.
    assert TIMEOUT - 0.5 < time.monotonic() - began < TIMEOUT + 8
    assert world.heard()[name("amphora", 0)].silent
    world.fall_silent(*range(2, 10))
    world.eventually(lambda: any("breaker open" in words for words in manager.said))
    world.nothing_for(TIMEOUT, frozenset({0}))


@pytest.mark.long
def test_a_clock_that_jumps_moves_nobody(world: World) -> None:
    """A day forward, two back, and in leaps while an amphora is silent: times between events are another clock's."""
    manager = world.watch()
    world.eventually(lambda: len(world.heard()) == 2 * PAIRS)
    world.nothing_for(TIMEOUT + 0.5)
    for ahead in (86_400.0, -86_400.0):
        manager.wall.ahead = ahead
        world.nothing_for(TIMEOUT / 2)
        world.eventually(
            lambda ahead=ahead: all(abs(one.at - time.time() - ahead) < 30 for one in world.heard().values())
        )
    assert not any("silent" in words or "anew" in words or "breaker" in words for words in manager.said)
    began = time.monotonic()
    world.fall_silent(0)
    for ahead in (3600.0, 0.0, -3600.0, 10.0):
        manager.wall.ahead = ahead
        time.sleep(0.2)
    world.eventually(lambda: world.wanted() == {0})
    assert time.monotonic() - began > TIMEOUT - 0.5
    world.nothing_for(0.5, frozenset({0}))


def test_while_amphorae_change_over_nobody_is_failed_over_and_nobody_else_gets_in(world: World) -> None:
    """From Octavia's form, one after the other; somebody who has recorded datagrams repeats them all the time."""
    manager = world.watch("previous_heartbeat_form = octavia\n")
    assert world.fleet is not None and manager.heartbeats.previous is not None
    previous, fleet = manager.heartbeats.previous, world.fleet
    fleet.octavia = {name("amphora", n): previous.key_of("").reveal() for n in range(2 * PAIRS)}
    world.eventually(lambda: len(world.heard()) == 2 * PAIRS)
    assert any(f"{2 * PAIRS} amphorae may still speak" in words for words in manager.said)
    world.nothing_for(TIMEOUT + 0.5)
    recorded = seal_octavia(Heartbeat(name("amphora", 0), 0, 0, {}, {}, 3), previous.key_of("").reveal())
    for number in range(2 * PAIRS):
        world.tell(number, manager.heartbeats.fingerprint)
        del fleet.octavia[name("amphora", number)]
        world.nothing_for(0.1)
    world.eventually(lambda: any("no amphora needs to speak any more" in words for words in manager.said))
    world.nothing_for(TIMEOUT)
    world.fall_silent(0)

    def repeated() -> bool:
        fleet.say(recorded)
        return world.wanted() == {0}

    world.eventually(repeated)
    world.eventually(lambda: manager.counts().get("outdated", 0) > 0)
    world.nothing_for(0.5, frozenset({0}))


def test_a_zombie_is_removed_when_name_and_record_prove_it_ours(world: World) -> None:
    """Of four amphorae that speak and are not watched, one was removed before; machines of all have our names."""
    removed, nobodys, dying, spare = (name("amphora", n) for n in range(4))
    manager = world.watch("failover_threads = 1\nheartbeat_timeout = 10\n")
    cloud = MemoryCompute(registry.make_context(settings.load([world.folder / "health.conf"]), world.store.records))
    for one in (removed, nobodys, dying, spare):
        cloud.ensure(MachineRequest(f"amphora-{one}", ()))
    world.eventually(lambda: len(world.heard()) == 2 * PAIRS)
    Ledger(world.store.records).forget_amphora(removed, time.time())
    world.store.records.remove(KIND_AMPHORA, nobodys)
    world.change(2, status="PENDING_DELETE")
    world.change(3, status="READY")
    world.eventually(lambda: cloud.find(f"amphora-{removed}") is None)
    world.eventually(lambda: any(f"removed of amphora {removed}" in words for words in manager.said))
    world.eventually(lambda: any(f"amphora {nobodys} speaks with a key of ours" in words for words in manager.said))
    assert cloud.known() == {f"amphora-{one}" for one in (nobodys, dying, spare)}
    assert not any(dying in words or spare in words for words in manager.said)
    assert world.wanted() == set()


@pytest.mark.long
def test_who_was_told_what_we_do_not_know_is_not_failed_over_by_us(world: World) -> None:
    """Somebody else has a newer configuration than this health manager: that is no reason to replace anybody."""
    manager = world.watch()
    world.eventually(lambda: len(world.heard()) == 2 * PAIRS)
    world.nothing_for(TIMEOUT + 0.5)
    world.tell(0, replace(manager.heartbeats, form=Form.OCTAVIA).fingerprint)
    world.eventually(lambda: any("1 amphorae were told a heartbeat form or key" in words for words in manager.said))
    world.fall_silent(0, 3)
    world.eventually(lambda: world.wanted() == {1})
    world.nothing_for(1, frozenset({1}))


@pytest.mark.long
def test_a_database_that_cannot_be_written_costs_nobody_anything(world: World) -> None:
    world.watch()
    world.eventually(lambda: len(world.heard()) == 2 * PAIRS)
    with sqlite3.connect(world.file, isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        before = max(one.sequence for one in world.heard().values())
        world.nothing_for(2 * TIMEOUT)
        assert max(one.sequence for one in world.heard().values()) <= before + 1
        other.execute("ROLLBACK")
    world.eventually(lambda: max(one.sequence for one in world.heard().values()) > before + 4 * TIMEOUT)
    world.nothing_for(1)


def test_one_that_hears_nobody_is_blind_and_says_so(world: World) -> None:
    manager = world.watch("failover_least = 100\n")
    world.eventually(lambda: len(world.heard()) == 2 * PAIRS)
    world.fall_silent(*range(2 * PAIRS))
    world.eventually(lambda: any("hears nobody at all" in words for words in manager.said))
    world.nothing_for(1)


@pytest.mark.long
def test_one_that_was_just_started_waits_for_a_whole_timeout(world: World) -> None:
    first = world.watch()
    world.eventually(lambda: len(world.heard()) == 2 * PAIRS)
    first.end()
    world.fall_silent(0)
    world.nothing_for(TIMEOUT + 0.5)  # nobody watches; by the stamps in the store it is silent for long
    began = time.monotonic()
    world.watch()
    world.eventually(lambda: world.wanted() == {0})
    assert time.monotonic() - began > TIMEOUT


@pytest.mark.long
def test_a_dry_run_reports_and_does_nothing(world: World) -> None:
    manager = world.watch("dry_run = true\n")
    world.eventually(lambda: len(world.heard()) == 2 * PAIRS)
    world.fall_silent(3)
    world.eventually(lambda: any("but for dry_run" in words and name("amphora", 3) in words for words in manager.said))
    world.nothing_for(1)


@pytest.mark.long
def test_one_that_was_found_silent_and_goes_over_to_another_is_silent_no_more(world: World) -> None:
    manager = world.watch("dry_run = true\n")
    world.eventually(lambda: len(world.heard()) == 2 * PAIRS)
    world.fall_silent(3)
    world.eventually(lambda: manager.silent() == 1)
    stop = time.monotonic() + 2 * TIMEOUT
    world.eventually(lambda: world.heard()[name("amphora", 3)].silent)

    def heard_by_another() -> bool:
        found = Heard(name("amphora", 3), name("lb", 1), time.time(), 1, 99)
        world.store.records.put_all([Record(Heard.KIND, found.key, found.data(), found.owner)])
        return manager.silent() == 0

    world.eventually(heard_by_another)
    while time.monotonic() < stop:
        assert heard_by_another()
        time.sleep(0.1)


@pytest.mark.long
def test_two_that_share_the_fleet_ask_each_other(world: World) -> None:
    """Each hears the part that the kernel gives it; neither takes the other's part for dead."""
    for _ in range(2):
        world.watch()
    world.eventually(lambda: len(world.heard()) == 2 * PAIRS)
    world.nothing_for(3 * TIMEOUT)
    assert not any("breaker" in words or "hears nobody" in words for one in world.managers for words in one.said)
    world.fall_silent(0)
    world.eventually(lambda: world.wanted() == {0})


@pytest.mark.long
def test_the_command_with_several_processes(world: World) -> None:
    file = configure(world.folder, world.port, "health_update_threads = 3\n")
    log = world.folder / "log"
    command = [PROGRAM, "--state", str(world.folder), "--config-file", str(file), "health-manager"]
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    try:
        world.start_fleet(read_manager(settings.load([file], world.folder))[1])
        world.eventually(lambda: len(world.heard()) == 2 * PAIRS)
        world.nothing_for(TIMEOUT + 1)
        listeners = children(process.pid)
        assert len(listeners) == 3
        os.kill(listeners[0], signal.SIGKILL)
        world.eventually(lambda: "a listener died and was started again" in log.read_text())
        world.eventually(lambda: len(set(children(process.pid)) - set(listeners)) == 1)
        world.nothing_for(TIMEOUT)
        world.fall_silent(0)
        world.eventually(lambda: world.wanted() == {0})
        listeners = children(process.pid)
        process.terminate()
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait()
    world.eventually(lambda: not any(Path(f"/proc/{pid}").exists() for pid in listeners))


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
