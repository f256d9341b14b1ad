"""The word: one effective word of a HAProxy configuration line, after quoting and escaping.

Law: two places make words and no other. ``quote`` makes them out of text, one constructor per
context; ``parse`` reads them back out of a configuration. A line of the intermediate
representation holds words only, so that text cannot slip into a configuration around the door.
"""

from __future__ import annotations

from typing import final


@final
class Word(str):
    """What HAProxy's parser hands to a keyword as one argument. Never empty, one line, no controls."""

    __slots__ = ()


#: One line of a section: its keyword and arguments.
Line = tuple[Word, ...]
