"""What one request of Octavia makes of a tree, and what it takes to get from one tree to another, case by case."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from octavia_lib.api.drivers import data_models

from lbdrivers.errors import PermanentError, UnsupportedError
from lbdrivers.features import ALL
from lbdrivers.model.kinds import Kind
from lbdrivers.model.resources import L7Policy, LoadBalancer, PersistenceType, SessionPersistence
from lbdrivers.octavia import callbacks, edits, models, positions
from lbdrivers.testing.examples import rebuilt, small_tree
from lbdrivers.testing.surroundings import ANYWHERE, new_id

PLAIN = small_tree(ALL, ANYWHERE)
LISTENER, POOL = PLAIN.listeners[0], PLAIN.pools[0]
NOBODY = new_id()


def policy(name: str, position: int, **fields: Any) -> L7Policy:
    return L7Policy(id=new_id(), name=name, action="REJECT", position=position, **fields)


def with_policies(*policies: L7Policy) -> LoadBalancer:
    return rebuilt(PLAIN, listeners=(rebuilt(LISTENER, l7policies=policies),))


A, B, C = (policy(name, place) for place, name in enumerate("abc", start=1))
TREE = with_policies(A, B, C)


def order(tree: LoadBalancer) -> list[tuple[str, int]]:
    return [(one.name, one.position) for one in positions.canonical(tree).listeners[0].l7policies]


# -- one request ----------------------------------------------------------------------------------

UNKNOWN: dict[str, Callable[[], object]] = {
    "a member of no pool": lambda: edits.created(
        TREE, Kind.MEMBER, data_models.Member(member_id=new_id(), pool_id=NOBODY, address="192.0.2.9", protocol_port=1)
    ),
    "a pool that is not there": lambda: edits.updated(TREE, Kind.POOL, data_models.Pool(pool_id=NOBODY, name="x")),
    "a listener where a pool is": lambda: edits.updated(
        TREE, Kind.LISTENER, data_models.Listener(listener_id=POOL.id, name="x")
    ),
    "a policy of no listener": lambda: edits.with_policy(TREE, NOBODY, A),
    "members of no pool": lambda: edits.with_members(TREE, NOBODY, []),
    "members of a listener": lambda: edits.with_members(TREE, LISTENER.id, []),
}


@pytest.mark.parametrize("request_", UNKNOWN.values(), ids=list(UNKNOWN))
def test_what_hangs_on_nothing_is_refused_by_name(request_: Callable[[], object]) -> None:
    with pytest.raises(PermanentError, match="is unknown"):
        request_()


def test_members_are_told_apart_by_their_ids() -> None:
    with pytest.raises(UnsupportedError, match="without an id"):
        edits.with_members(TREE, POOL.id, [data_models.Member(address="192.0.2.9", protocol_port=1)])


def test_members_not_named_go_and_unset_fields_stay() -> None:
    first = data_models.Member(member_id=POOL.members[0].id, weight=7)
    (kept,) = edits.with_members(TREE, POOL.id, [first]).pools[0].members
    assert kept == rebuilt(POOL.members[0], weight=7)


@pytest.mark.parametrize("known", [False, True], ids=["new pool", "known pool"])
def test_a_listener_brings_its_default_pool_along(known: bool) -> None:
    pool = models.Objects(PLAIN).pool(POOL)
    pool.pool_id = POOL.id if known else new_id()
    pool.members = pool.members if known else []
    made = data_models.Listener(
        listener_id=new_id(),
        loadbalancer_id=PLAIN.id,
        protocol="HTTP",
        protocol_port=8081,
        default_pool_id=pool.pool_id,
    )
    made.default_pool = pool
    tree = edits.created(PLAIN, Kind.LISTENER, made)
    assert tree.listeners[-1].default_pool_id == pool.pool_id
    assert [one.id for one in tree.pools] == list(dict.fromkeys((POOL.id, pool.pool_id)))


@pytest.mark.parametrize(
    ("deleted", "left"),
    [
        (A.id, [("b", 1), ("c", 2)]),
        (C.id, [("a", 1), ("b", 2)]),
        (NOBODY, [("a", 1), ("b", 2), ("c", 3)]),
    ],
    ids=["first", "last", "absent"],
)
def test_positions_have_no_gaps_after_a_policy_went(deleted: str, left: list[tuple[str, int]]) -> None:
    assert order(edits.deleted(TREE, Kind.L7POLICY, deleted)) == left


def test_a_rule_goes_and_its_policy_stays() -> None:
    rule = {"id": new_id(), "type": "PATH", "compare_type": "EQUAL_TO", "value": "/x"}
    tree = with_policies(policy("ruled", 1, rules=[rule]))
    assert edits.deleted(tree, Kind.L7RULE, rule["id"]).listeners[0].l7policies[0].rules == ()


def test_the_load_balancer_itself_is_deleted_elsewhere() -> None:
    assert edits.deleted(TREE, Kind.LOAD_BALANCER, TREE.id) is TREE


# -- objects --------------------------------------------------------------------------------------


def test_every_object_of_a_tree_is_found_and_nothing_else_is() -> None:
    objects = models.Objects(TREE)
    for kind, one in TREE.walk():
        found = objects.of(one.id)
        assert isinstance(found, models.CLASSES[Kind(kind)][0])
        assert getattr(found, models.identity_field(Kind(kind))) == one.id
    assert objects.of(NOBODY) is None


def test_a_member_of_another_kind_of_port_is_refused() -> None:
    with pytest.raises(UnsupportedError, match="VNIC type macvtap"):
        models.parse(Kind.MEMBER, {"member_id": new_id(), "vnic_type": "macvtap"})


def test_pools_that_stand_below_listeners_only_are_taken_in_once() -> None:
    whole = models.Objects(PLAIN).load_balancer()
    again = models.Objects(PLAIN).listener(LISTENER)
    again.listener_id, again.protocol_port = new_id(), 8081
    whole.listeners.append(again)
    whole.pools = []
    assert [one.id for one in models.load_balancer(whole).pools] == [POOL.id]


def test_a_persistence_changes_and_keeps_its_type() -> None:
    cookie = SessionPersistence(type=PersistenceType.APP_COOKIE, cookie_name="old")
    changed = models.updated(
        Kind.POOL,
        rebuilt(POOL, session_persistence=cookie),
        data_models.Pool(pool_id=POOL.id, session_persistence={"cookie_name": "new"}),
    )
    assert changed == rebuilt(POOL, session_persistence=rebuilt(cookie, cookie_name="new"))


def test_identities_are_all_there_is() -> None:
    assert models.identities(models.Objects(TREE).load_balancer()) == {one.id: kind for kind, one in TREE.walk()}


# -- from one tree to another ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("desired", "methods"),
    [
        (TREE, []),
        (with_policies(rebuilt(B, position=1), rebuilt(A, position=2), C), ["l7policy_update"] * 3),
        (with_policies(A, C), ["l7policy_delete", "l7policy_update", "l7policy_update"]),
        (with_policies(A, B, rebuilt(C, name="renamed")), ["l7policy_update"]),
        (with_policies(A, B, C, policy("d", 4)), ["l7policy_update"] * 3 + ["l7policy_create"]),
        (rebuilt(TREE, name="renamed"), ["loadbalancer_update"]),
        (rebuilt(TREE, tags=("said to nobody",)), []),
    ],
    ids=["nothing", "order", "delete", "rename", "create", "load balancer", "tags"],
)
def test_policies_are_told_their_positions_in_order(desired: LoadBalancer, methods: list[str]) -> None:
    calls = callbacks.between(TREE, desired)
    assert sorted(call.method for call in calls) == sorted(methods)
    told = [call.arguments[1].position for call in calls if call.method == "l7policy_update"]
    assert [one for one in told if isinstance(one, int)] == sorted(one for one in told if isinstance(one, int))
    if calls and calls[-1].after is not None:
        assert order(calls[-1].after) == order(desired)


@pytest.mark.parametrize(
    "fields", [{"vip_address": "192.0.2.99"}, {"vip_subnet_id": NOBODY, "name": "renamed"}], ids=["address", "subnet"]
)
def test_a_vip_does_not_move(fields: dict[str, str]) -> None:
    with pytest.raises(PermanentError, match=f"{next(iter(fields))} of a load balancer cannot change"):
        callbacks.between(TREE, rebuilt(TREE, **fields))


@pytest.mark.parametrize(
    ("tree", "cascade"), [(TREE, True), (rebuilt(TREE, listeners=(), pools=()), False)], ids=["full", "empty"]
)
def test_removal_takes_everything_along(tree: LoadBalancer, cascade: bool) -> None:
    call = callbacks.removal(tree)
    assert (call.method, call.arguments[1], call.after) == ("loadbalancer_delete", cascade, None)
    assert call.touched == {one.id: kind for kind, one in tree.walk()}


@pytest.mark.parametrize(
    "identity",
    [NOBODY, POOL.members[0].id, LISTENER.id, TREE.id],
    ids=["absent", "member", "listener", "load balancer"],
)
def test_around_is_what_stands_above_and_the_listeners_that_lead_there(identity: str) -> None:
    above = {
        POOL.members[0].id: {POOL.id, TREE.id, LISTENER.id},
        LISTENER.id: {TREE.id},
    }
    assert set(callbacks.around(TREE, identity)) == above.get(identity, set())
    assert callbacks.around(None, identity) == {}
