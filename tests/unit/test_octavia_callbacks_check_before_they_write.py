"""Octavia's callbacks: what cannot be done is refused with nothing written; what is done twice is done once."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from octavia_lib.api.drivers import data_models, exceptions
from support.octavia_driver import session as opened

from lbdrivers.features import ALL
from lbdrivers.model.kinds import Kind
from lbdrivers.model.resources import LoadBalancer
from lbdrivers.model.status import ProvisioningStatus
from lbdrivers.octavia import models, pending
from lbdrivers.octavia.provider_driver import MemoryDriver
from lbdrivers.octavia.session import Session
from lbdrivers.store.entry import Entry
from lbdrivers.testing.examples import small_tree
from lbdrivers.testing.surroundings import ANYWHERE, new_id

TREE = small_tree(ALL, ANYWHERE)


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    with opened(tmp_path) as found:
        yield found


def entry_of(session: Session) -> Entry:
    entry = session.store.get(TREE.id)
    assert entry is not None
    return entry


def created(session: Session) -> MemoryDriver:
    """A driver whose load balancer runs and was reported."""
    driver = MemoryDriver(session)
    driver.loadbalancer_create(models.Objects(TREE).load_balancer())
    session.engine.run(TREE.id)
    pending.forget(session.store.records, pending.waiting(session.store.records)[TREE.id])
    return driver


def waited_for(session: Session) -> pending.Pending:
    return pending.waiting(session.store.records)[TREE.id]


@pytest.mark.parametrize("field", ["flavor", "availability_zone"])
@pytest.mark.parametrize(("data", "words"), [({"color": "red"}, "color is unknown"), ({"a": b"x"}, "no JSON")])
def test_a_flavor_or_zone_that_does_not_fit_is_refused(session: Session, field: str, data: object, words: str) -> None:
    thing = models.Objects(TREE).load_balancer()
    setattr(thing, field, data)
    with pytest.raises(exceptions.UnsupportedOptionError, match=words):
        MemoryDriver(session).loadbalancer_create(thing)
    assert session.store.get(TREE.id) is None
    assert not pending.waiting(session.store.records)


def test_flavors_and_zones_are_described_and_judged(session: Session) -> None:
    driver = MemoryDriver(session)
    assert driver.get_supported_flavor_metadata()["appliances"] == "How many appliances a load balancer has, 1 to 4."
    assert list(driver.get_supported_availability_zone_metadata()) == ["compute_zone"]
    driver.validate_flavor({"appliances": 4})
    driver.validate_flavor({})
    driver.validate_availability_zone({"compute_zone": "here"})
    for bad, words in (({"appliances": 5}, "less than or equal to 4"), ({"appliances": None}, "null"), ([], "mapping")):
        with pytest.raises(exceptions.UnsupportedOptionError, match=words):
            driver.validate_flavor(bad)
    with pytest.raises(exceptions.UnsupportedOptionError, match="compute_zone"):
        driver.validate_availability_zone({"compute_zone": 1})


def test_a_flavor_is_carried_out(session: Session) -> None:
    thing = models.Objects(TREE).load_balancer()
    thing.flavor, thing.availability_zone = {"appliances": 2}, {"compute_zone": "here"}
    MemoryDriver(session).loadbalancer_create(thing)
    session.engine.run(TREE.id)
    shown = session.provider("memory").observe(TREE.id).appliances
    assert [(one.role, one.remark) for one in shown] == [("MASTER", "in the zone here"), ("BACKUP", "in the zone here")]


def test_a_value_that_the_model_refuses_changes_nothing(session: Session) -> None:
    driver = created(session)
    listener = TREE.listeners[0]
    with pytest.raises(exceptions.UnsupportedOptionError, match="timeout_client_data"):
        driver.listener_update(None, data_models.Listener(listener_id=listener.id, timeout_client_data=-5))
    assert entry_of(session).settled
    assert not pending.waiting(session.store.records)


def test_a_child_of_nobody_is_an_error_of_the_driver(session: Session) -> None:
    member = data_models.Member(member_id=new_id(), pool_id=new_id(), address="192.0.2.1", protocol_port=80)
    with pytest.raises(exceptions.DriverError, match="is unknown"):
        created(session).member_create(member)


def test_what_is_gone_already_is_reported_deleted(session: Session) -> None:
    driver = created(session)
    pool = TREE.pools[0]
    member = data_models.Member(member_id=new_id(), pool_id=pool.id)
    driver.member_delete(member)
    told = pending.statuses(waited_for(session), entry_of(session))
    assert told is not None
    assert told[member.member_id] == (Kind.MEMBER, ProvisioningStatus.DELETED)
    parents = {TREE.id, pool.id, *(one.id for one in TREE.listeners)}
    assert {one for one, (_kind, word) in told.items() if word is ProvisioningStatus.ACTIVE} == parents


def test_an_absent_load_balancer_goes_with_all_that_octavia_says_is_in_it(session: Session) -> None:
    MemoryDriver(session).loadbalancer_delete(models.Objects(TREE).load_balancer(), cascade=True)
    told = pending.statuses(waited_for(session), session.store.get(TREE.id))
    assert told == {one.id: (Kind(kind), ProvisioningStatus.DELETED) for kind, one in TREE.walk()}


def test_a_failure_is_the_objects_and_not_its_parents(session: Session) -> None:
    created(session).listener_update(None, data_models.Listener(listener_id=TREE.listeners[0].id, name="new"))
    waiting, entry = waited_for(session), entry_of(session)
    assert pending.statuses(waiting, entry) is None, "too early to tell"
    told = pending.statuses(waiting, replace(entry, status=ProvisioningStatus.ERROR))
    assert told == {
        TREE.listeners[0].id: (Kind.LISTENER, ProvisioningStatus.ERROR),
        TREE.id: (Kind.LOAD_BALANCER, ProvisioningStatus.ACTIVE),
    }


def test_a_pool_that_is_made_for_a_listener_is_its_default_pool(session: Session) -> None:
    driver = created(session)
    listener = TREE.listeners[0]
    driver.pool_delete(data_models.Pool(pool_id=TREE.pools[0].id, loadbalancer_id=TREE.id))
    assert entry_of(session).desired.listeners[0].default_pool_id is None
    pool = models.Objects(TREE).pool(TREE.pools[0])
    pool.pool_id, pool.listener_id, pool.members, pool.healthmonitor = new_id(), listener.id, [], data_models.Unset
    driver.pool_create(pool)
    assert entry_of(session).desired.listeners[0].default_pool_id == pool.pool_id


def test_what_is_left_over_from_a_request_that_was_taken_back_gives_way(session: Session) -> None:
    driver = created(session)
    member = models.Objects(TREE).member(TREE.pools[0].id, TREE.pools[0].members[0])
    member.member_id = new_id()
    driver.member_create(member)
    ids = [one.id for one in entry_of(session).desired.pools[0].members]
    assert ids.count(member.member_id) == 1
    assert TREE.pools[0].members[0].id not in ids


def test_the_vip_is_reserved_and_kept(session: Session) -> None:
    driver = MemoryDriver(session)
    vip = {"vip_subnet_id": TREE.vip_subnet_id}
    reserved, additional = driver.create_vip_port(TREE.id, "project", vip, [])
    assert reserved["vip_address"]
    assert additional == []
    driver.loadbalancer_create(models.Objects(_with_vip(reserved)).load_balancer())
    session.engine.run(TREE.id)
    assert session.provider("memory").observe(TREE.id).vip_addresses == (reserved["vip_address"],)


def _with_vip(reserved: dict[str, object]) -> LoadBalancer:
    return TREE.model_copy(update=reserved)


def test_everything_else_imports_without_octavia_lib() -> None:
    code = (
        "import sys; sys.modules['octavia_lib'] = None\n"
        "import lbdrivers.cli, lbdrivers.registry, lbdrivers.memory.provider, lbdrivers.octavia.settings\n"
        "from lbdrivers import settings\n"
        "found = lbdrivers.registry.installed(settings.load())\n"
        "assert not [one.error for one in found if one.distribution == 'lbdrivers' and one.error]\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
