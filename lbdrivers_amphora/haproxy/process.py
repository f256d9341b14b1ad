"""What a running HAProxy says of itself, as far as a transition depends on it.

Law: what is not said is not known: no limit, and no list of values that was ever exchanged.
Source: management guide, section 9.3 ("show info", "show acl").
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

_LIMIT = re.compile(r"^Maxconn: ([0-9]+)$", re.MULTILINE)
_VERSION = re.compile(r"^([0-9]+) \(.*\bnext_ver=([0-9]+)\b", re.MULTILINE)


@dataclass(frozen=True)
class Process:
    """The state of a process beside its configuration.

    :param connection_limit: connections that a frontend without a limit of its own takes.
    :param versions: newest version of each list of values (ACL) by its number; 0 where none is named.
    :param lingering: (backend, server) of servers that were removed while connections used them: they
        are still there, in maintenance, and their names are taken.
    """

    connection_limit: int | None = None
    versions: Mapping[int, int] = field(default_factory=dict)
    lingering: frozenset[tuple[str, str]] = frozenset()


def read(info: str, lists: str, lingering: frozenset[tuple[str, str]] = frozenset()) -> Process:
    """Out of the answers to ``show info`` and ``show acl``."""
    limit = _LIMIT.search(info)
    versions = {int(number): int(version) for number, version in _VERSION.findall(lists)}
    return Process(int(limit[1]) if limit else None, versions, lingering)
