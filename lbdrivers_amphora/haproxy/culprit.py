"""HAProxy's words about a configuration -> the objects of the tree that caused them.

Law: pure. HAProxy names a file and a line, or a frontend, backend or server by its name; our names are ids. The
line tells most exactly what is meant (a server line its member, an ACL its rule), the head of its section what
it belongs to. What names nothing of the tree is left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from lbdrivers.model.resources import LoadBalancer

_ALERT = re.compile(r"^\[ALERT\][^:]*: *(?:config *: *)?(.*)$", re.MULTILINE)
_PLACE = re.compile(r"(?:parsing )?\[[^\]\s]*haproxy\.cfg[^\]\s:]*:(\d+)\] *:? *")
_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass(frozen=True)
class Culprit:
    """An object of the tree, by its kind, id and name, and what HAProxy said about it."""

    kind: str
    id: str
    name: str
    words: str

    def __str__(self) -> str:
        called = f"{self.name!r} ({self.id})" if self.name else self.id
        return f"{self.kind} {called}: {self.words}"


def culprits(said: str, text: str, tree: LoadBalancer) -> tuple[Culprit, ...]:
    """Every object that HAProxy complains about, each once, in the order of the complaints.

    :param said: HAProxy's output.
    :param text: the configuration that it was given.
    """
    known = {resource.id: (kind, getattr(resource, "name", "")) for kind, resource in tree.walk()}
    lines = text.split("\n")
    found: dict[str, Culprit] = {}
    for alert in _ALERT.findall(said):
        place, words = _PLACE.search(alert), _PLACE.sub("", alert).strip()
        named = _ID.findall(words) if place is None else (*_around(lines, int(place[1])), *_ID.findall(words))
        # The load balancer's own id is in the path of every file: it is meant only where nothing else is.
        blamed = next((one for one in sorted(named, key=tree.id.__eq__) if one in known), None)
        if blamed is not None:
            found.setdefault(blamed, Culprit(known[blamed][0], blamed, known[blamed][1], words))
    return tuple(found.values())


def _around(lines: list[str], number: int) -> Iterator[str]:
    """Ids on that line, then those in the head of its section."""
    if not 0 < number <= len(lines):
        return
    yield from _ID.findall(lines[number - 1])
    for line in reversed(lines[: number - 1]):
        if line and not line.startswith((" ", "#")):
            yield from _ID.findall(line)
            return
