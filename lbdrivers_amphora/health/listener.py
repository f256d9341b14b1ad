"""Listens: takes datagrams from the socket, proves them, and hands on what they say; in this process or in others.

Law: it knows nothing of load balancers and writes nothing. Whatever could make an amphora seem silent that is
not (this process was held up, the kernel dropped datagrams, the socket was opened anew) is handed on as a trouble,
after which silence must be judged anew. Several processes share the port (SO_REUSEPORT); what they hand on goes
through pipes, and when those are full they wait, so that nothing grows without a bound.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait

from lbdrivers.drivers.compute import Vantage
from lbdrivers.errors import TemporaryError
from lbdrivers_amphora.health.inbox import Inbox
from lbdrivers_amphora.health.load import Load
from lbdrivers_amphora.health.receiver import Receiver
from lbdrivers_amphora.heartbeat_settings import HeartbeatSettings, ManagerSettings
from lbdrivers_amphora.wire.heartbeat import Header, Heartbeat

#: Seconds after which a listener looks up even if nothing comes.
IDLE = 0.2
#: Seconds between two looks at where amphorae can be heard.
_LOOK = 1.0

Floors = Mapping[str, tuple[int, int]]
#: The arguments of ``Inbox.know``.
Known = tuple[frozenset[str], Floors, frozenset[str]]


@dataclass(frozen=True)
class Batch:
    """What was heard together.

    :param now: when, by the clock that never jumps; ``wall``: by the one on the wall.
    :param strangers: who is not known and has spoken with a key of ours.
    :param counts: datagrams since the listener began, by what became of them.
    :param listening: whether there is a socket at all.
    :param trouble: why silence must be judged anew; empty when there is no reason.
    :param news: a line for people; empty when there is none.
    """

    now: float
    wall: float
    listening: bool
    beats: tuple[Heartbeat | Header, ...] = ()
    strangers: frozenset[str] = frozenset()
    counts: Mapping[str, int] = field(default_factory=dict)
    trouble: str = ""
    news: str = ""


class Listener:
    """One socket with its inbox."""

    def __init__(
        self,
        settings: ManagerSettings,
        heartbeats: HeartbeatSettings,
        vantages: Vantage | None,
        wall: Callable[[], float],
    ) -> None:
        self._settings = settings
        self._vantages = vantages
        self._wall = wall
        self._load = Load()
        self._receiver: Receiver | None = None
        self._vantage: str | None = None
        self._looked = float("-inf")
        self._lost = 0
        self._ended = 0.0
        self._inbox = Inbox(heartbeats)
        self._told: Known | None = None

    def know(
        self, amphorae: frozenset[str], floors: Floors | None = None, untold: frozenset[str] = frozenset()
    ) -> None:
        """As ``Inbox.know``, from the next datagrams on; may be called by any thread."""
        self._told = (amphorae, floors or {}, untold)

    def listen(self) -> Batch:
        """Wait a moment for datagrams, and hand on what they say."""
        began, trouble, news = time.monotonic(), "", ""
        if self._told is not None:
            known, self._told = self._told, None
            self._inbox.know(*known)
        if self._receiver is None or began - self._looked > _LOOK:
            self._looked = began
            trouble, news = self._place()
        if self._receiver is None:
            time.sleep(IDLE)
            return Batch(time.monotonic(), self._wall(), listening=False, trouble=trouble)
        datagrams = self._receiver.receive(IDLE)
        now = time.monotonic()
        shedding = self._load.note(len(datagrams))
        if self._load.changed:
            news = "overloaded: statistics wait, only life is noted" if shedding else "no longer overloaded"
        take = self._inbox.take
        beats = tuple(beat for one in datagrams if (beat := take(one, alive_only=shedding)) is not None)
        strangers, counts = self._inbox.take_strangers(), self._inbox.counts()
        return Batch(now, self._wall(), True, beats, strangers, counts, trouble or self._pace(began, now), news)

    def _place(self) -> tuple[str, str]:
        """Have a socket where amphorae can be heard now; a trouble and news."""
        vantage = None if self._vantages is None else self._vantages.vantage()
        if self._receiver is not None and vantage == self._vantage:
            return "", ""
        self.close()
        if self._vantages is not None and vantage is None:
            return "", ""  # there is no machine yet, so nobody to hear
        settings = self._settings
        place = f"{settings.bind_ip} port {settings.bind_port}"
        try:
            self._receiver = Receiver(settings.bind_ip, settings.bind_port, settings.buffer_bytes, vantage)
        except (OSError, TemporaryError) as error:
            return f"cannot listen at {place}: {error}", ""
        self._vantage, self._lost, self._ended = vantage, 0, time.monotonic()
        return "", f"listening at {place}"

    def _pace(self, began: float, now: float) -> str:
        """Whether this process was held up, or the kernel had no room: a trouble."""
        held, self._ended = began - self._ended, now
        if held > max(1.0, self._settings.policy.timeout / 4):
            return f"this process was held up for {held:.1f} s"
        lost = 0 if self._receiver is None else self._receiver.lost
        more, self._lost = lost - self._lost, lost
        return f"{more} datagrams found no room" if more > 0 else ""

    def close(self) -> None:
        """Listen no more."""
        if self._receiver is not None:
            self._receiver.close()
            self._receiver = None


class Crew:
    """Listeners in processes of their own; used like one listener.

    Made before there are threads, as the processes are forked.
    """

    def __init__(self, number: int, make: Callable[[], Listener]) -> None:
        self._make = make
        self._fork = multiprocessing.get_context("fork")
        self._known: Known = (frozenset(), {}, frozenset())
        self._members = [self._start() for _ in range(number)]

    def _start(self) -> tuple[multiprocessing.process.BaseProcess, Connection]:
        ours, theirs = self._fork.Pipe()
        process = self._fork.Process(target=_work, args=(self._make, theirs, os.getpid()), name="listener", daemon=True)
        process.start()
        theirs.close()
        return process, ours

    def know(
        self, amphorae: frozenset[str], floors: Floors | None = None, untold: frozenset[str] = frozenset()
    ) -> None:
        """As ``Inbox.know``."""
        known = (amphorae, floors or {}, untold)
        if known != self._known:
            self._known = known
            for _, connection in self._members:
                with suppress(OSError):
                    connection.send(known)

    def listen(self, seconds: float = IDLE) -> list[tuple[int, Batch]]:
        """What has been handed on, with the number of who did; one that has died is started again."""
        found: list[tuple[int, Batch]] = []
        ready = wait([connection for _, connection in self._members], seconds)
        for number, (process, connection) in enumerate(self._members):
            if connection not in ready:
                continue
            try:
                found.append((number, connection.recv()))
            except (EOFError, OSError):
                process.join(1)
                connection.close()
                self._members[number] = self._start()
                self._members[number][1].send(self._known)
                now = time.monotonic()
                found.append(
                    (number, Batch(now, 0.0, listening=False, trouble="a listener died and was started again"))
                )
        return found

    def pids(self) -> list[int]:
        """Of the processes."""
        return [process.pid for process, _ in self._members if process.pid is not None]

    def close(self) -> None:
        """End them."""
        for process, connection in self._members:
            connection.close()
            process.terminate()
        for process, _ in self._members:
            process.join(5)


def _work(make: Callable[[], Listener], connection: Connection, parent: int) -> None:
    """A listener's process: ends with its parent, or when nobody takes what it hands on."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    listener, told = make(), 0.0
    with suppress(BrokenPipeError, EOFError, ConnectionResetError):
        while os.getppid() == parent:
            while connection.poll():
                listener.know(*connection.recv())
            batch = listener.listen()
            # Silence is told, too, once in a while: that a listener lives is news to whoever decides.
            if batch.beats or batch.strangers or batch.trouble or batch.news or batch.now - told > IDLE:
                connection.send(batch)
                told = batch.now
