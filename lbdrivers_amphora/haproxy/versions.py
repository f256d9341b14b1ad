"""Versions of HAProxy: which is the oldest that what we write works on, and why.

Law: pure. An appliance whose HAProxy is older is refused by name before anything is sent to it; it never
gets a file that its HAProxy does not understand. Newer ones take the same text: Debian 12's 2.6 and
Debian 13's 3.0 are tested side by side.

Source: HAProxy's changelog, where each of these words appears.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from lbdrivers.errors import UnsupportedError

Version = tuple[int, int]

#: What every configuration needs -> the version that brought it.
NEEDED: Mapping[str, Version] = {
    "http-check send": (2, 2),
    "new ssl cert": (2, 2),
    "add server without experimental-mode": (2, 6),
    "option idle-close-on-response": (2, 5),
    "fd-hard-limit": (2, 6),
}
#: The oldest version that is served.
FLOOR: Version = max(NEEDED.values())
_VERSION = re.compile(r"(\d+)\.(\d+)(?:[.-].*)?")


def parse(text: str) -> Version:
    """The first two numbers, which say what HAProxy can do: ``2.6.12-1+deb12u1`` is (2, 6).

    :raises UnsupportedError: when the text is no version.
    """
    found = _VERSION.fullmatch(text)
    if found is None:
        raise UnsupportedError(f"the appliance says that its HAProxy is {text!r}, which is no version")
    return int(found[1]), int(found[2])


def require(text: str) -> Version:
    """The version, if it is new enough.

    :raises UnsupportedError: names the version, what it lacks, and the oldest that has it.
    """
    version = parse(text)
    lacking = [word for word, since in NEEDED.items() if version < since]
    if lacking:
        floor = ".".join(map(str, FLOOR))
        raise UnsupportedError(
            f"the appliance has HAProxy {text}, which lacks {'; '.join(lacking)}; {floor} is the oldest that is served"
        )
    return version
