"""From what runs to what is wanted: the mildest way that suffices.

Law: nothing < runtime < reload < restart. Runtime commands lead to the very state in which a
process started with the wanted file would be; what they cannot reach is a reload. They come in an
order in which no request need fail: capacity is added before any is taken away, removals last.

Sources: HAProxy 2.6 management guide, section 9.3; what is refused there ("add server") was tried
on the daemon and is proved by the tests.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import ClassVar, TypeVar

from lbdrivers_amphora.haproxy.ir import Backend, Configuration, Frontend, Server
from lbdrivers_amphora.haproxy.process import Process
from lbdrivers_amphora.haproxy.quote import argument
from lbdrivers_amphora.haproxy.server_line import endpoint, option_words
from lbdrivers_amphora.haproxy.word import Line, Word


@dataclass(frozen=True)
class Nothing:
    """The process already does what the file says."""

    kind: ClassVar[str] = "nothing"


@dataclass(frozen=True)
class Runtime:
    """Commands for the stats socket, one a line, in this order."""

    commands: tuple[str, ...]
    kind: ClassVar[str] = "runtime"


@dataclass(frozen=True)
class Reload:
    """A new worker has to read the file; ``reason`` is for people."""

    reason: str
    kind: ClassVar[str] = "reload"


@dataclass(frozen=True)
class Restart:
    """The process as a whole has to be replaced; ``reason`` is for people."""

    reason: str
    kind: ClassVar[str] = "restart"


Transition = Nothing | Runtime | Reload | Restart

_Named = TypeVar("_Named", Frontend, Backend, Server)

#: What runtime commands depend on and a configuration does not tell: see ``process.read``.
_UNKNOWN = Process()


class _NotAtRuntime(Exception):
    """A difference that no runtime command makes; its text says which."""


@dataclass(frozen=True)
class _Commands:
    """The commands by stage; stages follow each other in this order."""

    gains: tuple[str, ...] = ()
    changes: tuple[str, ...] = ()
    losses: tuple[str, ...] = ()
    removals: tuple[str, ...] = ()

    def __add__(self, other: _Commands) -> _Commands:
        return _Commands(
            self.gains + other.gains,
            self.changes + other.changes,
            self.losses + other.losses,
            self.removals + other.removals,
        )


def transition(running: Configuration, wanted: Configuration, process: Process = _UNKNOWN) -> Transition:
    """The mildest way from ``running`` to ``wanted``.

    :param running: what the process was started or last changed to.
    :param process: what the process says of itself; by default, of one that has just been started.
    """
    if running.load_balancer_id != wanted.load_balancer_id:
        return Restart("it is another load balancer")
    for part in ("process", "defaults", "peers"):
        if getattr(running, part) != getattr(wanted, part):
            return Reload(f"the {part} settings differ")
    try:
        commands = _frontends(running, wanted, process) + _backends(running, wanted, process)
    except _NotAtRuntime as difference:
        return Reload(str(difference))
    every = (*commands.gains, *commands.changes, *commands.losses, *commands.removals)
    return Runtime(every) if every else Nothing()


def _frontends(running: Configuration, wanted: Configuration, process: Process) -> _Commands:
    old, new = _by_name("frontend", running.frontends), _by_name("frontend", wanted.frontends)
    _same_names("frontend", old, new)
    changes: list[str] = []
    for name, frontend in new.items():
        before = old[name]
        if before.lines != frontend.lines:
            changes += _values(before, frontend, process)
        if before.connection_limit != frontend.connection_limit:
            # Without one of its own, a frontend takes what the process takes.
            limit = process.connection_limit if frontend.connection_limit is None else frontend.connection_limit
            if limit is None:
                raise _NotAtRuntime(f"the frontend {name} loses its connection limit, and the process's is not known")
            changes.append(_command("set maxconn frontend", name, limit))
    return _Commands(changes=tuple(changes))


def _values(before: Frontend, frontend: Frontend, process: Process) -> Iterator[str]:
    """Commands that exchange the values of ACLs, each at once: requests see the old ones or the new."""
    if len(before.lines) != len(frontend.lines):
        raise _NotAtRuntime(f"the frontend {frontend.name} differs: {_first_difference(before.lines, frontend.lines)}")
    for old, new in zip(before.lines, frontend.lines, strict=True):
        if old == new:
            continue
        head, values = _split(new)
        if not values or _split(old)[0] != head:
            raise _NotAtRuntime(f"the frontend {frontend.name} differs: {' '.join(new[:2])}")
        number = head[-1]
        version = process.versions.get(int(number), 0) + 1
        yield _command("prepare acl", f"#{number}")
        for value in values:
            yield _command("add acl", f"@{version}", f"#{number}", value)
        yield _command("commit acl", f"@{version}", f"#{number}")


def _split(line: Line) -> tuple[Line, Line]:
    """An ACL up to its number, and the values behind; no values where runtime commands do not reach them."""
    if line[0] != "acl" or "-u" not in line:
        return line, ()
    place = line.index(Word("-u")) + 2
    values = line[place:]
    return line[:place], values[1:] if values[:1] == ("--",) else values


def _backends(running: Configuration, wanted: Configuration, process: Process) -> _Commands:
    old, new = _by_name("backend", running.backends), _by_name("backend", wanted.backends)
    _same_names("backend", old, new)
    commands = _Commands()
    for name, backend in new.items():
        before = old[name]
        if before.lines != backend.lines:
            raise _NotAtRuntime(f"the backend {name} differs: {_first_difference(before.lines, backend.lines)}")
        if before.servers != backend.servers:
            commands += _servers(before, backend, process)
    return commands


def _servers(before: Backend, backend: Backend, process: Process) -> _Commands:
    old, new = _by_name("server", before.servers), _by_name("server", backend.servers)
    if old == new:
        return _Commands()  # another order only
    if not backend.dynamic:
        raise _NotAtRuntime(f"the backend {backend.name} has a fixed set of servers")
    commands = _Commands()
    for name, server in new.items():
        if name not in old:
            commands += _added(backend, server, process)
        elif old[name] != server:
            commands += _changed(backend, old[name], server)
    removed = tuple(name for name in old if name not in new)
    if removed and backend.programs:
        raise _NotAtRuntime(f"a member of the backend {backend.name} goes, and others are checked by a program")
    for name in removed:
        commands += _removed(f"{backend.name}/{name}")
    return commands


def _added(backend: Backend, server: Server, process: Process) -> _Commands:
    name = f"{backend.name}/{server.name}"
    if (backend.name, server.name) in process.lingering:
        raise _NotAtRuntime(f"the server {name} comes back while connections of before still use it")
    if server.check is not None and backend.programs:
        # HAProxy prepares the arguments of such checks when it reads the file, and only then: version
        # 2.6.12 takes the commands, and its worker crashes at the next check.
        raise _NotAtRuntime(f"the server {name} is checked by a program, which cannot be set up at run time")
    # In maintenance after "add server"; ``disabled`` says the same in a file.
    options = option_words(server._replace(disabled=False))
    # Where cookies are made of addresses, HAProxy 2.6 makes one when an address changes, and not before.
    first = _neighbour(server.port) if backend.cookies else server.port
    commands = [_command("add server", name, endpoint(server.address, first), "weight", server.weight, *options)]
    if first != server.port:
        commands.append(_command("set server", name, "addr", server.address, "port", server.port))
    if server.check is not None:
        commands.append(_command("enable health", name))
    if not server.disabled:
        commands.append(_command("enable server", name))
    return _Commands(gains=tuple(commands))


def _neighbour(port: int) -> int:
    return port - 1 if port > 1 else port + 1


def _removed(name: str) -> _Commands:
    return _Commands(removals=(_command("set server", name, "state", "maint"), _command("del server", name)))


def _changed(backend: Backend, old: Server, new: Server) -> _Commands:
    name = f"{backend.name}/{new.name}"
    _only_what_runtime_can(name, old, new)
    gains: list[str] = []
    changes: list[str] = []
    losses: list[str] = []
    if (old.address, old.port) != (new.address, new.port):
        changes.append(_command("set server", name, "addr", new.address, "port", new.port))
    if new.check is not None and (old.address, old.port, old.check) != (new.address, new.port, new.check):
        if backend.programs:
            raise _NotAtRuntime(f"the program that checks the server {name} was told another address")
        # Said outright even where it follows from the address: a former change may have pinned it.
        address, port = new.check.address or new.address, new.check.port or new.port
        changes.append(_command("set server", name, "check-addr", address, "port", port))
    if old.weight != new.weight:
        stage = gains if new.weight > old.weight else losses
        stage.append(_command("set server", name, "weight", new.weight))
    if old.disabled != new.disabled:
        stage = losses if new.disabled else changes
        stage.append(_command("set server", name, "state", "maint" if new.disabled else "ready"))
    return _Commands(tuple(gains), tuple(changes), tuple(losses))


def _only_what_runtime_can(name: str, old: Server, new: Server) -> None:
    for field in ("proxy", "number", "backup", "tls"):
        if getattr(old, field) != getattr(new, field):
            raise _NotAtRuntime(f"the server {name} changes its {field}")
    if (old.check is None) != (new.check is None):
        raise _NotAtRuntime(f"the server {name} gains or loses its check")
    if old.check is None or new.check is None:
        return
    if old.check != new.check._replace(address=old.check.address, port=old.check.port):
        raise _NotAtRuntime(f"the server {name} is checked in another way")


def _command(start: str, *words: object) -> str:
    """One command line. :raises _NotAtRuntime: when it cannot carry a word as it is."""
    try:
        return " ".join((start, *(argument(str(word)) for word in words)))
    except ValueError as error:
        raise _NotAtRuntime(str(error)) from None


def _by_name(kind: str, entries: Sequence[_Named]) -> dict[str, _Named]:
    found = {str(entry.name): entry for entry in entries}
    if len(found) != len(entries):
        raise _NotAtRuntime(f"two entries of kind {kind} have one name")
    return found


def _same_names(kind: str, old: Mapping[str, object], new: Mapping[str, object]) -> None:
    for name in new:
        if name not in old:
            raise _NotAtRuntime(f"the {kind} {name} is new")
    for name in old:
        if name not in new:
            raise _NotAtRuntime(f"the {kind} {name} goes away")


def _first_difference(old: tuple[Line, ...], new: tuple[Line, ...]) -> str:
    """Keyword of the first line that differs."""
    line = next((b or a for a, b in zip_longest(old, new, fillvalue=()) if a != b), ())
    return " ".join(line[:2])
