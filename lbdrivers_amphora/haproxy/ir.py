"""The intermediate representation of haproxy.cfg: what one HAProxy process is told to do.

Law: plain frozen values. What can change at run time is typed (servers, connection limits); all
else is lines of words, compared as wholes. Everything in it is in the text and back:
``parse(render(configuration)) == configuration``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from lbdrivers_amphora.haproxy.word import Line, Word

_DYNAMIC = frozenset({"roundrobin", "leastconn"})


class Check(NamedTuple):
    """How a server is probed; what is probed stands in the backend's lines.

    :param interval: seconds between two checks.
    :param fall: failed checks after which a server is down; ``rise`` good ones bring it up.
    :param options: further words, such as ``check-ssl verify none``.
    :param address: where to probe when it is not the server's own address; likewise ``port``.
    """

    interval: int
    fall: int
    rise: int
    options: Line = ()
    address: Word | None = None
    port: int | None = None


class Server(NamedTuple):
    """One server of a backend. A tuple, as its check is: thousands of them are made, compared and looked up.

    :param weight: 0 to 256; 0 takes no new sessions (drain).
    :param number: HAProxy's numeric id where hashing depends on it; None lets HAProxy count.
    :param proxy: the keyword that makes it get the PROXY protocol, or None.
    :param tls: ``ssl`` and everything that belongs to it; empty when it is spoken to in clear.
    """

    name: Word
    address: Word
    port: int
    weight: int = 1
    number: int | None = None
    check: Check | None = None
    proxy: Word | None = None
    backup: bool = False
    disabled: bool = False
    tls: Line = ()

    @property
    def shared(self) -> tuple[Check | None, Word | None, bool, bool, Line]:
        """What members of a pool mostly have in common."""
        return self[5:]


@dataclass(frozen=True, slots=True)
class Frontend:
    """Where connections come in. ``connection_limit`` None means "as many as the process takes"."""

    name: Word
    connection_limit: int | None
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class Backend:
    """Where connections go."""

    name: Word
    lines: tuple[Line, ...]
    servers: tuple[Server, ...] = ()

    @property
    def dynamic(self) -> bool:
        """Whether servers can be added and re-weighted at run time (management guide, "add server")."""
        balance = next((line[1] for line in self.lines if line[0] == "balance"), None)
        return balance in _DYNAMIC or (balance == "source" and (Word("hash-type"), Word("consistent")) in self.lines)

    @property
    def cookies(self) -> bool:
        """Whether HAProxy makes a cookie for each server (configuration manual, "dynamic-cookie-key")."""
        return any(line[0] == "dynamic-cookie-key" for line in self.lines)

    @property
    def programs(self) -> bool:
        """Whether servers are checked by a program."""
        return (Word("option"), Word("external-check")) in self.lines


@dataclass(frozen=True, slots=True)
class Peers:
    """The HAProxy processes that share stick tables."""

    name: Word
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class Configuration:
    """The whole file. ``process`` is the section ``global``."""

    load_balancer_id: Word
    process: tuple[Line, ...]
    defaults: tuple[Line, ...]
    peers: Peers | None = None
    frontends: tuple[Frontend, ...] = ()
    backends: tuple[Backend, ...] = ()
