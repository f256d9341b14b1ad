"""Configuration <-> JSON, as it travels to the appliance and rests on its disk.

Law: ``parse(render(configuration)) == configuration``, and equal configurations have equal bytes.
What does not fit is refused with its path; whatever passes can be written as rules.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterable
from dataclasses import asdict
from enum import StrEnum
from typing import TypeVar

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
from lbdrivers_amphora.nftables.ring import SLOTS
from lbdrivers_amphora.wire.fields import Fields, Malformed, address, cidr

_Word = TypeVar("_Word", bound=StrEnum)
_Value = TypeVar("_Value")

_SECONDS = (1, 2073600)  # a timer of the API: 24 days
_STATUSES = (100, 599)
_LIMITS = (1, 2147483647)


def render(configuration: Configuration) -> bytes:
    """The configuration as JSON."""
    return json.dumps(asdict(configuration), separators=(",", ":"), sort_keys=True).encode()


def parse(text: bytes) -> Configuration:
    """:raises Malformed: names the path of what is not as it should be."""
    return read(Fields.of_text(text))


def read(source: Fields) -> Configuration:
    """The configuration out of a JSON object. :raises Malformed: names the path."""
    services = source.each("services", _service)
    _all_differ((service.listener_id for service in services), source, "services", "listeners of one id")
    ends = ((end, service.port) for service in services for end in service.addresses)
    _all_differ(ends, source, "services", "listeners at one address and port")
    return Configuration(_identity(source, "load_balancer_id"), services)


def _service(source: Fields) -> Service:
    return Service(
        listener_id=_identity(source, "listener_id"),
        addresses=tuple(_address(source, "addresses", text) for text in source.texts("addresses")),
        port=_port(source, "port"),
        limit=_number_or_none(source, "limit", *_LIMITS),
        allowed=tuple(cidr(text, source.at("allowed")) for text in source.texts("allowed")),
        pool=_inner(source, "pool", _pool),
    )


def _pool(source: Fields) -> Pool:
    members = source.each("members", _member)
    if len(members) > SLOTS:
        raise Malformed(f"{source.at('members')}: {len(members)} members; {SLOTS} at most")
    _all_differ((member.id for member in members), source, "members", "members of one id")
    return Pool(
        id=_identity(source, "id"),
        balance=_word(source, "balance", Balance),
        members=members,
        affinity=_inner(source, "affinity", _affinity),
        monitor=_inner(source, "monitor", _monitor),
    )


def _member(source: Fields) -> Member:
    probe_address = source.text_or_none("probe_address")
    return Member(
        id=_identity(source, "id"),
        address=_address(source, "address", source.text("address")),
        port=_port(source, "port"),
        weight=_number(source, "weight", 0, 256),
        enabled=source.switch("enabled"),
        backup=source.switch("backup"),
        probe_address=None if probe_address is None else _address(source, "probe_address", probe_address),
        probe_port=_number_or_none(source, "probe_port", 1, 65535),
    )


def _affinity(source: Fields) -> Affinity:
    return Affinity(
        timeout=_number(source, "timeout", *_SECONDS),
        prefix4=_number(source, "prefix4", 0, 32),
        prefix6=_number(source, "prefix6", 0, 128),
    )


def _monitor(source: Fields) -> Monitor:
    kind = _word(source, "kind", ProbeKind)
    http = _inner(source, "http", _http)
    if (http is not None) != (kind is ProbeKind.HTTP):
        raise Malformed(f"{source.at('http')}: belongs to {ProbeKind.HTTP} probes, which need it")
    return Monitor(
        kind=kind,
        delay=_number(source, "delay", *_SECONDS),
        timeout=_number(source, "timeout", *_SECONDS),
        rise=_number(source, "rise", 1, 10),
        fall=_number(source, "fall", 1, 10),
        http=http,
    )


def _http(source: Fields) -> HttpProbe:
    version = source.text("version")
    if version not in ("1.0", "1.1"):
        raise Malformed(f"{source.at('version')}: {version!r}; 1.0 or 1.1 is expected")
    host = source.text_or_none("host")
    return HttpProbe(
        method=_line(source, "method"),
        path=_line(source, "path"),
        version=version,
        host=None if host is None else _line(source, "host"),
        codes=tuple(_codes(low, high, source.at("codes")) for low, high in source.number_pairs("codes")),
    )


def _codes(low: int, high: int, path: str) -> tuple[int, int]:
    if not _STATUSES[0] <= low <= high <= _STATUSES[1]:
        raise Malformed(f"{path}: {low}-{high} is no range of HTTP statuses")
    return low, high


def _line(source: Fields, name: str) -> str:
    """A word of an HTTP request: printable ASCII without blanks, so that it ends no line and opens none."""
    text = source.text(name)
    if not text or not all("!" <= character <= "~" for character in text):
        raise Malformed(f"{source.at(name)}: {text!r} is not one word of printable ASCII")
    return text


def _address(source: Fields, name: str, text: str) -> str:
    if "%" in text:
        raise Malformed(f"{source.at(name)}: {text[:60]!r} has a scope, which means nothing to a ruleset")
    return address(text, source.at(name))


def _identity(source: Fields, name: str) -> str:
    text = source.text(name)
    try:
        known = str(uuid.UUID(text)) == text
    except ValueError:
        known = False
    if not known:
        raise Malformed(f"{source.at(name)}: {text[:60]!r} is not a UUID")
    return text


def _word(source: Fields, name: str, kind: type[_Word]) -> _Word:
    text = source.text(name)
    try:
        return kind(text)
    except ValueError:
        raise Malformed(f"{source.at(name)}: {text[:60]!r}; one of {', '.join(kind)} is expected") from None


def _number(source: Fields, name: str, low: int, high: int) -> int:
    value = source.number(name)
    if not low <= value <= high:
        raise Malformed(f"{source.at(name)}: {value} is not between {low} and {high}")
    return value


def _number_or_none(source: Fields, name: str, low: int, high: int) -> int | None:
    return None if source.number_or_none(name) is None else _number(source, name, low, high)


def _port(source: Fields, name: str) -> int:
    return _number(source, name, 1, 65535)


def _inner(source: Fields, name: str, parse_it: Callable[[Fields], _Value]) -> _Value | None:
    found = source.inner(name)
    return None if found is None else parse_it(found)


def _all_differ(values: Iterable[object], source: Fields, name: str, what: str) -> None:
    seen: set[object] = set()
    for value in values:
        if value in seen:
            raise Malformed(f"{source.at(name)}: two {what}: {value}")
        seen.add(value)
