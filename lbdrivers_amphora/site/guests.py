"""Guests: small machines on the site's networks that are no appliances, such as clients and members.

Law: a guest is a box with ordinary ports (``guest-<name>``, ``guest-<name>.2``...), known by its name:
after an interrupted run ``Guest(site, name).kill()`` removes what is left of it. Processes started in
a guest end with it, and with the handle by which they were started.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from lbdrivers.errors import PermanentError, TemporaryError
from lbdrivers.model.infra import FixedAddress, Port, PortRequest
from lbdrivers_amphora.site.box import Box, Contents, environment
from lbdrivers_amphora.site.fabric import Fabric
from lbdrivers_amphora.site.files import GLANCE
from lbdrivers_amphora.site.namespaces import in_namespace
from lbdrivers_amphora.site.place import Site
from lbdrivers_amphora.site.ports import PortBook

T = TypeVar("T")
_NAME = re.compile(r"[a-z0-9](-?[a-z0-9])*")


@dataclass(frozen=True)
class Plug:
    """A wish for a port: a subnet by id or name, and an address in it, or None for any."""

    subnet: str
    address: str | None = None


class GuestProcess(subprocess.Popen[Any]):
    """A program in a guest, as its ``nsenter`` stands for it here.

    Signals go to the program itself: were ``nsenter`` killed, the program would become a child of the
    host's process 1, and if that one reaps late or never (containers), the guest could not end.
    """

    def send_signal(self, sig: int) -> None:
        """Send the signal to the program; ended already is success."""
        if self.poll() is not None:
            return
        for child in self._children():
            with contextlib.suppress(ProcessLookupError):
                pinned = os.pidfd_open(child)
                try:
                    if child in self._children():
                        signal.pidfd_send_signal(pinned, sig)
                        return
                finally:
                    os.close(pinned)
        super().send_signal(sig)  # it has not entered the guest yet

    def _children(self) -> list[int]:
        try:
            return [int(child) for child in Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()]
        except OSError:
            return []


class Guest:
    """The guest of that name, whether it is there or not. As a context manager it is killed at the end."""

    def __init__(self, site: Site, name: str) -> None:
        if not _NAME.fullmatch(name):
            raise PermanentError(f"a guest cannot be called {name!r}; use a-z, 0-9 and single '-' in between")
        self.name = name
        self._site = site
        self._holder = f"guest-{name}"

    @property
    def box(self) -> Box:
        """Its box."""
        return self._site.guest(self._holder)

    def ensure(self, plugs: Sequence[Plug]) -> Guest:
        """Make it run with those ports, which become ``eth0``, ``eth1``... with their addresses.

        :raises PermanentError: when an address cannot be had.
        """
        deadline = time.monotonic() + self._site.settings.boot_timeout
        while (pid := self.box.pid()) is None:
            with self._site.locked():
                lock = self.box.try_hold()
            if lock is not None:
                contents = Contents(self._holder, hidden=self._site.hidden())
                self.box.boot(lock, contents, lambda born: self._furnish(born, plugs), deadline - time.monotonic())
                return self
            if time.monotonic() > deadline:
                raise TemporaryError("a guest did not start", f"{self.box.lock} is held, but nothing answers")
            time.sleep(GLANCE)
        self._furnish(lambda: pid, plugs)
        return self

    @property
    def ports(self) -> tuple[Port, ...]:
        """Its ports, ``eth0`` first."""
        return tuple(sorted(PortBook(self._site).of(self._holder), key=lambda port: (len(port.name), port.name)))

    @property
    def addresses(self) -> tuple[str, ...]:
        """Its addresses, those of ``eth0`` first."""
        return tuple(fixed.address for port in self.ports for fixed in port.fixed if fixed.address)

    def popen(self, argv: Sequence[str], **options: Any) -> GuestProcess:
        """Start a program inside; ``options`` are those of :class:`subprocess.Popen`."""
        # nsenter waits for its child in the guest, which is told to die with it.
        enter = ["nsenter", f"--target={self._pid()}", "--net", "--mount", "--pid", "--uts", "--"]
        options.setdefault("env", environment())
        return GuestProcess([*enter, "setpriv", "--pdeathsig", "KILL", "--", *argv], **options)

    def run(self, argv: Sequence[str], timeout: float = 30.0) -> subprocess.CompletedProcess[str]:
        """Run a program inside to its end; its output is text. :raises subprocess.TimeoutExpired: too late."""
        pipe = subprocess.PIPE
        with self.popen(argv, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, text=True) as process:
            try:
                output, complaints = process.communicate(timeout=timeout)
            except BaseException:
                process.kill()
                raise
        return subprocess.CompletedProcess(list(argv), process.returncode, output, complaints)

    def in_namespace(self, function: Callable[..., T], *arguments: object) -> T:
        """Call the function in the guest's network; see :func:`namespaces.in_namespace`."""
        return in_namespace(f"/proc/{self._pid()}/ns/net", function, *arguments)

    def kill(self) -> None:
        """End it and remove it with its ports; absent is success."""
        if not self._site.path.is_dir():
            return
        self.box.stop()
        with self._site.locked() as lock:
            book, fabric = PortBook(self._site), Fabric(self._site)
            for port in self._all_ports(book):
                fabric.unplug(lock, port)
                book.remove(port.name)
            self.box.delete()
        self._site.release_if_unused()

    def __enter__(self) -> Guest:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.kill()

    def _all_ports(self, book: PortBook) -> list[Port]:
        """Plugged or not: by name, as a crash may have come between making and plugging."""
        return [port for port in book.all() if port.name.partition(".")[0] == self._holder]

    def _pid(self) -> int:
        pid = self.box.pid()
        if pid is None:
            raise TemporaryError(f"guest {self.name} is not running")
        return pid

    def _furnish(self, born: Callable[[], int], plugs: Sequence[Plug]) -> None:
        Fabric(self._site).start()  # while the guest starts, too
        pid = born()
        with self._site.locked() as lock:
            book = PortBook(self._site)
            ports = {}
            for i, plug in enumerate(plugs):
                subnet = self._site.topology.subnet(plug.subnet).value
                name = self._holder if i == 0 else f"{self._holder}.{i + 1}"
                request = PortRequest(name, subnet.network_id, (FixedAddress(subnet.id, plug.address),))
                ports[f"eth{i}"] = book.plugged(book.ensure(request), self._holder)
            Fabric(self._site).plug(lock, self.box, pid, ports, configure=frozenset(ports))


def known_guests(site: Site) -> frozenset[str]:
    """Names of every guest of the site, dead ones too."""
    with contextlib.suppress(FileNotFoundError):
        return frozenset(folder.name.removeprefix("guest-") for folder in site.guests.iterdir())
    return frozenset()
