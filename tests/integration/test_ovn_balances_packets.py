"""Packets through load balancers in OVN: a whole OVN of our own, guests in namespaces, Open vSwitch in user space."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from support.ovn import (
    PRIVATE,
    PRIVATE_SIX,
    PUBLIC,
    PUBLIC_SIX,
    STORAGE,
    OvnCloud,
    identity,
    listener,
    member,
    monitor,
    ovn_cloud,
    pool,
    tree,
    web,
)

from examples.ovn_demo.guests import wait_for
from examples.ovn_demo.world import World, names
from lbdrivers.model.infra import FixedAddress, Port, Subnet
from lbdrivers.model.resources import LoadBalancer
from lbdrivers.model.status import OperatingStatus

A, B, C = "10.212.32.11", "10.212.32.12", "10.212.48.13"
A_SIX = "fd00:212:32::11"
CLIENT, VIP, VIP_SIX = "10.212.16.50", "10.212.16.100", "fd00:212:16::100"
MEMBERS = [member(31, A), member(32, B)]
#: Beyond the router's gateway: the floating IPs of a VIP and of a member, and a client.
FLOATING, FLOATING_A, OUTSIDER = "172.24.4.9", "172.24.4.31", "172.24.4.50"


@pytest.fixture(scope="module")
def cloud() -> Iterator[OvnCloud]:
    with ovn_cloud(switching=True) as made:
        yield made
        assert not made.left()


@pytest.fixture(scope="module")
def world(cloud: OvnCloud) -> Iterator[World]:
    with World(cloud.ovn, cloud.network()) as made:
        made.guest("client", (PUBLIC, CLIENT), (PUBLIC_SIX, None))
        made.guest("a", (PRIVATE, A), (PRIVATE_SIX, A_SIX))
        made.guest("b", (PRIVATE, B))
        made.guest("c", (STORAGE, C))
        for name in "abc":
            made.serve(name, 80)
        yield made


@pytest.fixture
def applied(cloud: OvnCloud, world: World) -> Iterator[Any]:
    """Applies trees; all of them are removed in the end."""
    provider, made = cloud.provider(), set()

    def apply(desired: LoadBalancer, before: LoadBalancer | None = None) -> LoadBalancer:
        made.add(desired.id)
        provider.apply(desired, before)
        cloud.ovn.settled()
        return desired

    yield apply
    for load_balancer_id in made:
        provider.remove(load_balancer_id)


def test_connections_are_spread_and_members_see_who_asks(world: World, applied: Any) -> None:
    applied(web(*MEMBERS, vip_address=VIP))
    wait_for(lambda: world.tcp("client", VIP, 80, 1)["failed"] == 0, "an answer through the VIP")
    answers = world.tcp("client", VIP, 80, 60)
    assert set(answers) == {f"a {CLIENT}", f"b {CLIENT}"}
    assert min(answers.values()) >= 12, answers


def test_members_join_and_leave_while_connections_live_on(world: World, applied: Any) -> None:
    first = applied(web(*MEMBERS, vip_address=VIP))
    wait_for(lambda: world.tcp("client", VIP, 80, 1)["failed"] == 0, "an answer through the VIP")
    talks = [world.connect("client", VIP, 80) for _ in range(12)]
    before = [talk.ask() for talk in talks]
    more = applied(web(*MEMBERS, member(33, C, subnet_id=STORAGE), vip_address=VIP), first)
    assert names(world.tcp("client", VIP, 80, 60)).keys() == {"a", "b", "c"}
    assert [talk.ask() for talk in talks] == before
    applied(web(MEMBERS[0], vip_address=VIP), more)
    assert names(world.tcp("client", VIP, 80, 20)) == {"a": 20}
    for talk in talks:
        talk.close()


def test_one_client_stays_with_one_member(world: World, applied: Any) -> None:
    desired = tree([pool(10, MEMBERS, lb_algorithm="SOURCE_IP")], [listener(20, 80, 10)], vip_address=VIP)
    applied(desired)
    wait_for(lambda: world.tcp("client", VIP, 80, 1)["failed"] == 0, "an answer through the VIP")
    assert len(world.tcp("client", VIP, 80, 30)) == 1


def test_datagrams_and_both_families_through_one_load_balancer(world: World, applied: Any) -> None:
    both = [member(31, A), member(33, A_SIX, subnet_id=PRIVATE_SIX), member(32, B)]
    pools = [pool(10, both), pool(11, [one | {"id": identity(40 + i)} for i, one in enumerate(both)], "UDP")]
    listeners = [listener(20, 80, 10), listener(21, 80, 11, "UDP")]
    second = [{"subnet_id": PUBLIC_SIX, "ip_address": VIP_SIX}]
    applied(tree(pools, listeners, vip_address=VIP, additional_vips=second))
    wait_for(lambda: world.tcp("client", VIP_SIX, 80, 1)["failed"] == 0, "an answer through the IPv6 VIP")
    assert names(world.udp("client", VIP, 80, 40)).keys() == {"a", "b"}
    assert names(world.udp("client", VIP_SIX, 80, 10)) == {"a": 10}
    assert names(world.tcp("client", VIP_SIX, 80, 10)) == {"a": 10}
    assert names(world.tcp("client", VIP, 80, 40)).keys() == {"a", "b"}


def test_a_member_reaches_itself_through_the_vip(world: World, applied: Any) -> None:
    applied(web(MEMBERS[0], vip_address=VIP))
    wait_for(lambda: world.tcp("a", VIP, 80, 1)["failed"] == 0, "a member's answer to itself")
    assert names(world.tcp("a", VIP, 80, 10)) == {"a": 10}


# A probe of UDP waits for an ICMP error, and is sent every three seconds at most.
@pytest.mark.parametrize(
    ("protocol", "kind"), [("TCP", "TCP"), pytest.param("UDP", "UDP-CONNECT", marks=pytest.mark.long)]
)
def test_a_dead_member_leaves_and_comes_back(
    cloud: OvnCloud, world: World, applied: Any, protocol: str, kind: str
) -> None:
    delay = {"delay": 3} if kind == "UDP-CONNECT" else {}
    watched = pool(10, MEMBERS, protocol, healthmonitor=monitor(12, kind, **delay))
    desired = applied(tree([watched], [listener(20, 80, 10, protocol)], vip_address=VIP))
    provider, ask = cloud.provider(), world.tcp if protocol == "TCP" else world.udp

    def status() -> OperatingStatus:
        return provider.observe(desired.id).operating[identity(31)]

    wait_for(lambda: len(cloud.ovn.sbctl("--bare", "find", "Service_Monitor", "status=online").split()) > 1, "monitors")
    world.stop("a")
    try:
        wait_for(lambda: status() is OperatingStatus.ERROR, "the dead member's ERROR")
        assert provider.observe(desired.id).operating[desired.id] is OperatingStatus.DEGRADED
        cloud.ovn.settled()
        assert names(ask("client", VIP, 80, 20)) == {"b": 20}
    finally:
        world.serve("a", 80)
    wait_for(lambda: status() is OperatingStatus.ONLINE, "the living member's ONLINE")
    wait_for(lambda: names(ask("client", VIP, 80, 20)).keys() == {"a", "b"}, "answers of both")


@pytest.fixture
def router(cloud: OvnCloud, world: World) -> Iterator[str]:
    """The router, with a gateway on this chassis to a network outside, where a client is."""
    (router,) = cloud.ovn.nbctl("--bare", "--columns=name", "list", "Logical_Router").split()
    fixed, subnet = FixedAddress("outside", OUTSIDER), Subnet("outside", "outside", "172.24.4.0/24", "172.24.4.1")
    port = Port("outsider", "outsider", "outside", "02:00:00:00:04:50", (fixed,))
    cloud.ovn.nbctl(
        *("ls-add", "outside", "--", "lrp-add", router, "gateway", "02:00:00:00:04:01", "172.24.4.1/24"),
        *("--", "lrp-set-gateway-chassis", "gateway", "hypervisor"),
        *("--", "lsp-add", "outside", "way-in", "--", "lsp-set-type", "way-in", "router"),
        *("--", "lsp-set-addresses", "way-in", "router", "--", "lsp-set-options", "way-in", "router-port=gateway"),
        *("--", "lsp-add", "outside", port.id, "--", "lsp-set-addresses", port.id, f"{port.mac} {OUTSIDER}"),
    )
    world.join("outsider", port, [subnet])
    yield router
    cloud.ovn.nbctl("lr-nat-del", router, "--", "lrp-del", "gateway", "--", "ls-del", "outside")


def test_clients_from_outside_reach_floating_addresses(
    cloud: OvnCloud, world: World, applied: Any, router: str
) -> None:
    """That of the VIP, and that of a member, which was translated on the member's own chassis before."""
    pools = [pool(10, MEMBERS), pool(11, [one | {"id": identity(40 + i)} for i, one in enumerate(MEMBERS)], "UDP")]
    desired = tree(pools, [listener(20, 80, 10), listener(21, 80, 11, "UDP")], vip_address=VIP)
    port = cloud.network().port("guest-a")
    assert port is not None
    ours = ("dnat_and_snat", FLOATING_A, A, port.id, "02:00:00:00:00:0a")
    cloud.ovn.nbctl("lr-nat-add", router, *ours, "--", "lr-nat-add", router, "dnat_and_snat", FLOATING, VIP)
    applied(desired)
    wait_for(lambda: world.tcp("outsider", FLOATING, 80, 1)["failed"] == 0, "an answer through the floating IP")
    for ask in (world.tcp, world.udp):
        answers = ask("outsider", FLOATING, 80, 40)
        assert set(answers) == {f"a {OUTSIDER}", f"b {OUTSIDER}"}, answers
    wait_for(lambda: world.tcp("outsider", FLOATING_A, 80, 1)["failed"] == 0, "the member's own floating IP")
    assert world.tcp("outsider", FLOATING_A, 80, 5) == {f"a {OUTSIDER}": 5}
    cloud.provider().remove(desired.id)
    cloud.ovn.settled()
    assert world.tcp("outsider", FLOATING, 80, 1)["failed"] == 1
    wait_for(lambda: world.tcp("outsider", FLOATING_A, 80, 1)["failed"] == 0, "the member's own, as it was before")
