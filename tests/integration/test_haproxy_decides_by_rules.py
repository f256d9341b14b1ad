"""Every rule that looks at a request, with every comparison: what a running HAProxy takes, and what it does not."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.bundles import bundle, facts, listener, policy, rule, tree
from support.haproxy import Haproxy, free_port, loopback, request

from lbdrivers.drivers.amphora import Vip
from lbdrivers_amphora.haproxy.translate import translate

pytestmark = pytest.mark.usefixtures("each_haproxy")

_VIP = loopback(0)
_PORT = free_port(_VIP)
#: Comparison -> the value of the rule, texts that match it, and texts that do not.
_COMPARISONS = {
    "EQUAL_TO": ("/a.b", ("/a.b",), ("/a.bc", "/xa.b", "/a", "/axb", "/A.b")),
    "STARTS_WITH": ("/a.b", ("/a.b", "/a.bc"), ("/x/a.b", "/axb", "/A.b")),
    "ENDS_WITH": ("/a.b", ("/a.b", "/x/a.b"), ("/a.bc", "/axb", "/A.b")),
    "CONTAINS": ("/a.b", ("/a.b", "/x/a.bc"), ("/a", "/x/axbc", "/A.b")),
    "REGEX": ("^/a.b$", ("/a.b", "/axb"), ("/x/a.b", "/a.bc", "/A.b")),
}
#: Rule -> the head of a request that has the text there.
_PLACES = {
    "PATH": "GET {text}?/a.b HTTP/1.1\r\nHost: x\r\nX-Name: other\r\n",
    "HEADER": "GET / HTTP/1.1\r\nHost: x\r\nX-Name: {text}\r\n",
    "COOKIE": "GET / HTTP/1.1\r\nHost: x\r\nCookie: first=/a.b; name={text}; last=/a.b\r\n",
    "HOST_NAME": "GET / HTTP/1.1\r\nHost: {text}\r\n",
}
_KEYS = {"HEADER": "X-Name", "COOKIE": "name"}
_CASES = [(kind, comparison, inverted) for kind in _PLACES for comparison in _COMPARISONS for inverted in (False, True)]


def _of_kind(kind: str, text: str) -> str:
    """HAProxy 3.0 refuses a host with a slash."""
    return text.replace("/", "x") if kind == "HOST_NAME" else text


def _name(kind: str, comparison: str, inverted: bool) -> str:
    return f"{kind} {comparison} {'inverted' if inverted else 'as it is'}"


@pytest.fixture(scope="module")
def haproxy(each_haproxy: str) -> Iterator[Haproxy]:
    """Rejects what a rule matches, when the request names the case of that rule."""
    policies = []
    for kind, comparison, inverted in _CASES:
        name = _name(kind, comparison, inverted)
        key = {"key": _KEYS[kind]} if kind in _KEYS else {}
        value = _of_kind(kind, _COMPARISONS[comparison][0])
        matching = rule(name, kind, comparison, value, invert=inverted, **key)
        policies.append(policy(name, "REJECT", matching, rule(f"of {name}", "HEADER", "EQUAL_TO", name, key="X-Case")))
    files = [
        policy("type", "REJECT", rule("png", "FILE_TYPE", "EQUAL_TO", "png")),
        policy("types", "REJECT", rule("gif", "FILE_TYPE", "REGEX", r"\.(gif|jpe?g)$")),
    ]
    made = tree((listener(port=_PORT, l7policies=(*policies, *files)),))
    with Haproxy() as running:
        running.start(translate(bundle(made, vips=(Vip(_VIP, "127.0.0.0/8"),)), facts(str(running.base))))
        yield running


def _rejected(head: str) -> bool:
    status = request(_VIP, _PORT, head).split(b" ")[1]
    assert status in (b"403", b"503")  # without a pool, all else is not served
    return status == b"403"


@pytest.mark.parametrize(("kind", "comparison", "inverted"), _CASES)
def test_a_rule_matches_what_it_says_and_nothing_else(
    haproxy: Haproxy, kind: str, comparison: str, inverted: bool
) -> None:
    _, matching, others = _COMPARISONS[comparison]
    # Host names are the same in any case (RFC 9110, section 4.2.3).
    alike = tuple(text for text in others if kind == "HOST_NAME" and text == "/A.b")
    case = f"X-Case: {_name(kind, comparison, inverted)}\r\n"
    for text in (*matching, *others):
        expected = (text in matching or text in alike) != inverted
        assert _rejected(_PLACES[kind].format(text=_of_kind(kind, text)) + case) == expected, text


def test_a_type_of_file_is_the_end_of_the_path(haproxy: Haproxy) -> None:
    found = {
        path: _rejected(f"GET {path} HTTP/1.1\r\nHost: x\r\n")
        for path in ("/a.png", "/a.png?b", "/a.gif", "/a.jpeg?b=c", "/a.png/b", "/a?b=c.png", "/a.gif.b", "/a")
    }
    assert [path for path, rejected in found.items() if rejected] == ["/a.png", "/a.png?b", "/a.gif", "/a.jpeg?b=c"]
