"""Places and topologies for trees of the OVN provider, as values: what a network driver and a database would say."""

from __future__ import annotations

from lbdrivers.drivers.addresses import port_id
from lbdrivers.drivers.topology import load
from lbdrivers.model.resources import LoadBalancer
from lbdrivers_ovn import names
from lbdrivers_ovn.network.layout import router_name, router_ports
from lbdrivers_ovn.rows import LoadBalancerRow
from lbdrivers_ovn.settings import PACKAGED_NETWORKS
from lbdrivers_ovn.topology import Interface, Topology
from lbdrivers_ovn.translate import Place, Vip, translate

NETWORKS = load(PACKAGED_NETWORKS, "[ovn] networks_file")
SUBNETS = {subnet.value.id: subnet.value for subnet in NETWORKS.subnets}
#: What the network driver makes of the packaged networks; some members have ports.
TOPOLOGY = Topology(
    switches=frozenset(names.switch(network.id) for network in NETWORKS.networks),
    interfaces=tuple(Interface(router_name(NETWORKS), one.switch, one.addresses) for one in router_ports(NETWORKS)),
    ports={"10.212.32.10": "port-10", "10.212.48.7": "port-7"},
)


def place(tree: LoadBalancer) -> Place:
    """The packaged networks, with VIPs as they would be given out and health checks from the highest address."""
    vips = [Vip(tree.vip_address or "10.212.16.100", port_id("vip"), SUBNETS[tree.vip_subnet_id or ""])]
    for number, vip in enumerate(tree.additional_vips):
        vips.append(
            Vip(vip.ip_address or f"fd00:212:16::{number + 1:x}", port_id(f"vip {number}"), SUBNETS[vip.subnet_id])
        )
    return Place(tuple(vips), SUBNETS, dict.fromkeys(SUBNETS, "192.0.2.250"))


def rows(tree: LoadBalancer, topology: Topology = TOPOLOGY) -> tuple[LoadBalancerRow, ...]:
    """The rows of the tree there."""
    return translate(tree, place(tree), topology, {})
