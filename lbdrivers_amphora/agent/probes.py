"""One member probed: a datagram, a connection, or a request; good or not, and why.

Law: never raises but on cancellation; a network that fails is an answer. Silence is a good answer to a
datagram, as a UDP server need not speak; an ICMP error is not, even when it comes after the probe
(that a host is gone shows only when nobody answered ARP for it).
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket

from lbdrivers_amphora.nftables.checks import Target
from lbdrivers_amphora.nftables.ir import HttpProbe, ProbeKind

Outcome = tuple[bool, str]

#: Bytes of a HTTP status line that are looked at.
_STATUS_LINE = 1024


class Probe:
    """The probe of one member; what it keeps open is closed with it."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._socket: socket.socket | None = None
        self._asks = {
            ProbeKind.UDP_CONNECT: self._datagram,
            ProbeKind.TCP: self._connect,
            ProbeKind.HTTP: self._request,
        }

    def close(self) -> None:
        """Close what is open."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    async def ask(self) -> Outcome:
        """Probe once, within the monitor's timeout."""
        try:
            async with asyncio.timeout(self._target.monitor.timeout):
                return await self._asks[self._target.monitor.kind]()
        except TimeoutError:
            return (True, "silent") if self._target.monitor.kind is ProbeKind.UDP_CONNECT else (False, "timeout")
        except OSError as error:
            return False, _words(error)

    async def _datagram(self) -> Outcome:
        """An empty datagram. Its socket stays open, so that an error that comes late is seen next time."""
        if self._socket is None:
            family = socket.AF_INET6 if ":" in self._target.address else socket.AF_INET
            self._socket = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
            self._socket.connect((self._target.address, self._target.port))
        with contextlib.suppress(BlockingIOError):
            while True:
                self._socket.recv(1)
        self._socket.send(b"")
        await asyncio.get_running_loop().sock_recv(self._socket, 1)
        return True, "answered"

    async def _connect(self) -> Outcome:
        _, writer = await asyncio.open_connection(self._target.address, self._target.port)
        writer.transport.abort()
        return True, "connected"

    async def _request(self) -> Outcome:
        http = self._target.monitor.http
        if http is None:
            return False, "there is no request to send"
        reader, writer = await asyncio.open_connection(self._target.address, self._target.port, limit=_STATUS_LINE)
        try:
            writer.write(request(http, self._target))
            return judged(http, await reader.readline())
        except ValueError:
            return False, "the answer is no HTTP"
        finally:
            writer.transport.abort()


def request(http: HttpProbe, target: Target) -> bytes:
    """The bytes of the request."""
    address = f"[{target.address}]" if ":" in target.address else target.address
    head = f"{http.method} {http.path} HTTP/{http.version}\r\nHost: {http.host or address}\r\nConnection: close\r\n"
    return f"{head}User-Agent: lbdrivers-amphora-agent\r\n\r\n".encode("ascii")


def judged(http: HttpProbe, line: bytes) -> Outcome:
    """Whether the status line has one of the wanted statuses."""
    words = line.split(maxsplit=2)
    if len(words) < 2 or not words[0].startswith(b"HTTP/") or not (words[1].isdigit() and len(words[1]) == 3):
        return False, "the answer is no HTTP"
    status = int(words[1])
    return any(low <= status <= high for low, high in http.codes), f"status {status}"


def _words(error: OSError) -> str:
    if error.errno == errno.ECONNREFUSED:
        return "refused"
    return os.strerror(error.errno).lower() if error.errno else str(error)
