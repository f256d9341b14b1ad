"""HAProxy's verdict on an excerpt is its verdict on the whole text: for edits of trees, and for lines that are bad."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from support import haproxy
from support.bundles import WITHOUT_FILES, bundle, facts, ident, listener, member, monitor, pool, tree

from lbdrivers.features import Feature
from lbdrivers.model.resources import LoadBalancer
from lbdrivers.testing.edits import edits
from lbdrivers.testing.strategies import trees
from lbdrivers_amphora.haproxy.excerpt import excerpt
from lbdrivers_amphora.haproxy.narrow import outline
from lbdrivers_amphora.haproxy.parse import parse
from lbdrivers_amphora.haproxy.render import render
from lbdrivers_amphora.haproxy.translate import translate

_SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
_PHASES = [phase for phase in Phase if phase is not Phase.shrink]
_MEMBERS = frozenset(
    {Feature.LISTENER_HTTP, Feature.ALGORITHM_ROUND_ROBIN, Feature.ALGORITHM_SOURCE_IP, Feature.MEMBER_WEIGHT}
)


def _text(given_tree: LoadBalancer) -> bytes:
    return render(translate(bundle(given_tree), facts())).encode()


def _without_servers(text: bytes) -> list[tuple[object, ...]]:
    """The sections in their order, as far as they are not servers."""
    whole = parse(text.decode())
    frontends = [("frontend", one.name, str(one.connection_limit), one.lines) for one in whole.frontends]
    backends = [("backend", one.name, one.lines) for one in whole.backends]
    return [("global", whole.process), ("defaults", whole.defaults), *frontends, *backends]


@st.composite
def _edited(draw: st.DrawFn) -> tuple[LoadBalancer, LoadBalancer]:
    chosen = draw(st.sampled_from([WITHOUT_FILES, _MEMBERS]))
    before = draw(trees(chosen))
    return before, draw(edits(before, chosen))


@settings(max_examples=60, deadline=None, phases=_PHASES, suppress_health_check=_SLOW)
@given(_edited())
def test_what_servers_alone_make_different_is_judged_by_an_excerpt(history: tuple[LoadBalancer, LoadBalancer]) -> None:
    before, after = map(_text, history)
    old, new = _without_servers(before), _without_servers(after)
    part = excerpt(before, after)
    if old == new:
        assert part is not None
    if sorted(old) != sorted(new):
        assert part is None
    # Sections in another order are judged by either: HAProxy takes them as they come.
    if part is not None:
        assert haproxy.check(part)[0] == 0, part.decode()
        changed = {line for line in after.splitlines() if line not in before.splitlines()}
        assert changed <= set(part.splitlines())


def _pool(name: str, algorithm: str) -> bytes:
    """Forty members: enough for most of them to be left out."""
    members = tuple(member(f"m{number}", f"192.0.2.{number + 1}") for number in range(40))
    target = pool(name, members=members, lb_algorithm=algorithm, healthmonitor=monitor("TCP"))
    return _text(tree((listener("l", default_pool_id=target.id),), (target,)))


_LINE = b"    server " + ident("m20").encode()
_OTHER, _NEW = ident("m5").encode(), ident("new").encode()


def _replaced(old: bytes, new: bytes) -> bytes:
    """The text with something else on the line of one server."""
    text = _pool("p", "SOURCE_IP")
    start = text.index(_LINE)
    end = text.index(b"\n", start)
    line = text[start:end]
    assert old in line
    return text[:start] + line.replace(old, new, 1) + text[end:]


def _number(name: str) -> bytes:
    text = _pool("p", "SOURCE_IP").decode()
    server = next(one for one in parse(text).backends[0].servers if one.name == ident(name))
    return str(server.number).encode()


@pytest.mark.parametrize("version", haproxy.VERSIONS)
@pytest.mark.parametrize(
    ("old", "new", "judged"),
    [
        (b" weight 1 ", b" weight 256 ", True),
        (b" weight 1 ", b" weight 257 ", True),
        (b":80 ", b":70000 ", True),
        (b"192.0.2.21", b"192.0.2.256", True),
        (b"m20", _OTHER, False),
        (b"m20", _NEW, True),
        (b"number", b"other number", False),
        (b"number", b"new number", True),
    ],
)
def test_the_verdicts_agree(version: str, old: bytes, new: bytes, judged: bool) -> None:
    accepted = _pool("p", "SOURCE_IP")
    names = {b"m20": ident("m20").encode(), b"number": b" id " + _number("m20") + b" "}
    values = {b"other number": b" id " + _number("m5") + b" ", b"new number": b" id 7 "}
    wanted = _replaced(names.get(old, old), values.get(new, new))
    part = excerpt(accepted, wanted)
    assert (part is not None) == judged
    if part is not None:
        whole, said = haproxy.check(wanted, version=version)
        assert len(part) < len(wanted) / 4
        assert haproxy.check(part, version=version)[0] == whole, said


def test_files_of_others_are_judged_whole() -> None:
    ours = _pool("p", "ROUND_ROBIN")
    foreign = b"# not ours\n" + ours.partition(b"\n")[2]
    assert excerpt(foreign, foreign.replace(b" weight 1 ", b" weight 2 ", 1)) is None
    assert excerpt(ours, foreign) is None


def test_thousands_of_new_servers_are_judged_whole() -> None:
    def having(count: int) -> bytes:
        members = tuple(member(f"m{number}", f"10.1.{number // 250}.{number % 250 + 1}") for number in range(count))
        target = pool("p", members=members)
        return _text(tree((listener("l", default_pool_id=target.id),), (target,)))

    assert excerpt(having(1), having(90)) is not None
    assert excerpt(having(1), having(2000)) is None


@settings(max_examples=60, deadline=None, phases=_PHASES, suppress_health_check=_SLOW)
@given(trees(WITHOUT_FILES))
def test_an_outline_has_everything_but_further_servers(given_tree: LoadBalancer) -> None:
    whole = parse(_text(given_tree).decode())
    cut = parse(outline(_text(given_tree)).decode())
    assert (cut.process, cut.defaults, cut.frontends) == (whole.process, whole.defaults, whole.frontends)
    assert [(one.name, one.lines, one.servers) for one in cut.backends] == [
        (one.name, one.lines, one.servers[:1]) for one in whole.backends
    ]
