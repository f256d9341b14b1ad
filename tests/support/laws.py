"""What must be true of the memory cloud after anything: no orphan; and after a run that ended: exactly the wanted."""

from __future__ import annotations

from collections.abc import Sequence

from support.memory_cloud import World

from lbdrivers.model.resources import LoadBalancer
from lbdrivers_amphora.decide.topology import TOPOLOGIES
from lbdrivers_amphora.records import AmphoraStatus


def expect_no_orphan(world: World) -> None:
    """Whatever exists outside has a record that names it."""
    amphorae = world.ledger.all_amphorae()
    balancers = world.ledger.balancers()
    assert world.machines().keys() <= {one.machine for one in amphorae}
    for name in world.ports():
        named = any(name in (one.management_port, one.vrrp_port) for one in amphorae)
        named = named or any(name.startswith(one.member_port("")) for one in amphorae)
        assert named or name in {one.vip_port for one in balancers}, f"nobody knows the port {name}"


def expect_exactly(world: World, wanted: LoadBalancer, vip: tuple[str, ...] = ()) -> None:
    """The wanted machines and ports, no more and no less, configured as wanted, at the same address; another
    apply changes nothing.

    :param vip: addresses that it had before; empty when it had none.
    """
    expect_all(world, ((wanted, vip),))


def expect_all(world: World, wanted: Sequence[tuple[LoadBalancer, tuple[str, ...]]]) -> None:
    """The same of several load balancers; there is nothing but they."""
    ports: dict[str, str | None] = {}
    for tree, _ in wanted:
        ports |= _expect_appliances(world, tree)
    assert {name: port.machine for name, port in world.ports().items()} == ports
    assert world.machines().keys() == {machine for machine in ports.values() if machine is not None}
    held = {f"{fixed.subnet_id}/{fixed.address}" for port in world.ports().values() for fixed in port.fixed}
    assert world.cloud.addresses.ids() == held
    for tree, vip in wanted:
        _expect_settled(world, tree, vip)


def _expect_appliances(world: World, wanted: LoadBalancer) -> dict[str, str | None]:
    """One amphora for each slot, configured as wanted; its ports with the machines that they must be in."""
    amphorae = world.ledger.amphorae(wanted.id)
    balancer = world.ledger.balancer(wanted.id)
    assert balancer is not None
    assert sorted(one.role for one in amphorae) == sorted(slot.role for slot in TOPOLOGIES[balancer.topology])
    assert {one.status for one in amphorae} == {AmphoraStatus.ALLOCATED}
    nets = _member_networks(world, wanted)
    for one in amphorae:
        appliance = world.cloud.appliances.get(one.machine)
        assert appliance is not None and appliance.load_balancer == wanted and appliance.amphora_id == one.id
        macs = {port.mac for port in world.ports().values() if port.machine == one.machine}
        assert {interface.mac for interface in appliance.interfaces} < macs
        assert len(appliance.interfaces) == 1 + len(nets)
    plugged: dict[str, str | None] = {
        name: one.machine
        for one in amphorae
        for name in (one.management_port, one.vrrp_port, *(one.member_port(net) for net in nets))
    }
    return {balancer.vip_port: None, **plugged}


def _expect_settled(world: World, wanted: LoadBalancer, vip: tuple[str, ...]) -> None:
    """One holds the VIP, at the address of before; nothing is left to do, and doing it changes nothing."""
    seen = world.provider().observe(wanted.id)
    assert [one.holds_vip for one in seen.appliances].count(True) == 1
    assert not vip or seen.vip_addresses == vip
    assert world.provider().plan(wanted, wanted) == ()
    assert world.provider().deviations(wanted) == ()
    reloads = {one.machine: one.reloads for one in world.cloud.appliances.all()}
    world.provider().apply(wanted, None)
    assert {one.machine: one.reloads for one in world.cloud.appliances.all()} == reloads


def _member_networks(world: World, tree: LoadBalancer) -> set[str]:
    """Networks of members, but for the VIP's own."""
    vip = world.ports()[f"octavia-lb-{tree.id}"].network_id
    subnets = {member.subnet_id for pool in tree.pools for member in pool.members if member.subnet_id}
    found = {subnet: world.cloud.subnets.get(subnet) for subnet in subnets}
    networks = {stored.subnet.network_id for stored in found.values() if stored is not None}
    assert len(found) == len([one for one in found.values() if one is not None]), "a member's subnet is unknown"
    return networks - {vip}


def held_vip(world: World, load_balancer_id: str) -> tuple[str, ...]:
    """Addresses that are reserved for it now."""
    port = world.ports().get(f"octavia-lb-{load_balancer_id}")
    return () if port is None else tuple(fixed.address or "" for fixed in port.fixed)
