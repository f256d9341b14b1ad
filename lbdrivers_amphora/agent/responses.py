"""Answers of the agent's API as values.

Law: pure; the words are those of the amphora agent's API 1.0, which controllers compare.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Response:
    """Status, body (JSON-able, or text as bytes) and ETag of an answer."""

    status: int
    body: Mapping[str, object] | Sequence[object] | bytes
    etag: str | None = None


def md5(content: bytes) -> str:
    """Hex digest by which the API names revisions; it protects nothing."""
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def success(status: int, details: str | None = None, etag: str | None = None, **extra: object) -> Response:
    """``{"message": "OK"}`` with optional details and further keys."""
    body: dict[str, object] = {"message": "OK"}
    if details is not None:
        body["details"] = details
    return Response(status, body | extra, etag)


def failure(status: int, message: str, details: str | None = None) -> Response:
    """A handled error in the API's own shape."""
    return Response(status, {"message": message} | ({} if details is None else {"details": details}))


def framework_failure(status: int, text: str) -> Response:
    """An error in the web framework's shape."""
    return Response(status, {"error": text, "http_code": status})
