"""Who speaks although no record names it: see lbdrivers_amphora/decide/zombies.py."""

from __future__ import annotations

import uuid

from lbdrivers.drivers.provider import Orphan
from lbdrivers_amphora.decide.orphans import left_by
from lbdrivers_amphora.decide.zombies import Strangers
from lbdrivers_amphora.health.words import of_zombies

INTERVAL = 10.0
ONE, OTHER = (str(uuid.UUID(int=number)) for number in (1, 2))


def test_one_that_speaks_again_is_a_zombie() -> None:
    strangers = Strangers().note(["a"], 100.0)
    assert strangers.zombies(INTERVAL) == frozenset()
    assert strangers.note(["a"], 109.0).zombies(INTERVAL) == frozenset()
    assert strangers.note(["a", "b"], 110.0).zombies(INTERVAL) == {"a"}


def test_what_was_on_its_way_when_it_was_removed_is_forgotten() -> None:
    strangers = Strangers().note(["a"], 100.0).without((), before=101.0)
    assert strangers.note(["a"], 500.0).zombies(INTERVAL) == frozenset()


def test_one_that_has_a_record_is_none() -> None:
    """It is being built, or waits in the warm pool, or is being removed: others look after it."""
    strangers = Strangers().note(["a", "b"], 0.0).note(["a", "b"], 20.0)
    assert strangers.without({"a"}, before=0.0).zombies(INTERVAL) == {"b"}


def test_each_is_told_of_once_with_what_is_done() -> None:
    ours, nobodys = (word.text for word in of_zombies((), ("a", "b"), ("a",), removed=True))
    assert ours == "amphora a speaks although it was removed: what is left of it is removed"
    assert nobodys.startswith("amphora b speaks with a key of ours, and no record names it: it may be another")
    assert list(of_zombies(("a", "b"), ("a", "b"), (), removed=True)) == []
    (word,) = of_zombies((), ("a",), ("a",), removed=False)
    assert word.text.endswith("remove it: lbdrivers orphans --remove")


def test_what_it_left_behind_is_what_has_its_id_in_the_place_of_an_amphora() -> None:
    own = [f"amphora-{ONE}", f"octavia-lb-mgmt-{ONE}", f"octavia-lb-vrrp-{ONE}", f"octavia-lb-member-{ONE}-{OTHER}"]
    others = [f"amphora-{OTHER}", f"octavia-lb-{ONE}", f"octavia-lb-member-{OTHER}-{ONE}", f"my-amphora-{ONE}"]
    orphans = [Orphan("port", name) for name in (*own, *others)]
    assert [one.name for one in left_by(ONE, orphans)] == own
