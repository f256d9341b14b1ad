"""What flavors and availability zones ask of amphorae: their keys, and what cannot be had.

Law: pure. The keys are Octavia's. What a load balancer was made with stays for its life, as in the v2
API; its amphorae are replaced by others of the same kind in the same place.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from lbdrivers.drivers.amphora import Topology
from lbdrivers.drivers.profiles import ProfileKind, ProfileSchema, capabilities, read
from lbdrivers.errors import UnsupportedError
from lbdrivers.model.infra import MachineRequest, Network
from lbdrivers.model.provider_data import ProviderData
from lbdrivers.model.resources import LoadBalancer
from lbdrivers.model.values import Text

Name = Annotated[Text, Field(min_length=1)]


class AmphoraFlavor(ProfileSchema):
    """The keys of a flavor."""

    loadbalancer_topology: Topology | None = Field(
        None, strict=False, description="How many amphorae serve a load balancer: SINGLE or ACTIVE_STANDBY."
    )
    compute_flavor: Name | None = Field(None, description="Flavor of the amphorae's machines, as compute calls it.")
    amp_image_tag: Name | None = Field(None, description="Tag of the image that the amphorae's machines boot from.")
    sriov_vip: bool = Field(False, description="Whether the VIP's port is an SR-IOV virtual function.")
    allow_member_sriov: bool = Field(False, description="Whether members may ask for SR-IOV ports.")


class AmphoraZone(ProfileSchema):
    """The keys of an availability zone."""

    compute_zone: Name | None = Field(None, description="Zone of the amphorae's machines, as compute calls it.")
    volume_zone: Name | None = Field(None, description="Zone of the volumes that the machines boot from.")
    management_network: Name | None = Field(None, description="Network on which the agents are reached.")
    valid_vip_networks: tuple[Name, ...] = Field((), description="Networks, by id or name, where VIPs may be.")


_SCHEMAS: Mapping[ProfileKind, type[ProfileSchema]] = {
    ProfileKind.FLAVOR: AmphoraFlavor,
    ProfileKind.AVAILABILITY_ZONE: AmphoraZone,
}
#: What no driver contract has a place for -> why not.
_BEYOND = {
    "sriov_vip": "ports are virtual, without SR-IOV",
    "allow_member_sriov": "ports are virtual, without SR-IOV",
    "volume_zone": "machines have no volumes",
}


@dataclass(frozen=True)
class Wishes:
    """What a load balancer's flavor and zone ask for."""

    flavor: AmphoraFlavor
    zone: AmphoraZone

    @classmethod
    def of(cls, tree: LoadBalancer) -> Wishes:
        """:raises UnsupportedError: it names each key that is unknown, has a wrong value, or cannot be had."""
        wishes = cls(
            read(ProfileKind.FLAVOR, AmphoraFlavor, tree.flavor_data),
            read(ProfileKind.AVAILABILITY_ZONE, AmphoraZone, tree.availability_zone_data),
        )
        _refuse_beyond(ProfileKind.FLAVOR, wishes.flavor)
        _refuse_beyond(ProfileKind.AVAILABILITY_ZONE, wishes.zone)
        return wishes

    def machine(self, name: str, ports: tuple[str, ...] = ()) -> MachineRequest:
        """A machine of that kind in that place."""
        flavor, zone = self.flavor, self.zone
        return MachineRequest(
            name, ports, flavor=flavor.compute_flavor, image=flavor.amp_image_tag, zone=zone.compute_zone
        )


def profile_capabilities(kind: ProfileKind) -> Mapping[str, str]:
    """See ``ProfileSchemas.profile_capabilities``."""
    return capabilities(_SCHEMAS[kind])


def validate_profile(kind: ProfileKind, data: ProviderData) -> None:
    """See ``ProfileSchemas.validate_profile``."""
    _refuse_beyond(kind, read(kind, _SCHEMAS[kind], data))


def _refuse_beyond(kind: ProfileKind, asked: ProfileSchema) -> None:
    refused = [f"{key} ({_BEYOND[key]})" for key in type(asked).model_fields if key in _BEYOND and getattr(asked, key)]
    if refused:
        raise UnsupportedError(f"the {kind} asks for what amphorae cannot have: {', '.join(refused)}")


def check_vip_network(wishes: Wishes, network: Network) -> None:
    """Refuse a VIP outside of the zone's networks; ids and names are compared without regard to case.

    :raises UnsupportedError: it names the networks that would do.
    """
    valid = wishes.zone.valid_vip_networks
    if valid and not {network.id.casefold(), network.name.casefold()} & {one.casefold() for one in valid}:
        raise UnsupportedError(
            f"the availability zone has no VIPs on the network {network.name}; choose one of {', '.join(valid)}"
        )


def check_unchanged(topology: Topology, applied: LoadBalancer | None, desired: LoadBalancer) -> None:
    """Refuse another flavor or zone for a load balancer that is there.

    :param topology: what it was made with.
    :param applied: its tree, or None as long as none was applied.
    :raises UnsupportedError: it names what would change.
    """
    now = Wishes.of(desired)
    changed = []
    if now.flavor.loadbalancer_topology not in (None, topology):
        changed.append(f"loadbalancer_topology from {topology} to {now.flavor.loadbalancer_topology}")
    if applied is not None:
        was = Wishes.of(applied)
        for old, new in ((was.flavor, now.flavor), (was.zone, now.zone)):
            changed += [
                f"{key} from {getattr(old, key)} to {getattr(new, key)}"
                for key in type(new).model_fields
                if key not in _NOT_BUILT_IN and getattr(old, key) != getattr(new, key)
            ]
    if changed:
        raise UnsupportedError(
            f"flavor and availability zone of a load balancer are settled when it is made; "
            f"make another one instead of changing {', '.join(changed)}"
        )


#: What is judged by itself, and what only a new VIP is judged by.
_NOT_BUILT_IN = frozenset({"loadbalancer_topology", "valid_vip_networks"})
