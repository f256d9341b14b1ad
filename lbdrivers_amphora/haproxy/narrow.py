"""Two texts of haproxy.cfg -> the parts of them that differ: all that has to be read to know what changed.

Law: ``transition`` of what ``narrow`` leaves is ``transition`` of the whole, for texts that ``render``
wrote. What it does beyond comparing bytes is O(difference): one of ten thousand members changes within
a millisecond.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable

#: What stands between sections, and before the name of a server.
GAP = b"\n\n"
SERVER = b"    server "
# Bytes that are compared at once, which happens at the speed of memory.
_CHUNK = 1 << 14


def narrow(running: bytes, wanted: bytes) -> tuple[bytes, bytes]:
    """Both texts without the sections and servers that are the same in both.

    What stands before the first frontend or backend is left in any case.
    """
    return _servers_alone(running, wanted) or _sections_alone(running, wanted)


def _servers_alone(running: bytes, wanted: bytes) -> tuple[bytes, bytes] | None:
    """Where nothing but neighbouring servers of one backend differs: found without a look at the others."""
    start, end, wanted_end = _window(running, wanted)
    old, new = running[start:end].splitlines(), wanted[start:wanted_end].splitlines()
    section = running.rfind(GAP, 0, start) + len(GAP)
    first = running.find(b"\n" + SERVER, section, end) + 1
    if not running.startswith(b"backend ", section) or not section < first <= start:
        return None
    if not all(line.startswith(SERVER) for line in (*old, *new)):
        return None
    head = _preamble(running) + running[section - len(GAP) : first]
    return head + _lines(old, without=new), head + _lines(new, without=old)


def _lines(lines: list[bytes], without: list[bytes]) -> bytes:
    """Those lines that are servers of one side alone, and all that are no servers."""
    others = set(without)
    kept = [line for line in lines if line not in others or not line.startswith(SERVER)]
    return b"\n".join(kept) + b"\n"


def _sections_alone(running: bytes, wanted: bytes) -> tuple[bytes, bytes]:
    old, new = sections(running), sections(wanted)
    if old is None or new is None:
        return running, wanted
    return _different(old, new), _different(new, old)


def _different(sections: dict[bytes, bytes], others: dict[bytes, bytes]) -> bytes:
    """The sections of one side, as far as the other has them otherwise or not at all."""
    left: list[bytes] = []
    for name, text in sections.items():
        other = others.get(name)
        if other is None:
            left.append(text)
        elif other != text or not name.startswith((b"frontend ", b"backend ")):
            left.append(_lines(text.split(b"\n"), without=other.split(b"\n")).rstrip(b"\n"))
    return GAP.join(left) + b"\n"


def outline(text: bytes) -> bytes:
    """The text with one server of each backend: as those of a pool are alike but for who they are, that is all
    that tells which certificate files are in use."""
    return GAP.join(map(_with_one_server, text.rstrip(b"\n").split(GAP))) + b"\n"


def _with_one_server(section: bytes) -> bytes:
    head, _, servers = section.partition(b"\n" + SERVER)
    if servers.count(b"\n") != servers.count(b"\n" + SERVER):
        return section  # nothing of ours: what is behind servers must be seen
    return head + b"\n" + SERVER + servers.partition(b"\n")[0] if servers else section


def sections(text: bytes) -> dict[bytes, bytes] | None:
    """Sections by their first line; None when two have the same one, as no text of ours has."""
    parts = text.rstrip(b"\n").split(GAP)
    found = {part.partition(b"\n")[0]: part for part in parts}
    return found if len(found) == len(parts) else None


def _preamble(text: bytes) -> bytes:
    """Everything before the first frontend or backend, without the empty line behind it."""
    ends = [end for end in (text.find(GAP + word) for word in (b"frontend ", b"backend ")) if end >= 0]
    return text[: min(ends)] if ends else text


def _window(running: bytes, wanted: bytes) -> tuple[int, int, int]:
    """Where the lines that differ start in both, and where they end in each."""
    shorter = min(len(running), len(wanted))
    same = _agreed(shorter, lambda low, high: running[low:high] == wanted[low:high])
    ends = len(running), len(wanted)
    behind = _agreed(
        shorter - same,
        lambda low, high: running[ends[0] - high : ends[0] - low] == wanted[ends[1] - high : ends[1] - low],
    )
    start = running.rfind(b"\n", 0, same) + 1
    line_end = running.find(b"\n", ends[0] - behind)
    rest = 0 if line_end < 0 else ends[0] - line_end - 1
    return start, ends[0] - rest, ends[1] - rest


def _agreed(limit: int, same: Callable[[int, int], bool]) -> int:
    """How many bytes agree, of ``limit`` at most; ``same`` compares those from one place to another."""
    place = 0
    while place < limit and same(place, min(place + _CHUNK, limit)):
        place += _CHUNK
    low, high = min(place, limit), min(place + _CHUNK, limit)
    return low + bisect_left(range(high - low), True, key=lambda count: not same(low, low + count + 1))
