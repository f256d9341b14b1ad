"""The commands between two tables of nftables: few, in an order that the kernel takes, or refused."""

from __future__ import annotations

import pytest

from lbdrivers_amphora.nftables.delta import delta
from lbdrivers_amphora.nftables.quote import words
from lbdrivers_amphora.nftables.table import Chain, Collection, Hook, Table
from lbdrivers_amphora.nftables.word import Line, Word

NAME, CHAIN, MAP = Word("lb"), Word("service"), Word("turns")


def turns(*members: int) -> Collection:
    elements: dict[Line, Line] = {words(str(turn)): words(f"192.0.2.{one}") for turn, one in enumerate(members)}
    return Collection(MAP, words("numgen inc mod 100"), words("ip daddr"), elements=elements)


def told(old: Table, new: Table) -> list[str]:
    return [" ".join(command) for command in delta(old, new)]


def test_a_member_that_takes_anothers_turn_is_one_element_less_and_one_more() -> None:
    old, new = (Table(NAME, collections=(turns(*members),)) for members in ((1, 2, 3), (1, 4, 3)))
    assert told(old, new) == [
        "delete element inet lb turns { 1 }",
        "add element inet lb turns { 1 : 192.0.2.4 }",
    ]


def test_many_turns_are_written_anew() -> None:
    old, new = (Table(NAME, collections=(turns(*[one] * 40),)) for one in (1, 2))
    flush, *additions = told(old, new)
    assert flush == "flush map inet lb turns"
    assert sum(command.count(" : ") for command in additions) == 40


def test_hundreds_of_elements_are_several_commands() -> None:
    commands = told(Table(NAME), Table(NAME, collections=(turns(*[1] * 200),)))
    additions = [command for command in commands if command.startswith("add element")]
    assert [command.count(" : ") for command in additions] == [64, 64, 64, 8]


def test_what_is_used_comes_first_and_goes_last() -> None:
    rule = words("counter name total goto service")
    full = Table(NAME, (Word("total"),), (turns(1),), (Chain(CHAIN, (rule,)),))
    assert [command.split()[:2] for command in told(Table(NAME), full)] == [
        ["add", "counter"],
        ["add", "chain"],
        ["add", "map"],
        ["add", "rule"],
        ["add", "element"],
    ]
    assert [command.split()[:2] for command in told(full, Table(NAME))] == [
        ["flush", "chain"],
        ["delete", "map"],
        ["delete", "chain"],
        ["delete", "counter"],
    ]
    assert told(full, full) == []


def test_other_rules_replace_those_of_their_chain_alone() -> None:
    old, new = (Table(NAME, chains=(Chain(CHAIN, (words(f"{verdict}"),)),)) for verdict in ("accept", "drop"))
    assert told(old, new) == ["flush chain inet lb service", "add rule inet lb service drop"]


def _hooked(priority: str) -> Table:
    return Table(NAME, chains=(Chain(CHAIN, (), Hook(words(f"type nat hook {priority}"), Word("accept"))),))


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        (Table(NAME), Table(Word("other")), "cannot become"),
        (_hooked("prerouting"), _hooked("output"), "called elsewhere"),
        (
            Table(NAME, collections=(turns(1),)),
            Table(NAME, collections=(Collection(MAP, words("ip saddr"), words("ip daddr")),)),
            "has other types",
        ),
    ],
)
def test_what_has_another_nature_needs_a_new_table(old: Table, new: Table, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        delta(old, new)
