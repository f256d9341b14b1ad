"""A driver written for Octavia keeps the provider contract's laws; its reports come through the real DriverLibrary."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from octavia_lib.api.drivers import exceptions
from support.octavia_driver import Bench
from support.recording_driver import NOT_OFFERED, Backend

from lbdrivers.drivers.profiles import ProfileKind
from lbdrivers.drivers.provider import Statistics
from lbdrivers.errors import PermanentError, TemporaryError, UnsupportedError
from lbdrivers.features import ALL
from lbdrivers.model.resources import LoadBalancer, Member
from lbdrivers.testing import check_provider
from lbdrivers.testing.check import Check
from lbdrivers.testing.check_provider import ProviderFixture
from lbdrivers.testing.examples import rebuilt, small_tree
from lbdrivers.testing.surroundings import ANYWHERE, new_id

#: An additional VIP is made with the load balancer or not at all, as in the v2 API.
AROUND = replace(
    ANYWHERE,
    additional_subnet_id=None,
    flavors=({"size": "small"}, {"allow_member_sriov": True}),
    availability_zones=({"compute_zone": "here"},),
)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench[Backend]]:
    with Bench.open(tmp_path, Backend, lambda backend: backend.make) as made:
        yield made
        assert not made.backend.failures


@pytest.mark.parametrize("check", check_provider.CHECKS, ids=str)
def test_law(bench: Bench[Backend], check: Check[ProviderFixture]) -> None:
    check(ProviderFixture(make=bench.make, around=AROUND, histories=2))


def tree() -> LoadBalancer:
    return small_tree(ALL, AROUND)


def with_members(old: LoadBalancer, *addresses: str) -> LoadBalancer:
    pool = old.pools[0]
    added = tuple(Member(id=new_id(), address=address, protocol_port=80) for address in addresses)
    return rebuilt(old, pools=(rebuilt(pool, members=(*pool.members[1:], *added)),))


def test_one_call_each_for_a_whole_tree_for_members_together_and_for_the_end(bench: Bench[Backend]) -> None:
    provider, first = bench.make(), tree()
    provider.apply(first, None)
    changed = with_members(first, "192.0.2.77", "192.0.2.78")
    provider.apply(changed, first)
    provider.apply(changed, first)
    provider.remove(first.id)
    assert bench.backend.methods() == [
        "create_vip_port",
        "loadbalancer_create",
        "member_batch_update",
        "loadbalancer_delete",
    ]
    (_pool_id, members), (_balancer, cascade) = (bench.backend.calls[place][1] for place in (2, 3))
    assert [member.member_id for member in members] == [member.id for member in changed.pools[0].members]
    assert cascade is True


def test_flavor_and_zone_are_judged_and_handed_over_once(bench: Bench[Backend]) -> None:
    provider = bench.make()
    first = rebuilt(tree(), flavor_id=new_id(), flavor_data={"size": "small"}, availability_zone_data={})
    provider.apply(first, None)
    provider.apply(rebuilt(first, name="renamed", flavor_id=new_id()), first)
    judged, *made = bench.backend.methods()
    assert (judged, made) == ("validate_flavor", ["create_vip_port", "loadbalancer_create", "loadbalancer_update"])
    (balancer,) = bench.backend.calls[2][1]
    assert (balancer.flavor, balancer.availability_zone) == ({"size": "small"}, {})
    with pytest.raises(PermanentError, match="flavor_data of a load balancer cannot change"):
        provider.apply(rebuilt(first, flavor_data={"size": "large"}), first)
    assert provider.profile_capabilities(ProfileKind.FLAVOR)["size"] == "How large."


def test_a_driver_without_flavors(bench: Bench[Backend]) -> None:
    bench.backend.refused["validate_flavor"] = NOT_OFFERED
    with pytest.raises(UnsupportedError):
        bench.make().apply(rebuilt(tree(), flavor_data={"size": "small"}), None)
    assert bench.backend.methods() == ["validate_flavor"]


def test_members_one_by_one_where_a_driver_has_no_batches(bench: Bench[Backend]) -> None:
    bench.backend.refused["member_batch_update"] = NOT_OFFERED
    provider, first = bench.make(), tree()
    provider.apply(first, None)
    changed = with_members(first, "192.0.2.77", "192.0.2.78")
    provider.apply(changed, first)
    assert bench.backend.methods()[3:] == ["member_create", "member_create", "member_delete"]
    assert set(provider.observe(first.id).operating) == {one.id for _, one in changed.walk()}


def test_what_a_driver_shows_in_get_is_what_it_was_asked_for(bench: Bench[Backend]) -> None:
    provider, wanted = bench.make(), tree()
    provider.apply(wanted, None)
    library = bench.backend.library()
    balancer = library.get_loadbalancer(wanted.id)
    listener, pool = wanted.listeners[0], wanted.pools[0]
    assert (balancer.name, balancer.vip_port_id, balancer.flavor) == (wanted.name, wanted.id, None)
    assert balancer.vip_address == provider.observe(wanted.id).vip_addresses[0]
    assert [one["listener_id"] for one in balancer.listeners] == [listener.id]
    assert library.get_listener(listener.id).protocol_port == listener.protocol_port
    assert library.get_pool(pool.id).listener_id == listener.id
    assert library.get_member(pool.members[0].id).address == pool.members[0].address
    assert library.get_member(listener.id) is None
    assert library.get_l7rule(new_id()) is None


def test_statistics_are_taken_down_and_shown(bench: Bench[Backend]) -> None:
    provider, wanted = bench.make(), tree()
    provider.apply(wanted, None)
    listener = wanted.listeners[0].id
    names = ("active_connections", "bytes_in", "bytes_out", "request_errors", "total_connections")
    values = {name: number for number, name in enumerate(names, start=1)}
    library = bench.backend.library()
    library.update_listener_statistics({"listeners": [{"id": listener, **values}]})
    # What octavia-lib has no name for is not told.
    assert provider.observe(wanted.id).statistics[listener] == Statistics(**values)
    with pytest.raises(exceptions.UpdateStatisticsError, match="bytes_in must be numbers"):
        library.update_listener_statistics({"listeners": [{"id": listener, **values, "bytes_in": None}]})


def test_a_report_that_makes_no_sense_is_answered_with_its_place(bench: Bench[Backend]) -> None:
    provider, wanted = bench.make(), tree()
    provider.apply(wanted, None)
    member, listener = wanted.pools[0].members[0].id, wanted.listeners[0].id
    bad = [{"id": listener, "operating_status": "FINE"}]
    with pytest.raises(exceptions.UpdateStatusError) as caught:
        bench.backend.library().update_loadbalancer_status(
            {"listeners": bad, "members": [{"id": member, "operating_status": "DRAINING"}]}
        )
    assert (caught.value.status_object, caught.value.status_object_id) == ("listeners", listener)
    assert provider.observe(wanted.id).operating[member] == "DRAINING", "what stands before it is carried out"


def test_silence_is_a_temporary_error_that_says_what_is_missing(bench: Bench[Backend]) -> None:
    bench.timeout = 0.2
    bench.backend.silent = True
    provider, wanted = bench.make(), tree()
    with pytest.raises(
        TemporaryError, match=r"has not reported what became of loadbalancer_create within 0\.2 s"
    ) as caught:
        provider.apply(wanted, None)
    assert str(bench.folder / "status.sock") in caught.value.operator
    bench.backend.silent = False
    bench.timeout = 30.0
    bench.make().apply(wanted, None)
    assert provider.observe(wanted.id).exists


def test_a_failure_names_its_object(bench: Bench[Backend]) -> None:
    provider, first = bench.make(), tree()
    provider.apply(first, None)
    bench.backend.word = "ERROR"
    changed = rebuilt(first, listeners=(rebuilt(first.listeners[0], name="other"),))
    with pytest.raises(PermanentError, match="listener_update failed") as caught:
        provider.apply(changed, first)
    assert caught.value.object_id == first.listeners[0].id
    bench.backend.word = "ACTIVE"
    provider.apply(changed, first)


@pytest.mark.parametrize(
    ("raised", "expected"),
    [
        (exceptions.UnsupportedOptionError(user_fault_string="no such option"), UnsupportedError),
        (exceptions.NotImplementedError(user_fault_string="no such option"), UnsupportedError),
        (exceptions.Conflict(user_fault_string="no such option"), PermanentError),
        (exceptions.DriverError(user_fault_string="no such option"), TemporaryError),
        (KeyError("no such option"), TemporaryError),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_a_driver_raises_becomes_an_error_of_ours(
    bench: Bench[Backend], raised: Exception, expected: type[Exception]
) -> None:
    provider, first = bench.make(), tree()
    bench.backend.refused["listener_update"] = raised
    provider.apply(first, None)
    changed = rebuilt(first, listeners=(rebuilt(first.listeners[0], name="other"),))
    with pytest.raises(expected, match="no such option"):
        provider.apply(changed, first)
    bench.backend.refused.clear()
    provider.apply(changed, first)
    assert bench.backend.library().get_listener(first.listeners[0].id).name == "other"


def test_a_driver_without_vip_ports_needs_an_address_in_the_tree(bench: Bench[Backend]) -> None:
    bench.backend.refused["create_vip_port"] = NOT_OFFERED
    provider, wanted = bench.make(), tree()
    with pytest.raises(UnsupportedError, match="name vip_address"):
        provider.apply(wanted, None)
    assert not provider.known()
    provider.apply(rebuilt(wanted, vip_address="192.0.2.200"), None)
    assert provider.observe(wanted.id).vip_addresses == ("192.0.2.200",)
