"""The quoting door: the only way from text into a HAProxy configuration.

Law: the context is chosen when a word is made (``token``, ``pattern``, ``log_format``, ``regex``),
and each context carries its text literally or refuses it with ValueError; nothing is interpreted.
``quote`` then spells a finished word so that HAProxy's tokenizer gives back exactly that word;
``argument`` spells it for the command line of a running process.

Sources: HAProxy 2.6 configuration manual, sections 2.2 (quoting and escaping), 7.1 (ACL flags),
7.1.4 (regular expressions), 8.2.4 (log-format: ``%%`` is a literal percent sign); management guide,
section 9.3 (a backslash escapes blanks, semicolons and itself; ``<<`` at the end begins a payload).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from lbdrivers_amphora.haproxy.word import Line, Word

__all__ = [
    "Line",
    "Word",
    "argument",
    "literal",
    "log_format",
    "pattern",
    "quote",
    "quotes",
    "regex",
    "spell",
    "token",
    "tokens",
]

# Controls, line separators, byte order mark and lone surrogates: what has no place on one line.
_REFUSED = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ufeff\ud800-\udfff]")
# Characters that the tokenizer takes as they are (section 2.2's matrix, and ASCII only).
_PLAIN = r"[A-Za-z0-9!%&()*+,./:;<=>?@\[\]^_`{|}~-]+"
_is_plain = re.compile(_PLAIN).fullmatch
_is_plain_line = re.compile(f"{_PLAIN}(?: {_PLAIN})*").fullmatch

# What the command line of a running process takes for more than itself.
_COMMAND_SPECIAL = re.compile(r"[\\ ;]")

# What Python's re accepts and PCRE2, HAProxy's engine, refuses or reads otherwise.
_FOREIGN = (
    (re.compile(r"\\[uUN]"), r"the escapes \u, \U and \N"),
    (re.compile(r"\(\?-?[imsx]*[aLu]"), "the flags a, L and u"),
    (re.compile(r"\[[:.=]"), "a set that begins with a colon, a dot or an equals sign"),
    (re.compile(r"\{,"), "a repetition without a lower bound"),
)
# Names of groups: PCRE2 takes 32 ASCII letters, digits and underscores (pcre2pattern, "Named capture groups").
_NAMED = re.compile(r"\(\?P<([^>]*)>")
_is_group_name = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,31}").fullmatch
# PCRE2 takes no repetition above 65,535 (pcre2pattern, "Repetition").
_REPETITION = re.compile(r"\{(\d+)(?:,(\d*))?\}")
_REPETITION_LIMIT = 65535


def token(text: str) -> Word:
    """A plain argument: a name, a path, an address.

    :raises ValueError: when it is empty or has a control character; an empty word would end its
        line early for many of HAProxy's keywords, and so drop the condition behind it.
    """
    if not _is_plain(text):
        _refuse(text)
    return Word(text)


def tokens(texts: Sequence[str]) -> list[Word]:
    """``token`` of each: one look at all of them, as thousands of members have nothing special.

    :raises ValueError: as ``token``.
    """
    return list(map(token if _plain_line(texts) is None else Word, texts))


#: The same for what this package itself wrote: keywords, flags, sample expressions.
literal = token


def pattern(text: str) -> Line:
    """A value that an ACL compares with, as the words that carry it.

    A value that begins with a dash would be taken for a flag; ``--`` ends the flags (section 7.1).
    """
    return (Word("--"), token(text)) if text.startswith("-") else (token(text),)


def log_format(text: str) -> Word:
    """Literal text where HAProxy evaluates a log-format string: logs, headers of checks.

    Not for a ``redirect`` directive, whose target HAProxy takes as it is (section 4.2, "redirect").
    """
    return token(text.replace("%", "%%"))


def regex(text: str) -> Line:
    """A regular expression that an ACL compares with, as the words that carry it.

    :raises ValueError: when PCRE2 would refuse it or understand it in another way than the model,
        which checks by Python's ``re``.
    """
    for foreign, what in _FOREIGN:
        if foreign.search(text):
            raise ValueError(
                f"the regular expression {text!r} has {what}; HAProxy's engine (PCRE2) reads that otherwise"
            )
    for name in _NAMED.findall(text):
        if not _is_group_name(name):
            raise ValueError(f"the regular expression {text!r} has a group {name!r}; HAProxy takes no such name")
    for low, high in _REPETITION.findall(text):
        if int(high or low) > _REPETITION_LIMIT or int(low) > _REPETITION_LIMIT:
            raise ValueError(f"the regular expression {text!r} repeats more than {_REPETITION_LIMIT} times")
    if "(?<" in text and not text.isascii():
        raise ValueError(f"the regular expression {text!r} looks behind over non-ASCII text; HAProxy counts bytes")
    return pattern(text)


def quote(word: str) -> str:
    """Spell one word for HAProxy's tokenizer: as it is where that is safe, else in strong quotes.

    :raises ValueError: for what no spelling can carry on one line.
    """
    if _is_plain(word):
        return word
    _refuse(word)
    return "'" + word.replace("'", "'\\''") + "'"


def quotes(words: Sequence[str]) -> list[str]:
    """``quote`` of each: one look at all of them, as with ``tokens``.

    :raises ValueError: as ``quote``.
    """
    return list(map(quote, words)) if _plain_line(words) is None else list(words)


def argument(word: str) -> str:
    """Spell one word for a runtime command.

    :raises ValueError: for what the command line cannot carry literally.
    """
    _refuse(word)
    if word.endswith("<<"):
        raise ValueError(f"{word!r} ends like the beginning of a payload; no runtime command can carry it")
    return _COMMAND_SPECIAL.sub(r"\\\g<0>", word)


def spell(words: Sequence[str]) -> str:
    """Spell a line: what ``quote`` gives for each word, with blanks between.

    Nearly all lines are plain throughout; one look at the whole is ten times faster than one a word.
    """
    line = _plain_line(words)
    return " ".join(map(quote, words)) if line is None else line


def _plain_line(texts: Sequence[str]) -> str | None:
    """The texts with blanks between; None when one of them needs quotes or is to be refused."""
    line = " ".join(texts)
    # As many blanks as stand between them: none of them has one of its own, and none is empty.
    return line if _is_plain_line(line) and line.count(" ") == len(texts) - 1 else None


def _refuse(text: str) -> None:
    if not text:
        raise ValueError("an empty text cannot stand in HAProxy's configuration")
    if found := _REFUSED.search(text):
        raise ValueError(f"{text!r} has the character U+{ord(found[0]):04X}; HAProxy's configuration cannot carry it")
