"""Data that only a provider understands: what a flavor or an availability zone stands for.

Law: one form, a frozen mapping of JSON values. Equal data are equal values, whatever the order of
their keys; they hash, and survive JSON unchanged. What the keys mean is for the provider to say
(``lbdrivers.drivers.provider.ProfileSchemas``).
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import GetCoreSchemaHandler
from pydantic_core import core_schema

from lbdrivers.model.values import one_line

#: Characters of JSON at most, as in the v2 API.
LONGEST = 4096
#: Lists and mappings within each other at most.
DEEPEST = 8


class ProviderData(Mapping[str, Any]):
    """A frozen mapping. Lists in it are tuples, mappings are ProviderData.

    :raises ValueError: when something is no JSON, or there is too much of it.
    """

    __slots__ = ("_text", "_values")

    def __init__(self, values: Mapping[str, Any]) -> None:
        frozen = _frozen(values, DEEPEST)
        assert isinstance(frozen, dict)
        self._values: dict[str, Any] = frozen
        self._text = json.dumps(_plain(frozen), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        if len(self._text) > LONGEST:
            raise ValueError(f"is too long: at most {LONGEST} characters of JSON")

    @classmethod
    def parse(cls, value: object) -> ProviderData:
        """Of a mapping, or of an object written as JSON, as the v2 API has it in profiles.

        :raises ValueError: when it is neither.
        """
        if isinstance(value, str):
            try:
                value = json.loads(value)
            except (ValueError, RecursionError):
                raise ValueError("is not JSON; write a mapping, or an object as JSON text") from None
        if not isinstance(value, Mapping):
            raise ValueError("is not a mapping; write the provider's keys with their values")
        return value if isinstance(value, ProviderData) else cls(value)

    def plain(self) -> dict[str, Any]:
        """The same as dicts and lists, new each time."""
        plain = _plain(self._values)
        assert isinstance(plain, dict)
        return plain

    def __getitem__(self, key: str) -> Any:
        return self._values[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __hash__(self) -> int:
        return hash(self._text)

    def __eq__(self, other: object) -> bool:
        # By the text, as 1, 1.0 and True are different JSON.
        return self._text == other._text if isinstance(other, ProviderData) else NotImplemented

    def __repr__(self) -> str:
        return f"ProviderData({self._text})"

    @classmethod
    def __get_pydantic_core_schema__(cls, source: object, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(
            cls.parse, serialization=core_schema.plain_serializer_function_ser_schema(cls.plain)
        )


def _frozen(value: object, depth: int) -> object:
    """The value made of what cannot change; at the top a dict that nobody else has."""
    if value is None or isinstance(value, bool) or (isinstance(value, int) and abs(value) < 10**18):
        return value
    if isinstance(value, str):
        return one_line(value)
    if isinstance(value, float) and math.isfinite(value):
        return value
    if depth == 0:
        raise ValueError(f"is too deep: at most {DEEPEST} lists and mappings within each other")
    if isinstance(value, list | tuple):
        return tuple(_inner(part, depth) for part in value)
    if isinstance(value, Mapping):
        if not all(isinstance(key, str) for key in value):
            raise ValueError("has a key that is no text; put it in quotes")
        return {one_line(key): _inner(part, depth) for key, part in value.items()}
    raise ValueError("has a value that is no JSON, or a number of more than 18 digits")


def _inner(value: object, depth: int) -> object:
    found = _frozen(value, depth - 1)
    return ProviderData(found) if isinstance(found, dict) else found


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return {key: _plain(part) for key, part in value.items()}
    return [_plain(part) for part in value] if isinstance(value, tuple) else value
