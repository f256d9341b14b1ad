"""The network delta of a run: which interfaces its amphorae have, and what is plugged and unplugged.

Law: asks the network and changes nothing; what is to change is decided in ``decide/addressing.py``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from lbdrivers.drivers.provider import PlannedAction
from lbdrivers.model.infra import Delta, Nic, Port
from lbdrivers_amphora.decide.addressing import delta
from lbdrivers_amphora.decide.plan import network_actions
from lbdrivers_amphora.flows.work import Work
from lbdrivers_amphora.records import Amphora


def plugged(amphora: Amphora, ports: Mapping[str, Port]) -> tuple[Nic, ...]:
    """The NICs that carry traffic of one amphora, by the ports that are in its machine."""
    prefix = amphora.member_port("")
    return tuple(
        Nic(port.network_id, tuple(dict.fromkeys(fixed.subnet_id for fixed in port.fixed)))
        for name, port in sorted(ports.items())
        if (name == amphora.vrrp_port or name.startswith(prefix)) and port.machine == amphora.machine
    )


def of_each(work: Work) -> Iterator[tuple[Amphora, Delta]]:
    """The delta of each amphora that stays; what is built gets everything anyhow."""
    wanted = work.nics()
    ports = {port.name: port for port in work.drivers.network.ports()}
    for amphora in work.kept:
        yield amphora, delta(wanted, plugged(amphora, ports))


def planned(work: Work) -> Iterator[PlannedAction]:
    """The deltas in words. Nothing when the VIP is not reserved yet: then nothing is plugged either."""
    if work.drivers.network.port(work.balancer.vip_port) is None:
        return
    for amphora, change in of_each(work):
        yield from network_actions(work.label(amphora.id), change, _names(work, change))


def _names(work: Work, change: Delta) -> dict[str, str]:
    nics = (*change.add_nics, *change.delete_nics)
    subnets = {subnet for nic in change.add_nics for subnet in nic.subnet_ids}
    subnets |= {one.subnet_id for one in (*change.add_subnets, *change.delete_subnets)}
    networks = {nic.network_id for nic in nics}
    networks |= {one.network_id for one in (*change.add_subnets, *change.delete_subnets)}
    names = {identity: work.subnet(identity).cidr for identity in subnets}
    return names | {identity: work.drivers.network.network(identity).name or identity for identity in networks}
