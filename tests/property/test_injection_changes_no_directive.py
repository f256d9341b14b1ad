"""Hostile text in any field is refused with a clear error or carried literally; it never becomes a directive.

The same check is run against broken quoting, which it has to catch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import count

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from support import haproxy
from support.bundles import bundle, facts, listener, member, monitor, policy, pool, rule, tree

from lbdrivers.errors import UnsupportedError
from lbdrivers.model.resources import LoadBalancer
from lbdrivers_amphora.haproxy import quote
from lbdrivers_amphora.haproxy.ir import Configuration
from lbdrivers_amphora.haproxy.render import render
from lbdrivers_amphora.haproxy.tokenizer import tokenize
from lbdrivers_amphora.haproxy.translate import translate

_HARMLESS = "harmless"
_HOSTILE = (
    "#",
    " # if TRUE",
    "a b",
    '"',
    "'",
    "'\"'",
    "\\",
    "\\\\ \\",
    "'; daemon; '",
    "%[env(HOME)]",
    "%{+Q}o",
    "%%",
    "%",
    "${HOME}",
    "$HOME",
    '"${HOME}"',
    "{{ 7 * 7 }}",
    "{% raw %}",
    "{",
    "}",
    "||",
    "!",
    "-i",
    "--",
    "-f /etc/passwd",
    "-m",
    "if",
    "or",
    "\u0661\u0662",
    "\uff03",
    "\u00e9",
    "\U0001f600",
    "\x00",
    "a\nb",
    "a\rb",
    "a\r\nuser root",
    "\x0b",
    "\x85",
    "\u2028",
    "\ufeff",
    "\t",
    ".example.com group nobody",
    "x" * 255,
    "'" * 255,
    "x" * 300,
)


def _with_rules(**fields: str) -> LoadBalancer:
    rules = (
        rule("first", **fields),  # type: ignore[arg-type] # one text each
        rule("second", "PATH", "EQUAL_TO", "/behind"),
    )
    return tree((listener(l7policies=(policy("p", "REJECT", *rules),)),))


def _redirect(action: str, field: str, text: str) -> LoadBalancer:
    target = {field: f"http://www.example.com/{text}"}
    behind = rule("r", "PATH", "EQUAL_TO", "/behind")
    return tree((listener(l7policies=(policy("p", action, behind, **target),)),))


def _pool(**fields: object) -> LoadBalancer:
    target = pool(members=(member("m"),), **fields)
    return tree((listener(default_pool_id=target.id),), (target,))


def _named(text: str) -> LoadBalancer:
    target = pool(members=(member("m", tags=(text,)),), description=text)
    entry = listener(default_pool_id=target.id, description=text, tags=(text,))
    return tree((entry,), (target.model_copy(update={"name": text}),), name=text, description=text)


def _http(**fields: object) -> LoadBalancer:
    return _pool(healthmonitor=monitor("HTTP", http_version=1.1, **fields))


#: Every field of the model that takes text, as a tree with the text in it.
_FIELDS: dict[str, Callable[[str], LoadBalancer]] = {
    "names and descriptions": _named,
    "project": lambda text: tree((listener(),), project_id=text),
    "monitor's path": lambda text: _http(url_path=f"/{text}"),
    "monitor's domain": lambda text: _http(domain_name=text),
    "monitor's codes": lambda text: _http(expected_codes=text if text != _HARMLESS else "200"),
    "cookie of a session": lambda text: _pool(session_persistence={"type": "APP_COOKIE", "cookie_name": text}),
    "redirect to a URL": lambda text: _redirect("REDIRECT_TO_URL", "redirect_url", text),
    "redirect prefix": lambda text: _redirect("REDIRECT_PREFIX", "redirect_prefix", text),
    "header's name": lambda text: _with_rules(kind="HEADER", compare="EQUAL_TO", key=text, value="x"),
    "header's value": lambda text: _with_rules(kind="HEADER", compare="EQUAL_TO", key="x", value=text),
    "cookie's name": lambda text: _with_rules(kind="COOKIE", compare="CONTAINS", key=text, value="x"),
    "cookie's value": lambda text: _with_rules(kind="COOKIE", compare="CONTAINS", key="x", value=text),
    "host": lambda text: _with_rules(kind="HOST_NAME", compare="STARTS_WITH", value=text),
    "path": lambda text: _with_rules(kind="PATH", compare="ENDS_WITH", value=text),
    "type of file": lambda text: _with_rules(kind="FILE_TYPE", compare="EQUAL_TO", value=text),
    "regular expression": lambda text: _with_rules(kind="PATH", compare="REGEX", value=text),
    "certificate's field": lambda text: _with_rules(kind="SSL_DN_FIELD", compare="EQUAL_TO", key="CN", value=text),
}


def _configuration(make: Callable[[str], LoadBalancer], text: str) -> Configuration | None:
    """None when the text is refused, which needs words to say why."""
    try:
        return translate(bundle(make(text)), facts(log_socket="/run/log"))
    except (ValidationError, UnsupportedError) as refusal:
        assert str(refusal).strip()
        return None


def _shape(text: str) -> list[tuple[str, int]]:
    """Keyword and number of words of each line; the dashes that end flags are no words of their own."""
    lines = [tokenize(line) for line in text.split("\n") if line and not line.startswith("# Configuration")]
    return [(words[0], len(words) - words.count("--")) for words in lines if words]


def _check(make: Callable[[str], LoadBalancer], text: str) -> None:
    """The one check: refused, or the same directives with the text as a part of single words."""
    configuration = _configuration(make, text)
    if configuration is None:
        return
    harmless = _configuration(make, _HARMLESS)
    assert harmless is not None
    written = render(configuration)
    expected = [list(line) for line in _lines(configuration)]
    assert [list(tokenize(line)) for line in written.split("\n") if line.startswith("    ")] == expected
    if text != "--":
        assert _shape(written) == _shape(render(harmless))


def _lines(configuration: Configuration) -> list[tuple[str, ...]]:
    """The words of every line but servers and limits, which these trees have none of to speak of."""
    found: list[tuple[str, ...]] = [*configuration.process, *configuration.defaults]
    for frontend in configuration.frontends:
        found += frontend.lines
    for backend in configuration.backends:
        found += backend.lines
        found += [
            ("server", one.name, f"{one.address}:{one.port}", "weight", "1", *_checked(one)) for one in backend.servers
        ]
    return found


def _checked(server: object) -> tuple[str, ...]:
    return ("check", "inter", "1s", "fall", "3", "rise", "2") if getattr(server, "check", None) else ()


@pytest.mark.parametrize("field", _FIELDS)
def test_hostile_text_is_literal_or_refused(field: str) -> None:
    for text in _HOSTILE:
        _check(_FIELDS[field], text)


@pytest.mark.parametrize("field", _FIELDS)
def test_haproxy_accepts_all_that_is_not_refused(field: str) -> None:
    accepted = [one for text in _HOSTILE if (one := _configuration(_FIELDS[field], text)) is not None]
    assert accepted or field == "monitor's codes"
    for configuration in accepted[:1]:
        status, output = haproxy.check(render(_merged(configuration, accepted)))
        assert status == 0, output


def _merged(first: Configuration, accepted: list[Configuration]) -> Configuration:
    """All of them in one file, so that one process checks them: each section under a name of its own."""
    numbers = count(1)
    frontends = [
        replace(one, name=quote.token(f"frontend-{number}"), lines=_alone(one.lines, numbers))
        for number, configuration in enumerate(accepted)
        for one in configuration.frontends
    ]
    backends = [
        replace(one, name=quote.token(f"backend-{number}"))
        for number, configuration in enumerate(accepted)
        for one in configuration.backends
    ]
    return replace(first, frontends=tuple(frontends), backends=tuple(backends))


def _alone(lines: tuple[quote.Line, ...], numbers: Iterator[int]) -> tuple[quote.Line, ...]:
    """Without what names another section, and with numbers of lists that no other frontend has."""
    kept = [line for line in lines if line[0] != "default_backend"]
    return tuple(
        (*line[: line.index("-u") + 1], quote.token(str(next(numbers))), *line[line.index("-u") + 2 :])
        if line[0] == "acl" and "-u" in line
        else line
        for line in kept
    )


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(sorted(_FIELDS)), st.lists(st.sampled_from(_HOSTILE) | st.characters(), max_size=4).map("".join))
@example("header's value", "' if TRUE\n    user root")
def test_any_text_is_literal_or_refused(field: str, text: str) -> None:
    _check(_FIELDS[field], text)


def _unquoted(word: str) -> str:
    return word


def _weakly_quoted(word: str) -> str:
    return f'"{word}"' if " " in word else word


def _escaped_blanks(word: str) -> str:
    return word.replace("\\", "\\\\").replace(" ", "\\ ")


@pytest.mark.parametrize("broken", [_unquoted, _weakly_quoted, _escaped_blanks], ids=lambda one: one.__name__)
def test_broken_quoting_is_caught(monkeypatch: pytest.MonkeyPatch, broken: Callable[[str], str]) -> None:
    monkeypatch.setattr(quote, "quote", broken)
    monkeypatch.setattr(quote, "spell", lambda words: " ".join(map(broken, words)))
    caught = 0
    for text in _HOSTILE:
        try:
            _check(_FIELDS["header's value"], text)
        except (AssertionError, ValueError):
            caught += 1
    assert caught > 0


def test_percent_signs_are_doubled_where_they_would_be_evaluated() -> None:
    """And only there. What HAProxy makes of both is for the tests that run it."""
    project = _configuration(_FIELDS["project"], "%[env(HOME)]")
    redirect = _configuration(_FIELDS["redirect to a URL"], "%[env(HOME)]")
    assert project is not None
    assert redirect is not None
    (logged,) = (line for line in project.frontends[0].lines if line[0] == "log-format")
    assert logged[1].startswith("%%[env(HOME)] ")
    (target,) = (line for line in redirect.frontends[0].lines if line[0] == "redirect")
    assert target[4] == "http://www.example.com/%[env(HOME)]"
