"""Network namespaces with processes in them: the guests of a private OVN, and its hypervisor.

Law: everything in a namespace ends with its first process, and that one with whoever started it, however that ends.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from lbdrivers_amphora.site.guests import GuestProcess
from lbdrivers_amphora.site.namespaces import in_namespace

T = TypeVar("T")
#: Seconds for anything that has to come about.
PATIENCE = 60.0


class Namespace:
    """Network and processes of its own, from now until ``close``."""

    def __init__(self) -> None:
        # Its first process reads from us, so it cannot outlive us; with it go all others in there.
        command = ["unshare", "--net", "--pid", "--mount", "--fork", "--kill-child", "--mount-proc", "sh", "-c"]
        ready = "ip link set lo up && echo ready && read end"
        self._process = subprocess.Popen(
            [*command, ready], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        assert self._process.stdout is not None
        if self._process.stdout.readline() != b"ready\n":
            raise RuntimeError("no network namespace can be made; this needs root")
        self.pid = int(Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()[0])

    @property
    def path(self) -> str:
        """The namespace's file."""
        return f"/proc/{self.pid}/ns/net"

    def popen(self, argv: Sequence[str], **options: Any) -> GuestProcess:
        """Start a program in there; signals go to the program itself."""
        enter = ["nsenter", f"--target={self.pid}", "--net", "--pid", "--mount", "--"]
        options.setdefault("stdin", subprocess.DEVNULL)
        return GuestProcess([*enter, "setpriv", "--pdeathsig", "KILL", "--", *argv], **options)

    def run(self, *argv: str) -> str:
        """Run a program in its network, among our processes, to its end; what it says.

        :raises CalledProcessError: when it fails.
        """
        enter = ["nsenter", f"--target={self.pid}", "--net", "--"]
        return subprocess.run([*enter, *argv], check=True, capture_output=True, text=True, timeout=PATIENCE).stdout

    def call(self, function: Callable[..., T], *arguments: object) -> T:
        """Call the function in its network."""
        return in_namespace(self.path, function, *arguments)

    def close(self) -> None:
        """End everything in it."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()


def wait_for(condition: Callable[[], object], what: str, limit: float = PATIENCE) -> float:
    """Wait until the condition holds; the seconds that it took. :raises TimeoutError: when it does not in time."""
    started = time.monotonic()
    while not condition():
        if time.monotonic() - started > limit:
            raise TimeoutError(f"not within {limit:.0f} s: {what}")
        time.sleep(0.02)
    return time.monotonic() - started
