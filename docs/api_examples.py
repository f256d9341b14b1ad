"""The examples of docs/api.md: what is shown of each public name, and how it reads on the page.

``docs/api/<module>.md`` has a head and passages. Each ``## name, name`` begins the passage that is there for
these names (and for what it shows besides); it runs by itself after the head. Examples are indented by four.
"""

from __future__ import annotations

import ast
import doctest
import re
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent / "api"
_HEADING = re.compile(r"^## (.+)$", re.MULTILINE)
_INDENTED = re.compile(r"(?:^ {4}.*\n(?:^\n(?=^ {4}))*)+", re.MULTILINE)


@dataclass(frozen=True)
class Passage:
    """Some examples. ``names`` that they are there for; none for a head."""

    names: tuple[str, ...]
    text: str

    def markdown(self) -> str:
        """As it stands on the page."""
        return _INDENTED.sub(lambda found: _fenced(found[0]), self.text).strip() + "\n"

    def shows(self, name: str) -> bool:
        """Whether the name is really used here, or answered with; to import it is not enough."""
        lines = doctest.DocTestParser().get_examples(self.text)
        return any(name in _used(one.source) or re.search(rf"\b{name}\b", one.want) for one in lines)


@dataclass(frozen=True)
class Examples:
    """Those of one module. ``head`` goes before each passage."""

    head: Passage
    passages: tuple[Passage, ...]

    def of(self, name: str) -> tuple[Passage, ...]:
        """The passages that are there for the name, else the first one that shows it."""
        own = tuple(passage for passage in self.passages if name in passage.names)
        return own or tuple(passage for passage in self.passages if passage.shows(name))[:1]


def examples(module: str) -> Examples:
    """The examples of a module; none where it has no file."""
    file = FOLDER / f"{module}.md"
    _title, _, text = (file.read_text() if file.exists() else "").partition("\n")
    head, *rest = _HEADING.split(text)
    pairs = zip(rest[::2], rest[1::2], strict=True)
    return Examples(Passage((), head), tuple(Passage(tuple(names.split(", ")), body) for names, body in pairs))


def _used(source: str) -> set[str]:
    """Names and attributes in a piece of source; programs in texts, which other processes run, count."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Name):
            found.add(node.id)
        elif isinstance(node, ast.Attribute):
            found.add(node.attr)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and "import " in node.value:
            found |= _used(node.value)
    return found


def _fenced(block: str) -> str:
    lines = "\n".join(line.removeprefix("    ") for line in block.rstrip().split("\n"))
    return f"```pycon\n{lines}\n```\n"
