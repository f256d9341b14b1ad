"""Reads typed fields out of JSON objects; what does not fit is refused with its path.

Law: no value gets past this file unchecked, and every refusal names the path and what was expected.
"""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Callable
from typing import TypeVar, cast

T = TypeVar("T")


class Malformed(ValueError):
    """An input that does not have the promised form; the text names path and expectation."""


class Fields:
    """One JSON object; ``path`` says where it stood, for error texts."""

    def __init__(self, content: object, path: str = "") -> None:
        if not isinstance(content, dict):
            raise Malformed(f"{path or 'body'}: expected an object, got {type(content).__name__}")
        self._content: dict[str, object] = content
        self._path = path

    @classmethod
    def of_text(cls, text: bytes, path: str = "") -> Fields:
        """:raises Malformed: when the text is no JSON object."""
        try:
            return cls(json.loads(text.decode()), path)
        except ValueError as error:
            raise (
                error if isinstance(error, Malformed) else Malformed(f"{path or 'body'}: not JSON: {error}")
            ) from error

    def names(self) -> tuple[str, ...]:
        """The names in the object, in order."""
        return tuple(self._content)

    def at(self, name: str) -> str:
        """The path of a name in this object."""
        return f"{self._path}.{name}" if self._path else name

    def _typed(self, name: str, kind: type[T]) -> T | None:
        value = self._content.get(name)
        if value is None:
            return None
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise Malformed(f"{self.at(name)}: expected {kind.__name__}, got {type(value).__name__}")
        return value

    def _required(self, name: str, value: T | None) -> T:
        if value is None:
            raise Malformed(f"{self.at(name)}: missing")
        return value

    def text_or_none(self, name: str) -> str | None:
        return self._typed(name, str)

    def text(self, name: str, default: str | None = None) -> str:
        """The text under ``name``; without a default it must be there."""
        value = self._typed(name, str)
        return self._required(name, default if value is None else value)

    def number(self, name: str, default: int | None = None) -> int:
        value = self._typed(name, int)
        return self._required(name, default if value is None else value)

    def number_or_none(self, name: str) -> int | None:
        return self._typed(name, int)

    def switch(self, name: str) -> bool:
        """A boolean; absent means false."""
        return bool(self._typed(name, bool))

    def each(self, name: str, read: Callable[[Fields], T]) -> tuple[T, ...]:
        """A list of objects, each read by ``read``; absent means empty."""
        items = cast("list[object]", self._typed(name, list) or [])
        return tuple(read(Fields(item, f"{self.at(name)}[{index}]")) for index, item in enumerate(items))

    def texts(self, name: str) -> tuple[str, ...]:
        """A list of texts; absent means empty."""
        items = cast("list[object]", self._typed(name, list) or [])
        for index, item in enumerate(items):
            if not isinstance(item, str):
                raise Malformed(f"{self.at(name)}[{index}]: expected str, got {type(item).__name__}")
        return tuple(cast("list[str]", items))

    def numbers(self, name: str) -> tuple[int, ...]:
        """A list of whole numbers; absent means empty."""
        items = cast("list[object]", self._typed(name, list) or [])
        for index, item in enumerate(items):
            if not isinstance(item, int) or isinstance(item, bool):
                raise Malformed(f"{self.at(name)}[{index}]: expected int, got {type(item).__name__}")
        return tuple(cast("list[int]", items))

    def number_pairs(self, name: str) -> tuple[tuple[int, int], ...]:
        """A list of pairs of whole numbers; absent means empty."""
        found: list[tuple[int, int]] = []
        for index, item in enumerate(cast("list[object]", self._typed(name, list) or [])):
            match item:
                case [int() as first, int() as second] if bool not in (type(first), type(second)):
                    found.append((first, second))
                case _:
                    raise Malformed(f"{self.at(name)}[{index}]: expected two whole numbers")
        return tuple(found)

    def pairs(self, name: str) -> tuple[tuple[str, str], ...]:
        """A list of pairs of texts; absent means empty."""
        found: list[tuple[str, str]] = []
        for index, item in enumerate(cast("list[object]", self._typed(name, list) or [])):
            match item:
                case [str() as first, str() as second]:
                    found.append((first, second))
                case _:
                    raise Malformed(f"{self.at(name)}[{index}]: expected two texts")
        return tuple(found)

    def inner(self, name: str) -> Fields | None:
        """The object under ``name``, or None."""
        value = self._content.get(name)
        return None if value is None else Fields(value, self.at(name))

    def mapping(self, name: str, read: Callable[[Fields], T]) -> dict[str, T]:
        """An object whose values are objects, each read by ``read``; absent means empty."""
        content = cast("dict[str, object]", self._typed(name, dict) or {})
        return {key: read(Fields(value, f"{self.at(name)}.{key}")) for key, value in content.items()}

    def text_mapping(self, name: str) -> dict[str, str]:
        """An object whose values are texts; absent means empty."""
        content = cast("dict[str, object]", self._typed(name, dict) or {})
        for key, value in content.items():
            if not isinstance(value, str):
                raise Malformed(f"{self.at(name)}.{key}: expected str, got {type(value).__name__}")
        return cast("dict[str, str]", content)


def address(text: str, path: str) -> str:
    """The canonical spelling of an IP address. :raises Malformed: when it is none."""
    try:
        return str(ipaddress.ip_address(text))
    except ValueError as error:
        raise Malformed(f"{path}: {error}") from error


def cidr(text: str, path: str) -> str:
    """The canonical spelling of a network without host bits. :raises Malformed: when it is none."""
    try:
        return str(ipaddress.ip_network(text, strict=True))
    except ValueError as error:
        raise Malformed(f"{path}: {error}") from error
