"""What arrives at an appliance as the wanted state: typed values, or a refusal that names the path."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lbdrivers_amphora.nftables import document
from lbdrivers_amphora.nftables.ir import (
    Affinity,
    Balance,
    Configuration,
    HttpProbe,
    Member,
    Monitor,
    Pool,
    ProbeKind,
    Service,
)
from lbdrivers_amphora.wire.fields import Malformed

ONE, TWO, THREE = (f"{number}0000000-0000-4000-8000-000000000000" for number in (1, 2, 3))
MONITOR = Monitor(ProbeKind.HTTP, 5, 3, 2, 3, HttpProbe("HEAD", "/x?y", "1.1", "www.example.com", ((200, 204),)))
POOL = Pool(TWO, Balance.SOURCE_IP, (Member(THREE, "192.0.2.1", 53, 0, False, True, "192.0.2.2", 80),), None, MONITOR)
GOOD = Configuration(ONE, (Service(TWO, ("192.0.2.9", "2001:db8::9"), 53, 7, ("10.0.0.0/8",), POOL),))


def changed(path: str, value: object) -> bytes:
    """The good document with another value at a path such as ``services.0.port``."""
    content = json.loads(document.render(GOOD))
    *way, last = path.split(".")
    place: Any = content
    for step in way:
        place = place[int(step) if step.isdigit() else step]
    place[int(last) if last.isdigit() else last] = value
    return json.dumps(content).encode()


def test_the_good_one_is_read_as_it_was_written() -> None:
    assert document.parse(document.render(GOOD)) == GOOD
    bare = Configuration(ONE, (Service(TWO, (), 53, pool=Pool(THREE, Balance.ROUND_ROBIN, affinity=Affinity(9))),))
    assert document.parse(document.render(bare)) == bare


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("load_balancer_id", "x; flush ruleset", "load_balancer_id: 'x; flush ruleset' is not a UUID"),
        ("load_balancer_id", ONE.upper().replace("1", "A"), "is not a UUID"),
        ("services", 3, "services: expected list"),
        ("services.0.listener_id", "1", "services[0].listener_id: '1' is not a UUID"),
        ("services.0.port", 0, "services[0].port: 0 is not between 1 and 65535"),
        ("services.0.port", True, "services[0].port: expected int"),
        ("services.0.port", "53", "services[0].port: expected int"),
        ("services.0.limit", 0, "services[0].limit: 0 is not between"),
        ("services.0.addresses", ["10.0.0.256"], "services[0].addresses"),
        ("services.0.addresses", ["fe80::1%eth0"], "has a scope"),
        ("services.0.addresses", ["192.0.2.9", "192.0.2.9"], "services: two listeners at one address and port"),
        ("services.0.allowed", ["10.0.0.1/8"], "services[0].allowed"),
        ("services.0.pool.balance", "LEAST_CONNECTIONS", "one of ROUND_ROBIN, SOURCE_IP, SOURCE_IP_PORT is expected"),
        ("services.0.pool.members.0.weight", 257, "services[0].pool.members[0].weight: 257 is not between 0 and 256"),
        ("services.0.pool.members.0.address", "host", "services[0].pool.members[0].address"),
        ("services.0.pool.members.0.id", None, "services[0].pool.members[0].id: missing"),
        ("services.0.pool.members.0.enabled", 1, "expected bool"),
        ("services.0.pool.affinity", {"timeout": 0, "prefix4": 32, "prefix6": 128}, "affinity.timeout: 0"),
        ("services.0.pool.affinity", {"timeout": 1, "prefix4": 33, "prefix6": 128}, "affinity.prefix4: 33"),
        ("services.0.pool.monitor.kind", "PING", "one of UDP-CONNECT, TCP, HTTP is expected"),
        ("services.0.pool.monitor.kind", "TCP", "monitor.http: belongs to HTTP probes"),
        ("services.0.pool.monitor.rise", 11, "monitor.rise: 11 is not between 1 and 10"),
        ("services.0.pool.monitor.http.path", "/ HTTP/1.1\r\nX: y", "not one word of printable ASCII"),
        ("services.0.pool.monitor.http.version", "3", "1.0 or 1.1 is expected"),
        ("services.0.pool.monitor.http.codes", [[204, 200]], "204-200 is no range of HTTP statuses"),
        ("services.0.pool.monitor.http.codes", [[200]], "expected two whole numbers"),
    ],
)
def test_what_does_not_fit_is_refused_by_its_path(path: str, value: object, words: str) -> None:
    with pytest.raises(Malformed) as caught:
        document.parse(changed(path, value))
    assert words in str(caught.value)


@pytest.mark.parametrize("text", [b"", b"[]", b"{", b"null", b"\xff"])
def test_what_is_no_object_is_refused(text: bytes) -> None:
    with pytest.raises(Malformed):
        document.parse(text)
