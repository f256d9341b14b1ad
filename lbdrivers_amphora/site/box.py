"""A box: network, mount, process and host-name namespaces held by a process 1 of our own.

Law: a box is known by its folder. The folder's lock is held for as long as anything of the box lives,
by its process 1 and by the ``unshare`` above it (which ends after the last process of the box), so
"lock free" means "not alive" whatever became of the process that made it, and a second one can never
be made. Who process 1 is, is asked of the kernel through the socket that it listens on (see
``init.Door``): no process number is ever stored, and a signal goes to a pinned process only.
"""

from __future__ import annotations

import base64
import contextlib
import enum
import functools
import hashlib
import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from lbdrivers.errors import PermanentError, TemporaryError
from lbdrivers.model.secret import Secret
from lbdrivers_amphora.site import init
from lbdrivers_amphora.site.files import GLANCE, private_folder, try_lock

#: Seconds that a box may take to end after SIGKILL; the kernel needs some ten milliseconds.
KILL_PATIENCE = 20.0


#: See :meth:`Box.boot`.
Furnish = Callable[[Callable[[], int]], None]


class BoxState(enum.StrEnum):
    """How a box stands. STOPPED: its folder is there, nothing of it lives. MAKING: something of it
    lives that is not, or not any more, the whole."""

    ABSENT = "ABSENT"
    STOPPED = "STOPPED"
    MAKING = "MAKING"
    RUNNING = "RUNNING"


@dataclass(frozen=True)
class Contents:
    """What a box is made with.

    :param command: run and kept running inside; its first word is an absolute path. May be empty.
    :param files: absolute path inside -> content.
    :param hidden: folder that the inside shall see empty, or None.
    :param own_user_namespace: True where the maker has no privileges (see ``unprivileged``).
    """

    hostname: str
    command: tuple[str, ...] = ()
    files: Mapping[str, Secret] = field(default_factory=dict)
    hidden: Path | None = None
    own_user_namespace: bool = False

    def message(self) -> bytes:
        """What process 1 is told."""
        files = {path: base64.b64encode(content.reveal()).decode() for path, content in self.files.items()}
        body = json.dumps({"command": list(self.command), "environment": environment(), "files": files}).encode()
        return b"%d\n%s" % (len(body), body)


def environment() -> dict[str, str]:
    """What programs in a box find in their environment: little, but Python as the caller runs it."""
    path = os.environ.get("PATH", "/usr/local/bin:/usr/bin:/bin")
    kept = {name: value for name, value in os.environ.items() if name.startswith("PYTHON")}
    return kept | {"PATH": f"{path}:/usr/local/sbin:/usr/sbin:/sbin", "HOME": "/root", "LANG": "C.UTF-8"}


@dataclass(frozen=True)
class Box:
    """The box of a folder, whether it is there or not. Holds nothing open."""

    folder: Path

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.folder.name

    @property
    def lock(self) -> Path:
        """The file whose lock says that something of the box lives."""
        return self.folder / "lock"

    @property
    def console(self) -> Path:
        """What the inside wrote to standard output and standard error."""
        return self.folder / "console.log"

    def state(self) -> BoxState:
        """How it stands at this moment."""
        if not self.folder.is_dir():
            return BoxState.ABSENT
        if self.pid() is not None:
            return BoxState.RUNNING
        try:
            lock = try_lock(self.lock)
        except FileNotFoundError:
            return BoxState.ABSENT
        if lock is None:
            return BoxState.MAKING
        os.close(lock)
        return BoxState.STOPPED

    def pid(self) -> int | None:
        """Number of its process 1 as seen from here, or None when it is not running."""
        return self._listener("control")

    def instance(self, pid: int) -> str:
        """A short word that no earlier or later process 1 of any box shares: number and start time."""
        try:
            stat = Path(f"/proc/{pid}/stat").read_text()
        except (FileNotFoundError, ProcessLookupError) as error:
            raise self._gone() from error
        start = stat.rpartition(")")[2].split()[19]  # field 22 of proc(5): starttime
        return hashlib.sha256(f"{pid}:{start}".encode()).hexdigest()[:6]

    @contextlib.contextmanager
    def network(self, pid: int) -> Iterator[int]:
        """An open file of its network namespace. :raises TemporaryError: when the box has ended."""
        try:
            handle = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        except (FileNotFoundError, ProcessLookupError) as error:
            raise self._gone() from error
        try:
            # Still the same process now, so it was that one when the file was opened.
            if pid not in (self._listener("control"), self._listener("making")):
                raise self._gone()
            yield handle
        finally:
            os.close(handle)

    def boot(self, lock: int, contents: Contents, furnish: Furnish, timeout: float) -> int:
        """Make the box.

        :param lock: the held lock; the box takes it over, whether it comes up or not.
        :param furnish: gives it its interfaces; the command starts only after this has returned. It is
            called at once, with a function that waits until the namespaces are there and gives the
            number of process 1, so that what else is needed can be made meanwhile.
        :returns: the number of its process 1.
        :raises TemporaryError: when it does not come up; nothing of it will be left then.
        """
        deadline = time.monotonic() + timeout
        try:
            process = self._spawn(lock, contents)
        finally:
            os.close(lock)
        assert process.stdin is not None and process.stdout is not None
        with process.stdin, process.stdout:
            process.wait()  # setsid has handed over to a child of its own
            said = _Reader(process.stdout.fileno(), deadline)
            try:
                born = functools.cache(lambda: self._born(said))
                furnish(born)
                pid = born()
                _write(process.stdin.fileno(), contents.message(), deadline)
                said.expect("ready")
            except (TimeoutError, ConnectionError) as error:
                self._kill_unfinished()
                raise self._failed(str(error)) from error
        return pid

    def stop(self) -> None:
        """End everything in it and wait until it is gone; not running is success.

        :raises TemporaryError: when it cannot be ended in time.
        """
        deadline = time.monotonic() + KILL_PATIENCE
        while (state := self.state()) in (BoxState.RUNNING, BoxState.MAKING):
            if time.monotonic() > deadline:
                raise TemporaryError(
                    "a machine does not end", f"{self.folder} is {state} still after {KILL_PATIENCE:g} s"
                )
            with self._pinned() as process:
                if process is None:
                    time.sleep(GLANCE)
                    continue
                if state is BoxState.RUNNING:
                    _signal(process, signal.SIGTERM)
                if state is BoxState.MAKING or not _ended(process, init.FAREWELL + 0.5):
                    _signal(process, signal.SIGKILL)
                    _ended(process, deadline - time.monotonic())

    def delete(self) -> None:
        """Stop it and remove its folder; absent is success."""
        deadline = time.monotonic() + KILL_PATIENCE
        while True:
            self.stop()
            try:
                lock = try_lock(self.lock)
            except FileNotFoundError:
                return
            if lock is not None:
                break
            if time.monotonic() > deadline:
                raise TemporaryError("a machine cannot be removed", f"{self.lock} does not become free")
            time.sleep(GLANCE)
        try:
            for path in self.folder.iterdir():
                if path != self.lock:
                    path.unlink()
            self.lock.unlink()  # last: whoever makes the box anew from here on has the folder for himself
            with contextlib.suppress(OSError):
                self.folder.rmdir()
        finally:
            os.close(lock)

    def try_hold(self) -> int | None:
        """Make the folder and take its lock: an open file, or None while something of it lives."""
        while True:
            private_folder(self.folder)
            with contextlib.suppress(FileNotFoundError):  # removed again since the line above
                return try_lock(self.lock)

    def console_tail(self) -> str:
        """The last lines of its console."""
        try:
            return self.console.read_bytes()[-2000:].decode(errors="replace").strip()
        except FileNotFoundError:
            return ""

    def _spawn(self, lock: int, contents: Contents) -> subprocess.Popen[bytes]:
        user = ["--user", "--map-root-user"] if contents.own_user_namespace else []
        python = [sys.executable, "-I", "-S", str(Path(init.__file__).resolve())]
        arguments = [str(self.folder), contents.hostname[:64], str(contents.hidden or "")]
        unshare = ["unshare", *user, "--net", "--mount", "--pid", "--uts", "--fork", "--"]
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
        console = os.open(self.console, flags, 0o600)
        try:
            return subprocess.Popen(
                ["setsid", "--fork", *unshare, *python, *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=console,
                pass_fds=(lock,),
                cwd="/",
                env=environment(),
            )
        except FileNotFoundError as error:
            raise PermanentError("this host lacks a program", f"{error}; install util-linux") from error
        finally:
            os.close(console)

    def _listener(self, door: str) -> int | None:
        """Number of the process that listens at the door, by the kernel's word (SO_PEERCRED, unix(7))."""
        try:
            folder = os.open(self.folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        except (FileNotFoundError, NotADirectoryError):
            return None
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as caller:
                caller.connect(f"/proc/self/fd/{folder}/{door}")
                size = struct.calcsize("3i")
                pid, _, _ = struct.unpack("3i", caller.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size))
        except (FileNotFoundError, ConnectionRefusedError):
            return None
        except BlockingIOError as error:
            raise TemporaryError(
                "a machine does not answer", f"process 1 of {self.folder} accepts no caller"
            ) from error
        finally:
            os.close(folder)
        if not pid:
            text = f"{self.folder} is alive in another process namespace; work from the one that made it"
            raise PermanentError("a machine is out of reach", text)
        return int(pid)

    @contextlib.contextmanager
    def _pinned(self) -> Iterator[int | None]:
        """A file that stands for process 1 and for no other process ever (pidfd_open(2)), or None."""
        pin: int | None = None
        for door in ("control", "making"):
            pid = self._listener(door)
            if pid is None:
                continue
            with contextlib.suppress(ProcessLookupError):
                pin = os.pidfd_open(pid)
                # The same process listens after as before, so the number was its own in between.
                if pid in (self._listener("control"), self._listener("making")):
                    break
                os.close(pin)
                pin = None
        try:
            yield pin
        finally:
            if pin is not None:
                os.close(pin)

    def _kill_unfinished(self) -> None:
        with self._pinned() as process:
            if process is not None:
                _signal(process, signal.SIGKILL)

    def _born(self, said: _Reader) -> int:
        said.expect("born")
        pid = self._listener("making")
        if pid is None:
            raise self._gone()
        return pid

    def _gone(self) -> TemporaryError:
        return TemporaryError("a machine has ended", f"process 1 of {self.folder} is gone; {self.console_tail()}")

    def _failed(self, why: str) -> TemporaryError:
        return TemporaryError("a machine did not start", f"{self.folder}: {why}; its console: {self.console_tail()}")


class _Reader:
    """Lines out of a pipe, until a moment of the monotonic clock."""

    def __init__(self, handle: int, deadline: float) -> None:
        self._handle, self._deadline, self._data = handle, deadline, b""

    def expect(self, word: str) -> None:
        """:raises ConnectionError: with what was said instead."""
        line = self.line()
        if line != word:
            raise ConnectionError(line or "it ended")

    def line(self) -> str:
        """The next line; what there is when the writers have gone. :raises TimeoutError: too late."""
        while b"\n" not in self._data:
            if not _ready(self._handle, select.POLLIN, self._deadline - time.monotonic()):
                raise TimeoutError("it did not come up in time")
            chunk = os.read(self._handle, 4096)
            if not chunk:
                return self._data.decode(errors="replace")
            self._data += chunk
        line, _, self._data = self._data.partition(b"\n")
        return line.decode(errors="replace")


def _write(handle: int, data: bytes, deadline: float) -> None:
    os.set_blocking(handle, False)
    while data:
        if not _ready(handle, select.POLLOUT, deadline - time.monotonic()):
            raise TimeoutError("it did not take its message in time")
        data = data[os.write(handle, data) :]


def _ready(handle: int, event: int, seconds: float) -> bool:
    poll = select.poll()
    poll.register(handle, event)
    return bool(poll.poll(max(0.0, seconds) * 1000))


def _signal(process: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        signal.pidfd_send_signal(process, number)


def _ended(process: int, seconds: float) -> bool:
    """Wait for the end of the process; of a namespace's process 1 that is the end of all in it."""
    return _ready(process, select.POLLIN, seconds)
