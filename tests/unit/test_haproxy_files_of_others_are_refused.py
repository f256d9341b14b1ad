"""What this package did not write is refused with a clear error, never guessed at."""

from __future__ import annotations

import pytest
from support.bundles import bundle, facts, listener, member, monitor, pool, tree

from lbdrivers_amphora.haproxy.parse import parse
from lbdrivers_amphora.haproxy.render import render
from lbdrivers_amphora.haproxy.translate import translate


def _text() -> str:
    target = pool(members=(member("a"), member("b", "2001:db8::1")), healthmonitor=monitor())
    return render(translate(bundle(tree((listener(default_pool_id=target.id),), (target,))), facts()))


def test_our_own_is_read() -> None:
    assert render(parse(_text())) == _text()


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("# Configuration for loadbalancer ", "# Configuration of ", "not ours"),
        ("    master-worker\n", "    daemon\n", "we do not write daemon into a section global"),
        ("    retries 3\n", "    retries 3\n    # by hand\n", "a comment"),
        ("defaults\n", "defaults named\n", "a section defaults with 1 names"),
        ("\nfrontend ", "\nlisten ", "does not start a section"),
        (" weight 1 ", " weight 01 ", "not a number"),
        (" weight 1 ", " wait 1 ", "no weight"),
        (" inter 1s ", " inter 1000 ", "not in seconds"),
        (" inter 1s ", " inter 1s fastinter 1s ", "no fall"),
        (" rise 2", " rise 2 maxconn 4", "we do not write maxconn there"),
        ("192.0.2.1:80", "www.example.com:80", "not an address"),
        ("192.0.2.1:80", "192.0.2.1", "not an address"),
        ("    no log\n", '    "$X" log\n', "environment"),
        ("    no log\n", "    no 'log\n", "left open"),
        ("    option redispatch\n", "    server x 192.0.2.1:80 weight 1\n", "into a section defaults"),
        ("    mode http\n    timeout client", "    maxconn 4\n    mode http\n    timeout client", "maxconn once"),
        ("defaults\n", "", "we do not write no into a section global"),
        ("\ndefaults\n", "\npeers p\n    bind 192.0.2.1:1\n\npeers p\n", "we do not write|not those, in the order"),
        ("    no log\n", "    \n", "a comment or a blank line"),
        ("\nfrontend ", "\n# by hand\nfrontend ", "does not start a section"),
        (" inter 1s ", " inter", "no inter"),
        (" weight 1 ", "", "no weight|not an address"),
        (" 192.0.2.1:80 weight 1 check inter 1s fall 3 rise 2", "", "without a name or an address"),
    ],
)
def test_others_are_refused(old: str, new: str, complaint: str) -> None:
    text = _text().replace(old, new)
    with pytest.raises(ValueError, match=complaint):
        parse(text)


@pytest.mark.parametrize("text", ["", "\n", "global\n", "# Configuration for loadbalancer x\n", "\0"])
def test_fragments_are_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse(text)


def test_a_line_before_every_section_is_refused() -> None:
    head, rest = _text().split("\n", 1)
    with pytest.raises(ValueError, match="stands in no section"):
        parse(f"{head}\n    maxconn 4\n{rest}")


def test_a_limit_is_one_number() -> None:
    target = pool(members=(member("a"),))
    entry = listener(default_pool_id=target.id, connection_limit=5)
    text = render(translate(bundle(tree((entry,), (target,))), facts()))
    with pytest.raises(ValueError, match="takes one number"):
        parse(text.replace("    maxconn 5\n", "    maxconn 5 6\n"))


def test_sections_out_of_order_are_refused() -> None:
    head, rest = _text().split("\nfrontend ", 1)
    frontend, backend = rest.split("\nbackend ", 1)
    with pytest.raises(ValueError, match="in the order"):
        parse(f"{head}\nbackend {backend}\nfrontend {frontend}")
