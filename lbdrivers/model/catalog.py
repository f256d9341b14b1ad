"""What an operator offers: flavors and availability zones, and what becomes of a tree that names them.

Law: pure. Every flavor and zone has its profile. A tree that names one comes out with its data, for the
provider of the profile; what is in use keeps meaning what it meant.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Self

from pydantic import model_validator

from lbdrivers.errors import InvalidInput, Problem
from lbdrivers.model.provider_data import ProviderData
from lbdrivers.model.resources import AvailabilityZone, AvailabilityZoneProfile, Flavor, FlavorProfile, LoadBalancer
from lbdrivers.model.resources.base import Value


class Catalog(Value):
    """Flavors and zones with their profiles."""

    flavor_profiles: tuple[FlavorProfile, ...] = ()
    flavors: tuple[Flavor, ...] = ()
    availability_zone_profiles: tuple[AvailabilityZoneProfile, ...] = ()
    availability_zones: tuple[AvailabilityZone, ...] = ()

    @model_validator(mode="after")
    def _rules(self) -> Self:
        for field, key in _KEYS.items():
            seen: set[str] = set()
            for one in getattr(self, field):
                if (identity := getattr(one, key)) in seen:
                    raise ValueError(f"{field} has two with the {key} {identity}; remove one")
                seen.add(identity)
        profiles = {one.id for one in self.flavor_profiles}
        for flavor in self.flavors:
            if flavor.flavor_profile_id not in profiles:
                raise ValueError(f"the flavor {flavor.name!r} has a profile that is not there; name another one")
        profiles = {one.id for one in self.availability_zone_profiles}
        for zone in self.availability_zones:
            if zone.availability_zone_profile_id not in profiles:
                raise ValueError(f"the zone {zone.name!r} has a profile that is not there; name another one")
        return self

    def resolve(self, tree: LoadBalancer) -> LoadBalancer:
        """The tree with the data of its flavor and zone, and with the provider that they are for.

        :raises InvalidInput: when one is unknown, disabled, contradicts data in the tree, or is for another provider.
        """
        fields: dict[str, Any] = {"provider": tree.provider}
        for named, data, offer in (
            ("flavor_id", "flavor_data", self._flavor),
            ("availability_zone", "availability_zone_data", self._zone),
        ):
            identity = getattr(tree, named)
            if identity is None:
                continue
            provider, meant = _offered(named, identity, offer)
            if getattr(tree, data) not in (None, meant):
                raise _refused(data, "", f"is not what {named} stands for", f"keep one of {data} and {named}")
            if fields["provider"] not in (None, provider):
                remedy = f"name a load balancer's provider, flavor and zone of one kind: {fields['provider']}"
                raise _refused(named, identity, f"is for the provider {provider}", remedy)
            fields |= {"provider": provider, data: meant}
        return tree.model_copy(update=fields)

    def _flavor(self, identity: str) -> tuple[bool, str, ProviderData] | None:
        for flavor in self.flavors:
            if flavor.id == identity:
                profile = next(one for one in self.flavor_profiles if one.id == flavor.flavor_profile_id)
                return flavor.enabled, profile.provider_name, profile.flavor_data
        return None

    def _zone(self, name: str) -> tuple[bool, str, ProviderData] | None:
        for zone in self.availability_zones:
            if zone.name == name:
                wanted = zone.availability_zone_profile_id
                profile = next(one for one in self.availability_zone_profiles if one.id == wanted)
                return zone.enabled, profile.provider_name, profile.availability_zone_data
        return None


#: field -> what tells its items apart.
_KEYS = {"flavor_profiles": "id", "flavors": "id", "availability_zone_profiles": "id", "availability_zones": "name"}


def _offered(
    field: str, identity: str, offer: Callable[[str], tuple[bool, str, ProviderData] | None]
) -> tuple[str, ProviderData]:
    found = offer(identity)
    if found is None:
        raise _refused(field, identity, "is not offered", "name one that is there, or none")
    enabled, provider, data = found
    if not enabled:
        raise _refused(field, identity, "is disabled", "name another one")
    return provider, data


def _refused(field: str, value: str, message: str, remedy: str) -> InvalidInput:
    return InvalidInput((Problem(f"loadbalancer.{field}", value, message, remedy),))


def check_change(old: Catalog, new: Catalog, in_use: Iterable[LoadBalancer]) -> None:
    """Refuse a change of what somebody relies on, as the v2 API does.

    A profile that a flavor or zone uses keeps its provider and its data; a flavor or zone keeps its
    profile, and stays while a load balancer uses it.

    :raises InvalidInput: with every problem.
    """
    trees = tuple(in_use)
    problems = (
        *_profiles_changed(old.flavor_profiles, new.flavor_profiles, {one.flavor_profile_id for one in old.flavors}),
        *_profiles_changed(
            old.availability_zone_profiles,
            new.availability_zone_profiles,
            {one.availability_zone_profile_id for one in old.availability_zones},
        ),
        *_gone_or_moved("flavors", "id", old.flavors, new.flavors, {tree.flavor_id for tree in trees}),
        *_gone_or_moved(
            "availability_zones",
            "name",
            old.availability_zones,
            new.availability_zones,
            {tree.availability_zone for tree in trees},
        ),
    )
    if problems:
        raise InvalidInput(problems)


def _profiles_changed(
    old: tuple[FlavorProfile, ...] | tuple[AvailabilityZoneProfile, ...],
    new: tuple[FlavorProfile, ...] | tuple[AvailabilityZoneProfile, ...],
    used: set[str],
) -> Iterator[Problem]:
    after = {one.id: one for one in new}
    for profile in old:
        now = after.get(profile.id)
        if profile.id in used and now is not None and now.model_copy(update={"name": profile.name}) != profile:
            yield Problem(f"profile {profile.id}", "", "is in use, so only its name can change", "make another profile")


def _gone_or_moved(
    field: str, key: str, old: Iterable[Value], new: Iterable[Value], used: set[str | None]
) -> Iterator[Problem]:
    left = {getattr(one, key): one for one in new}
    profile = "flavor_profile_id" if field == "flavors" else "availability_zone_profile_id"
    for one in old:
        identity = getattr(one, key)
        now = left.get(identity)
        if now is None and identity in used:
            yield Problem(field, identity, "is used by a load balancer", "disable it instead")
        if now is not None and getattr(now, profile) != getattr(one, profile):
            yield Problem(field, identity, "has its profile for life", "make another one")
