"""Shares of a ring: exact by weight, to one slot by hash, and steady when members come and go."""

from __future__ import annotations

from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st

from lbdrivers_amphora.nftables.ring import SLOTS, Shares, by_hash, by_weight

WEIGHTS = st.dictionaries(st.uuids().map(str), st.integers(1, 256), min_size=1, max_size=12)


def slots(shares: Shares) -> list[str]:
    """Owner of each slot; that there are no gaps is part of it."""
    found: list[str] = []
    for first, last, owner in shares:
        assert first == len(found)
        found += [owner] * (last - first + 1)
    return found


@given(WEIGHTS)
def test_by_weight_every_owner_has_exactly_its_share(weights: dict[str, int]) -> None:
    size, shares = by_weight(weights)
    owners = slots(shares)
    assert len(owners) == size
    for owner, weight in weights.items():
        assert Fraction(owners.count(owner), size) == Fraction(weight, sum(weights.values()))


def test_by_weight_the_ring_is_the_smallest() -> None:
    assert by_weight({"a": 30, "b": 10}) == (4, ((0, 2, "a"), (3, 3, "b")))
    assert by_weight({"a": 256, "b": 256}) == (2, ((0, 0, "a"), (1, 1, "b")))


@settings(max_examples=20, deadline=None)
@given(WEIGHTS)
def test_by_hash_every_owner_has_its_share_to_one_slot(weights: dict[str, int]) -> None:
    size, shares = by_hash(weights)
    owners = slots(shares)
    assert len(owners) == size == SLOTS
    for owner, weight in weights.items():
        share = 1 + Fraction((SLOTS - len(weights)) * weight, sum(weights.values()))
        assert share - 1 < owners.count(owner) < share + 1


@settings(max_examples=20, deadline=None)
@given(WEIGHTS.filter(lambda weights: len(weights) > 1))
def test_by_hash_the_order_of_members_means_nothing(weights: dict[str, int]) -> None:
    assert by_hash(weights) == by_hash(dict(reversed(weights.items())))


def test_by_hash_few_clients_move_when_a_member_comes() -> None:
    ten = {f"member-{number}": 1 for number in range(10)}
    before, after = slots(by_hash(ten)[1]), slots(by_hash(ten | {"member-10": 1})[1])
    moved = [old for old, new in zip(before, after, strict=True) if old != new]
    # An eleventh must move; a plain modulus would move ten elevenths.
    assert SLOTS / 11 - 1 <= len(moved) < SLOTS / 5


def test_by_hash_as_many_members_as_slots_have_one_each() -> None:
    owners = slots(by_hash({f"member-{number}": 1 + number % 256 for number in range(SLOTS)})[1])
    assert len(set(owners)) == SLOTS
