"""Many configurations in one file, so that one process of HAProxy checks them all.

Law: every section of each is there, under a name of its own, and leads to the sections it led to.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import count

from lbdrivers_amphora.haproxy.ir import Backend, Configuration, Frontend
from lbdrivers_amphora.haproxy.word import Line, Word

#: Words behind which the name of a backend stands.
_LEADING = ("use_backend", "default_backend")


def merged(configurations: Sequence[Configuration]) -> Configuration:
    """One configuration out of many that stand alone (no peers); its process is that of the first."""
    numbers = count(1)
    frontends: list[Frontend] = []
    backends: list[Backend] = []
    for place, one in enumerate(configurations):
        assert one.peers is None
        frontends += (_frontend(frontend, place, numbers) for frontend in one.frontends)
        backends += (replace(backend, name=_name(place, backend.name)) for backend in one.backends)
    processes = dict.fromkeys(line for one in configurations for line in one.process if line[0] != "stats")
    keywords = {" ".join(line[:2]) if line[0] == "log" else line[0]: line for line in processes}
    return replace(
        configurations[0], process=tuple(keywords.values()), frontends=tuple(frontends), backends=tuple(backends)
    )


def _name(place: int, name: str) -> Word:
    return Word(f"{place}-{name}")


def _frontend(frontend: Frontend, place: int, numbers: Iterator[int]) -> Frontend:
    return replace(
        frontend,
        name=_name(place, frontend.name),
        lines=tuple(_line(line, place, numbers) for line in frontend.lines),
    )


def _line(line: Line, place: int, numbers: Iterator[int]) -> Line:
    if line[0] in _LEADING and ":" in line[1]:
        return (line[0], _name(place, line[1]), *line[2:])
    if line[0] == "acl" and "-u" in line:
        behind = line.index(Word("-u")) + 1
        return (*line[:behind], Word(str(next(numbers))), *line[behind + 1 :])
    return line
