"""The driver agent's three sockets, served: status, stats and get, as DriverLibrary speaks to them.

Wire format: a count of bytes in decimal digits, a newline, and so many bytes of JSON; one request and
one answer a connection. Law: whatever comes in is answered or closed and never fatal; nothing is read
beyond the limits, nobody is waited for longer than the timeout.
"""

from __future__ import annotations

import contextlib
import json
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from lbdrivers.errors import TemporaryError

LOG = logging.getLogger(__name__)

#: ``handle(request)`` gives the answer.
Handler: TypeAlias = Callable[[Mapping[str, Any]], Mapping[str, Any]]

#: Bytes of a request. A status report of 50,000 members has about 6 MB.
LARGEST = 16 * 2**20
#: Digits of the count; more cannot be within the limit.
_DIGITS = 8
#: Seconds in which a request has to be there and its answer taken.
_PATIENCE = 30.0
#: Connections that are served at one time; more wait in the socket's backlog.
_SERVED = 32
_BACKLOG = 128
#: Seconds between two looks at whether to end.
_LOOK = 0.2


class Refused(ValueError):
    """A request that is not one; the connection is closed."""


class _Silent(Exception):
    """Somebody looked whether we are there."""


class AgentSocket:
    """One listening socket, served by threads until ``close``."""

    def __init__(self, path: Path, handle: Handler) -> None:
        self._path = path
        self._handle = handle
        self._ending = threading.Event()
        self._slots = threading.Semaphore(_SERVED)
        self._listener = _listening(path)
        self._file = _identity(path)
        self._thread = threading.Thread(target=self._accept, name=f"octavia-{path.name}", daemon=True)
        self._thread.start()

    def is_found(self) -> bool:
        """Whether the file at the path is still the one that is listened at: others may clean up folders."""
        return _identity(self._path) == self._file

    def close(self) -> None:
        """Remove the file and stop listening; who has connected is answered."""
        # First the file: nobody may find one that nobody listens at. And while it is listened at nobody
        # takes its place, so that it is ours that goes.
        if self.is_found():
            self._path.unlink(missing_ok=True)
        self._ending.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes who accepts, after the last that waits
        self._thread.join()
        self._listener.close()

    def _accept(self) -> None:
        self._listener.settimeout(_LOOK)
        while True:
            if not self._slots.acquire(timeout=_LOOK):
                if self._ending.is_set():
                    return
                continue
            try:
                connection, _address = self._listener.accept()
            except OSError as error:
                self._slots.release()
                if self._ending.is_set():
                    return
                if not isinstance(error, TimeoutError):
                    LOG.warning("%s: a connection could not be taken: %s", self._path, error)
                    self._ending.wait(_LOOK)
                continue
            try:
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()
            except RuntimeError as error:  # the system gives no more threads, for now
                connection.close()
                self._slots.release()
                LOG.warning("%s: a connection could not be served: %s", self._path, error)

    def _serve(self, connection: socket.socket) -> None:
        try:
            with connection:
                request = _received(connection)
                answer = json.dumps(self._handle(request), default=_text).encode()
                connection.settimeout(_PATIENCE)
                connection.sendall(b"%d\n" % len(answer) + answer)
        except _Silent:
            return
        except (Refused, OSError) as error:
            LOG.warning("%s: a request was not answered: %s", self._path, error)
        except Exception:
            LOG.exception("%s: a request could not be answered", self._path)
        finally:
            self._slots.release()


def _text(value: object) -> str:
    """What JSON has no form for: bytes of certificates."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _listening(path: Path) -> socket.socket:
    """A socket that listens at the path; a file that a dead process left is replaced.

    :raises TemporaryError: when somebody listens there, or nobody can.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        if path.is_socket():
            if is_served(path):
                raise TemporaryError(f"another process serves {path}")
            path.unlink(missing_ok=True)
        listener.bind(str(path))
        path.chmod(0o660)  # as Octavia has it: drivers run as its own user and group
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise TemporaryError("the driver agent's sockets cannot be opened", f"{path}: {error}") from error
    except TemporaryError:
        listener.close()
        raise
    return listener


def is_served(path: Path) -> bool:
    """Whether a process listens there."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.settimeout(_PATIENCE)
        try:
            client.connect(str(path))
        except (FileNotFoundError, ConnectionRefusedError):
            return False
        except OSError:  # such as EAGAIN: so many wait there that one more is not let in
            return path.is_socket()
    return True


def _identity(path: Path) -> tuple[int, int] | None:
    """What tells one file from another at the same path; None when there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _received(connection: socket.socket) -> Mapping[str, Any]:
    """The request. :raises Refused: when it is malformed, too long, or not there in time."""
    deadline = time.monotonic() + _PATIENCE
    connection.settimeout(_PATIENCE)
    digits = connection.recv(1)
    if not digits:
        raise _Silent
    while not digits.endswith(b"\n"):
        if len(digits) > _DIGITS:
            raise Refused("the count of bytes is too long")
        digits += _chunk(connection, 1, deadline)
    count = digits[:-1]
    if not (count.isdigit() and int(count) <= LARGEST):
        raise Refused(f"the count of bytes is {count!r}; the most is {LARGEST}")
    body = b"".join(_body(connection, int(count), deadline))
    try:
        request = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Refused(f"the request is not JSON: {error}") from error
    if not isinstance(request, dict):
        raise Refused("the request is not an object")
    return request


def _body(connection: socket.socket, left: int, deadline: float) -> Iterator[bytes]:
    while left:
        chunk = _chunk(connection, min(left, 2**16), deadline)
        left -= len(chunk)
        yield chunk


def _chunk(connection: socket.socket, most: int, deadline: float) -> bytes:
    remaining = deadline - time.monotonic()
    if remaining <= 0:
        raise Refused("the request is not complete in time")
    connection.settimeout(remaining)
    try:
        chunk = connection.recv(most)
    except TimeoutError:
        raise Refused("the request is not complete in time") from None
    if not chunk:
        raise Refused("the connection ended in the middle of a request")
    return chunk
