"""Amphorae change over to another form or key of heartbeats: how it is configured, and what people are told of it."""

from __future__ import annotations

import pytest

from lbdrivers import settings
from lbdrivers.errors import InvalidInput
from lbdrivers_amphora.decide.failover import Decision
from lbdrivers_amphora.health.words import Word, of_decision, of_ways
from lbdrivers_amphora.heartbeat_keys import Way
from lbdrivers_amphora.heartbeat_settings import HeartbeatSettings, read_heartbeats
from lbdrivers_amphora.wire.heartbeat import Form

KEY, BEFORE = "a-key-of-these-tests-alone-0123456789", "the-key-of-before-of-these-tests-987654"


def read(tmp_path_factory: pytest.TempPathFactory, **options: str) -> HeartbeatSettings:
    file = tmp_path_factory.mktemp("settings") / "health.conf"
    lines = {"controller_ip_port_list": "192.0.2.1:5555", "heartbeat_key": KEY, **options}
    file.write_text("[health_manager]\n" + "".join(f"{name} = {value}\n" for name, value in lines.items()))
    return read_heartbeats(settings.load([file], file.parent))


def test_what_is_not_said_of_before_is_as_it_is_now(tmp_path_factory: pytest.TempPathFactory) -> None:
    assert read(tmp_path_factory).previous is None
    form = read(tmp_path_factory, previous_heartbeat_form="octavia").previous
    assert form is not None and form.key is not None
    assert (form.form, form.key.reveal()) == (Form.OCTAVIA, KEY.encode())
    key = read(tmp_path_factory, previous_heartbeat_key=BEFORE).previous
    assert key is not None and key.key is not None
    assert (key.form, key.key.reveal()) == (Form.OWN, BEFORE.encode())
    both = read(tmp_path_factory, previous_heartbeat_key=BEFORE, previous_heartbeat_form="octavia")
    assert BEFORE not in repr(both) and KEY not in repr(both)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"previous_heartbeat_form": "lbdrivers"}, "previous_heartbeat_form: is what is spoken now"),
        ({"previous_heartbeat_key": KEY}, "is what is spoken now"),
        ({"previous_heartbeat_key": "insecure"}, "previous_heartbeat_key: is an example that everybody knows"),
        ({"previous_heartbeat_form": "morse"}, "morse"),
    ],
)
def test_what_makes_no_sense_is_refused(
    tmp_path_factory: pytest.TempPathFactory, options: dict[str, str], words: str
) -> None:
    with pytest.raises(InvalidInput, match=words):
        read(tmp_path_factory, **options)


def test_who_was_told_something_else_is_told_of() -> None:
    (word,) = of_ways({}, {Way.CURRENT: 5, Way.OTHER: 2}, changing_over=False)
    assert word.trouble and word.text.startswith("2 amphorae were told a heartbeat form or key")
    assert list(of_ways({Way.OTHER: 2}, {Way.OTHER: 2}, changing_over=False)) == []
    assert list(of_ways({Way.OTHER: 2}, {Way.OTHER: 1}, changing_over=False)) == []


def test_it_is_said_how_many_are_left() -> None:
    begun = list(of_ways({}, {Way.PREVIOUS: 3}, changing_over=True))
    ended = list(of_ways({Way.PREVIOUS: 3}, {Way.CURRENT: 3}, changing_over=True))
    assert [word.text for word in (*begun, *ended)] == [
        "3 amphorae may still speak in the previous heartbeat form or key",
        "no amphora needs to speak any more in the previous heartbeat form or key",
    ]
    assert list(of_ways({Way.PREVIOUS: 3}, {Way.PREVIOUS: 3}, changing_over=True)) == []


def test_of_decisions_what_is_new_is_said() -> None:
    blind = Decision(silent=("a",), blind="hears nobody at all")
    opened = Decision(silent=("a", "b"), open={"": "2 of 3 amphorae are silent", "north": "2 of 2 are"})

    def said(before: Decision, now: Decision, dry_run: bool = False) -> list[Word]:
        return list(of_decision(before, now, dry_run=dry_run))

    assert said(Decision(), blind) == [Word("no failover: this health manager hears nobody at all")]
    assert said(blind, blind) == [] == said(Decision(), Decision(blind="has listened for 1 s"))
    assert said(Decision(), opened) == [
        Word("no failover anywhere: 2 of 3 amphorae are silent; breaker open"),
        Word("no failover in zone north: 2 of 2 are; breaker open"),
    ]
    closed = {(word.text, word.trouble) for word in said(opened, Decision())}
    assert closed == {("breaker closed everywhere", False), ("breaker closed in zone north", False)}
    silent = Decision(silent=("b", "a"))
    assert said(Decision(), silent, dry_run=True) == [Word("silent, and failed over but for dry_run: a, b")]
    assert said(silent, silent, dry_run=True) == []
