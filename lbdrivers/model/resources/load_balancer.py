"""The load balancer: VIPs, and the rules between resources of one tree."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Self

from pydantic import Field, model_validator

from lbdrivers.model.provider_data import ProviderData
from lbdrivers.model.resources.base import Resource, Value, label
from lbdrivers.model.resources.flavor import NOTHING
from lbdrivers.model.resources.l7 import L7Rule
from lbdrivers.model.resources.listener import COMPATIBLE_POOLS, Listener
from lbdrivers.model.resources.pool import DATAGRAM_POOLS, Pool
from lbdrivers.model.values import IpAddress, Text, Uuid, family


class AdditionalVip(Value):
    """A further address of the load balancer on the VIP's network."""

    subnet_id: Uuid
    ip_address: IpAddress | None = None


class LoadBalancer(Resource):
    """The whole of one load balancer, as its owner wants it.

    ``flavor_id`` and ``availability_zone`` name what an operator offers; ``flavor_data`` and
    ``availability_zone_data`` say what that stands for with the provider, which knows no names
    (``lbdrivers.model.catalog``).
    """

    description: Text = ""
    project_id: Annotated[Text, Field(max_length=36)] = ""
    provider: Annotated[Text, Field(max_length=64)] | None = None
    flavor_id: Uuid | None = None
    flavor_data: ProviderData | None = None
    availability_zone: Text | None = None
    availability_zone_data: ProviderData | None = None
    vip_address: IpAddress | None = None
    vip_subnet_id: Uuid | None = None
    vip_network_id: Uuid | None = None
    vip_port_id: Uuid | None = None
    vip_qos_policy_id: Uuid | None = None
    vip_sg_ids: tuple[Uuid, ...] = ()
    additional_vips: tuple[AdditionalVip, ...] = ()
    listeners: tuple[Listener, ...] = ()
    pools: tuple[Pool, ...] = ()

    @model_validator(mode="after")
    def _rules(self) -> Self:
        if not (self.vip_subnet_id or self.vip_network_id or self.vip_port_id):
            raise ValueError("one of vip_subnet_id, vip_network_id and vip_port_id is needed")
        self._check_vips()
        self._check_identities()
        self._check_ports()
        self._check_pools()
        self._check_families()
        self._check_direct_members()
        return self

    def _check_vips(self) -> None:
        subnets = [vip.subnet_id for vip in self.additional_vips] + ([self.vip_subnet_id] if self.vip_subnet_id else [])
        if len(set(subnets)) != len(subnets):
            raise ValueError("two VIPs use the same subnet; each additional VIP needs a subnet of its own")
        known = [address for address in self._vip_addresses() if address is not None]
        if len(set(known)) != len(known):
            raise ValueError("two VIPs have the same address; remove one")
        if self.flavor_id == NOTHING:
            raise ValueError("flavor_id stands for a deleted flavor; name one that is there, or none")
        if self.availability_zone == "":
            raise ValueError("availability_zone is empty; name one, or leave it out")
        if self.vip_sg_ids:
            self._check_security_groups()

    def _check_security_groups(self) -> None:
        """The VIP's port has its owner's groups, or those that follow from ``allowed_cidrs``."""
        for listener in self.listeners:
            if listener.allowed_cidrs:
                raise ValueError(f"vip_sg_ids and allowed_cidrs of the listener {label(listener)} exclude each other")
        if self.flavor_data is not None and self.flavor_data.get("sriov_vip") is True:
            raise ValueError("vip_sg_ids have no effect on the SR-IOV port of this flavor; remove them")

    def _vip_addresses(self) -> list[str | None]:
        """Addresses of all VIPs; None for one that is yet to be chosen."""
        return [self.vip_address, *(vip.ip_address for vip in self.additional_vips)]

    def _check_families(self) -> None:
        """What can only be reached from a VIP of its own family needs one; nothing is said while a VIP is unknown."""
        known = [address for address in self._vip_addresses() if address is not None]
        if len(known) != 1 + len(self.additional_vips):
            return
        families = {family(address) for address in known}
        for listener in self.listeners:
            for cidr in listener.allowed_cidrs:
                if family(cidr) not in families:
                    raise ValueError(f"the listener {label(listener)} allows {cidr}, but no VIP is {family(cidr)}")
        # HAProxy opens connections of its own; datagrams are passed on as they are.
        pools = {pool_id for listener in self.listeners for pool_id in listener.pool_ids()}
        for pool in self.pools:
            if pool.id in pools and pool.protocol in DATAGRAM_POOLS:
                for member in pool.members:
                    if family(member.address) not in families:
                        raise ValueError(
                            f"the {pool.protocol} pool {label(pool)} has the member {member.address}, "
                            f"but no VIP is {family(member.address)}"
                        )

    def _check_direct_members(self) -> None:
        """SR-IOV ports of members are for the flavor to allow; nothing is said before it is looked up."""
        if self.flavor_data is None and self.flavor_id is not None:
            return
        if self.flavor_data is not None and self.flavor_data.get("allow_member_sriov") is True:
            return
        for pool in self.pools:
            for member in pool.members:
                if member.request_sriov:
                    raise ValueError(
                        f"request_sriov of the member {label(member)} needs a flavor with allow_member_sriov"
                    )

    def _check_identities(self) -> None:
        seen: set[str] = set()
        for kind, resource in self.walk():
            if resource.id in seen:
                raise ValueError(f"the id {resource.id} of a {kind} is used twice; give each resource an id of its own")
            seen.add(resource.id)

    def _check_ports(self) -> None:
        seen: dict[tuple[str, int], Listener] = {}
        for listener in self.listeners:
            key = (listener.protocol.transport, listener.protocol_port)
            if key in seen:
                raise ValueError(
                    f"the listeners {label(seen[key])} and {label(listener)} both want "
                    f"{key[0]} port {key[1]}; change one"
                )
            seen[key] = listener

    def _check_pools(self) -> None:
        pools = {pool.id: pool for pool in self.pools}
        for listener in self.listeners:
            for pool_id in listener.pool_ids():
                pool = pools.get(pool_id)
                if pool is None:
                    raise ValueError(f"the listener {label(listener)} refers to the pool {pool_id}, which is not there")
                if pool.protocol not in COMPATIBLE_POOLS[listener.protocol]:
                    raise ValueError(
                        f"the {listener.protocol} listener {label(listener)} cannot use "
                        f"the {pool.protocol} pool {label(pool)}"
                    )

    def walk(self) -> Iterator[tuple[str, Resource | L7Rule]]:
        """Every resource of the tree with the name of its kind, parents before children."""
        yield "loadbalancer", self
        for pool in self.pools:
            yield "pool", pool
            if pool.healthmonitor is not None:
                yield "healthmonitor", pool.healthmonitor
            for member in pool.members:
                yield "member", member
        for listener in self.listeners:
            yield "listener", listener
            for policy in listener.l7policies:
                yield "l7policy", policy
                for rule in policy.rules:
                    yield "l7rule", rule

    def pool(self, pool_id: str) -> Pool:
        """The pool of that id. :raises KeyError: when there is none."""
        for pool in self.pools:
            if pool.id == pool_id:
                return pool
        raise KeyError(pool_id)
