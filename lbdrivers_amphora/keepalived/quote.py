"""The quoting door of keepalived's configuration.

Law: a word passes only if every character of it means itself to keepalived's parser wherever it
stands; all else is refused with ValueError. keepalived expands ``$``, ``~SEQ`` and ``@`` conditions,
takes ``#`` and ``!`` for comments and splits scripts at blanks even inside quotes, so that refusing is
the only quoting that always holds. What we write (addresses, names, paths) needs no more.

Source: keepalived.conf(5), "Quoted strings", "Definitions", "Conditional configuration".
"""

from __future__ import annotations

import re

_PLAIN = re.compile(r"[A-Za-z0-9/_.][A-Za-z0-9/_.:,+=%@-]*|:[A-Za-z0-9:.]*(?:/[0-9]+)?")


def quote(text: str) -> str:
    """The word as keepalived has to read it.

    :raises ValueError: when keepalived would, or might, read something else.
    """
    if not _PLAIN.fullmatch(text):
        raise ValueError(f"{text!r} cannot stand in keepalived's configuration: letters, digits and /_.:,+=%@- only")
    return text
