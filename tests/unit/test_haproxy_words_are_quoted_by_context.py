"""Each context carries its text literally or refuses it; the tokenizer agrees with the quoting."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import lbdrivers_amphora.haproxy
from lbdrivers_amphora.haproxy.quote import Word, log_format, pattern, quote, regex, spell, token
from lbdrivers_amphora.haproxy.tokenizer import tokenize

_FOLDER = Path(lbdrivers_amphora.haproxy.__file__).parent


@pytest.mark.parametrize(
    "text",
    ["a\nb", "a\rb", "a\0b", "\x7f", "\x1b[0m", "a\tb", "\x85", "\u2028", "\ufeff", "\ud800", ""],
    ids=repr,
)
@pytest.mark.parametrize("context", [token, log_format, pattern, regex, quote], ids=lambda one: one.__name__)
def test_what_no_line_can_carry_is_refused(context: object, text: str) -> None:
    with pytest.raises(ValueError):
        context(text)  # type: ignore[operator] # each of them takes a text


@pytest.mark.parametrize(
    ("text", "spelled"),
    [
        ("plain-1.2:3/4_5", "plain-1.2:3/4_5"),
        ("a b", "'a b'"),
        ("a#b", "'a#b'"),
        ("it's", "'it'\\''s'"),
        ('"', "'\"'"),
        ("\\", "'\\'"),
        ("$HOME", "'$HOME'"),
        ("'", "''\\'''"),
        ("\u0663\u00e9", "'\u0663\u00e9'"),
        ("{{ 7*7 }}", "'{{ 7*7 }}'"),
        ("%[env(HOME)]", "%[env(HOME)]"),
    ],
)
def test_spelling(text: str, spelled: str) -> None:
    assert quote(text) == spelled
    assert spell((text,)) == spelled
    assert tokenize(f"key {spelled} if x") == ("key", text, "if", "x")


def test_a_log_format_doubles_percent_signs() -> None:
    assert log_format("100% %[env(HOME)]") == "100%% %%[env(HOME)]"


def test_a_leading_dash_is_no_flag() -> None:
    assert pattern("-i") == ("--", "-i")
    assert pattern("--") == ("--", "--")
    assert pattern("i-") == ("i-",)


@pytest.mark.parametrize(
    "text", [r"\u0041", "(?a)x", "(?iu)x", "[:alpha:]", "[[:alpha:]]", "a{70000}", "a{,3}", "(?<=é)x"]
)
def test_regular_expressions_that_pcre_reads_otherwise_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="regular expression"):
        regex(text)


@pytest.mark.parametrize("text", [r"^/a+\.(b|c)$", "(?i)x", "[^#]{2,3}", "a{65535}", r"(?P<n>x)(?P=n)", r"\d\s\\u"[:4]])
def test_regular_expressions_of_both_are_carried(text: str) -> None:
    assert regex(text) == (text,)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("", ()),
        ("   # nothing", ()),
        ("a b#c d", ("a", "b")),
        (r"a\ b \#c \\ \' \" \x41", ("a b", "#c", "\\", "'", '"', "A")),
        ("'a b'\\''c'", ("a b'c",)),
        (r'"a #\"\$x \\" b', ('a #"$x \\', "b")),
    ],
)
def test_the_tokenizer_follows_the_manual(line: str, words: tuple[str, ...]) -> None:
    assert tokenize(line) == words


@pytest.mark.parametrize("line", ["'open", '"open', '"$HOME"', "''", "a\\", r"\q", r"a\nb", "a\0b"])
def test_the_tokenizer_refuses_what_has_no_certain_meaning(line: str) -> None:
    with pytest.raises(ValueError):
        tokenize(line)


def test_words_are_made_at_the_door_and_when_reading_back_only() -> None:
    makers = set()
    for path in _FOLDER.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Word":
                makers.add(path.name)
    # transition compares with one fixed line; it makes none.
    assert makers <= {"quote.py", "tokenizer.py", "parse.py", "transition.py", "ir.py"}
    assert isinstance(token("x"), Word)
