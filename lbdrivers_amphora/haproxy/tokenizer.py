"""HAProxy's tokenizer: one line of configuration -> the words that a keyword gets.

Law: written from the configuration manual, section 2.2 (quoting and escaping), and from nothing
else; the code that quotes is never consulted, so that each proves the other. What depends on the
environment of the process (``"$NAME"``) is refused: its words cannot be known.
"""

from __future__ import annotations

import re

from lbdrivers_amphora.haproxy.word import Line, Word

_BLANKS = " \t"
_CONTROL = re.compile("[\x00-\x1f\x7f]")
_ESCAPED = {"n": "\n", "r": "\r", "t": "\t"}
_HEXADECIMAL = re.compile(r"x([0-9A-Fa-f]{2})")
# Lines in which nothing is special but blanks: nearly all of them.
_is_simple = re.compile(r"[ !$%&(-\[\]-~]*").fullmatch
# Runs that mean themselves, per state: the manual's matrix of special characters.
_UNQUOTED = re.compile(r"[^ \t#\"'\\]+")
_STRONG = re.compile(r"[^']+")
_WEAK = re.compile(r"[^\"\\$]+")


def tokenize(text: str) -> Line:
    """The words of one line; none for an empty line or a comment.

    :raises ValueError: when a quote is left open, an escape is cut off, a word is empty, has a
        control character, or depends on the environment.
    """
    if _is_simple(text):
        return tuple(map(Word, text.split()))
    words: list[Word] = []
    position = 0
    while position < len(text):
        character = text[position]
        if character in _BLANKS:
            position += 1
        elif character == "#":
            break
        else:
            word, position = _word(text, position)
            if not word:
                raise ValueError("an empty word")
            if found := _CONTROL.search(word):
                raise ValueError(f"a word with the character U+{ord(found[0]):04X}")
            words.append(Word(word))
    return tuple(words)


def _word(text: str, position: int) -> tuple[str, int]:
    """The word that starts at the position, and where it ends."""
    parts: list[str] = []
    while position < len(text) and text[position] not in _BLANKS + "#":
        character = text[position]
        if character == "\\":
            part, position = _escape(text, position, "#'\"\\ \t")
        elif character == "'":
            part, position = _strong(text, position)
        elif character == '"':
            part, position = _weak(text, position)
        else:
            run = _UNQUOTED.match(text, position)
            assert run is not None
            part, position = run[0], run.end()
        parts.append(part)
    return "".join(parts), position


def _strong(text: str, position: int) -> tuple[str, int]:
    """Between single quotes nothing is interpreted."""
    end = text.find("'", position + 1)
    if end < 0:
        raise ValueError("a single quote is left open")
    return text[position + 1 : end], end + 1


def _weak(text: str, position: int) -> tuple[str, int]:
    """Between double quotes escapes work, and ``$`` names a variable."""
    parts: list[str] = []
    position += 1
    while position < len(text):
        if text[position] == '"':
            return "".join(parts), position + 1
        if text[position] == "$":
            raise ValueError("a word that depends on an environment variable")
        if text[position] == "\\":
            part, position = _escape(text, position, "#'\"\\ \t$")
        else:
            run = _WEAK.match(text, position)
            assert run is not None
            part, position = run[0], run.end()
        parts.append(part)
    raise ValueError("a double quote is left open")


def _escape(text: str, position: int, literal: str) -> tuple[str, int]:
    """What a backslash and its followers stand for."""
    follower = text[position + 1 : position + 2]
    if not follower:
        raise ValueError("a backslash ends the line")
    if follower in literal:
        return follower, position + 2
    if follower in _ESCAPED:
        return _ESCAPED[follower], position + 2
    if (code := _HEXADECIMAL.match(text, position + 1)) is not None:
        return chr(int(code[1], 16)), code.end()
    # The manual is silent on other followers, so their meaning is not known here.
    raise ValueError(f"the escape \\{follower}, which has no defined meaning")
