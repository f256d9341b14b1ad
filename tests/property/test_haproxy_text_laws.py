"""For every tree: the text reads back, is the same each time, and the real HAProxy accepts it."""

from __future__ import annotations

from collections.abc import Iterator

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support import haproxy
from support.bundles import RENDERED, bundle, facts
from support.furnished import furnished

from lbdrivers.drivers.amphora import Bundle, Topology, Vip
from lbdrivers.features import Feature
from lbdrivers.model.resources import LoadBalancer
from lbdrivers.testing.edits import edits
from lbdrivers.testing.strategies import trees
from lbdrivers_amphora.haproxy.ir import Configuration
from lbdrivers_amphora.haproxy.parse import parse
from lbdrivers_amphora.haproxy.peers import peer_name
from lbdrivers_amphora.haproxy.render import render
from lbdrivers_amphora.haproxy.transition import Nothing, Restart, Runtime, transition
from lbdrivers_amphora.haproxy.translate import translate
from lbdrivers_amphora.haproxy.word import Line, Word

_VIPS = (Vip("192.0.2.10", "192.0.2.0/24"), Vip("2001:db8::10", "2001:db8::/64"))
# Its exporter listens on a fixed port of loopback, so that tests which start HAProxy leave it out.
_FEATURES = RENDERED | {Feature.LISTENER_PROMETHEUS}
_SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large]


@st.composite
def _bundles(draw: st.DrawFn) -> Bundle:
    topology = draw(st.sampled_from(Topology))
    return bundle(draw(trees(_FEATURES)), topology, _VIPS[: draw(st.integers(1, 2))])


def _keywords(configuration: Configuration) -> Iterator[str]:
    yield "global"
    yield from (line[0] for line in configuration.process)
    yield "defaults"
    yield from (line[0] for line in configuration.defaults)
    if configuration.peers is not None:
        yield "peers"
        yield from (line[0] for line in configuration.peers.lines)
    for frontend in configuration.frontends:
        yield "frontend"
        if frontend.connection_limit is not None:
            yield "maxconn"
        yield from (line[0] for line in frontend.lines)
    for backend in configuration.backends:
        yield "backend"
        yield from (line[0] for line in backend.lines)
        yield from ("server" for _ in backend.servers)


@settings(max_examples=60, deadline=None, suppress_health_check=_SLOW)
@given(_bundles(), st.sampled_from([None, "/run/log"]))
def test_the_text_reads_back(given_bundle: Bundle, log: str | None) -> None:
    configuration = translate(given_bundle, facts(log_socket=log))
    text = render(configuration)
    assert parse(text) == configuration
    assert render(translate(given_bundle, facts(log_socket=log))) == text
    written = [line.split()[0] for line in text.splitlines() if line and not line.startswith("# ")]
    assert written == list(_keywords(configuration))
    assert isinstance(transition(configuration, configuration), Nothing)


@settings(max_examples=40, deadline=None, suppress_health_check=_SLOW)
@given(_bundles(), st.sampled_from([None, "/run/log"]), st.sampled_from(haproxy.VERSIONS))
def test_haproxy_accepts_it(given_bundle: Bundle, log: str | None, version: str) -> None:
    """Of pairs and with exporters, too, a process for each; hundreds of trees have a test of their own."""
    with furnished(given_bundle, facts(log_socket=log)) as appliance:
        text = render(translate(given_bundle, appliance))
        status, output = haproxy.check(text, peer_name(given_bundle.amphora_id), version)
    assert status == 0, output + text


@settings(max_examples=150, deadline=None, suppress_health_check=_SLOW)
@given(st.data())
def test_a_transition_is_the_mildest_that_the_difference_allows(data: st.DataObject) -> None:
    tree = data.draw(trees(_FEATURES))
    edited: LoadBalancer = data.draw(edits(tree, _FEATURES))
    before, after = (translate(bundle(one, vips=_VIPS), facts()) for one in (tree, edited))
    found = transition(before, after)
    assert not isinstance(found, Restart)
    if before == after:
        assert isinstance(found, Nothing)
    if isinstance(found, Runtime):
        assert len(set(found.commands)) == len(found.commands)
        assert not any(character in command for command in found.commands for character in ";\n\\")
        # Nothing but servers, connection limits and the values of numbered ACLs may differ.
        assert before.process == after.process
        assert {one.name: _fixed(one.lines) for one in before.frontends} == {
            one.name: _fixed(one.lines) for one in after.frontends
        }
        assert {one.name: one.lines for one in before.backends} == {one.name: one.lines for one in after.backends}
        removals = [index for index, command in enumerate(found.commands) if command.startswith("del server")]
        additions = [index for index, command in enumerate(found.commands) if command.startswith("add server")]
        assert not removals or not additions or max(additions) < min(removals)


def _fixed(lines: tuple[Line, ...]) -> list[Line]:
    """The lines without the values of numbered ACLs."""
    return [line[: line.index(Word("-u")) + 2] if line[0] == "acl" and "-u" in line else line for line in lines]
