"""From what runs to what is wanted: the mildest way that suffices.

Law: nothing < runtime < reload < restart. Runtime commands lead to the very state in which a
process started with the wanted file would be; what they cannot reach is a reload. They come in an
order in which no request need fail: capacity is added before any is taken away, removals last.

Sources: HAProxy 2.6 management guide, section 9.3; what is refused there ("add server") was tried
on the daemon and is proved by the tests.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import ClassVar, TypeVar

from lbdrivers_amphora.haproxy.ir import Backend, Configuration, Frontend, Server
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

# What HAProxy 2.6 answers (src/server.c); every other answer is a complaint.
_GOOD_ANSWERS = (
    ("add server ", re.compile(r"New server registered\.")),
    ("del server ", re.compile(r"Server deleted\.|No such server\.")),
)
_ADDRESS_ANSWER = re.compile(r"(?:no need to change the addr|IP changed from |port changed from ).*")
_CONNECTIONS_ANSWER = "still has connections attached"
_SILENCE = re.compile("")
# A command is words between blanks; a semicolon or a line feed would start another one.
_SAFE = re.compile(r"[A-Za-z0-9._:\[\]/-]+")


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


def transition(
    running: Configuration, wanted: Configuration, lingering: frozenset[tuple[str, str]] = frozenset()
) -> Transition:
    """The mildest way from ``running`` to ``wanted``.

    :param running: what the process was started or last changed to.
    :param lingering: (backend, server) of servers that were removed while connections used them:
        they are still there, in maintenance, and their names are taken.
    """
    if running.load_balancer_id != wanted.load_balancer_id:
        return Restart("it is another load balancer")
    for part in ("process", "defaults", "peers"):
        if getattr(running, part) != getattr(wanted, part):
            return Reload(f"the {part} settings differ")
    try:
        commands = _frontends(running, wanted) + _backends(running, wanted, lingering)
    except _NotAtRuntime as difference:
        return Reload(str(difference))
    every = (*commands.gains, *commands.changes, *commands.losses, *commands.removals)
    return Runtime(every) if every else Nothing()


def _frontends(running: Configuration, wanted: Configuration) -> _Commands:
    old, new = _by_name("frontend", running.frontends), _by_name("frontend", wanted.frontends)
    _same_names("frontend", old, new)
    changes: list[str] = []
    for name, frontend in new.items():
        before = old[name]
        if before.lines != frontend.lines:
            raise _NotAtRuntime(f"the frontend {name} differs: {_first_difference(before.lines, frontend.lines)}")
        if before.connection_limit != frontend.connection_limit:
            if before.connection_limit is None or frontend.connection_limit is None:
                raise _NotAtRuntime(f"the frontend {name} gains or loses its connection limit")
            changes.append(_command("set maxconn frontend", name, frontend.connection_limit))
    return _Commands(changes=tuple(changes))


def _backends(running: Configuration, wanted: Configuration, lingering: frozenset[tuple[str, str]]) -> _Commands:
    old, new = _by_name("backend", running.backends), _by_name("backend", wanted.backends)
    _same_names("backend", old, new)
    commands = _Commands()
    for name, backend in new.items():
        before = old[name]
        if before.lines != backend.lines:
            raise _NotAtRuntime(f"the backend {name} differs: {_first_difference(before.lines, backend.lines)}")
        if before.servers != backend.servers:
            commands += _servers(before, backend, lingering)
    return commands


def _servers(before: Backend, backend: Backend, lingering: frozenset[tuple[str, str]]) -> _Commands:
    old, new = _by_name("server", before.servers), _by_name("server", backend.servers)
    if old == new:
        return _Commands()  # another order only
    if not backend.dynamic:
        raise _NotAtRuntime(f"the backend {backend.name} has a fixed set of servers")
    commands = _Commands()
    for name, server in new.items():
        if name not in old:
            commands += _added(backend, server, lingering)
        elif old[name] != server:
            commands += _changed(backend, old[name], server)
    removed = tuple(name for name in old if name not in new)
    if removed and _programs(backend):
        raise _NotAtRuntime(f"a member of the backend {backend.name} goes, and others are checked by a program")
    for name in removed:
        commands += _removed(f"{backend.name}/{name}")
    return commands


def _added(backend: Backend, server: Server, lingering: frozenset[tuple[str, str]]) -> _Commands:
    name = f"{backend.name}/{server.name}"
    if (backend.name, server.name) in lingering:
        raise _NotAtRuntime(f"the server {name} comes back while connections of before still use it")
    if server.cookie is not None:
        raise _NotAtRuntime(f"the server {name} has a cookie, which cannot be given at run time")
    if server.check is not None and _programs(backend):
        raise _NotAtRuntime(f"the server {name} is checked by a program, which cannot be set up at run time")
    # In maintenance after "add server"; ``disabled`` says the same in a file.
    options = option_words(replace(server, disabled=False))
    where = endpoint(server.address, server.port)
    commands = [_command("add server", name, where, "weight", server.weight, *options)]
    if server.check is not None:
        commands.append(_command("enable health", name))
    if not server.disabled:
        commands.append(_command("enable server", name))
    return _Commands(gains=tuple(commands))


def _programs(backend: Backend) -> bool:
    """Whether servers are checked by a program. HAProxy prepares its arguments when it reads the file,
    and only then: version 2.6.12 takes commands about such checks, and its worker crashes at the next check;
    after a removal, the checks of those that stay may never end."""
    return (Word("option"), Word("external-check")) in backend.lines


def _removed(name: str) -> _Commands:
    return _Commands(removals=(_command("set server", name, "state maint"), _command("del server", name)))


def _changed(backend: Backend, old: Server, new: Server) -> _Commands:
    name = f"{backend.name}/{new.name}"
    _only_what_runtime_can(name, old, new)
    gains: list[str] = []
    changes: list[str] = []
    losses: list[str] = []
    if (old.address, old.port) != (new.address, new.port):
        changes.append(_command("set server", name, "addr", new.address, "port", new.port))
    if new.check is not None and (old.address, old.port, old.check) != (new.address, new.port, new.check):
        if _programs(backend):
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
    for field in ("cookie", "proxy", "number", "backup"):
        if getattr(old, field) != getattr(new, field):
            raise _NotAtRuntime(f"the server {name} changes its {field}")
    if (old.check is None) != (new.check is None):
        raise _NotAtRuntime(f"the server {name} gains or loses its check")
    if old.check is None or new.check is None:
        return
    if old.check != replace(new.check, address=old.check.address, port=old.check.port):
        raise _NotAtRuntime(f"the server {name} is checked in another way")


def _command(*words: object) -> str:
    """One command line. :raises ValueError: when a word could be read as more than itself."""
    text = " ".join(map(str, words))
    for word in text.split(" "):
        if not _SAFE.fullmatch(word):
            raise ValueError(f"{word!r} cannot be a word of a runtime command")
    return text


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


def failures(commands: Sequence[str], answers: Sequence[str]) -> tuple[str, ...]:
    """Which of the answers mean that a command was not carried out, as "command: answer".

    A removal that is refused because connections still use the server has done its work, the
    server takes nothing new: see ``lingering``. A missing answer is a failure.
    """
    return tuple(
        f"{command}: {(answer or '').strip() or 'no answer'}"
        for command, answer in zip_longest(commands, answers)
        if command is not None and not _succeeded(command, answer) and not _still_used(command, answer)
    )


def lingering(commands: Sequence[str], answers: Sequence[str]) -> frozenset[tuple[str, str]]:
    """(backend, server) of removals that wait for the last connection; they stay in maintenance."""
    found = set()
    for command, answer in zip(commands, answers, strict=False):
        if _still_used(command, answer):
            backend, _, server = command.removeprefix("del server ").rpartition("/")
            found.add((backend, server))
    return frozenset(found)


def _still_used(command: str, answer: str | None) -> bool:
    return command.startswith("del server ") and _CONNECTIONS_ANSWER in (answer or "")


def _succeeded(command: str, answer: str | None) -> bool:
    if answer is None:
        return False
    good = next((good for start, good in _GOOD_ANSWERS if command.startswith(start)), None)
    if good is None:
        # "set server NAME addr" tells what it changed; all other commands succeed in silence.
        good = _ADDRESS_ANSWER if " addr " in command else _SILENCE
    return good.fullmatch(answer.strip()) is not None
