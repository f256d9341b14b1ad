"""For every tree with datagrams: the real nft takes the rules, edits lead where they should, names lead nowhere."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.bundles import bundle
from support.nft import Nft, a_namespace

from lbdrivers.drivers.amphora import Vip
from lbdrivers.features import Feature
from lbdrivers.model.resources import LoadBalancer
from lbdrivers.testing.edits import edits
from lbdrivers.testing.strategies import trees
from lbdrivers_amphora.nftables import document, render, rules
from lbdrivers_amphora.nftables.delta import delta
from lbdrivers_amphora.nftables.ir import Configuration
from lbdrivers_amphora.nftables.translate import translate

DATAGRAMS = frozenset(
    {
        Feature.LISTENER_UDP,
        Feature.LISTENER_ALLOWED_CIDRS,
        Feature.LISTENER_CONNECTION_LIMIT,
        Feature.DATAGRAM_ROUND_ROBIN,
        Feature.DATAGRAM_SOURCE_IP,
        Feature.DATAGRAM_SOURCE_IP_PORT,
        Feature.PERSISTENCE_SOURCE_IP,
        Feature.MEMBER_WEIGHT,
        Feature.MEMBER_BACKUP,
        Feature.MEMBER_MONITOR_ADDRESS,
        Feature.MONITOR_UDP_CONNECT,
        Feature.MONITOR_TCP,
        Feature.MONITOR_HTTP,
        Feature.MONITOR_ACROSS_PROTOCOLS,
        Feature.PERSISTENCE_GRANULARITY,
    }
)
_VIPS = (Vip("192.0.2.10", "192.0.2.0/24"), Vip("2001:db8::10", "2001:db8::/64"))
_SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture]


def wanted(tree: LoadBalancer) -> Configuration:
    return translate(bundle(tree, vips=_VIPS))


@st.composite
def histories(draw: st.DrawFn) -> tuple[LoadBalancer, LoadBalancer, frozenset[str], frozenset[str]]:
    """A tree, another after some edits, and who is down before and after."""
    first = second = draw(trees(DATAGRAMS))
    for _ in range(draw(st.integers(1, 3))):
        second = draw(edits(second, DATAGRAMS))
    members = sorted({member.id for tree in (first, second) for pool in tree.pools for member in pool.members})
    down = st.frozensets(st.sampled_from(members)) if members else st.just(frozenset())
    return first, second, draw(down), draw(down)


@pytest.fixture(scope="module")
def nft() -> Iterator[Nft]:
    with a_namespace() as made:
        yield made


@settings(max_examples=25, deadline=None, suppress_health_check=_SLOW)
@given(histories())
def test_a_change_leads_where_a_fresh_start_would(
    nft: Nft, history: tuple[LoadBalancer, LoadBalancer, frozenset[str], frozenset[str]]
) -> None:
    first, second, down_before, down_after = history
    old, new = rules.table(wanted(first), down_before), rules.table(wanted(second), down_after)
    nft.load(render.replacement(new))
    fresh = nft.tables()
    nft.load(render.replacement(old))
    nft.load(render.change(old, new))
    assert nft.tables() == fresh
    nft.load(render.removal(new.name))
    assert nft.tables() == frozenset()


@settings(max_examples=40, deadline=None, suppress_health_check=_SLOW)
@given(trees(DATAGRAMS))
def test_the_document_is_read_as_it_was_written(tree: LoadBalancer) -> None:
    configuration = wanted(tree)
    text = document.render(configuration)
    assert document.parse(text) == configuration
    assert document.render(document.parse(text)) == text


def _anonymous(tree: LoadBalancer) -> LoadBalancer:
    """The tree without any text that people choose."""
    plain = {"name": "", "description": "", "tags": ()}
    pools = tuple(
        pool.model_copy(
            update=plain
            | {"members": tuple(member.model_copy(update={"name": "", "tags": ()}) for member in pool.members)}
        )
        for pool in tree.pools
    )
    listeners = tuple(listener.model_copy(update=plain) for listener in tree.listeners)
    return tree.model_copy(update=plain | {"listeners": listeners, "pools": pools})


@settings(max_examples=40, deadline=None, suppress_health_check=_SLOW)
@given(trees(DATAGRAMS))
def test_what_people_call_things_has_no_part_in_the_rules(tree: LoadBalancer) -> None:
    assert render.text(rules.table(wanted(tree))) == render.text(rules.table(wanted(_anonymous(tree))))


@settings(max_examples=40, deadline=None, suppress_health_check=_SLOW)
@given(trees(DATAGRAMS))
def test_nothing_to_change_is_no_command(tree: LoadBalancer) -> None:
    table = rules.table(wanted(tree))
    assert delta(table, rules.table(wanted(tree))) == ()


@settings(max_examples=40, deadline=None, suppress_health_check=_SLOW)
@given(histories())
def test_a_flow_keeps_its_mark_as_long_as_its_member_stays(
    history: tuple[LoadBalancer, LoadBalancer, frozenset[str], frozenset[str]],
) -> None:
    first, second, _, _ = history
    before, after = rules.flow_marks(wanted(first)), rules.flow_marks(wanted(second))
    assert {pair: before[pair] for pair in before if pair in after} == {
        pair: after[pair] for pair in after if pair in before
    }
    assert len(set(after.values())) == len(after)
