"""A flavor and a zone decide how many amphorae there are, of which kind and where; the rest is refused at once."""

from __future__ import annotations

from typing import Any

import pytest
from support.memory_cloud import World

from lbdrivers.drivers.profiles import ProfileKind
from lbdrivers.drivers.provider import ProfileSchemas
from lbdrivers.errors import PermanentError, UnsupportedError
from lbdrivers.memory.network import MemoryNetwork
from lbdrivers.model.provider_data import ProviderData
from lbdrivers.model.resources import LoadBalancer
from lbdrivers.testing.examples import rebuilt, small_tree
from lbdrivers.testing.surroundings import ANYWHERE
from lbdrivers_amphora.provider import FEATURES

PLAIN = small_tree(FEATURES, ANYWHERE)


def tree(flavor: dict[str, Any] | None = None, zone: dict[str, Any] | None = None, **fields: Any) -> LoadBalancer:
    return rebuilt(PLAIN, flavor_data=flavor, availability_zone_data=zone, **fields)


@pytest.mark.parametrize(
    ("configured", "flavor", "roles"),
    [
        ("ACTIVE_STANDBY", {"loadbalancer_topology": "SINGLE"}, ["STANDALONE"]),
        ("SINGLE", {"loadbalancer_topology": "ACTIVE_STANDBY"}, ["BACKUP", "MASTER"]),
        ("SINGLE", {"compute_flavor": "small"}, ["STANDALONE"]),
    ],
)
def test_the_flavor_decides_about_the_topology(configured: str, flavor: dict[str, Any], roles: list[str]) -> None:
    world = World(configured)
    wanted = tree(flavor)
    assert len(world.provider().plan(wanted, None)) == len(roles)
    world.provider().apply(wanted, None)
    world.provider().failover(wanted.id)
    assert sorted(one.role for one in world.provider().observe(wanted.id).appliances) == roles
    world.provider().apply(wanted, wanted)
    assert world.provider().plan(wanted, wanted) == ()


def test_machines_are_of_the_kind_and_in_the_place_also_after_a_failover() -> None:
    world = World("SINGLE")
    other = "99999999-0000-4000-8000-000000000001"
    wanted = tree(
        {"compute_flavor": "large", "amp_image_tag": "newest", "sriov_vip": False},
        {"compute_zone": "west", "management_network": other, "valid_vip_networks": []},
    )
    world.provider().apply(wanted, None)
    for _ in range(2):
        (machine,) = world.cloud.machines.all()
        assert (machine.flavor, machine.image, machine.zone) == ("large", "newest", "west")
        management = world.cloud.ports.get(machine.ports[0])
        assert management is not None
        assert management.network_id == MemoryNetwork(world.context()).network(other).id
        world.provider().failover(wanted.id)


@pytest.mark.parametrize(
    ("flavor", "zone", "words"),
    [
        ({"loadbalancer_topology": "TRIPLE"}, None, "loadbalancer_topology: .*SINGLE"),
        ({"loadbalancer_topology": ["SINGLE"]}, None, "loadbalancer_topology"),
        ({"compute_flavor": 5}, None, "compute_flavor: is a number"),
        ({"compute_flavor": ""}, None, "compute_flavor"),
        ({"compute_flavor": None}, None, "compute_flavor: is null"),
        ({"color": "red", "sriov_vip": "yes"}, None, "sriov_vip: .*boolean.*; color is unknown; it takes loadbalancer"),
        ({"sriov_vip": True}, None, r"sriov_vip \(ports are virtual"),
        ({"allow_member_sriov": True}, None, r"allow_member_sriov \(ports are virtual"),
        (None, {"volume_zone": "west"}, r"volume_zone \(machines have no volumes"),
        (None, {"valid_vip_networks": "a"}, "valid_vip_networks"),
        (None, {"valid_vip_networks": ["elsewhere"]}, "choose one of elsewhere"),
        (None, {"compute_flavor": "small"}, "compute_flavor is unknown; it takes compute_zone"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_touched(
    flavor: dict[str, Any] | None, zone: dict[str, Any] | None, words: str
) -> None:
    world = World()
    wanted = tree(flavor, zone)
    for verb in (world.provider().plan, world.provider().apply):
        with pytest.raises(UnsupportedError, match=words):
            verb(wanted, None)
    assert world.left() == []


def test_a_name_that_nobody_has_looked_up_is_refused() -> None:
    world = World()
    with pytest.raises(UnsupportedError, match="write flavor_data"):
        world.provider().apply(rebuilt(PLAIN, flavor_id=PLAIN.id), None)
    with pytest.raises(UnsupportedError, match="write availability_zone_data"):
        world.provider().apply(rebuilt(PLAIN, availability_zone="west"), None)
    assert world.left() == []


def test_vips_are_on_the_zones_networks_by_id_or_by_name() -> None:
    world = World("SINGLE")
    network = MemoryNetwork(world.context()).subnet(str(PLAIN.vip_subnet_id)).network_id
    for valid in (network.upper(), MemoryNetwork(world.context()).network(network).name.title()):
        wanted = tree(None, {"valid_vip_networks": ["elsewhere", valid]})
        world.provider().apply(wanted, None)
        # What VIPs are new is judged; this one stays wherever its zone has VIPs from now on.
        world.provider().apply(tree(None, {"valid_vip_networks": ["elsewhere"]}), wanted)
        world.provider().remove(wanted.id)


@pytest.mark.parametrize("verb", ["check_request", "network"])
def test_what_compute_and_network_do_not_have_is_refused_before_anything_is_touched(verb: str) -> None:
    def missing(called: str, _arguments: tuple[object, ...]) -> None:
        if called == verb:
            raise PermanentError("there is no such thing")

    world = World()
    with pytest.raises(PermanentError, match="no such thing"):
        world.provider(missing).apply(tree({"compute_flavor": "huge"}, {"management_network": "nowhere"}), None)
    assert world.left() == []


@pytest.mark.parametrize(
    ("flavor", "zone", "words"),
    [
        ({"loadbalancer_topology": "ACTIVE_STANDBY"}, None, "loadbalancer_topology from SINGLE to ACTIVE_STANDBY"),
        ({"compute_flavor": "large"}, None, "compute_flavor from small to large"),
        ({}, None, "compute_flavor from small to None"),
        ({"compute_flavor": "small"}, {"compute_zone": "west"}, "compute_zone from None to west"),
    ],
)
def test_a_load_balancer_keeps_its_flavor_and_zone(
    flavor: dict[str, Any], zone: dict[str, Any] | None, words: str
) -> None:
    world = World("SINGLE")
    first = tree({"compute_flavor": "small"})
    world.provider().apply(first, None)
    before = world.provider().observe(first.id)
    for verb in (world.provider().plan, world.provider().apply):
        with pytest.raises(UnsupportedError, match=words):
            verb(tree(flavor, zone, name="renamed"), first)
    assert world.provider().observe(first.id) == before
    # Saying what it is anyway is no change.
    world.provider().apply(tree({"compute_flavor": "small", "loadbalancer_topology": "SINGLE"}), first)


def test_the_keys_are_octavias() -> None:
    provider = World().provider()
    assert isinstance(provider, ProfileSchemas)
    flavor, zone = (provider.profile_capabilities(kind) for kind in ProfileKind)
    assert set(flavor) == {
        "loadbalancer_topology",
        "compute_flavor",
        "amp_image_tag",
        "sriov_vip",
        "allow_member_sriov",
    }
    assert set(zone) == {"compute_zone", "volume_zone", "management_network", "valid_vip_networks"}
    provider.validate_profile(ProfileKind.FLAVOR, ProviderData({"loadbalancer_topology": "SINGLE", "sriov_vip": False}))
    provider.validate_profile(ProfileKind.AVAILABILITY_ZONE, ProviderData({"valid_vip_networks": ["a", "b"]}))
    with pytest.raises(UnsupportedError, match="volume_zone"):
        provider.validate_profile(ProfileKind.AVAILABILITY_ZONE, ProviderData({"volume_zone": "a"}))
