"""What HAProxy has to check of a text, when it has accepted another one that differs in servers alone.

Law: HAProxy accepts an excerpt when, and only when, it accepts the whole text; for texts that ``render`` wrote.
A server is judged by its own line, by its section, and by the settings before it; among each other, the
servers of a backend must differ in their names and in their numbers, which is looked at here. HAProxy reads the
whole of ten thousand servers in seconds, and an excerpt in the time that it takes to start.
"""

from __future__ import annotations

import re

from lbdrivers_amphora.haproxy.narrow import GAP, SERVER, narrow, sections
from lbdrivers_amphora.haproxy.parse import parse

#: New names or numbers are looked for in the whole text, one by one; so many take less time than a check.
_MOST = 100
_NAME = re.compile(rb"^    server (\S+) ", re.MULTILINE)
#: As ``render`` places it, behind the weight.
_NUMBER = re.compile(rb"^    server \S+ \S+ weight \S+( id \d+)(?= |$)", re.MULTILINE)


def excerpt(accepted: bytes, wanted: bytes) -> bytes | None:
    """The part of ``wanted`` that stands for it all; None where only the whole can be judged.

    :param accepted: a text that HAProxy has accepted.
    """
    left, right = narrow(accepted, wanted)
    try:
        parse(right.decode())
    except ValueError:
        return None  # another controller's, of which nothing is known
    old, new = sections(left), sections(right)
    if old is None or new is None or list(old) != list(new):
        return None
    for name, text in new.items():
        if text == old[name]:
            continue
        if not name.startswith(b"backend ") or _settings(text) != _settings(old[name]):
            return None
        if not _distinct(old[name], text, _whole(wanted, name)):
            return None
    return right


def _settings(section: bytes) -> list[bytes]:
    """All of a section but its servers."""
    return [line for line in section.split(b"\n") if not line.startswith(SERVER)]


def _whole(text: bytes, name: bytes) -> bytes:
    """The section with that first line, as the text has it."""
    start = text.find(GAP + name + b"\n") + 1
    end = text.find(GAP, start + 1)
    return text[start : len(text) if end < 0 else end + 1]


def _distinct(old: bytes, new: bytes, whole: bytes) -> bool:
    """Whether no server that is new has the name or the number of one that stays.

    Those that are new differ from each other, if they do, to HAProxy's own eyes.
    """
    names = set(_NAME.findall(new)) - set(_NAME.findall(old))
    numbers = set(_NUMBER.findall(new)) - set(_NUMBER.findall(old))
    if len(names) + len(numbers) > _MOST:
        return False
    return all(whole.count(b"\n" + SERVER + name + b" ") == 1 for name in names) and all(
        len(re.findall(re.escape(number) + rb"(?= |\n)", whole)) == 1 for number in numbers
    )
