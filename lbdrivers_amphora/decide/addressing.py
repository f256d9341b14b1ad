"""Network delta: which interfaces an amphora needs for its members, and which it has too many.

Law: pure. The VIP's network is never unplugged and management networks never appear; members
without a subnet change nothing; the order of members does not matter; applying a delta and
computing it again gives an empty one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from lbdrivers.model.infra import Delta, Nic, SubnetChange
from lbdrivers.model.resources import LoadBalancer


def member_subnets(tree: LoadBalancer) -> frozenset[str]:
    """Subnets of all members that name one."""
    return frozenset(m.subnet_id for pool in tree.pools for m in pool.members if m.subnet_id)


def same_networks(one: LoadBalancer, other: LoadBalancer) -> bool:
    """Whether two trees need the same VIPs and the same interfaces."""
    return member_subnets(one) == member_subnets(other) and _vip_fields(one) == _vip_fields(other)


def _vip_fields(tree: LoadBalancer) -> tuple[object, ...]:
    return (tree.vip_address, tree.vip_subnet_id, tree.vip_network_id, tree.vip_port_id, tree.additional_vips)


def wanted_nics(vip: Nic, subnets: Iterable[str], networks: Mapping[str, str]) -> tuple[Nic, ...]:
    """The NICs that an amphora should have, the VIP's first, then by network id.

    :param vip: the VIP's network with the VIPs' subnets.
    :param subnets: subnets in which members live.
    :param networks: subnet id -> network id, for each of ``subnets``.
    """
    wanted: dict[str, set[str]] = {vip.network_id: set(vip.subnet_ids)}
    for subnet in subnets:
        wanted.setdefault(networks[subnet], set()).add(subnet)
    others = sorted(network for network in wanted if network != vip.network_id)
    extra = sorted(wanted[vip.network_id] - set(vip.subnet_ids))
    return (
        Nic(vip.network_id, (*vip.subnet_ids, *extra)),
        *(Nic(network, tuple(sorted(wanted[network]))) for network in others),
    )


def delta(wanted: Iterable[Nic], plugged: Iterable[Nic], management: frozenset[str] = frozenset()) -> Delta:
    """What to change so that ``plugged`` becomes ``wanted``; one NIC per network.

    :param management: networks that are none of our business here.
    """
    want = {nic.network_id: nic for nic in wanted}
    have = {nic.network_id: nic for nic in plugged if nic.network_id not in management or nic.network_id in want}
    shared = [network for network in want if network in have]
    return Delta(
        add_nics=tuple(nic for network, nic in want.items() if network not in have),
        delete_nics=tuple(nic for network, nic in have.items() if network not in want),
        add_subnets=_changes(shared, want, have),
        delete_subnets=_changes(shared, have, want),
    )


def _changes(networks: Iterable[str], more: Mapping[str, Nic], less: Mapping[str, Nic]) -> tuple[SubnetChange, ...]:
    """Subnets that ``more`` has and ``less`` lacks, on networks that both have."""
    return tuple(
        SubnetChange(network, subnet)
        for network in networks
        for subnet in more[network].subnet_ids
        if subnet not in less[network].subnet_ids
    )


def apply_delta(plugged: Iterable[Nic], change: Delta) -> tuple[Nic, ...]:
    """The NICs after a delta was carried out; the reference for its laws and for the memory cloud."""
    gone = {nic.network_id for nic in change.delete_nics}
    taken = {(c.network_id, c.subnet_id) for c in change.delete_subnets}
    result = []
    for nic in plugged:
        if nic.network_id in gone:
            continue
        kept = [subnet for subnet in nic.subnet_ids if (nic.network_id, subnet) not in taken]
        added = [c.subnet_id for c in change.add_subnets if c.network_id == nic.network_id]
        result.append(Nic(nic.network_id, (*kept, *added)))
    return (*result, *change.add_nics)
