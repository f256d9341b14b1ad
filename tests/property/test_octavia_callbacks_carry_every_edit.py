"""However a tree is edited: as calls of octavia-lib's interface the edits arrive at the other end, whole."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from octavia_lib.api.drivers import data_models
from support.octavia_driver import session as opened
from support.octavia_driver import spoken

from lbdrivers.model.kinds import Kind
from lbdrivers.model.resources import LoadBalancer
from lbdrivers.octavia import callbacks, edits, models, positions
from lbdrivers.octavia.provider_driver import MemoryDriver
from lbdrivers.octavia.session import Session
from lbdrivers.testing.edits import histories
from lbdrivers.testing.examples import rebuilt
from lbdrivers.testing.strategies import trees
from lbdrivers.testing.surroundings import Surroundings, identity

AROUND = Surroundings(
    flavors=({"appliances": 2}, {"allow_member_sriov": True}, {}),
    availability_zones=({"compute_zone": "here"},),
    security_group_id=identity(8),
)
#: What the API lets nobody change of a load balancer.
FIXED = ("vip_subnet_id", "vip_address", "additional_vips", "project_id")


@pytest.fixture(scope="module")
def session() -> Iterator[Session]:
    with tempfile.TemporaryDirectory() as folder, opened(Path(folder)) as found:
        yield found


def with_fixed_fields(history: tuple[LoadBalancer, ...]) -> tuple[LoadBalancer, ...]:
    fields = {name: getattr(history[0], name) for name in FIXED}
    return tuple(rebuilt(tree, **fields) for tree in history)


def carried(driver: MemoryDriver, old: LoadBalancer | None, new: LoadBalancer) -> None:
    for call in callbacks.between(old, new):
        getattr(driver, call.method)(*call.arguments)


@given(histories(around=AROUND).map(with_fixed_fields), st.data())
@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
def test_histories_arrive(session: Session, history: tuple[LoadBalancer, ...], data: st.DataObject) -> None:
    driver = MemoryDriver(session)
    load_balancer_id = history[0].id
    try:
        told: LoadBalancer | None = None
        for tree in history:
            carried(driver, told, tree)
            entry = session.store.get(load_balancer_id)
            assert entry is not None
            assert spoken(entry.desired) == spoken(tree)
            told = tree
    finally:
        session.engine.delete(load_balancer_id)
        session.engine.run(load_balancer_id)


@given(histories(around=AROUND, longest=3).map(with_fixed_fields))
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
def test_every_step_on_the_way_is_what_the_call_says(history: tuple[LoadBalancer, ...]) -> None:
    """Batches and the single calls in their stead end at the same tree; parents are the ones that stand around."""
    for old, new in pairwise(history):
        for call in callbacks.between(old, new):
            assert call.after is not None
            if call.singly:
                assert (
                    spoken(call.singly[-1].after or old) == spoken(call.after) or call.method == "member_batch_update"
                )
            held = {one.id for _, one in call.after.walk()} | {one.id for _, one in old.walk()}
            assert set(call.touched) <= held | {one.id for _, one in new.walk()}
            if call.touched.keys() != {new.id}:
                assert call.parents[new.id] is Kind.LOAD_BALANCER


@given(trees(around=AROUND))
@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
def test_whole_trees_travel_as_objects_and_as_dicts(tree: LoadBalancer) -> None:
    tree = positions.canonical(tree)
    whole = models.Objects(tree).load_balancer()
    assert spoken(models.load_balancer(whole)) == spoken(tree)
    # What DriverLibrary gives: None for Unset, plain dicts inside.
    plain = data_models.LoadBalancer.from_dict(whole.to_dict(recurse=True, render_unsets=True))
    assert spoken(models.load_balancer(plain)) == spoken(tree)


@given(trees())
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
def test_an_empty_update_changes_nothing_and_none_goes_back_to_the_default(tree: LoadBalancer) -> None:
    for kind, resource in edits.inside(Kind.LOAD_BALANCER, tree):
        theirs, ours = models.CLASSES[kind]
        empty = theirs(**{models.identity_field(kind): resource.id})
        assert models.updated(kind, resource, empty) == resource
        if kind is not Kind.L7RULE:
            named = theirs(**{models.identity_field(kind): resource.id}, name=None, admin_state_up=False)
            changed = models.updated(kind, resource, named)
            assert (changed.name, changed.admin_state_up) == (ours.model_fields["name"].default, False)
