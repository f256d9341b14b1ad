"""A secret is a type: no readable repr, no accidental text.

Law: the only way to the content is ``reveal()``, so that every use can be found by searching.
"""

from __future__ import annotations

import hmac
from typing import NoReturn, final


@final
class Secret:
    """Bytes that must not be shown: keys, certificates with keys, passphrases."""

    __slots__ = ("_content",)

    def __init__(self, content: bytes) -> None:
        self._content = content

    def reveal(self) -> bytes:
        """The content itself. Hand it on at once; never log, format or store it in clear."""
        return self._content

    def __repr__(self) -> str:
        return "Secret(***)"

    __str__ = __repr__

    def __format__(self, specification: str) -> str:
        return repr(self)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and hmac.compare_digest(self._content, other._content)

    def __hash__(self) -> int:
        return hash(("Secret", len(self._content)))

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Secret is not pickled; hand over a reference instead")
