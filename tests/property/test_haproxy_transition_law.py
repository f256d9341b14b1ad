"""After a transition a running HAProxy does and reports what a fresh start of the wanted file would.

Random trees and edits of them against real processes: one lives through a whole history, and at each
step a fresh one is the judge.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import permutations

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from support.bundles import RENDERED, WITHOUT_FILES, bundle, facts, listener, policy, rule
from support.following import Follower, differing
from support.haproxy import Haproxy, free_port, loopback

from lbdrivers.drivers.amphora import Vip
from lbdrivers.features import Feature
from lbdrivers.model.resources import COMPATIBLE_POOLS, ListenerProtocol, LoadBalancer
from lbdrivers.testing.edits import edits
from lbdrivers.testing.examples import rebuilt
from lbdrivers.testing.strategies import trees
from lbdrivers.testing.surroundings import ANYWHERE
from lbdrivers_amphora.decide import tls
from lbdrivers_amphora.haproxy.narrow import narrow
from lbdrivers_amphora.haproxy.parse import parse
from lbdrivers_amphora.haproxy.process import Process
from lbdrivers_amphora.haproxy.render import render
from lbdrivers_amphora.haproxy.transition import transition
from lbdrivers_amphora.haproxy.translate import translate

_VIP, _OTHER_VIP = loopback(0), loopback(9)
_AROUND = replace(
    ANYWHERE,
    member_addresses=(*(loopback(number) for number in range(1, 4)), "::1"),
    ports=tuple(free_port(_VIP) for _ in range(4)),
    references=("www", "api", "shop"),
    authority_references=("authority/clients", "authority/partners"),
    revocation_references=("crl/clients", "crl/partners"),
)
_PORT = free_port(_VIP)
#: Milliseconds that clients have at least.
_PATIENCE = 20_000
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
#: What certificates are about.
_CERTIFICATES = frozenset(
    {
        Feature.LISTENER_TERMINATED_HTTPS,
        Feature.POOL_TLS,
        Feature.ALGORITHM_ROUND_ROBIN,
        Feature.MEMBER_WEIGHT,
        Feature.L7,
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
        *(
            # A client that has a few milliseconds only would be served by luck.
            rebuilt(one, admin_state_up=True, timeout_client_data=max(one.timeout_client_data, _PATIENCE))
            for one in tree.listeners
        ),
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


def _holds(history: Sequence[tuple[LoadBalancer, int]]) -> list[str]:
    """:returns: how each step was done."""
    kinds = []
    with Haproxy() as process:
        running = Follower(process, _VIP)
        running.start(*history[0])
        for tree, edition in history[1:]:
            found, change = running.follow(tree, edition)
            with Haproxy() as another:
                fresh = Follower(another, _OTHER_VIP)
                fresh.start(tree, edition)
                assert differing(running.observed(), fresh.observed()) == {}, (found, change)
            kinds.append(found.kind)
    return kinds


def _unrenewed(history: tuple[LoadBalancer, ...]) -> list[tuple[LoadBalancer, int]]:
    return [(tree, 0) for tree in history]


@st.composite
def _renewals(draw: st.DrawFn, features: frozenset[Feature], longest: int) -> tuple[tuple[LoadBalancer, int], ...]:
    """Histories of what is shown and verified by TLS: references change, or what they refer to does."""
    first = draw(trees(features, _AROUND).filter(_speaks_tls))
    found = [(first, 0)]
    for _ in range(draw(st.integers(1, longest))):
        tree, edition = found[-1]
        way = draw(st.sampled_from(("edit", "listener", "pool", "renew", "members")))
        if way == "edit":
            found.append((draw(edits(tree, features, _AROUND)), edition))
        elif way == "renew":
            found.append((tree, 1 - edition))
        else:
            other = draw(trees(features, _AROUND).filter(_speaks_tls))
            found.append((_mixed(tree, other, way), edition))
    return tuple((_served(tree), edition) for tree, edition in found)


def _speaks_tls(tree: LoadBalancer) -> bool:
    return bool(tls.uses(tree))


_SHOWN = ("default_tls_container_ref", "sni_container_refs", "client_ca_tls_container_ref", "client_crl_container_ref")
_ASKED = ("tls_container_ref", "ca_tls_container_ref", "crl_container_ref")


def _mixed(tree: LoadBalancer, other: LoadBalancer, part: str) -> LoadBalancer:
    """The tree with the references of another one, or without half of its members."""
    if part == "members":
        return rebuilt(tree, pools=tuple(rebuilt(one, members=one.members[::2]) for one in tree.pools))
    listeners, pools = tree.listeners, tree.pools
    terminated = [one for one in other.listeners if one.protocol is ListenerProtocol.TERMINATED_HTTPS]
    if part == "listener" and terminated:
        fields = {name: getattr(terminated[0], name) for name in (*_SHOWN, "client_authentication")}
        listeners = tuple(
            rebuilt(one, **fields) if one.protocol is ListenerProtocol.TERMINATED_HTTPS else one for one in listeners
        )
    asking = [one for one in other.pools if one.tls_enabled]
    if part == "pool" and asking:
        fields = {name: getattr(asking[0], name) for name in _ASKED}
        pools = tuple(rebuilt(one, **fields) if one.tls_enabled else one for one in pools)
    return rebuilt(tree, listeners=listeners, pools=pools)


def _a_part_of(examples: int) -> settings:
    """A tenth of so many, and not the same as in other parts: it is seen soon when something is wrong."""
    return settings(
        max_examples=examples // 10,
        derandomize=False,
        deadline=None,
        phases=_PHASES,
        suppress_health_check=_SLOW,
    )


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
    _holds(_unrenewed(history))


@settings(max_examples=15, deadline=None, phases=_PHASES, suppress_health_check=_SLOW)
@given(_histories(_MEMBERS, longest=3))
def test_members_without_checks_and_rules(history: tuple[LoadBalancer, ...]) -> None:
    _holds(_unrenewed(history))


@settings(max_examples=15, deadline=None, phases=_PHASES, suppress_health_check=_SLOW)
@given(_histories(_MEMBERS | _CHECKS, longest=3))
def test_members_with_checks(history: tuple[LoadBalancer, ...]) -> None:
    _holds(_unrenewed(history))


@settings(max_examples=10, deadline=None, phases=_PHASES, suppress_health_check=_SLOW)
@given(_renewals(_CERTIFICATES, longest=3))
def test_certificates(history: tuple[tuple[LoadBalancer, int], ...]) -> None:
    _holds(history)


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("part", range(10))
@_a_part_of(500)
@given(history=_renewals(_CERTIFICATES, longest=5) | _renewals(RENDERED, longest=5))
def test_hundreds_of_renewals(history: tuple[tuple[LoadBalancer, int], ...], part: int) -> None:
    _holds(history)


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("part", range(10))
@_a_part_of(1000)
@given(history=_histories(WITHOUT_FILES, longest=4) | _histories(_MEMBERS | _CHECKS, longest=6))
def test_thousands_of_edits(history: tuple[LoadBalancer, ...], part: int) -> None:
    _holds(_unrenewed(history))
