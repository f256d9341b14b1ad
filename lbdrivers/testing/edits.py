"""Hypothesis strategies: edits of a tree, and histories of edits.

Law: what is drawn is valid by the model and keeps to the features; the id of the load balancer stays.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

from lbdrivers.features import ALL, Feature
from lbdrivers.model.resources import COMPATIBLE_POOLS, L7Policy, L7Rule, Listener, LoadBalancer, Member, Pool
from lbdrivers.testing.examples import rebuilt
from lbdrivers.testing.strategies import Drawing, texts, trees
from lbdrivers.testing.surroundings import ANYWHERE, Surroundings


def _swapped(items: tuple[Any, ...], fields: Sequence[str]) -> tuple[Any, ...]:
    """The first two items with each other's values of the fields."""
    first, second, *rest = items
    changed = (
        rebuilt(first, **{name: getattr(second, name) for name in fields}),
        rebuilt(second, **{name: getattr(first, name) for name in fields}),
    )
    return (*changed, *rest)


def _edited_member(draw: DrawFn, drawing: Drawing, members: tuple[Member, ...]) -> tuple[Member, ...]:
    """Members with one of them added, removed, changed, or all in another order."""
    taken = {(member.address, member.protocol_port) for member in members}
    way = draw(st.sampled_from(("add", "remove", "change", "shuffle", "swap")))
    if way == "add" or not members:
        added = drawing.member(taken)
        return (*members, added) if added is not None else members
    if way == "shuffle":
        return tuple(draw(st.permutations(members)))
    if way == "swap" and len(members) > 1:
        return _swapped(members, ("address", "protocol_port"))
    place = draw(st.integers(0, len(members) - 1))
    if way == "remove":
        return members[:place] + members[place + 1 :]
    return (*members[:place], _changed_member(draw, drawing, members[place], taken), *members[place + 1 :])


def _changed_member(draw: DrawFn, drawing: Drawing, member: Member, taken: set[tuple[str, int]]) -> Member:
    """The member with one kind of field of another member that could stand in its place."""
    other = drawing.member(taken)
    if other is None:
        return rebuilt(member, name=draw(texts(3)))
    kinds = (("name",), ("weight",), ("admin_state_up",), ("address", "protocol_port"), ("backup",))
    fields = draw(st.sampled_from((*kinds, ("monitor_address", "monitor_port"))))
    return rebuilt(member, **{name: getattr(other, name) for name in fields})


def _edited_pool(draw: DrawFn, drawing: Drawing, pool: Pool) -> Pool:
    part = draw(st.sampled_from(("members", "members", "healthmonitor", "session_persistence", "name")))
    values: dict[str, Callable[[], Any]] = {
        "members": lambda: _edited_member(draw, drawing, pool.members),
        "healthmonitor": lambda: drawing.monitor(pool.protocol),
        "session_persistence": lambda: drawing.persistence(pool.protocol),
        "name": lambda: draw(texts(3)),
    }
    edited: Pool = rebuilt(pool, **{part: values[part]()})
    return edited


def _edited_listeners(draw: DrawFn, drawing: Drawing, tree: LoadBalancer) -> tuple[Listener, ...]:
    listeners = tree.listeners
    way = draw(st.sampled_from(("add", "remove", "redirect", "shuffle", "swap", "options", "rules")))
    if way == "add" or not listeners:
        added = drawing.listener(tree.pools, {(one.protocol.transport, one.protocol_port) for one in listeners})
        return (*listeners, added) if added is not None else listeners
    if way == "shuffle":
        return tuple(draw(st.permutations(listeners)))
    if way == "swap" and len({one.protocol.transport for one in listeners[:2]}) == 1 and len(listeners) > 1:
        return _swapped(listeners, ("protocol_port",))
    first = listeners[0]
    if way == "options":
        return (rebuilt(first, **drawing.listener_options(first.protocol)), *listeners[1:])
    if way == "rules":
        policies = tuple(_other_values(draw, drawing, one) for one in first.l7policies)
        return (rebuilt(first, l7policies=policies), *listeners[1:])
    if way == "redirect":
        fitting = [pool.id for pool in tree.pools if pool.protocol in COMPATIBLE_POOLS[first.protocol]]
        return (rebuilt(first, default_pool_id=draw(st.sampled_from((None, *fitting)))), *listeners[1:])
    return listeners[1:]


def _other_values(draw: DrawFn, drawing: Drawing, policy: L7Policy) -> L7Policy:
    """The policy with rules that compare with other values in the same way."""

    def changed(rule: L7Rule) -> L7Rule:
        return rebuilt(rule, value=drawing.rule_value(rule.type, rule.compare_type)) if draw(st.booleans()) else rule

    return rebuilt(policy, rules=tuple(map(changed, policy.rules)))


@st.composite
def edits(
    draw: DrawFn,
    tree: LoadBalancer,
    features: frozenset[Feature] = ALL,
    around: Surroundings = ANYWHERE,
) -> LoadBalancer:
    """Trees one edit away from ``tree``: a part added, removed, changed, swapped, or all but flavor and zone anew."""
    drawing = Drawing(draw, features, around, tuple(one.id for _, one in tree.walk()), tree)
    way = draw(st.sampled_from(("pool", "pool", "pool", "listeners", "listeners", "add pool", "name", "anew")))
    if way == "anew":
        return Drawing(draw, features, around, (tree.id,), tree).tree(tree.id)
    fields: dict[str, Any] = {"name": draw(texts(4))}
    if way == "pool" and tree.pools:
        place = draw(st.integers(0, len(tree.pools) - 1))
        edited = _edited_pool(draw, drawing, tree.pools[place])
        fields = {"pools": (*tree.pools[:place], edited, *tree.pools[place + 1 :])}
    elif way == "listeners":
        fields = {"listeners": _edited_listeners(draw, drawing, tree)}
    elif way == "add pool" and (added := drawing.pool()) is not None:
        fields = {"pools": (*tree.pools, added)}
    result: LoadBalancer = rebuilt(tree, **fields)
    return result


@st.composite
def histories(
    draw: DrawFn,
    features: frozenset[Feature] = ALL,
    around: Surroundings = ANYWHERE,
    longest: int = 5,
) -> tuple[LoadBalancer, ...]:
    """Trees of one load balancer as its owner changes it, each an edit away from the one before."""
    found = [draw(trees(features, around))]
    for _ in range(draw(st.integers(1, longest))):
        found.append(draw(edits(found[-1], features, around)))
    return tuple(found)
