"""The door of nftables: values pass by their type, spelled canonically; text does not pass."""

from __future__ import annotations

import pytest

from lbdrivers_amphora.nftables import quote
from lbdrivers_amphora.nftables.word import Word

LISTENER = "c9cecd94-3b55-5892-9de0-403e22d3ad3c"
HOSTILE = (
    "",
    " ",
    "a b",
    "x;flush ruleset",
    "x\nflush ruleset",
    "}",
    "{",
    '"',
    "#",
    "$x",
    "\\",
    "\0",
    "@",
    "\u0663",
    "é",
)


def test_values_are_spelled_canonically() -> None:
    assert quote.identifier("service4", LISTENER) == f"service4-{LISTENER}"
    assert quote.address("2001:DB8:0:0::1") == "2001:db8::1"
    assert quote.netmask(24, 32) == "255.255.255.0"
    assert (quote.netmask(0, 32), quote.netmask(32, 32)) == ("0.0.0.0", "255.255.255.255")
    assert (quote.netmask(64, 128), quote.netmask(0, 128)) == ("ffff:ffff:ffff:ffff::", "::")
    assert (quote.interval(3, 3), quote.interval(0, 2)) == ("3", "0-2")
    assert quote.reference(Word("x")) == "@x"


def test_networks_of_a_set_do_not_overlap() -> None:
    given = ("10.0.0.0/25", "10.0.0.128/25", "10.0.0.7/32", "192.0.2.1/32")
    assert quote.networks(given) == ("10.0.0.0/24", "192.0.2.1")


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_passes_nowhere(text: str) -> None:
    doors = (
        lambda: quote.identifier("service", text),
        lambda: quote.identifier("service", LISTENER + text) if text else quote.identifier("", LISTENER),
        lambda: quote.address(text),
        lambda: quote.networks((text,)),
        lambda: quote.revision(text),
    )
    for door in doors:
        with pytest.raises(ValueError):
            door()


@pytest.mark.parametrize("text", ["", "a b", "x\ny", "#", "$x", "\\", "\0", "\u0663", "é", "x\u2028y", "'", "`"])
def test_every_word_is_looked_at_again_when_it_is_written(text: str) -> None:
    with pytest.raises(ValueError, match="cannot stand in a ruleset"):
        quote.spell((Word("add"), Word(text)))


@pytest.mark.parametrize("text", ["fe80::1%eth0", "10.0.0.1/24", "10.0.0.256", "010.0.0.1", "\u0661\u0660.0.0.1"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        quote.address(text)


@pytest.mark.parametrize(("value", "highest", "lowest"), [(-1, 9, 0), (10, 9, 0), (0, 9, 1)])
def test_a_number_outside_of_its_range_is_refused(value: int, highest: int, lowest: int) -> None:
    with pytest.raises(ValueError, match="is not between"):
        quote.number(value, highest, lowest)


def test_a_mark_is_never_zero() -> None:
    with pytest.raises(ValueError):
        quote.mark(0)
