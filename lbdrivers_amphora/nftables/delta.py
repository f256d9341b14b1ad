"""The commands that lead from one table to another.

Law: pure. Carried out on a kernel that holds ``old`` they leave it with ``new``, as one transaction;
what both have in common is not touched, so that counters, learned clients and the turn of a
round robin stay. The order satisfies the kernel: a name exists when it is used, and is out of use
when it goes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from lbdrivers_amphora.nftables.quote import words
from lbdrivers_amphora.nftables.table import Chain, Collection, Table
from lbdrivers_amphora.nftables.word import Line, Word

# Elements in one command: a line that people can still read, and far from the limits of netlink.
_ELEMENTS = 64
# Elements that are deleted one by one; nft 1.0.6 takes milliseconds for each interval, so that writing
# them all anew is faster soon. Nobody sees a half of it: it is one transaction.
_DELETIONS = 16


def delta(old: Table, new: Table) -> tuple[Line, ...]:
    """Commands from ``old`` to ``new``.

    :raises ValueError: when both have something of one name and another nature; only a new table helps.
    """
    if old.name != new.name:
        raise ValueError(f"{old.name} cannot become {new.name}")
    table = (*words("inet"), new.name)
    before = {one.name: one for one in old.collections}
    chains = {one.name: one for one in old.chains}
    return (
        *((*words("add counter"), *table, name) for name in new.counters if name not in old.counters),
        *_new_chains(table, chains, new),
        *_new_collections(table, before, new),
        *(command for chain in new.chains for command in _rules(table, chains.get(chain.name), chain)),
        *(command for one in new.collections for command in _elements(table, before.get(one.name), one)),
        *_removed(table, old, new),
    )


def _new_chains(table: Line, chains: Mapping[Word, Chain], new: Table) -> Iterator[Line]:
    for chain in new.chains:
        if chain.name not in chains:
            yield (*words("add chain"), *table, chain.name, *_hook(chain))
        elif chains[chain.name].hook != chain.hook:
            raise ValueError(f"the chain {chain.name} is called elsewhere")


def _new_collections(table: Line, before: Mapping[Word, Collection], new: Table) -> Iterator[Line]:
    for one in new.collections:
        if one.name not in before:
            yield (*words(f"add {one.kind}"), *table, one.name, *_definition(one))
        elif before[one.name].definition != one.definition:
            raise ValueError(f"the {one.kind} {one.name} has other types")


def _removed(table: Line, old: Table, new: Table) -> Iterator[Line]:
    """Rules first, then the maps that lead to chains, then the chains."""
    chains, collections = {one.name for one in new.chains}, {one.name for one in new.collections}
    gone = [one.name for one in old.chains if one.name not in chains]
    yield from ((*words("flush chain"), *table, name) for name in gone)
    for one in old.collections:
        if one.name not in collections:
            yield (*words(f"delete {one.kind}"), *table, one.name)
    yield from ((*words("delete chain"), *table, name) for name in gone)
    yield from ((*words("delete counter"), *table, name) for name in old.counters if name not in new.counters)


def _hook(chain: Chain) -> Line:
    if chain.hook is None:
        return ()
    return (*words("{"), *chain.hook.words, *words("; policy"), chain.hook.policy, *words("; }"))


def _definition(one: Collection) -> Line:
    types = (*words("typeof"), *one.key, *((*words(":"), *one.data) if one.data else ()), *words(";"))
    return (*words("{"), *types, *(word for option in one.options for word in (*option, *words(";"))), *words("}"))


def _rules(table: Line, old: Chain | None, new: Chain) -> Iterator[Line]:
    if old is not None and old.rules == new.rules:
        return
    if old is not None:
        yield (*words("flush chain"), *table, new.name)
    for rule in new.rules:
        yield (*words("add rule"), *table, new.name, *rule)


def _elements(table: Line, old: Collection | None, new: Collection) -> Iterator[Line]:
    known = {} if old is None else old.elements
    gone = [key for key, value in known.items() if new.elements.get(key) != value]
    if len(gone) > _DELETIONS:
        yield (*words(f"flush {new.kind}"), *table, new.name)
        known, gone = {}, []
    fresh = [
        (*key, *words(":"), *value) if value else key
        for key, value in new.elements.items()
        if key not in known or known[key] != value
    ]
    yield from _in_bulk((*words("delete element"), *table, new.name), gone)
    yield from _in_bulk((*words("add element"), *table, new.name), fresh)


def _in_bulk(command: Line, elements: list[Line]) -> Iterator[Line]:
    for start in range(0, len(elements), _ELEMENTS):
        yield (*command, *words("{"), *_separated(elements[start : start + _ELEMENTS]), *words("}"))


def _separated(elements: Iterable[Line]) -> Iterator[Word]:
    comma = words(",")
    for position, element in enumerate(elements):
        yield from comma if position else ()
        yield from element
