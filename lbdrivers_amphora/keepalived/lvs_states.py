"""What IPVS says of listeners, matched with the files that keepalived was given for them.

Law: pure. Ids stand in a file's comments, addresses in its blocks; the kernel knows addresses only. Words
are those that HAProxy uses, so that health is judged in one way.

Sources: ipvsadm(8), ``--list --numeric`` with and without ``--stats --exact``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from lbdrivers_amphora.wire.report import ListenerReport, MemberReport, PoolReport, Totals

Endpoint = tuple[str, int]
"""Address and port."""

_GROUP = re.compile(r"virtual_server_group \S+ \{([^}]*)\}")
_POOL = re.compile(r"^# (?:Configuration for )?Pool (\S+)( is disabled)?$", re.MULTILINE)
_MEMBER = re.compile(r"^\s*# Configuration for Member (\S+)\s+real_server (\S+) (\d+) \{", re.MULTILINE)
_DISABLED = re.compile(r"^\s*# Member (\S+) is disabled$", re.MULTILINE)
_LISTENER_DISABLED = re.compile(r"^# Listener \S+ is disabled$", re.MULTILINE)
_CHECKED = re.compile(r"^# Configuration for HealthMonitor ", re.MULTILINE)


@dataclass(frozen=True)
class Described:
    """One listener's file.

    :param members: by id; ``disabled`` are those that take no traffic.
    """

    enabled: bool
    entries: frozenset[Endpoint] = frozenset()
    pool_id: str | None = None
    members: Mapping[str, Endpoint] = field(default_factory=dict)
    disabled: tuple[str, ...] = ()
    checked: bool = False


@dataclass(frozen=True)
class RealServer:
    weight: int
    connections: int


Services = Mapping[Endpoint, Mapping[Endpoint, RealServer]]
"""The kernel's table: virtual service -> its real servers."""


def describe(text: str) -> Described:
    """What a listener's file says."""
    rows = (row.split() for group in _GROUP.findall(text) for row in group.splitlines())
    pool = _POOL.search(text)
    return Described(
        enabled=_LISTENER_DISABLED.search(text) is None,
        entries=frozenset((row[0], int(row[1])) for row in rows if len(row) == 2 and row[1].isdigit()),
        pool_id=None if pool is None or pool[2] else pool[1],
        members={name: (address, int(port)) for name, address, port in _MEMBER.findall(text)},
        disabled=tuple(dict.fromkeys(_DISABLED.findall(text))),
        checked=_CHECKED.search(text) is not None,
    )


def services(text: str) -> Services:
    """The kernel's table out of ``ipvsadm -Ln``."""
    found: dict[Endpoint, dict[Endpoint, RealServer]] = {}
    current: dict[Endpoint, RealServer] = {}
    for words in map(str.split, text.splitlines()):
        if words and words[0] in ("UDP", "SCTP") and len(words) > 2:
            current = found.setdefault(_endpoint(words[1]), {})
        elif len(words) == 6 and words[0] == "->" and words[3].isdigit():
            # A datagram opens no connection; IPVS counts its flow as an inactive one.
            current[_endpoint(words[1])] = RealServer(int(words[3]), int(words[4]) + int(words[5]))
    return found


def counted(text: str) -> dict[Endpoint, Totals]:
    """Counters of virtual services out of ``ipvsadm -Ln --stats --exact``."""
    found: dict[Endpoint, Totals] = {}
    for words in map(str.split, text.splitlines()):
        if len(words) == 7 and words[0] in ("UDP", "SCTP") and all(word.isdigit() for word in words[2:]):
            connections, _, _, received, sent = map(int, words[2:])
            found[_endpoint(words[1])] = Totals(bytes_in=received, bytes_out=sent, total_connections=connections)
    return found


def _endpoint(text: str) -> Endpoint:
    address, _, port = text.rpartition(":")
    return address.strip("[]"), int(port)


def totals(described: Mapping[str, Described], text: str) -> dict[str, Totals]:
    """Counters by listener, over all its addresses."""
    known = counted(text)
    found: dict[str, Totals] = {}
    for listener_id, one in described.items():
        for entry in one.entries & known.keys():
            found[listener_id] = found.get(listener_id, Totals()) + known[entry]
    return found


def listener_report(one: Described, known: Services, counters: Totals) -> ListenerReport:
    """A listener whose keepalived runs."""
    active = sum(server.connections for server in _reached(one, known).values())
    return ListenerReport("OPEN", counters + Totals(active_connections=active))


def pool_report(one: Described, known: Services) -> PoolReport:
    """Its pool with the members."""
    reached = _reached(one, known)
    members = {name: MemberReport(_word(endpoint, one, reached)) for name, endpoint in one.members.items()}
    members |= {name: MemberReport("MAINT") for name in one.disabled}
    dead = one.checked and bool(one.members) and not any(end in reached for end in one.members.values())
    return PoolReport("DOWN" if dead else "UP", members)


def _reached(one: Described, known: Services) -> dict[Endpoint, RealServer]:
    found: dict[Endpoint, RealServer] = {}
    for entry in one.entries & known.keys():
        for endpoint, server in known[entry].items():
            before = found.get(endpoint, RealServer(0, 0))
            found[endpoint] = RealServer(server.weight, before.connections + server.connections)
    return found


def _word(endpoint: Endpoint, one: Described, reached: Mapping[Endpoint, RealServer]) -> str:
    server = reached.get(endpoint)
    if server is None:
        return "DOWN" if one.checked else "no check"
    if server.weight == 0:
        return "DRAIN"
    return "UP" if one.checked else "no check"


def reports(
    files: Iterable[tuple[str, str]], table: str, counters: Mapping[str, Totals]
) -> tuple[dict[str, ListenerReport], dict[str, PoolReport]]:
    """Listeners that are on, and their pools by "<pool>:<listener>".

    :param files: listener ids with their files.
    :param table: what ``ipvsadm -Ln`` said.
    """
    known = services(table)
    listeners: dict[str, ListenerReport] = {}
    pools: dict[str, PoolReport] = {}
    for listener_id, text in files:
        one = describe(text)
        if one.enabled:
            listeners[listener_id] = listener_report(one, known, counters.get(listener_id, Totals()))
        if one.enabled and one.pool_id is not None:
            pools[f"{one.pool_id}:{listener_id}"] = pool_report(one, known)
    return listeners, pools
