"""Zombies: amphorae that speak although no record names them any more.

Law: pure. A heartbeat with a key of ours proves that somebody was given that key once; that it still speaks, and
not only what was on its way when it was removed, is proved by a second one an interval later. Ours to remove is what
a record says was removed already, as in Octavia an amphora whose row is DELETED; of others people are told.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace


@dataclass(frozen=True)
class Stranger:
    """Somebody who speaks with a key of ours. Times by a clock that never jumps.

    :param first: when it was first heard without a record; ``last``: when it was heard last.
    """

    first: float
    last: float


@dataclass(frozen=True)
class Strangers:
    """All of them, by amphora id."""

    heard: Mapping[str, Stranger] = field(default_factory=dict)

    def note(self, names: Iterable[str], now: float) -> Strangers:
        """These have spoken now."""
        found = dict(self.heard)
        for name in names:
            known = found.get(name)
            found[name] = Stranger(now, now) if known is None else replace(known, last=now)
        return Strangers(found)

    def without(self, recorded: Collection[str], before: float) -> Strangers:
        """Those that no record names, and that have spoken since that moment."""
        return Strangers({name: one for name, one in self.heard.items() if name not in recorded and one.last >= before})

    def zombies(self, interval: float) -> frozenset[str]:
        """Those that certainly still speak. :param interval: seconds between two heartbeats."""
        return frozenset(name for name, one in self.heard.items() if one.last - one.first >= interval)
