"""What the agent answers becomes a typed value, or an error that names the place."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lbdrivers_amphora.wire.fields import Fields, Malformed, address, cidr
from lbdrivers_amphora.wire.report import (
    Applied,
    Details,
    ListenerReport,
    MemberReport,
    PoolReport,
    Report,
    Totals,
    Transitioned,
)

DETAILS = {"api_version": "1.0", "haproxy_version": "2.6.12"}
EXTRAS = {"base_path": "/a", "certificate_path": "/b", "capabilities": ["x"], "interfaces": {"02:00": "eth1"}}
REPORT = {"amphora_id": "a", "haproxy": "RUNNING", "keepalived": "STOPPED"}

words = st.text(max_size=8)
totals = st.builds(Totals, *(st.integers(0, 2**63) for _ in range(5)))
reports = st.builds(
    Report,
    words,
    words,
    words,
    st.booleans(),
    st.dictionaries(words, st.builds(ListenerReport, words, totals), max_size=3),
    st.dictionaries(
        words,
        st.builds(PoolReport, words, st.dictionaries(words, st.builds(MemberReport, words, words), max_size=2)),
        max_size=3,
    ),
    st.dictionaries(words, words, max_size=3),
    st.lists(st.integers(1, 2**22), max_size=3).map(tuple),
)


@settings(max_examples=100, deadline=None)
@given(reports)
def test_a_report_survives_the_way(report: Report) -> None:
    assert Report.parse(json.dumps(report.to_json()).encode()) == report


@settings(max_examples=50, deadline=None)
@given(reports)
def test_what_is_applied_is_part_of_a_report_and_survives_the_way_alone(report: Report) -> None:
    found = Applied.parse(json.dumps(report.to_json()).encode())
    assert found == Applied(report.amphora_id, report.haproxy, report.keepalived, report.revisions)
    assert Applied.parse(json.dumps(found.to_json()).encode()) == found


def test_totals_are_added() -> None:
    assert Totals(1, 2, 3, 4, 5) + Totals(10, 20, 30, 40, 50) == Totals(11, 22, 33, 44, 55)


def test_details_of_octavias_agent_have_no_extras() -> None:
    found = Details.parse(json.dumps(DETAILS).encode())
    assert (found.hostname, found.cpu_count, found.extras) == ("", 1, None)


def test_details_of_ours_have() -> None:
    found = Details.parse(json.dumps(DETAILS | {"lbdrivers": EXTRAS, "cpu_count": 2}).encode())
    assert found.extras is not None and found.cpu_count == 2
    assert (found.extras.capabilities, found.extras.log_socket) == (("x",), None)
    assert found.extras.interfaces == {"02:00": "eth1"}


def test_how_it_was_done_is_empty_from_other_agents() -> None:
    assert Transitioned.parse(b'{"message": "OK"}') == Transitioned()
    assert Transitioned.parse(b'{"transition": "runtime", "commands": ["a"]}') == Transitioned("runtime", ("a",))


@pytest.mark.parametrize(
    ("kind", "content", "words"),
    [
        (Details, b"", "not JSON"),
        (Details, b"\xff", "not JSON"),
        (Details, b"[]", "object"),
        (Details, b"{}", "api_version: missing"),
        (Details, json.dumps(DETAILS | {"cpu_count": True}).encode(), "cpu_count: expected int, got bool"),
        (Details, json.dumps(DETAILS | {"lbdrivers": 3}).encode(), "lbdrivers"),
        (Details, json.dumps(DETAILS | {"lbdrivers": EXTRAS | {"capabilities": [1]}}).encode(), r"capabilities\[0\]"),
        (Details, json.dumps(DETAILS | {"lbdrivers": EXTRAS | {"interfaces": {"m": 1}}}).encode(), r"interfaces\.m"),
        (Report, json.dumps(REPORT | {"holds_vip": "yes"}).encode(), "holds_vip: expected bool"),
        (Report, json.dumps(REPORT | {"haproxy_pids": [True]}).encode(), r"haproxy_pids\[0\]: expected int"),
        (Report, json.dumps(REPORT | {"listeners": {"l": {}}}).encode(), r"listeners\.l\.status: missing"),
        (Report, json.dumps(REPORT | {"pools": {"p": 1}}).encode(), r"pools\.p"),
        (Transitioned, b'{"commands": "x"}', "commands: expected list"),
    ],
)
def test_what_is_no_answer_is_refused(kind: type[Details | Report | Transitioned], content: bytes, words: str) -> None:
    with pytest.raises(Malformed, match=words):
        kind.parse(content)


def test_every_kind_of_field() -> None:
    fields = Fields.of_text(b'{"a": [["x", "y"]], "b": [{"n": 1}], "c": null, "d": 7, "e": "t"}')
    assert fields.names() == ("a", "b", "c", "d", "e")
    assert fields.pairs("a") == (("x", "y"),)
    assert fields.each("b", lambda one: one.number("n")) == (1,)
    assert fields.number_or_none("c") is None and fields.number_or_none("d") == 7
    assert fields.text_or_none("e") == "t" and fields.number("absent", 3) == 3
    for name, words in (("b", r"b\[0\]: expected two texts"), ("d", "d: expected list")):
        with pytest.raises(Malformed, match=words):
            fields.pairs(name)


def test_addresses_are_canonical() -> None:
    assert address("2001:DB8::1", "x") == "2001:db8::1" and cidr("192.0.2.0/24", "x") == "192.0.2.0/24"
    for read, text in ((address, "host"), (cidr, "192.0.2.1/24")):
        with pytest.raises(Malformed, match=r"^vip: "):
            read(text, "vip")
