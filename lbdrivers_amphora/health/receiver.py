"""The socket that heartbeats come to.

Law: datagrams wait in the kernel and nowhere else, in a buffer of a known size; what it could not hold is
counted. Several processes may share one port (SO_REUSEPORT): the kernel gives each sender to one of them.
"""

from __future__ import annotations

import contextlib
import select
import socket
import struct
import time

from lbdrivers_amphora.site.namespaces import in_namespace

#: Datagrams that are taken at one time, so that everything else gets its turn.
BATCH = 512
_LARGEST = 1 << 16
#: Seconds between two looks at the socket while little comes: to wake for each datagram costs more than to read it.
_PAUSE = 0.02
#: <linux/sock_diag.h>, not in Python's socket: counters of a socket's memory; the ninth counts drops.
_SO_MEMINFO, _DROPS = 55, 8
#: <asm-generic/socket.h>, not in Python's socket either.
_SO_RCVBUFFORCE = 33


class Receiver:
    """Receives datagrams.

    :param vantage: path of the network namespace in which amphorae reach us; None: this one.
    :raises OSError: when the address cannot be had.
    """

    def __init__(self, host: str, port: int, buffer_bytes: int = 0, vantage: str | None = None) -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET

        def make() -> socket.socket:
            return socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)

        self._socket = make() if vantage is None else in_namespace(vantage, make)
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            if buffer_bytes:
                self._widen(buffer_bytes)
            self._socket.bind((host, port))
        except OSError:
            self._socket.close()
            raise
        self._next = 0.0
        self._poll = select.poll()
        self._poll.register(self._socket, select.POLLIN)

    def _widen(self, buffer_bytes: int) -> None:
        """Beyond the system's limit where we may (CAP_NET_ADMIN), else up to it."""
        with contextlib.suppress(PermissionError):
            self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, buffer_bytes)
            return
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer_bytes)

    @property
    def port(self) -> int:
        """The port that it has."""
        return int(self._socket.getsockname()[1])

    def receive(self, seconds: float) -> list[bytes]:
        """What has come, at most ``BATCH``; waits for the first one, but no longer than so many seconds."""
        if not self._poll.poll(seconds * 1000):
            return []
        if (pause := self._next - time.monotonic()) > 0:
            time.sleep(pause)
        found: list[bytes] = []
        receive = self._socket.recv
        with contextlib.suppress(BlockingIOError, ConnectionRefusedError):
            while len(found) < BATCH:
                found.append(receive(_LARGEST))
        # More may be waiting when as many came as were asked for.
        self._next = 0.0 if len(found) == BATCH else time.monotonic() + _PAUSE
        return found

    @property
    def lost(self) -> int:
        """How many the kernel had no room for."""
        counters = self._socket.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, 9 * 4)
        return int(struct.unpack_from("=9I", counters)[_DROPS])

    def close(self) -> None:
        """Receive no more."""
        self._socket.close()
