"""UDP servers and clients for tests: who answers, to whom, and what got lost."""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TypeVar

T = TypeVar("T")
Inside = Callable[[Callable[[], T]], T]
#: Seconds until an answer counts as lost; on a veth it takes some hundred microseconds.
PATIENCE = 2.0

#: A server in a guest: answers each datagram with its name, a blank, and what it got. Arguments: name, address.
RESOLVER = """
import socket, sys
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind((sys.argv[2], 5353))
print("ready", flush=True)
while True:
    data, client = server.recvfrom(65535)
    server.sendto(sys.argv[1].encode() + b" " + data, client)
"""


def _bound(address: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    made = socket.socket(family, socket.SOCK_DGRAM)
    made.bind((address, port))
    return made


class Echoes:
    """Servers that answer with their port, a blank and what they got; each can fall silent and come back.

    A closed one leaves its port to the kernel, which answers with an ICMP error.
    """

    def __init__(self, inside: Callable[[Callable[[], socket.socket]], socket.socket], address: str) -> None:
        self._inside, self._address = inside, address
        self._selector = selectors.DefaultSelector()
        self._open: dict[int, socket.socket] = {}
        self._lock = threading.Lock()
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def open(self, *ports: int) -> None:
        for port in ports:
            if port not in self._open:
                made = self._inside(lambda port=port: _bound(self._address, port))  # type: ignore[misc]
                with self._lock:
                    self._open[port] = made
                    self._selector.register(made, selectors.EVENT_READ, port)

    def close(self, *ports: int) -> None:
        for port in ports:
            with self._lock:
                gone = self._open.pop(port)
                self._selector.unregister(gone)
                gone.close()

    def _serve(self) -> None:
        while not self._end.is_set():
            with self._lock:
                ready = self._selector.select(0)
                for key, _ in ready:
                    server = key.fileobj
                    assert isinstance(server, socket.socket)
                    with contextlib.suppress(ConnectionRefusedError):
                        data, client = server.recvfrom(65535)
                        server.sendto(b"%d %b" % (key.data, data), client)
            if not ready:
                self._end.wait(0.0005)

    def __enter__(self) -> Echoes:
        return self

    def __exit__(self, *_error: object) -> None:
        self._end.set()
        self._thread.join()
        self.close(*list(self._open))
        self._selector.close()


@dataclass
class Flow:
    """One client's socket: a flow as long as it is used.

    :param lost: datagrams that nobody answered in time.
    """

    socket: socket.socket
    sent: int = 0
    lost: int = 0
    answers: list[str] = field(default_factory=list)

    def ask(self, content: bytes = b"?", patience: float = PATIENCE) -> str:
        """Who answered: the server's port, ``refused`` or ``silence``."""
        self.socket.settimeout(patience)
        self.sent += 1
        try:
            self.socket.send(content)
            answer = self.socket.recv(65535).split(b" ", 1)[0].decode()
        except ConnectionRefusedError:
            answer = "refused"
        except TimeoutError:
            self.lost += 1
            answer = "silence"
        self.answers.append(answer)
        return answer


@contextlib.contextmanager
def flows(
    inside: Callable[[Callable[[], socket.socket]], socket.socket],
    target: tuple[str, int],
    count: int = 1,
    source: str | None = None,
    source_port: int = 0,
) -> Iterator[list[Flow]]:
    """So many flows to the target, each from a port of its own."""

    def connected() -> socket.socket:
        made = _bound(source or ("::" if ":" in target[0] else "0.0.0.0"), source_port)
        made.connect(target)
        return made

    made = [Flow(inside(connected)) for _ in range(count)]
    try:
        yield made
    finally:
        for flow in made:
            flow.socket.close()


def spread(made: Iterable[Flow]) -> dict[str, int]:
    """How many flows each server answered when asked once."""
    return dict(Counter(flow.ask() for flow in made))


class Steady:
    """Flows that go on asking in the background, one after the other."""

    def __init__(self, made: list[Flow]) -> None:
        self._flows, self.rounds = made, 0
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        while not self._end.is_set():
            for flow in self._flows:
                flow.ask()
            self.rounds += 1

    def __enter__(self) -> Steady:
        self._thread.start()
        self._some_more()
        return self

    def _some_more(self) -> None:
        until = self.rounds + 3
        while self.rounds < until:
            assert self._thread.is_alive()
            self._end.wait(0.005)

    def __exit__(self, *_error: object) -> None:
        self._some_more()
        self._end.set()
        self._thread.join()
