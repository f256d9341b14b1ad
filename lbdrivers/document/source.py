"""Text to plain values: YAML or JSON into mappings, lists and scalars, with the line of each.

Law: no tag, no type but those of JSON, no ambiguity. Scalars follow YAML 1.2's core schema, so that
``no``, ``on`` and ``12:30`` are text and not a boolean or a number in base sixty; keys are text and
stand once. What is too large, too deep or expands without bound is refused before it is built.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn, TypeAlias

import yaml

from lbdrivers.errors import InvalidInput, Problem

#: A place in the document: keys and indices from the root.
Path: TypeAlias = tuple[str | int, ...]

#: Characters of a document; a load balancer of 10,000 members takes about a quarter of it.
MAXIMUM_SIZE = 8 * 1024 * 1024
#: Levels of nesting; a load balancer needs eight.
MAXIMUM_DEPTH = 40
#: Values of a document after its aliases are written out.
MAXIMUM_VALUES = 500_000

_PLAIN_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
# YAML 1.2.2 section 10.3.2 (core schema), less the octal and hexadecimal forms, which no field wants.
_INTEGER = re.compile(r"[-+]?[0-9]{1,18}")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]{1,3})?")
_WORDS: Mapping[str, bool | None] = {
    "": None,
    "~": None,
    **dict.fromkeys(("null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_JSON_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\],:]|[^\s{}\[\],:"]+')

# What newer releases of libyaml say of a depth that ours would refuse a moment later, as they read ahead.
_TOO_DEEP = "maximum nesting depth"

_Loader: type[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def show_path(path: Path) -> str:
    """The path as people write it: ``loadbalancer.listeners[0].name``."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        elif _PLAIN_KEY.fullmatch(step):
            text += f".{step}" if text else step
        else:
            text += f"[{json.dumps(step, ensure_ascii=False)}]"
    return text


@dataclass(frozen=True)
class Source:
    """A document as plain values.

    :param name: what to call it in errors, such as the file's name.
    :param root: mappings with text keys, lists, text, numbers, booleans and None.
    :param lines: line (from 1) of each place.
    """

    name: str
    root: Any
    lines: Mapping[Path, int]

    def line(self, path: Path) -> int:
        """Line of the place, or of the nearest one around it that is in the text; 0 in an empty text."""
        around = (path[:length] for length in range(len(path), -1, -1))
        return next((self.lines[place] for place in around if place in self.lines), 0)

    def location(self, path: Path) -> str:
        """File and line of the place."""
        line = self.line(path)
        return f"{self.name}:{line}" if line else self.name


def read(text: str, name: str) -> Source:
    """Parse YAML or JSON.

    :param name: what to call the document in errors.
    :raises InvalidInput: with the line, the cause and the remedy.
    """
    if len(text) > MAXIMUM_SIZE:
        _refuse(name, 0, f"the document has {len(text)} characters; at most {MAXIMUM_SIZE} are read")
    text = text.removeprefix("\ufeff")
    if text.lstrip(" \t\r\n").startswith("{"):
        root, found = _load_json(text, name)
        if found:
            return Source(name, root, _json_lines(text, name))
    return _Builder(name).build(text)


def _refuse(name: str, line: int, message: str, remedy: str = "", path: Path = (), value: str = "") -> NoReturn:
    location = f"{name}:{line}" if line else name
    raise InvalidInput((Problem(show_path(path), value, message, remedy, location),))


def _refuse_depth(name: str, line: int) -> NoReturn:
    _refuse(name, line, f"the document is nested more than {MAXIMUM_DEPTH} levels deep")


def scalar(text: str) -> str | int | float | bool | None:
    """The value of a plain (unquoted) YAML scalar."""
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text) and len(text) <= 40:
        return float(text)
    return text


# --- JSON ------------------------------------------------------------------------------------


def _load_json(text: str, name: str) -> tuple[Any, bool]:
    """The value and True, or False when it is not JSON (but perhaps YAML in flow style)."""

    def constant(word: str) -> NoReturn:
        _refuse(name, 0, f"{word} is not a number that JSON knows")

    try:
        return json.loads(text, parse_constant=constant), True
    except RecursionError:
        _refuse_depth(name, 0)
    except ValueError:
        return None, False


def _json_lines(text: str, name: str) -> dict[Path, int]:
    """Line of each value of a text that is known to be JSON; refuses repeated keys."""
    lines: dict[Path, int] = {}
    path: list[str | int] = []  # one step per open container: the key or index that comes next
    line, end, key_next = 1, 0, False
    for token in _JSON_TOKEN.finditer(text):
        line += text.count("\n", end, token.start())
        end = token.start()
        word = token[0]
        if word in "}]":
            path.pop()
        elif word == ",":
            last = path[-1]
            if isinstance(last, int):
                path[-1] = last + 1
            else:
                key_next = True
        elif word == ":":
            continue
        elif key_next and word[0] == '"':
            key_next = False
            path[-1] = json.loads(word, strict=False)
            if tuple(path) in lines:
                _refuse(name, line, "stands twice", "keep one of them", tuple(path))
            lines[tuple(path)] = line
        else:
            lines.setdefault(tuple(path), line)
            if word in "{[":
                path.append("" if word == "{" else 0)
                key_next = word == "{"
                if len(path) > MAXIMUM_DEPTH:
                    _refuse_depth(name, line)
    return lines


# --- YAML ------------------------------------------------------------------------------------


@dataclass
class _Open:
    """A mapping or list that is being read. ``size`` counts the values in it, aliases written out."""

    value: dict[str, Any] | list[Any]
    anchor: str | None
    path: Path
    key: str | None = None
    size: int = 1
    merged: list[Any] = field(default_factory=list)


class _Builder:
    """Builds values from YAML's flat stream of events: depth and size are checked as they grow."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.lines: dict[Path, int] = {}
        self.anchors: dict[str, tuple[Any, int]] = {}
        self.stack: list[_Open] = []
        self.documents = 0
        self.root: Any = None

    def build(self, text: str) -> Source:
        """:raises InvalidInput: when the text is not one YAML document."""
        for event in self._events(text):
            line = event.start_mark.line + 1
            if isinstance(event, yaml.DocumentStartEvent):
                self.documents += 1
                if self.documents > 1:
                    _refuse(self.name, line, "a second document starts here (---)", "put one load balancer in a file")
            elif isinstance(event, yaml.AliasEvent):
                self._alias(event.anchor, line)
            elif isinstance(event, yaml.ScalarEvent):
                self._scalar(event, line)
            elif isinstance(event, yaml.MappingStartEvent | yaml.SequenceStartEvent):
                self._open(event, line)
            elif isinstance(event, yaml.CollectionEndEvent):
                self._close(line)
        return Source(self.name, self.root, self.lines)

    def _events(self, text: str) -> Iterator[Any]:
        try:
            yield from yaml.parse(text, Loader=_Loader)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            line = mark.line + 1 if mark else 0
            if _TOO_DEEP in (error.problem or ""):
                _refuse_depth(self.name, line)
            source_line = text.splitlines()[line - 1] if 0 < line <= len(text.splitlines()) else ""
            if mark and source_line[mark.column : mark.column + 1] == "\t":
                _refuse(
                    self.name, line, "a tab indents this line", "indent with blanks", value=source_line.strip()[:60]
                )
            cause = " ".join(part for part in (error.context, error.problem) if part)
            _refuse(self.name, line, f"this is not YAML: {cause}", value=source_line.strip()[:60])
        except yaml.reader.ReaderError as error:
            code = error.character if isinstance(error.character, int) else ord(error.character)
            line = text.count("\n", 0, error.position) + 1
            _refuse(self.name, line, f"the character U+{code:04X} cannot stand in YAML", "remove it")

    def _path(self) -> Path:
        if not self.stack:
            return ()
        top = self.stack[-1]
        return (*top.path, len(top.value) if isinstance(top.value, list) else top.key or "")

    def _scalar(self, event: yaml.ScalarEvent, line: int) -> None:
        top = self.stack[-1] if self.stack else None
        if top is not None and isinstance(top.value, dict) and top.key is None:
            self._key(top, event.value, line)
            return
        if event.tag not in (None, "!", "tag:yaml.org,2002:str"):
            _refuse(self.name, line, "tags are not understood", "remove it", self._path(), event.tag or "")
        plain = event.implicit[0] and event.tag is None
        self._add(scalar(event.value) if plain else event.value, 1, event.anchor, line)

    def _key(self, top: _Open, key: str, line: int) -> None:
        path = (*top.path, key)
        if key in top.value:
            first = self.lines.get(path, line)
            _refuse(self.name, line, f"stands twice, first in line {first}", "keep one of them", path)
        top.key = key
        self.lines[path] = line

    def _open(self, event: Any, line: int) -> None:
        mapping = isinstance(event, yaml.MappingStartEvent)
        if self.stack and isinstance(self.stack[-1].value, dict) and self.stack[-1].key is None:
            _refuse(
                self.name, line, "a key is itself a mapping or list", "write keys as plain words", self.stack[-1].path
            )
        if event.tag not in (None, "!"):
            _refuse(self.name, line, "tags are not understood", "remove it", self._path(), event.tag)
        if len(self.stack) >= MAXIMUM_DEPTH:
            _refuse_depth(self.name, line)
        path = self._path()
        self.lines.setdefault(path, line)
        self.stack.append(_Open({} if mapping else [], event.anchor, path))

    def _close(self, line: int) -> None:
        done = self.stack.pop()
        if isinstance(done.value, dict):
            for mapping in done.merged:
                done.value = {**mapping, **done.value}
        self._add(done.value, done.size, done.anchor, line)

    def _alias(self, anchor: str | None, line: int) -> None:
        if self.stack and isinstance(self.stack[-1].value, dict) and self.stack[-1].key is None:
            _refuse(self.name, line, "a key is an alias", "write keys as plain words", self.stack[-1].path)
        if anchor is None or anchor not in self.anchors:
            message = "refers to an anchor that is not there, or to one that it is part of"
            _refuse(self.name, line, message, "write the value out", self._path(), f"*{anchor}")
        value, size = self.anchors[anchor]
        self._add(value, size, None, line)

    def _add(self, value: Any, size: int, anchor: str | None, line: int) -> None:
        """Put a finished value where it belongs."""
        if anchor is not None:
            self.anchors[anchor] = (value, size)
        if not self.stack:
            self.root = value
            self.lines.setdefault((), line)
            return
        top = self.stack[-1]
        path = self._path()
        self.lines.setdefault(path, line)
        top.size += size
        if top.size > MAXIMUM_VALUES:
            remedy = "split it, or use fewer aliases"
            _refuse(self.name, line, f"the document expands to more than {MAXIMUM_VALUES} values", remedy, path)
        if isinstance(top.value, list):
            top.value.append(value)
        elif top.key == "<<":
            self._merge(top, value, line)
            top.key = None
        else:
            top.value[top.key or ""] = value
            top.key = None

    def _merge(self, top: _Open, value: Any, line: int) -> None:
        """``<<: *defaults``: keys of the mapping count unless the mapping around has its own."""
        if not isinstance(value, dict):
            _refuse(self.name, line, "<< merges a mapping, and this is none", "write <<: *name", (*top.path, "<<"))
        top.merged.append(value)
