"""The compute driver of the embedded site: a machine is a box on this very host.

Law: a machine outlives the command that made it. Its folder is written before anything exists and
its lock says whether it lives, so after a crash at any point ``ensure`` finds what is there: never a
double, never an orphan. A machine is offered as running only with its first port in place.
"""

from __future__ import annotations

import contextlib
import functools
import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

from lbdrivers.drivers.context import DriverContext
from lbdrivers.errors import InvalidInput, PermanentError, Problem, TemporaryError, UnsupportedError
from lbdrivers.model.infra import Machine, MachineRequest, MachineStatus, Port
from lbdrivers_amphora.site.box import Box, BoxState, Contents
from lbdrivers_amphora.site.fabric import Fabric, inner_name
from lbdrivers_amphora.site.files import GLANCE, write_atomically
from lbdrivers_amphora.site.place import Site
from lbdrivers_amphora.site.ports import PortBook

#: Where the agent finds its configuration, in an amphora made by Octavia too.
AGENT_CONFIGURATION = "/etc/octavia/amphora-agent.conf"


def agent_command() -> tuple[str, ...]:
    """What runs in an appliance: the agent, under the interpreter that runs us."""
    return (sys.executable, "-m", "lbdrivers_amphora.agent.server", "--config-file", AGENT_CONFIGURATION)


@dataclass(frozen=True)
class _Intent:
    """What is written down of a machine before it exists: the ports that it boots with."""

    ports: tuple[str, ...]

    @classmethod
    def read(cls, box: Box) -> _Intent | None:
        """:raises InvalidInput: when the file is not one of ours."""
        path = box.folder / "machine.json"
        try:
            data = json.loads(path.read_bytes())
            return cls(tuple(str(name) for name in data["ports"]))
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError) as error:
            problem = Problem(str(path), "", f"is not a machine's file: {error}", "remove the machine and make it anew")
            raise InvalidInput((problem,)) from error

    def write(self, box: Box) -> None:
        write_atomically(box.folder / "machine.json", json.dumps({"ports": self.ports}).encode())


class LocalCompute:
    """See :class:`lbdrivers.drivers.compute.Compute`."""

    contract = 1

    def __init__(self, context: DriverContext, command: tuple[str, ...] | None = None) -> None:
        """``command``: what machines run instead of the agent; its first word is an absolute path."""
        self._context = context
        self._command = agent_command() if command is None else command

    @functools.cached_property
    def site(self) -> Site:
        """The site that the configuration names."""
        return Site.of(self._context.configuration)

    def ensure(self, request: MachineRequest) -> Machine:
        """Make the machine run; the first of its ports becomes its ``eth0`` with its addresses.

        A machine that runs keeps running; cables that it lost (somebody ended the fabric) are laid
        again. One that is dead is booted again with every port that it had.

        :raises PermanentError: when a port does not exist or is plugged elsewhere.
        :raises UnsupportedError: see ``check_request``.
        :raises TemporaryError: when it does not come up.
        """
        self.check_request(request)
        box = self.site.machine(request.name)
        deadline = time.monotonic() + self.site.settings.boot_timeout
        while (pid := box.pid()) is None:
            lock = self._begin(box, request)
            if lock is not None:
                contents = Contents(request.name, self._command, request.files, self.site.hidden())
                box.boot(lock, contents, lambda born: self._furnish(box, born, request), deadline - time.monotonic())
                return self._machine(box)
            if time.monotonic() > deadline:  # somebody else is making it, or it is just ending
                raise TemporaryError("a machine did not start", f"{box.lock} is held, but nothing answers")
            self._context.sleep(GLANCE)
        self._furnish(box, lambda: pid, request)
        return self._machine(box)

    def check_request(self, request: MachineRequest) -> None:
        """See :class:`lbdrivers.drivers.compute.RequestChecker`: a machine is this very host, nothing else."""
        asked = {"flavor": request.flavor, "image": request.image, "zone": request.zone}
        if refused := [f"the {what} {name}" for what, name in asked.items() if name is not None]:
            raise UnsupportedError(f"machines on this host are all of one kind; they cannot have {', '.join(refused)}")

    def find(self, name: str) -> Machine | None:
        """The machine as it is now, or None."""
        box = self.site.machine(name)
        return None if box.state() is BoxState.ABSENT else self._machine(box)

    def remove(self, name: str) -> None:
        """End the machine and remove its folder; absent is success. Its ports stay, unplugged."""
        box = self.site.machine(name)
        if not self.site.path.is_dir():
            return
        box.stop()
        with self.site.locked() as lock:
            book, fabric = PortBook(self.site), Fabric(self.site)
            for port in book.of(name):
                fabric.unplug(lock, port)
                book.plugged(port, None)
            box.delete()
        self.site.release_if_unused()

    def attach(self, name: str, port: str) -> None:
        """Plug the port into the machine; its link waits there for the agent, found by its MAC.

        :raises PermanentError: when there is no such port or machine, or another machine has the port.
        :raises TemporaryError: when the machine is not running.
        """
        box = self.site.machine(name)
        with self.site.locked() as lock:
            found = self._free_port(name, port)
            if not box.folder.is_dir():
                raise PermanentError(f"there is no machine {name}")
            pid = box.pid()
            if pid is None:
                raise TemporaryError(f"machine {name} is not running")
            PortBook(self.site).plugged(found, name)
            Fabric(self.site).plug(lock, box, pid, {inner_name(found): found})

    def detach(self, name: str, port: str) -> None:
        """Unplug the port from the machine; not plugged, or no such machine, is success."""
        book = PortBook(self.site)
        if not self.site.path.is_dir():
            return
        with self.site.locked() as lock:
            found = book.get(port)
            if found is not None and found.machine == name:
                Fabric(self.site).unplug(lock, found)
                book.plugged(found, None)

    def known(self) -> frozenset[str]:
        """Names of every machine, dead ones too."""
        with contextlib.suppress(FileNotFoundError):
            return frozenset(path.name for path in self.site.machines.iterdir())
        return frozenset()

    def vantage(self) -> str | None:
        """See :class:`lbdrivers.drivers.compute.Vantage`: the fabric's, where the controller has its addresses."""
        return Fabric(self.site).vantage() if self.site.path.is_dir() else None

    def console(self, name: str) -> str:
        """The last lines that the machine wrote, for people who look for a fault."""
        return self.site.machine(name).console_tail()

    def _begin(self, box: Box, request: MachineRequest) -> int | None:
        """Write down the intent and take the machine's lock, or None. From here on the site stays."""
        with self.site.locked():
            lock = box.try_hold()
            if lock is not None:
                _Intent(request.ports).write(box)
            return lock

    def _furnish(self, box: Box, born: Callable[[], int], request: MachineRequest) -> None:
        """Lay the machine's cables: first those of the request, then those that it had before."""
        Fabric(self.site).start()  # while the machine starts, too
        pid = born()
        with self.site.locked() as lock:
            book = PortBook(self.site)
            boot = {f"eth{i}": self._free_port(request.name, name) for i, name in enumerate(request.ports)}
            names = {port.name for port in boot.values()}
            others = {inner_name(port): port for port in book.of(request.name) if port.name not in names}
            for port in boot.values():
                book.plugged(port, request.name)
            Fabric(self.site).plug(lock, box, pid, boot | others, configure=frozenset(boot))

    def _free_port(self, machine: str, key: str) -> Port:
        """The port, if this machine may have it. :raises PermanentError: when not."""
        book = PortBook(self.site)
        port = book.get(key)
        if port is None:
            raise PermanentError(f"there is no port {key}", f"there is no port {key} in {self.site.ports}")
        if port.machine not in (None, machine) and self.site.holder(port.machine).folder.is_dir():
            raise PermanentError(f"port {key} is plugged into machine {port.machine}; detach it there first")
        return port

    def _machine(self, box: Box) -> Machine:
        intent = _Intent.read(box)
        first = PortBook(self.site).get(intent.ports[0]) if intent and intent.ports else None
        fabric = Fabric(self.site)
        return Machine(
            id=box.name,
            name=box.name,
            status=_status(box, first, fabric),
            address=first.fixed[0].address if first and first.fixed else None,
            vantage=fabric.vantage(),
        )


def _status(box: Box, first: Port | None, fabric: Fabric) -> MachineStatus:
    """ERROR: it runs, but its first cable is gone, so nobody will ever reach its agent."""
    state = box.state()
    if state is BoxState.RUNNING:
        return MachineStatus.RUNNING if first is None or fabric.plugged(first, box) else MachineStatus.ERROR
    return MachineStatus.BUILDING if state is BoxState.MAKING else MachineStatus.STOPPED
