"""The word: one word of nftables' language.

Law: ``quote`` makes words and no other module does; rules and elements hold words only, so that text
cannot slip into a ruleset around the door.
"""

from __future__ import annotations

from typing import final


@final
class Word(str):
    """One token as nft reads it. Never empty, no blank, no control character."""

    __slots__ = ()


#: One command, rule, key or value.
Line = tuple[Word, ...]
