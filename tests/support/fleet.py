"""A simulated fleet of amphorae and the real health manager that hears it, for tests and benchmarks.

Law: ids follow from numbers and are the same in every run. Datagrams are sealed as an agent seals them, and leave in
their time, from several sockets; whoever is silent sends nothing. The manager is the command itself, in a process.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from lbdrivers.drivers.context import Record
from lbdrivers.model.resources import LoadBalancer
from lbdrivers.model.secret import Secret
from lbdrivers.store.store import Store
from lbdrivers_amphora.health.findings import Listening
from lbdrivers_amphora.heartbeat_keys import amphora_key
from lbdrivers_amphora.records import KIND_AMPHORA, Amphora, AmphoraStatus
from lbdrivers_amphora.wire.heartbeat import Heartbeat, ListenerBeat, PoolBeat, seal_own
from lbdrivers_amphora.wire.report import Totals

#: The master key of every simulated fleet of this process.
KEY = uuid.uuid4().hex + uuid.uuid4().hex
PROGRAM = str(Path(sys.executable).parent / "lbdrivers")
_NAMES = uuid.UUID("3f2c0b7e-4c55-4b8e-9a57-6f6f0a3c2d11")
#: Seconds between two looks at who has to speak.
_TICK = 0.02
_SOCKETS = 64


@cache
def name(*parts: object) -> str:
    """An id that is the same in every run."""
    return str(uuid.uuid5(_NAMES, ":".join(map(str, parts))))


def tree(number: int, members: int) -> LoadBalancer:
    """One load balancer of the fleet."""
    pool = {
        "id": name("pool", number),
        "protocol": "HTTP",
        "lb_algorithm": "ROUND_ROBIN",
        "healthmonitor": {"id": name("monitor", number), "type": "HTTP", "delay": 5, "timeout": 4, "max_retries": 3},
        "members": [
            {"id": name("member", number, n), "address": f"10.0.{n // 250}.{n % 250 + 1}", "protocol_port": 80}
            for n in range(members)
        ],
    }
    front = {"id": name("listener", number), "protocol": "HTTP", "protocol_port": 80, "default_pool_id": pool["id"]}
    body = {"id": name("lb", number), "vip_subnet_id": name("subnet"), "listeners": [front], "pools": [pool]}
    return LoadBalancer.model_validate(body)


def beat(number: int, members: int, turn: int, down: bool, each: int = 1) -> Heartbeat:
    """What the amphora of that number says the so manieth time.

    :param each: amphorae of a load balancer; the first one holds the VIP.
    """
    balancer = number // each
    states = {name("member", balancer, n): "DOWN" if down else "UP" for n in range(members)}
    counted = Totals(turn % 100, 1000 * turn, 5000 * turn, 0, 10 * turn)
    return Heartbeat(
        name("amphora", number),
        1,
        turn,
        {name("listener", balancer): ListenerBeat("OPEN", counted)},
        {f"{name('pool', balancer)}:{name('listener', balancer)}": PoolBeat("DOWN" if down else "UP", states)},
        holds_vip=number % each == 0,
    )


def make_active(store: Store, made: LoadBalancer, provider: str) -> None:
    """What the store says of a load balancer after its first run."""
    store.submit(made, provider)
    seen = store.acquire(made.id, "fleet", time.time(), 60)
    assert seen is not None
    store.finish_apply(seen, "fleet")
    store.release(made.id, "fleet")


def populate(store: Store, fleet: int, members: int, each: int = 1) -> None:
    """Load balancers that are ACTIVE, with so many amphorae in all that serve."""
    records = []
    for number in range(fleet // each):
        made = tree(number, members)
        make_active(store, made, "amphora")
    for number in range(fleet):
        amphora = Amphora(
            id=name("amphora", number),
            load_balancer_id=name("lb", number // each),
            role="STANDALONE" if each == 1 else "BACKUP" if number % each else "MASTER",
            priority=100,
            status=AmphoraStatus.ALLOCATED,
        )
        records.append(Record(KIND_AMPHORA, amphora.id, amphora.model_dump(mode="json"), amphora.load_balancer_id))
    store.records.put_all(records)


def key_of(number: int) -> bytes:
    """The key of an amphora."""
    return amphora_key(Secret(KEY.encode()), name("amphora", number)).reveal()


class Fleet:
    """Amphorae that speak every ``interval`` seconds, one after the other, until they fall silent.

    :param size: how many; :param say: what the amphora of a number says the so manieth time, sealed.
    :ivar silent: numbers of those that send nothing now.
    :ivar sent: datagrams so far, by number; ``last``: when the newest one left, by the clock that never jumps.
    """

    def __init__(self, port: int, size: int, interval: float, say: Callable[[int, int], bytes]) -> None:
        self._port = port
        self._size = size
        self._interval = interval
        self._say = say
        self.silent: frozenset[int] = frozenset()
        self.sent: Counter[int] = Counter()
        self.last: dict[int, float] = {}
        self._failure: BaseException | None = None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="fleet")
        self._thread.start()

    @property
    def total(self) -> int:
        """Datagrams so far."""
        return self.sent.total()

    def fall_silent(self, numbers: Collection[int]) -> None:
        """These send nothing from now on; when it returns, none of them is sending."""
        self.silent |= frozenset(numbers)
        time.sleep(3 * _TICK)

    def speak(self) -> None:
        """All of them again."""
        self.silent = frozenset()

    def _run(self) -> None:
        try:
            with contextlib.ExitStack() as stack:
                sockets = []
                for _ in range(min(_SOCKETS, self._size)):
                    made = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
                    made.connect(("127.0.0.1", self._port))
                    sockets.append(made)
                self._beat(sockets)
        except BaseException as error:  # noqa: BLE001 - raised again by end()
            self._failure = error

    def _beat(self, sockets: list[socket.socket]) -> None:
        began, done = time.monotonic(), 0
        while not self._ended.wait(_TICK):
            due = int((time.monotonic() - began) / self._interval * self._size)
            for place in range(done, due):
                number = place % self._size
                if number in self.silent:
                    continue
                datagram = self._say(number, self.sent[number])
                with contextlib.suppress(ConnectionRefusedError):  # nobody listens now
                    sockets[number % len(sockets)].send(datagram)
                self.sent[number] += 1
                self.last[number] = time.monotonic()
            done = due

    def end(self) -> None:
        """Nobody speaks any more. :raises BaseException: whatever kept it from speaking."""
        self._ended.set()
        self._thread.join()
        if self._failure is not None:
            raise self._failure


@contextlib.contextmanager
def speaking(port: int, size: int, interval: float, say: Callable[[int, int], bytes]) -> Iterator[Fleet]:
    """A fleet, for as long as the block lasts."""
    made = Fleet(port, size, interval, say)
    try:
        yield made
    finally:
        made.end()


def sealed(members: int, each: int = 1) -> Callable[[int, int], bytes]:
    """Says what ``beat`` says, all being well."""
    keys: dict[int, bytes] = {}

    def say(number: int, turn: int) -> bytes:
        key = keys.get(number) or keys.setdefault(number, key_of(number))
        return seal_own(beat(number, members, turn, down=False, each=each), key)

    return say


@dataclass
class Manager:
    """The real command, listening on a port of the loopback; what it says goes to a file."""

    process: subprocess.Popen[bytes]
    port: int
    store: Store
    log: Path

    @property
    def said(self) -> list[str]:
        """Line by line."""
        return self.log.read_text().splitlines()

    def cpu(self) -> float:
        """Seconds of processor time so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory(self, what: str = "VmHWM") -> float:
        """Resident size in MB: the largest one so far, or with VmRSS that of now."""
        text = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(text.partition(f"{what}:")[2].split()[0]) / 1024

    def counts(self) -> dict[str, int]:
        """What it says it took."""
        found = [Listening.read(one.id, one.owner, one.data) for one in self.store.records.list(Listening.KIND)]
        return dict(max(found, key=lambda one: one.at).counts) if found else {}


def waiting(port: int) -> int:
    """Bytes in the queue of the socket at that port of the loopback (proc(5), /proc/net/udp)."""
    place = f"0100007F:{port:04X}"
    for line in Path("/proc/net/udp").read_text().splitlines():
        fields = line.split()
        if fields[1] == place:
            return int(fields[4].partition(":")[2], 16)
    raise RuntimeError(f"nobody listens at port {port}")


def free_port() -> int:
    """A port of the loopback that nobody has now."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def manager(url: str, store: Store, folder: Path, options: Mapping[str, object]) -> Iterator[Manager]:
    """A health manager on that database, from when it listens.

    :param options: of ``[health_manager]``, besides where it listens and its key.
    """
    port = free_port()
    file = folder / "health.conf"
    more = "".join(f"{key} = {value}\n" for key, value in options.items())
    file.write_text(
        f"[lbdrivers]\nstate_path = {folder}\n[database]\nconnection = {url}\n"
        "[controller_worker]\ncompute_driver = memory\nnetwork_driver = memory\namphora_driver = memory\n"
        "[certificates]\ncert_generator = memory\n"
        f"[health_manager]\nbind_port = {port}\ncontroller_ip_port_list = 127.0.0.1:{port}\nheartbeat_key = {KEY}\n"
        f"failover_threads = 0\n{more}"
    )
    command = [PROGRAM, "--config-file", str(file), "health-manager"]
    log = folder / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    try:
        deadline = time.monotonic() + 60
        while not ("listening" in (said := log.read_text()) and "watching" in said):
            if time.monotonic() > deadline or process.poll() is not None:
                raise RuntimeError(f"the health manager does not come up: {said}")
            time.sleep(0.05)
        yield Manager(process, port, store, log)
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
