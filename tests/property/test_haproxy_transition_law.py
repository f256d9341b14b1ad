"""After a transition a running HAProxy does and reports what a fresh start of the wanted file would.

Random trees and edits of them against real processes: one lives through a whole history, and at each
step a fresh one is the judge.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from support.bundles import WITHOUT_FILES, bundle, facts, listener, policy, rule
from support.haproxy import Haproxy, free_port, loopback
from support.haproxy_state import observed

from lbdrivers.drivers.amphora import Vip
from lbdrivers.features import Feature
from lbdrivers.model.resources import COMPATIBLE_POOLS, ListenerProtocol, LoadBalancer
from lbdrivers.testing.edits import edits
from lbdrivers.testing.examples import rebuilt
from lbdrivers.testing.strategies import trees
from lbdrivers.testing.surroundings import ANYWHERE
from lbdrivers_amphora.haproxy.answers import failures
from lbdrivers_amphora.haproxy.ir import Configuration
from lbdrivers_amphora.haproxy.narrow import narrow
from lbdrivers_amphora.haproxy.parse import parse
from lbdrivers_amphora.haproxy.process import Process, read
from lbdrivers_amphora.haproxy.render import render
from lbdrivers_amphora.haproxy.server_state import carry
from lbdrivers_amphora.haproxy.transition import Nothing, Reload, Runtime, Transition, transition
from lbdrivers_amphora.haproxy.translate import translate

_VIP = loopback(0)
_AROUND = replace(
    ANYWHERE,
    member_addresses=(*(loopback(number) for number in range(1, 4)), "::1"),
    ports=tuple(free_port(_VIP) for _ in range(4)),
)
_PORT = free_port(_VIP)
#: Each case starts processes: to shrink a failure would take minutes.
_PHASES = [phase for phase in Phase if phase is not Phase.shrink]
_SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
_CHECKS = frozenset(feature for feature in WITHOUT_FILES if feature.value.startswith("monitor-"))
#: What a transition is mostly about: servers of one kind of listener, so that edits meet each other.
_MEMBERS = frozenset(
    {
        Feature.LISTENER_HTTP,
        Feature.LISTENER_CONNECTION_LIMIT,
        Feature.LISTENER_ALLOWED_CIDRS,
        Feature.L7,
        Feature.ALGORITHM_ROUND_ROBIN,
        Feature.ALGORITHM_SOURCE_IP,
        Feature.MEMBER_WEIGHT,
        Feature.MEMBER_BACKUP,
        Feature.MEMBER_MONITOR_ADDRESS,
        Feature.PERSISTENCE_HTTP_COOKIE,
    }
)


def _served(tree: LoadBalancer) -> LoadBalancer:
    """The tree with everything enabled, and one HTTP listener more that leads to every pool it can lead to."""
    pools = tuple(rebuilt(one, admin_state_up=True) for one in tree.pools)
    fitting = [one for one in pools if one.protocol in COMPATIBLE_POOLS[ListenerProtocol.HTTP]]
    policies = tuple(
        policy(
            f"to {one.id}",
            "REDIRECT_TO_POOL",
            rule(f"to {one.id}", "PATH", "EQUAL_TO", f"/{one.id}"),
            redirect_pool_id=one.id,
        )
        for one in fitting
    )
    listeners = (
        *(rebuilt(one, admin_state_up=True) for one in tree.listeners),
        listener("all", _PORT, l7policies=policies),
    )
    return rebuilt(tree, admin_state_up=True, pools=pools, listeners=listeners)


@st.composite
def _histories(draw: st.DrawFn, features: frozenset[Feature], longest: int) -> tuple[LoadBalancer, ...]:
    """Histories whose pools are all in use."""
    first = draw(trees(features, _AROUND).filter(lambda tree: any(pool.members for pool in tree.pools)))
    found = [first]
    for _ in range(draw(st.integers(1, longest))):
        found.append(draw(edits(found[-1], features, _AROUND)))
    return tuple(map(_served, found))


def _configuration(haproxy: Haproxy, tree: LoadBalancer) -> Configuration:
    return translate(bundle(tree, vips=(Vip(_VIP, "127.0.0.0/8"),)), facts(str(haproxy.base)))


def _follow(running: Haproxy, before: Configuration, after: Configuration) -> Transition:
    """Carry the transition out, as the agent does."""
    found = transition(before, after, read(running.ask("show info"), running.ask("show acl")))
    worker = running.worker()
    if isinstance(found, Reload):
        running.reload(after, carry(running.ask("show servers state"), after))
    else:
        running.write(after)
        commands = found.commands if isinstance(found, Runtime) else ()
        assert failures(commands, running.apply(commands)) == ()
        assert running.worker() == worker
    assert isinstance(found, Runtime | Reload | Nothing)
    return found


def _holds(history: tuple[LoadBalancer, ...]) -> None:
    with Haproxy() as running:
        before = _configuration(running, history[0])
        running.start(before)
        for tree in history[1:]:
            after = _configuration(running, tree)
            found = _follow(running, before, after)
            with Haproxy() as fresh:
                fresh.start(_configuration(fresh, tree))
                assert observed(running) == observed(fresh), found
            before = after


@settings(max_examples=100, deadline=None, phases=_PHASES, suppress_health_check=_SLOW)
@given(_histories(WITHOUT_FILES, longest=4) | _histories(_MEMBERS | _CHECKS, longest=4))
def test_what_differs_is_all_that_has_to_be_read(history: tuple[LoadBalancer, ...]) -> None:
    written = [translate(bundle(tree, vips=(Vip(_VIP, "127.0.0.0/8"),)), facts()) for tree in history]
    process = Process(connection_limit=1)
    for before, after in permutations(written, 2):
        running, wanted = narrow(render(before).encode(), render(after).encode())
        assert transition(parse(running.decode()), parse(wanted.decode()), process) == transition(
            before, after, process
        )


@settings(max_examples=20, deadline=None, phases=_PHASES, suppress_health_check=_SLOW)
@given(_histories(WITHOUT_FILES, longest=2))
def test_any_edit(history: tuple[LoadBalancer, ...]) -> None:
    _holds(history)


@settings(max_examples=15, deadline=None, phases=_PHASES, suppress_health_check=_SLOW)
@given(_histories(_MEMBERS, longest=3))
def test_members_without_checks_and_rules(history: tuple[LoadBalancer, ...]) -> None:
    _holds(history)


@settings(max_examples=15, deadline=None, phases=_PHASES, suppress_health_check=_SLOW)
@given(_histories(_MEMBERS | _CHECKS, longest=3))
def test_members_with_checks(history: tuple[LoadBalancer, ...]) -> None:
    _holds(history)


@pytest.mark.long
@pytest.mark.timeout(7200)
@settings(max_examples=1000, deadline=None, phases=_PHASES, suppress_health_check=_SLOW)
@given(_histories(WITHOUT_FILES, longest=4) | _histories(_MEMBERS | _CHECKS, longest=6))
def test_thousands_of_edits(history: tuple[LoadBalancer, ...]) -> None:
    _holds(history)
