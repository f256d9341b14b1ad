"""A ruleset as a value: one table of nftables with its counters, sets, maps and chains.

Law: plain frozen values made of words. What the kernel fills by itself (counts, learned clients) is
not part of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from lbdrivers_amphora.nftables.word import Line, Word


@dataclass(frozen=True, slots=True)
class Hook:
    """Where the kernel calls a chain."""

    words: Line
    policy: Word


@dataclass(frozen=True, slots=True)
class Chain:
    """Rules in order. Without a hook it is reached from other rules only."""

    name: Word
    rules: tuple[Line, ...]
    hook: Hook | None = None


@dataclass(frozen=True, slots=True)
class Collection:
    """A set, or a map when it has a ``data`` type.

    :param key: what its keys are, in words for ``typeof``.
    :param options: flags and size, as one finished clause each.
    :param elements: key -> value (empty in a set); always empty where the kernel itself adds them.
    """

    name: Word
    key: Line
    data: Line = ()
    options: tuple[Line, ...] = ()
    elements: Mapping[Line, Line] = field(default_factory=dict)

    @property
    def kind(self) -> str:
        """``map`` or ``set``."""
        return "map" if self.data else "set"

    @property
    def definition(self) -> tuple[Line, Line, tuple[Line, ...]]:
        """All but the elements."""
        return self.key, self.data, self.options


@dataclass(frozen=True, slots=True)
class Table:
    """One table of the family ``inet``; each name is used once."""

    name: Word
    counters: tuple[Word, ...] = ()
    collections: tuple[Collection, ...] = ()
    chains: tuple[Chain, ...] = ()


def merged(name: Word, parts: Iterable[Table]) -> Table:
    """One table out of several, whose names differ."""
    parts = tuple(parts)
    return Table(
        name,
        tuple(counter for part in parts for counter in part.counters),
        tuple(collection for part in parts for collection in part.collections),
        tuple(chain for part in parts for chain in part.chains),
    )
