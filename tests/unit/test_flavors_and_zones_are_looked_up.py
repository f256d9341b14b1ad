"""What an operator offers is consistent, keeps its meaning while in use, and becomes data in trees that name it."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from lbdrivers.errors import InvalidInput
from lbdrivers.model.catalog import Catalog, check_change
from lbdrivers.model.provider_data import ProviderData
from lbdrivers.model.resources import LoadBalancer

NOTHING = "00000000-0000-0000-0000-000000000000"


def identity(number: int) -> str:
    return f"11111111-1111-4111-8111-{number:012}"


PROFILE = {"id": identity(1), "name": "small", "provider_name": "amphora", "flavor_data": {"compute_flavor": "s"}}
FLAVOR = {"id": identity(2), "name": "cheap", "flavor_profile_id": identity(1)}
PLACE = {"id": identity(3), "name": "west", "provider_name": "amphora", "availability_zone_data": {"compute_zone": "w"}}
ZONE = {"name": "az1", "availability_zone_profile_id": identity(3)}


def catalog(**fields: Any) -> Catalog:
    offered = {"flavor_profiles": [PROFILE], "flavors": [FLAVOR], "availability_zone_profiles": [PLACE]}
    return Catalog.model_validate(offered | {"availability_zones": [ZONE]} | fields)


def tree(**fields: Any) -> LoadBalancer:
    return LoadBalancer.model_validate({"id": identity(9), "vip_subnet_id": identity(8), **fields})


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"flavors": [FLAVOR | {"id": NOTHING}]}, "stands for what was deleted"),
        ({"flavors": [FLAVOR | {"name": "x" * 256}]}, "255"),
        ({"flavors": [FLAVOR | {"name": ""}]}, "at least 1"),
        ({"flavors": [{"id": identity(2), "name": "a"}]}, "flavor_profile_id"),
        ({"flavors": [FLAVOR | {"enabled": "yes"}]}, "boolean"),
        ({"flavors": [FLAVOR | {"price": 1}]}, "price"),
        ({"flavors": [FLAVOR, FLAVOR]}, "two with the id"),
        ({"flavors": [FLAVOR | {"flavor_profile_id": identity(7)}]}, "not there"),
        ({"flavor_profiles": [PROFILE | {"provider_name": ""}]}, "at least 1"),
        ({"flavor_profiles": [PROFILE | {"flavor_data": "x"}]}, "not JSON"),
        ({"flavor_profiles": [PROFILE | {"flavor_data": "[]"}]}, "not a mapping"),
        (
            {"flavor_profiles": [PROFILE | {"flavor_data": '{"a": ' + "[" * 2000 + "]" * 2000 + "}"}]},
            "too deep|not JSON",
        ),
        ({"flavor_profiles": [PROFILE | {"flavor_data": {"a": "x" * 4096}}]}, "4096"),
        ({"flavor_profiles": [PROFILE | {"flavor_data": {"a": float("nan")}}]}, "no JSON"),
        ({"flavor_profiles": [PROFILE | {"flavor_data": {1: "a"}}]}, "no text"),
        ({"availability_zones": [ZONE | {"name": ""}]}, "at least 1"),
        ({"availability_zones": [ZONE, ZONE]}, "two with the name"),
        ({"availability_zones": [ZONE | {"availability_zone_profile_id": identity(1)}]}, "not there"),
        ({"availability_zone_profiles": [PLACE | {"id": NOTHING}]}, "stands for what was deleted"),
        ({"availability_zone_profiles": [PLACE | {"flavor_data": {}}]}, "flavor_data"),
    ],
)
def test_what_cannot_be_offered_is_refused(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        catalog(**fields)


def test_defaults() -> None:
    offered = catalog()
    assert (offered.flavors[0].enabled, offered.flavors[0].description) == (True, "")
    assert (offered.availability_zones[0].enabled, offered.availability_zones[0].description) == (True, "")
    assert Catalog.model_validate_json(offered.model_dump_json()) == offered


def test_a_tree_gets_the_data_and_the_provider() -> None:
    found = catalog().resolve(tree(flavor_id=identity(2), availability_zone="az1"))
    assert found.flavor_data == ProviderData({"compute_flavor": "s"})
    assert found.availability_zone_data == ProviderData({"compute_zone": "w"})
    assert found.provider == "amphora"
    assert catalog().resolve(found) == found
    assert catalog().resolve(tree()) == tree()


@pytest.mark.parametrize(
    ("fields", "offered", "path", "words"),
    [
        ({"flavor_id": identity(7)}, {}, "loadbalancer.flavor_id", "not offered"),
        ({"availability_zone": "az2"}, {}, "loadbalancer.availability_zone", "not offered"),
        ({"flavor_id": identity(2)}, {"flavors": [FLAVOR | {"enabled": False}]}, "loadbalancer.flavor_id", "disabled"),
        ({"flavor_id": identity(2), "flavor_data": {}}, {}, "loadbalancer.flavor_data", "stands for"),
        ({"flavor_id": identity(2), "provider": "ovn"}, {}, "loadbalancer.flavor_id", "provider amphora"),
        (
            {"flavor_id": identity(2), "availability_zone": "az1"},
            {"availability_zone_profiles": [PLACE | {"provider_name": "ovn"}]},
            "loadbalancer.availability_zone",
            "provider ovn",
        ),
    ],
)
def test_what_does_not_fit_is_refused(fields: dict[str, Any], offered: dict[str, Any], path: str, words: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        catalog(**offered).resolve(tree(**fields))
    (problem,) = caught.value.problems
    assert problem.path == path
    assert words in problem.message


USER = tree(flavor_id=identity(2), availability_zone="az1")


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"flavors": []}, "used by a load balancer"),
        ({"availability_zones": []}, "used by a load balancer"),
        ({"flavor_profiles": [PROFILE | {"flavor_data": {}}]}, "only its name"),
        ({"flavor_profiles": [PROFILE | {"provider_name": "ovn"}]}, "only its name"),
        ({"availability_zone_profiles": [PLACE | {"availability_zone_data": {}}]}, "only its name"),
        (
            {
                "flavor_profiles": [PROFILE, PROFILE | {"id": identity(4)}],
                "flavors": [FLAVOR | {"flavor_profile_id": identity(4)}],
            },
            "profile for life",
        ),
    ],
)
def test_what_is_in_use_keeps_its_meaning(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        check_change(catalog(), catalog(**fields), [USER])


@pytest.mark.parametrize(
    ("fields", "users"),
    [
        ({"flavors": []}, []),
        ({"flavors": [FLAVOR | {"enabled": False, "name": "old", "description": "do not"}]}, [USER]),
        ({"flavor_profiles": [PROFILE | {"name": "other"}]}, [USER]),
        ({"flavors": [], "flavor_profiles": []}, [tree(availability_zone="az1")]),
    ],
)
def test_everything_else_may_change(fields: dict[str, Any], users: list[LoadBalancer]) -> None:
    check_change(catalog(), catalog(**fields), users)


def test_an_unused_profile_may_change() -> None:
    bare = catalog(flavors=[])
    check_change(bare, catalog(flavors=[], flavor_profiles=[PROFILE | {"flavor_data": {}}]), [])


def test_data_cannot_be_changed() -> None:
    data = ProviderData({"a": [{"b": 1}]})
    assert data["a"] == (ProviderData({"b": 1}),)
    with pytest.raises(TypeError):
        data["a"] = 2  # type: ignore[index]  # that is what the test is about
    data.plain()["a"].append(3)
    assert data.plain() == {"a": [{"b": 1}]}
    assert ProviderData({"a": 1}) != ProviderData({"a": True})
    assert repr(ProviderData({"b": 1, "a": "\u00e9"})) == 'ProviderData({"a":"\u00e9","b":1})'
