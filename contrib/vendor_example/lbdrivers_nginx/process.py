"""One nginx process in a folder of its own: configured, reloaded, asked and stopped.

Law: a configuration is judged by nginx before it is swapped in; what ran before keeps running. What is
running is read from the process, not from what was written.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

from lbdrivers.errors import PermanentError, TemporaryError

_WAIT = 10.0  # seconds; nginx needs some milliseconds for each of these things


class Nginx:
    """:param namespace: network namespace to run in; :param sleep: waits so many seconds."""

    def __init__(self, folder: Path, namespace: str, sleep: Callable[[float], None]) -> None:
        self.folder = folder
        self._enter = ("ip", "netns", "exec", namespace) if namespace else ()
        self._sleep = sleep

    def text(self) -> str | None:
        """The configuration as written last, or None."""
        try:
            return (self.folder / "nginx.conf").read_text()
        except FileNotFoundError:
            return None

    def pid(self) -> int | None:
        """The master process, when it runs and is this folder's: a number alone may be another's by now."""
        try:
            pid = int((self.folder / "pid").read_text())
        except (OSError, ValueError):
            return None
        return pid if self._works_here(pid) else None

    def runs(self, revision: str) -> bool:
        """Whether there is a master, and the worker answers with this revision."""
        return self.pid() is not None and self._revision() == revision

    def _revision(self) -> str:
        """What the worker answers; empty when there is none."""
        with socket.socket(socket.AF_UNIX) as control:
            control.settimeout(_WAIT)
            try:
                control.connect(str(self.folder / "control"))
                control.sendall(b"GET / HTTP/1.0\r\n\r\n")
                answer = b"".join(iter(lambda: control.recv(4096), b""))
            except OSError:
                return ""
        return answer.decode(errors="replace").rpartition("\r\n\r\n")[2]

    def configure(self, text: str, revision: str) -> None:
        """Run this configuration: reload what runs, start what does not.

        :raises PermanentError: when nginx refuses it; nothing has changed then.
        """
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        new = self.folder / "nginx.conf.new"
        new.write_text(text)
        if self.runs(revision):
            new.replace(self.folder / "nginx.conf")  # a name has changed, which nginx does not know
            return
        done = self._nginx("-t", "-c", str(new))
        if done.returncode:
            raise PermanentError("nginx refuses the configuration", done.stderr)
        new.replace(self.folder / "nginx.conf")
        if pid := self.pid():
            os.kill(pid, signal.SIGHUP)
        else:
            self._end_all()  # workers outlive a master that was killed
            (self.folder / "control").unlink(missing_ok=True)
            done = self._nginx("-c", str(self.folder / "nginx.conf"))
            if done.returncode:
                raise TemporaryError("nginx does not start", done.stderr)
        self._until("takes the configuration", lambda: self.runs(revision) and len(self._workers()) == 1)

    def remove(self) -> None:
        """Stop it and remove its folder; absent is success."""
        self._end_all()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _works_here(self, pid: int) -> bool:
        """Every nginx is started in its folder, and that tells it apart from all other processes."""
        try:
            return Path(f"/proc/{pid}/cwd").readlink() == self.folder
        except OSError:  # it has ended, or is another user's
            return False

    def _processes(self) -> list[int]:
        return [int(one.name) for one in Path("/proc").glob("[0-9]*") if self._works_here(int(one.name))]

    def _workers(self) -> list[int]:
        """Workers that take connections; one of an older configuration says in its title that it shuts down."""
        found = []
        for pid in self._processes():
            with contextlib.suppress(OSError):  # it has ended since
                if Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0 ") == b"nginx: worker process":
                    found.append(pid)
        return found

    def _end_all(self) -> None:
        for pid in self._processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        self._until("ends", lambda: not self._processes())

    def _nginx(self, *words: str) -> subprocess.CompletedProcess[str]:
        command = [*self._enter, "nginx", "-p", str(self.folder), "-e", str(self.folder / "error.log"), *words]
        try:
            return subprocess.run(command, cwd=self.folder, capture_output=True, text=True, timeout=_WAIT, check=False)
        except FileNotFoundError as error:
            raise PermanentError("nginx is not installed", f"{error}; install the package nginx") from error
        except subprocess.TimeoutExpired as error:
            raise TemporaryError("nginx does not answer", str(error)) from error

    def _until(self, what: str, condition: Callable[[], bool]) -> None:
        for _ in range(int(_WAIT / 0.01)):
            if condition():
                return
            self._sleep(0.01)
        raise TemporaryError(f"nginx is slow: it never {what}", f"see {self.folder / 'error.log'}")
