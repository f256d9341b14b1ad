"""The laws of diff and apply_changes, on trees that collide in every way."""

from __future__ import annotations

import gc
import time
from collections import Counter
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lbdrivers.features import ALL, required
from lbdrivers.model.changes import Created, Deleted, Kind, Updated, apply_changes, diff
from lbdrivers.model.resources import LoadBalancer
from lbdrivers.testing.edits import edits, histories
from lbdrivers.testing.strategies import trees
from lbdrivers.testing.surroundings import Surroundings, identity

TREE_ID = identity(9)
#: Few ids, so that one tree's pool is the other one's member.
CROWDED = Surroundings(
    identities=tuple(identity(number) for number in range(100, 112)),
    flavors=({"allow_member_sriov": True}, {"sriov_vip": True}, {}),
    availability_zones=({"compute_zone": "here"},),
    security_group_id=identity(8),
)
crowded_trees = trees(ALL, CROWDED, TREE_ID)
LIMITS = settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@st.composite
def collisions(draw: st.DrawFn) -> tuple[LoadBalancer, LoadBalancer]:
    old = draw(crowded_trees)
    return old, draw(st.one_of(crowded_trees, edits(old, ALL, CROWDED)))


def assert_every_prefix_is_valid(old: LoadBalancer | None, new: LoadBalancer | None) -> None:
    changes = diff(old, new)
    for length in range(len(changes) + 1):
        tree = apply_changes(old, changes[:length])  # constructed by the model, so an invalid one raises
        if tree is not None:
            LoadBalancer.model_validate_json(tree.model_dump_json())
    assert apply_changes(old, changes) == new


@given(collisions())
@LIMITS
def test_changes_lead_to_the_new_tree_through_valid_trees_only(pair: tuple[LoadBalancer, LoadBalancer]) -> None:
    assert_every_prefix_is_valid(*pair)


@given(histories())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_histories_can_be_replayed(history: tuple[LoadBalancer, ...]) -> None:
    for old, new in zip((None, *history), (*history, None), strict=True):
        assert_every_prefix_is_valid(old, new)


@pytest.mark.parametrize("way", [1, -1])
def test_a_load_balancer_forbids_nothing_that_is_still_there(way: int) -> None:
    """Its own fields bind what is in it, so they change before it or after it, as each needs it."""
    pool = {"id": identity(5), "protocol": "UDP", "lb_algorithm": "ROUND_ROBIN"}
    listener = {"id": identity(6), "protocol": "UDP", "protocol_port": 53, "default_pool_id": pool["id"]}
    member = {"id": identity(7), "protocol_port": 53}
    trees_of_two_kinds: list[dict[str, Any]] = [
        {
            "vip_address": "192.0.2.1",
            "vip_sg_ids": [identity(8)],
            "flavor_data": {"allow_member_sriov": True},
            "listeners": [listener],
            "pools": [pool | {"members": [member | {"address": "192.0.2.2", "request_sriov": True}]}],
        },
        {
            "vip_address": "2001:db8::1",
            "listeners": [listener | {"allowed_cidrs": ["2001:db8::/32"]}],
            "pools": [pool | {"members": [member | {"address": "2001:db8::2"}]}],
        },
    ]
    common = {"id": TREE_ID, "vip_subnet_id": identity(1)}
    old, new = (LoadBalancer.model_validate(common | fields) for fields in trees_of_two_kinds[::way])
    assert_every_prefix_is_valid(old, new)


@given(st.none() | crowded_trees)
@LIMITS
def test_nothing_changes_between_equal_trees(tree: LoadBalancer | None) -> None:
    assert diff(tree, tree) == ()
    if tree is not None:
        assert diff(tree, LoadBalancer.model_validate_json(tree.model_dump_json())) == ()


@given(crowded_trees, trees(ALL, CROWDED, identity(10)))
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_trees_of_different_ids_replace_one_another(old: LoadBalancer, new: LoadBalancer) -> None:
    assert diff(old, new)[0] == Deleted(Kind.LOAD_BALANCER, old.id, None)
    assert_every_prefix_is_valid(old, new)


@given(collisions())
@LIMITS
def test_only_what_differs_is_touched(pair: tuple[LoadBalancer, LoadBalancer]) -> None:
    old, new = pair
    before, after = ({one.id: one for _, one in tree.walk()} for tree in pair)
    for change in diff(old, new):
        match change:
            case Created(_, _, resource):
                assert resource.id in after
            case Deleted(_, identifier, _):
                assert identifier in before
            case Updated(_, identifier, _, fields):
                assert fields
                assert before[identifier] is not after[identifier]
                assert all(field.old != field.new for field in fields)


@given(trees(frozenset({*list(ALL)[:4], *(one for one in ALL if one.startswith("algorithm"))})))
@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_drawn_trees_stay_within_the_features(tree: LoadBalancer) -> None:
    assert required(tree) <= {*list(ALL)[:4], *(one for one in ALL if one.startswith("algorithm"))}


def big_tree(count: int, weight: int = 1, first: int = 0) -> LoadBalancer:
    members = [
        {"id": identity(10**6 + n), "address": f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}", "protocol_port": 80}
        for n in range(first, first + count)
    ]
    members[count // 2]["weight"] = weight
    pool = {"id": identity(5), "protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN", "members": members}
    return LoadBalancer.model_validate({"id": TREE_ID, "vip_subnet_id": identity(6), "pools": [pool]})


def test_of_ten_thousand_members_the_changed_one_is_found() -> None:
    old, new = big_tree(10_000), big_tree(10_000, weight=7)
    assert Counter(type(change) for change in diff(old, new)) == {Updated: 1}


def test_the_time_grows_with_the_size_and_not_with_its_square() -> None:
    small, large = (
        min(_seconds(big_tree(size), big_tree(size, first=size)) for _ in range(3)) for size in (1_000, 10_000)
    )
    assert large < 40 * small


def _seconds(old: LoadBalancer, new: LoadBalancer) -> float:
    """Processor time, so that neighbours do not count; without the collector, which would walk through
    everything that other tests have left (``timeit`` does the same)."""
    gc.collect()
    gc.disable()
    try:
        started = time.process_time()
        diff(old, new)
        return time.process_time() - started
    finally:
        gc.enable()
