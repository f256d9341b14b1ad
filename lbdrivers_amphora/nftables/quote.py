"""The quoting door of nftables: the only way from values into a ruleset.

Law: a value enters by its type (an id, an address, a network, a number), is checked, and is spelled
canonically; text of users has no type here and so no way in. ``spell`` looks at every word again.

Source: nft(8), "LEXICAL CONVENTIONS": an identifier begins with a letter, then letters, digits and ``/\\_.-``.
"""

from __future__ import annotations

import ipaddress
import re
import uuid
from collections.abc import Iterable
from typing import Any

from lbdrivers_amphora.nftables.word import Line, Word

_SPELLED = re.compile(r'[A-Za-z0-9_./:,;@&=!<>{}"-]+', re.ASCII)
_KEYWORDS = re.compile(r"[a-z0-9_.:,;@&=!<>{} -]+", re.ASCII)
_PREFIX = re.compile(r"[a-z][a-z0-9]*(?:-[a-z0-9]+)*", re.ASCII)
#: Marks of flows are 32 bits wide; 0 means "none".
_MARKS = range(1, 1 << 32)


def words(text: str) -> Line:
    """What this package itself says, in nftables' own words, with blanks between. Not for values."""
    if not _KEYWORDS.fullmatch(text):
        raise ValueError(f"{text!r} is not made of nftables' own words")
    return tuple(Word(word) for word in text.split())


def identifier(prefix: str, object_id: str) -> Word:
    """A name made from the id of a listener or load balancer, such as ``service-<uuid>``.

    :raises ValueError: when the id is no UUID in its usual spelling.
    """
    if not _PREFIX.fullmatch(prefix) or str(uuid.UUID(object_id)) != object_id:
        raise ValueError(f"{prefix!r} and {object_id!r} make no name; a word and a UUID are wanted")
    return Word(f"{prefix}-{object_id}")


def revision(digest: str) -> Word:
    """The name that says which ruleset a table holds."""
    if not re.fullmatch("[0-9a-f]{32}", digest):
        raise ValueError(f"{digest!r} is no digest")
    return Word(f"revision-{digest}")


def reference(name: Word) -> Word:
    """A set or map where a rule looks into it."""
    return Word(f"@{name}")


def quoted(name: Word) -> Word:
    """The name of a counter where a rule uses it."""
    return Word(f'"{name}"')


def address(text: str) -> Word:
    """An IPv4 or IPv6 address. :raises ValueError: when it is none, or has a scope."""
    return Word(ipaddress.ip_address(_unscoped(text)))


def networks(cidrs: Iterable[str]) -> Line:
    """Networks of one family, those within others left out, neighbours joined: a set takes no overlaps.

    :raises ValueError: when one is no network.
    """
    found: list[Any] = [ipaddress.ip_network(_unscoped(cidr)) for cidr in cidrs]
    return tuple(
        Word(one.network_address if one.prefixlen == one.max_prefixlen else one)
        for one in ipaddress.collapse_addresses(found)
    )


def _unscoped(text: str) -> str:
    if "%" in text:
        raise ValueError(f"{text!r} has a scope, which means nothing to another machine")
    return text


def netmask(prefix: int, bits: int) -> Word:
    """The mask of the first ``prefix`` bits of an address of so many bits."""
    mask = ((1 << bits) - 1) ^ ((1 << bits - _within(prefix, bits)) - 1)
    return Word(ipaddress.IPv6Address(mask) if bits == 128 else ipaddress.IPv4Address(mask))


def number(value: int, highest: int, lowest: int = 0) -> Word:
    """A whole number. :raises ValueError: when it is outside of its range."""
    return Word(_within(value, highest, lowest))


def _within(value: int, highest: int, lowest: int = 0) -> int:
    if not lowest <= value <= highest:
        raise ValueError(f"{value} is not between {lowest} and {highest}")
    return int(value)


def port(value: int) -> Word:
    """A port."""
    return number(value, 65535, 1)


def mark(value: int) -> Word:
    """The mark of flows."""
    return number(value, _MARKS[-1], _MARKS[0])


def interval(low: int, high: int) -> Word:
    """Numbers from ``low`` to ``high``, both included; spelled as nft lists them."""
    first, last = number(low, (1 << 32) - 1), number(high, (1 << 32) - 1, low)
    return first if low == high else Word(f"{first}-{last}")


def spell(line: Line) -> str:
    """One line of text. :raises ValueError: for a word that nft might read as anything but one word."""
    for word in line:
        if not _SPELLED.fullmatch(word):
            raise ValueError(f"{word!r} cannot stand in a ruleset")
    return " ".join(line)
