"""One broken door for each context of text: the checks that the other tests rely on find every one.

A check takes a value that is only dangerous in its context, lets the real daemon say what it makes of it,
and is first shown to pass with the doors as they are.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from support import haproxy
from support.bundles import bundle, facts, listener, member, monitor, policy, pool, rule, tree
from support.haproxy import Haproxy, free_port, loopback, request

from lbdrivers.drivers.amphora import Topology, Vip
from lbdrivers.errors import UnsupportedError
from lbdrivers.model.resources import LoadBalancer
from lbdrivers_amphora.haproxy import log_line, quote, transition, translate_pool, translate_rules
from lbdrivers_amphora.haproxy.answers import failures
from lbdrivers_amphora.haproxy.ir import Configuration
from lbdrivers_amphora.haproxy.process import read
from lbdrivers_amphora.haproxy.render import render
from lbdrivers_amphora.haproxy.tokenizer import tokenize
from lbdrivers_amphora.haproxy.translate import translate
from lbdrivers_amphora.haproxy.word import Line, Word
from lbdrivers_amphora.keepalived import quote as keepalived_quote
from lbdrivers_amphora.keepalived import render as keepalived_render
from lbdrivers_amphora.keepalived import translate as keepalived_translate
from lbdrivers_amphora.nftables import quote as nft_quote

_VIP = loopback(0)
_PORT = free_port(_VIP)


def _comparing(value: str, compare: str = "EQUAL_TO", kind: str = "HEADER", port: int = 80) -> LoadBalancer:
    key = {"key": "X-Value"} if kind == "HEADER" else {}
    rules = (rule("r", kind, compare, value, **key),)
    return tree((listener(port=port, l7policies=(policy("p", "REJECT", *rules),)),))


def _translated(load_balancer: LoadBalancer, base: str = "/var/lib/octavia", **fields: Any) -> Configuration:
    return translate(bundle(load_balancer, vips=(Vip(_VIP, "127.0.0.0/8"),)), facts(base, **fields))


def _rejected(value: str) -> bool:
    return request(_VIP, _PORT, f"GET / HTTP/1.1\r\nHost: x\r\nX-Value: {value}\r\n").startswith(b"HTTP/1.1 403")


def _spelled() -> None:
    """A word with everything that a line gives meaning to is one word again."""
    hostile = "a b'\"\\ #c"
    assert tokenize(quote.spell((Word("acl"), Word(hostile)))) == ("acl", hostile)


def _token() -> None:
    """A text of two lines stands nowhere."""
    with pytest.raises(ValueError):
        quote.token("a\n    user root")


def _at_once() -> None:
    """Many words are as safe as one: each is itself again, and a text of two lines stands nowhere among others."""
    words = ["first", "a b'\"\\ #c", "last"]
    assert tokenize(" ".join(quote.quotes(words))) == tuple(words)
    for hostile in ("a\n    user root", ""):
        with pytest.raises(ValueError):
            quote.tokens(["first", hostile, "last"])


def _pattern() -> None:
    """A value that looks like a flag matches itself, and nothing else does."""
    with Haproxy() as running:
        running.start(_translated(_comparing("-i", port=_PORT), str(running.base)))
        assert _rejected("-i") and not _rejected("x")


def _regex() -> None:
    """What PCRE2 would not take is refused before HAProxy sees it, so that it takes whatever it sees."""
    try:
        text = render(_translated(_comparing("(?P<\u00e9>x)", "REGEX", "PATH")))
    except UnsupportedError:
        return
    assert haproxy.check(text)[0] == 0


def _log_format() -> None:
    """A project is logged as it is called, whatever HAProxy could make of its name."""
    with Haproxy() as running, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as log:
        log.bind(str(running.base / "log.sock"))
        log.settimeout(10)
        made = tree((listener(port=_PORT),), project_id="%[int(41),add(1)]")
        where = {"log_socket": str(running.base / "log.sock"), "haproxy_user": None}
        running.start(_translated(made, str(running.base), **where))
        assert request(_VIP, _PORT).startswith(b"HTTP/1.1 503")
        lines = iter(lambda: log.recv(65536).decode(), "")
        assert "%[int(41),add(1)]" in next(line for line in lines if made.id in line)


def _probed() -> None:
    """The value of a header in a check is literal, too."""
    target = pool(
        members=(member("m"),), healthmonitor=monitor("HTTP", http_version=1.1, domain_name="www.example.com")
    )
    made = _translated(tree((listener(default_pool_id=target.id),), (target,)))
    (line,) = (line for line in made.backends[0].lines if line[:2] == ("http-check", "send"))
    assert line[-1] == "www.example.com"
    assert translate_pool.log_format("100%") == "100%%"


def _argument() -> None:
    """A value reaches a running process as it would reach a fresh one."""
    with Haproxy() as running:
        before, after = (
            _translated(_comparing(one, port=_PORT), str(running.base)) for one in ("at first", "a b;c\\d")
        )
        running.start(before)
        found = transition.transition(before, after, read("", running.ask("show acl")))
        assert isinstance(found, transition.Runtime)
        assert failures(found.commands, running.apply(found.commands)) == ()
        assert _rejected("a b;c\\d") and not _rejected("a")


def _keepalived() -> None:
    """The configuration of a pair has the lines that it has, whatever a path is called."""
    made = bundle(tree((listener(),)), Topology.ACTIVE_STANDBY, vips=(Vip("192.0.2.10", "192.0.2.0/24"),))
    good, hostile = facts("/var/lib/octavia"), facts("/var/lib/octavia\n}\nvrrp_script x {")

    def lines(where: Any) -> int:
        return len(keepalived_render.render(keepalived_translate.translate(made, where, "eth1")).splitlines())

    try:
        found = lines(hostile)
    except ValueError:
        return
    assert found == lines(good)


def _nft() -> None:
    """No text but ids, addresses and numbers enters a ruleset."""
    with pytest.raises(ValueError):
        nft_quote.identifier("service", "x; flush ruleset")


@dataclass(frozen=True)
class _Mutant:
    """A door of a module, broken, and the check that finds it."""

    module: Any
    door: str
    broken: Callable[..., Any]
    check: Callable[[], None]


def _bare(word: str) -> str:
    return word


def _weak(word: str) -> str:
    return f'"{word}"' if " " in word else word


def _as_pattern(text: str) -> Line:
    return (Word(text),)


_MUTANTS = {
    "quote: nothing": _Mutant(quote, "quote", _bare, _spelled),
    "quote: weakly": _Mutant(quote, "quote", _weak, _spelled),
    "token: any text": _Mutant(quote, "token", Word, _token),
    "quotes: nothing": _Mutant(quote, "quotes", list, _at_once),
    "tokens: any text": _Mutant(quote, "tokens", lambda texts: list(map(Word, texts)), _at_once),
    "pattern: flags are not ended": _Mutant(translate_rules, "pattern", _as_pattern, _pattern),
    "regex: whatever Python takes": _Mutant(translate_rules, "regex", quote.pattern, _regex),
    "log_format: per cent is not doubled": _Mutant(log_line, "log_format", quote.token, _log_format),
    "log_format: in checks": _Mutant(translate_pool, "log_format", quote.token, _probed),
    "argument: nothing": _Mutant(transition, "argument", _bare, _argument),
    "keepalived: nothing": _Mutant(keepalived_quote, "quote", _bare, _keepalived),
    "nftables: any id": _Mutant(nft_quote, "identifier", lambda prefix, text: Word(f"{prefix}-{text}"), _nft),
}


@pytest.mark.parametrize(
    "check", dict.fromkeys(mutant.check for mutant in _MUTANTS.values()), ids=lambda one: one.__name__
)
def test_the_doors_as_they_are_pass(check: Callable[[], None]) -> None:
    check()


@pytest.mark.parametrize("name", _MUTANTS)
def test_a_broken_door_is_found(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    mutant = _MUTANTS[name]
    monkeypatch.setattr(mutant.module, mutant.door, mutant.broken)
    with pytest.raises((AssertionError, ValueError, pytest.fail.Exception, StopIteration)):
        mutant.check()
