"""The quoting door of keepalived's configuration.

Law: a word passes only if every character of it means itself to keepalived's parser wherever it
stands; all else is refused with ValueError. keepalived expands ``$``, ``~SEQ`` and ``@`` conditions,
takes ``#`` and ``!`` for comments and splits scripts at blanks even inside quotes, so that refusing is
the only quoting that always holds. What we write (addresses, names, paths) needs no more.

Source: keepalived.conf(5), "Quoted strings", "Definitions", "Conditional configuration".
"""

from __future__ import annotations

import re
from collections.abc import Sequence

_PLAIN = re.compile(r"[A-Za-z0-9/_.][A-Za-z0-9/_.:,+=%@-]*|:[A-Za-z0-9:.]*(?:/[0-9]+)?")
# What a URL's path may have besides, and what keepalived gives no meaning. Of RFC 3986's characters
# these are missing: ``!`` begins a comment, ``$`` a parameter, ``'`` a string, ``~SEQ(`` a sequence.
_URL_PATH = re.compile(r"/[A-Za-z0-9/_.:,+=%@?&;*-]*")


def quote(text: str) -> str:
    """The word as keepalived has to read it.

    :raises ValueError: when keepalived would, or might, read something else.
    """
    if not _PLAIN.fullmatch(text):
        raise ValueError(f"{text!r} cannot stand in keepalived's configuration: letters, digits and /_.:,+=%@- only")
    return text


def url_path(text: str) -> str:
    """The path of a request, query included.

    :raises ValueError: as above.
    """
    if not _URL_PATH.fullmatch(text):
        raise ValueError(
            f"{text!r} cannot stand in keepalived's configuration: letters, digits and /_.:,+=%@?&;*- only"
        )
    return text


def command(words: Sequence[str]) -> str:
    """A program and its arguments as the one string that keepalived splits at blanks again.

    :raises ValueError: as above, for each word.
    """
    return f'"{" ".join(_argument(word) for word in words)}"'


def _argument(word: str) -> str:
    """Options begin with a dash, which means nothing inside a string."""
    return "-" + quote(word[1:]) if word.startswith("-") else quote(word)
