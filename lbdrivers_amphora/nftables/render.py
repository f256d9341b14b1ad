"""Table -> commands and text for nft.

Law: deterministic; every word passes ``quote.spell``; each text is one transaction, which the kernel
carries out whole or not at all (nft(8), "--file").
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from lbdrivers_amphora.nftables.delta import delta
from lbdrivers_amphora.nftables.quote import spell, words
from lbdrivers_amphora.nftables.table import Table
from lbdrivers_amphora.nftables.word import Line, Word


def text(table: Table) -> str:
    """Commands that make the table where there is none."""
    return _lines(_made(table))


def replacement(table: Table) -> str:
    """Commands that put the table in the place of whatever there is under its name."""
    return _lines((_about("add", table.name), _about("delete", table.name), *_made(table)))


def change(old: Table, new: Table) -> str:
    """Commands that make ``new`` out of ``old``; empty when they are equal.

    :raises ValueError: when only a replacement leads there.
    """
    return _lines(delta(old, new))


def removal(name: Word) -> str:
    """Commands that remove the table; absent is success."""
    return _lines((_about("add", name), _about("delete", name)))


def _made(table: Table) -> Iterator[Line]:
    yield _about("add", table.name)
    yield from delta(Table(table.name), table)


def _about(verb: str, name: Word) -> Line:
    return (*words(f"{verb} table inet"), name)


def _lines(commands: Iterable[Line]) -> str:
    return "".join(f"{spell(command)}\n" for command in commands)
