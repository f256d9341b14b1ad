"""Every section and option of a file held against the names that are known.

Law: a name that nobody knows is an error that says where it stands and what it may have meant; one
that Octavia has dropped is told with what replaces it; nothing is ignored in silence but what another
service owns. Values are not looked at here.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from oslo_config import iniparser

from lbdrivers.errors import InvalidInput, Problem
from lbdrivers.settings.names import CURRENT, OUTDATED, WHOLE, WHOLE_PREFIX

#: section -> options; what drivers declare (see ``declared``).
Declared = Mapping[str, Collection[str]]


@dataclass(frozen=True)
class Place:
    """An option, or with an empty name the head of a section, and where it stands."""

    section: str
    option: str
    location: str

    def __str__(self) -> str:
        return f"[{self.section}] {self.option}".rstrip()


@dataclass(frozen=True)
class Findings:
    """What is worth telling of files that can be used.

    :param outdated: what Octavia has dropped, each with what replaces it.
    :param known: what Octavia knows and the core does not read; a driver may.
    """

    outdated: tuple[tuple[Place, str], ...] = ()
    known: tuple[Place, ...] = ()

    def warning(self) -> str:
        """All that is outdated, in one line; empty when nothing is."""
        if not self.outdated:
            return ""
        told: dict[str, list[str]] = {}
        for place, instead in self.outdated:
            told.setdefault(instead, []).append(f"{place} ({place.location})")
        listed = "; ".join(f"{', '.join(places)}: use {instead}" for instead, places in told.items())
        return f"outdated options are ignored: {listed}".replace(": use nothing: ", ": ")

    def note(self, declared: Declared) -> str:
        """What is known and read by nobody, in one line; empty when there is nothing.

        :param declared: options that drivers read.
        """
        unused = [str(place) for place in self.known if not _has(declared, _normal(place.section), place.option)]
        return f"options without meaning here: {', '.join(unused)}" if unused else ""


def _normal(section: str) -> str:
    """oslo.config knows sections by their lower-case names, except the default one."""
    return section if section == "DEFAULT" else section.lower()


class _Parser(iniparser.BaseParser):
    """The places of one file, by oslo.config's own grammar."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name
        self.section = "DEFAULT"
        self.at = 0
        self.places: list[Place] = []

    def _split_key_value(self, line: str) -> tuple[str, list[str]]:
        # The line of the key: the value may go on for several more before ``assignment`` is called.
        self.at = self.lineno
        split: tuple[str, list[str]] = super()._split_key_value(line)
        return split

    def new_section(self, section: str) -> None:
        self.section = section
        self.places.append(Place(section, "", f"{self.name}:{self.lineno}"))

    def assignment(self, key: str, value: list[str]) -> None:  # noqa: ARG002 the signature of oslo.config's parser
        self.places.append(Place(self.section, key, f"{self.name}:{self.at}"))


def places(text: str, name: str) -> tuple[Place, ...]:
    """Every section head and option of a file, in order.

    :raises InvalidInput: when it is no INI file; names the line.
    """
    parser = _Parser(name)
    try:
        parser.parse(text.split("\n"))
    except iniparser.ParseError as error:
        line, message, remedy = error.line.strip(), error.msg, "write [section], then option = value"
        raise InvalidInput(
            (Problem("", line, f"this is no option: {message}", remedy, f"{name}:{error.lineno}"),)
        ) from error
    return tuple(parser.places)


@dataclass
class Names:
    """What is known. ``more`` is asked once, and only for a name that nothing else knows.

    :param ours: options that the core reads.
    :param more: gives those that installed drivers declare.
    """

    ours: Declared
    more: Callable[[], Declared]
    _asked: Declared | None = field(default=None)

    def reads(self, section: str, option: str) -> bool:
        """Whether somebody here reads the option (or has a section of that name, for an empty one)."""
        if self._asked is None and not _has(self.ours, section, option):
            self._asked = self.more()
        return _has(self.ours, section, option) or _has(self._asked or {}, section, option)

    def sections(self) -> set[str]:
        """Every section name there is."""
        return {*CURRENT, *WHOLE, *self.ours, *(self._asked or {}), "oslo_messaging"}

    def options(self, section: str) -> set[str]:
        """Every option name of the section."""
        return {*CURRENT.get(section, ()), *self.ours.get(section, ()), *(self._asked or {}).get(section, ())}


def _has(declared: Declared, section: str, option: str) -> bool:
    return section in declared and (not option or option in declared[section])


def check(found: Sequence[Place], names: Names) -> Findings:
    """Sort the places of files by what is known of them.

    :raises InvalidInput: with every section and option that nobody knows.
    """
    problems: list[Problem] = []
    outdated: list[tuple[Place, str]] = []
    known: list[Place] = []
    for place in found:
        section = _normal(place.section)
        instead = OUTDATED.get((section, place.option))
        if instead is not None:
            outdated.append((place, instead))
        elif (section, "") in OUTDATED or section in WHOLE or section.startswith(WHOLE_PREFIX):
            continue
        elif not place.option:
            problems.extend(_unknown_section(section, place, names))
        elif place.option in CURRENT.get(section, ()):
            if section != "DEFAULT" and place.option not in names.ours.get(section, ()):
                known.append(place)
        elif section in names.sections() and not names.reads(section, place.option):
            remedy = _did_you_mean(place.option, names.options(section), _elsewhere(place.option, names))
            problems.append(Problem(str(place), "", "is an option that nobody knows", remedy, place.location))
    if problems:
        raise InvalidInput(tuple(problems))
    return Findings(tuple(outdated), tuple(known))


def _unknown_section(section: str, place: Place, names: Names) -> Iterator[Problem]:
    if section in CURRENT or names.reads(section, ""):
        return
    remedy = _did_you_mean(section, names.sections(), ())
    yield Problem(str(place), "", "is a section that nobody knows", remedy, place.location)


def _elsewhere(option: str, names: Names) -> tuple[str, ...]:
    return tuple(sorted(f"[{section}] {option}" for section in names.sections() if option in names.options(section)))


def _did_you_mean(word: str, known: Collection[str], elsewhere: Sequence[str]) -> str:
    if elsewhere:
        return f"did you mean {' or '.join(elsewhere)}?"
    import difflib

    close = difflib.get_close_matches(word.lower().replace("-", "_"), known, n=1, cutoff=0.6)
    return f"did you mean {close[0]}?" if close else "remove it"
