"""The base of all requests of the agent's API, and their refusal.

Law: what travels in a path becomes a path on the appliance's disk, so it is checked here, once.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Self
from urllib.parse import quote

#: Identifiers appear in paths on the appliance's disk; UUIDs and nothing that could leave the folder.
_IDENTIFIER = re.compile(r"[0-9A-Za-z][0-9A-Za-z_-]{0,127}")
#: Where a path has an argument.
_ARGUMENT = re.compile(r"\{(\w+)\}")


class Refused(Exception):
    """A request that is not acceptable; ``payload`` is the JSON body of the answer."""

    def __init__(self, status: int, payload: Mapping[str, object]) -> None:
        super().__init__(str(payload))
        self.status = status
        self.payload = payload


def bad_request(text: str) -> Refused:
    """400 in the framework's shape, which validation failures use."""
    return Refused(400, {"error": f"400 Bad Request: {text}", "http_code": 400})


def identifier(text: str) -> str:
    """The text, when it may name a load balancer, amphora or listener. :raises Refused: when not."""
    if not _IDENTIFIER.fullmatch(text):
        raise Refused(400, {"message": "Invalid request", "details": f"not an identifier: {text[:60]!r}"})
    return text


@dataclass(frozen=True)
class Request:
    """Base of all requests. ``PATH`` names the fields that travel in the path."""

    METHOD: ClassVar[str]
    PATH: ClassVar[str]

    def target(self) -> str:
        """The path with its arguments filled in and quoted."""
        return _ARGUMENT.sub(lambda found: quote(str(getattr(self, found[1])), safe=""), self.PATH)

    def body(self) -> bytes:
        """The body to send; empty for most."""
        return b""

    @classmethod
    def parse(cls, arguments: Mapping[str, str], body: bytes) -> Self:
        """The request out of the path's arguments and the body. :raises Refused: when it is not valid."""
        del body
        return cls(**{name: identifier(value) for name, value in arguments.items()})
