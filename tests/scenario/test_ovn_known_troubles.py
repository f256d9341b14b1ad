"""What users of OVN's provider have met: each trouble happens here, on real databases, and ends well."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from support.ovn import (
    PRIVATE,
    PRIVATE_NETWORK,
    PUBLIC,
    PUBLIC_NETWORK,
    STORAGE,
    STORAGE_NETWORK,
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
from lbdrivers.drivers.provider import Provider
from lbdrivers.errors import PermanentError, TemporaryError
from lbdrivers.model.infra import FixedAddress, Port, PortRequest
from lbdrivers.model.resources import LoadBalancer
from lbdrivers.model.status import OperatingStatus
from lbdrivers.testing.examples import rebuilt
from lbdrivers_ovn import names
from lbdrivers_ovn.external_ids import decode
from lbdrivers_ovn.provider import OvnProvider

A, B = member(31, "10.212.32.11"), member(32, "10.212.32.12")
ELSEWHERE = member(33, "10.212.48.13", subnet_id=STORAGE)


@pytest.fixture(scope="module")
def shared() -> Iterator[OvnCloud]:
    with ovn_cloud() as made:
        yield made


@pytest.fixture
def cloud(shared: OvnCloud) -> Iterator[OvnCloud]:
    """Afterwards every load balancer is removed, and then nothing may be left."""
    yield shared
    provider = shared.provider()
    for load_balancer_id in provider.known():
        provider.remove(load_balancer_id)
    for port in shared.network().ports():
        assert not port.name.startswith("ovn-lb-"), f"{port.name} is left"
        shared.network().remove_port(port.name)
    assert not shared.left()


def patiently(provider: Provider, desired: LoadBalancer, limit: float = 60.0) -> None:
    """Apply as the engine does: what may succeed later is tried again."""
    deadline = time.monotonic() + limit
    while True:
        try:
            return provider.apply(desired, None)
        except TemporaryError:
            assert time.monotonic() < deadline, "still a TemporaryError"
            time.sleep(0.1)


def vips(cloud: OvnCloud) -> set[str]:
    """Every entry of every load balancer."""
    return set(cloud.ovn.nbctl("--bare", "--columns=vips", "list", "Load_Balancer").split())


def attached(cloud: OvnCloud) -> set[str]:
    """Names of the switches and routers that have a load balancer."""
    found: set[str] = set()
    for table in ("Logical_Switch", "Logical_Router"):
        lines = cloud.ovn.nbctl("--format=csv", "--no-headings", "--columns=name,load_balancer", "list", table)
        found |= {line.partition(",")[0] for line in lines.splitlines() if not line.endswith("[]")}
    return found


def guest_port(cloud: OvnCloud, name: str, subnet_id: str, address: str) -> Port:
    """A port with an address, as a virtual machine has one."""
    network = cloud.network()
    network_id = network.subnet(subnet_id).network_id
    return network.ensure_port(PortRequest(name, network_id, (FixedAddress(subnet_id, address),)))


def test_rows_that_vanished_are_made_anew_when_a_member_joins(cloud: OvnCloud) -> None:
    """Octavia's driver cannot find the load balancer then, and the member stays pending."""
    provider, first = cloud.provider(), web(A)
    provider.apply(first, None)
    cloud.ovn.nbctl("lb-del", first.id)
    provider.apply(web(A, B), first)
    assert vips(cloud) == {"10.212.16.2:80=10.212.32.11:80,10.212.32.12:80"}
    assert names.switch(PUBLIC_NETWORK) in attached(cloud)


def test_a_restart_of_the_database_is_survived(cloud: OvnCloud) -> None:
    provider, first = cloud.provider(), web(A)
    provider.apply(first, None)
    cloud.ovn.stop("ovsdb-server")
    with pytest.raises(TemporaryError, match="does not answer"):
        provider.apply(web(A, B), first)
    with pytest.raises(TemporaryError, match="does not answer"):
        cloud.provider().observe(first.id)
    cloud.ovn.start_databases()
    patiently(provider, web(A, B))
    assert vips(cloud) == {"10.212.16.2:80=10.212.32.11:80,10.212.32.12:80"}


def test_changes_are_written_while_northd_is_stopped(cloud: OvnCloud) -> None:
    """The northbound database says what is wanted; northd takes it up whenever it comes back."""
    provider, first = cloud.provider(), web(A)
    provider.apply(first, None)
    cloud.ovn.stop("ovn-northd")
    provider.apply(web(A, B), first)
    assert provider.observe(first.id).operating[B["id"]] is OperatingStatus.NO_MONITOR
    assert "10.212.32.12" not in cloud.ovn.sbctl("list", "Load_Balancer")
    cloud.ovn.start_northd()
    wait_for(lambda: "10.212.32.12" in cloud.ovn.sbctl("list", "Load_Balancer"), "northd's translation")


def test_a_router_that_comes_later_gets_the_load_balancer_and_one_that_goes_loses_it(cloud: OvnCloud) -> None:
    provider, first = cloud.provider(), web(A)
    provider.apply(first, None)
    ovn, switch = cloud.ovn, names.switch(PUBLIC_NETWORK)
    ovn.nbctl("lr-add", "neutron-late", "--", "lrp-add", "neutron-late", "late", "02:00:00:00:00:01", "10.212.16.9/20")
    late = ["--", "lsp-set-type", "late-end", "router", "--", "lsp-set-options", "late-end", "router-port=late"]
    ovn.nbctl("lsp-add", switch, "late-end", *late)
    try:
        wait_for(lambda: provider.apply(first, None) or "neutron-late" in attached(cloud), "the attachment")
        row = provider._northbound.rows(first.id)[0]
        assert "neutron-late" in decode(row.external_ids, "row").routers
        ovn.nbctl("lsp-del", "late-end")
        wait_for(lambda: provider.apply(first, None) or "neutron-late" not in attached(cloud), "the detachment")
        row = provider._northbound.rows(first.id)[0]
        assert "neutron-late" not in decode(row.external_ids, "row").routers
    finally:
        ovn.nbctl("--if-exists", "lsp-del", "late-end", "--", "lr-del", "neutron-late")


def test_a_provider_network_is_not_attached(cloud: OvnCloud) -> None:
    """It would break the way back of floating IPs."""
    guest_port(cloud, "keeper", PUBLIC, "10.212.16.77")
    external = "external_ids:neutron\\:provnet-physical-network=physnet"
    cloud.ovn.nbctl("set", "Logical_Switch", names.switch(PUBLIC_NETWORK), external)
    provider = cloud.provider()
    provider.apply(web(A), None)
    assert names.switch(PUBLIC_NETWORK) not in attached(cloud)
    assert {names.switch(PRIVATE_NETWORK), names.switch(STORAGE_NETWORK)} <= attached(cloud)
    content = decode(provider._northbound.rows(identity(1))[0].external_ids, "row")
    assert content.switch_references == {names.switch(PRIVATE_NETWORK): 1}


def test_a_port_that_its_owner_brought_is_never_changed_and_never_deleted(cloud: OvnCloud) -> None:
    port = guest_port(cloud, "mine", PUBLIC, "10.212.16.123")
    before = cloud.ovn.nbctl("list", "Logical_Switch_Port", port.id)
    provider = cloud.provider()
    desired = web(A, vip_subnet_id=None, vip_port_id=port.id)
    provider.apply(desired, None)
    provider.apply(rebuilt(desired, listeners=()), desired)
    assert provider.observe(desired.id).vip_addresses == ("10.212.16.123",)
    provider.remove(desired.id)
    assert cloud.ovn.nbctl("list", "Logical_Switch_Port", port.id) == before
    assert not provider.known()


def test_ports_for_health_checks_go_with_the_last_one_that_needs_them(cloud: OvnCloud) -> None:
    guest_port(cloud, "a", PRIVATE, A["address"])
    watched = pool(10, [A], healthmonitor=monitor(12))
    one = tree([watched], [listener(20, 80, 10)])
    again = pool(40, [A | {"id": identity(41)}], healthmonitor=monitor(42))
    other = tree([again], [listener(43, 80, 40)], id=identity(2))
    provider = cloud.provider()
    for desired in (one, other):
        provider.apply(desired, None)
    name = names.monitor_port(PRIVATE)
    assert cloud.network().port(name) is not None
    bare = tree([pool(10, [A])], [listener(20, 80, 10)])
    provider.apply(bare, one)
    assert cloud.network().port(name) is not None, "the other load balancer needs it"
    provider.remove(other.id)
    assert cloud.network().port(name) is None
    provider.apply(one, bare)
    provider.apply(tree(), one)
    assert cloud.network().port(name) is None


def test_a_removal_that_broke_off_leaves_nothing_when_it_is_done_again(cloud: OvnCloud) -> None:
    guest_port(cloud, "a", PRIVATE, A["address"])
    desired = tree([pool(10, [A], healthmonitor=monitor(12))], [listener(20, 80, 10)])
    provider = cloud.provider()
    provider.apply(desired, None)
    provider._northbound.remove(desired.id)  # the process dies here
    again = cloud.provider()
    assert again.known() == {desired.id}
    again.remove(desired.id)
    assert not again.known()
    assert cloud.network().port(names.monitor_port(PRIVATE)) is None


def test_two_writers_at_once_end_at_one_of_both(cloud: OvnCloud) -> None:
    """Neither makes a second set of rows, and neither is told of an error."""
    wanted = [web(A, B), web(A, ELSEWHERE)]
    targets = ("10.212.32.11:80,10.212.32.12:80", "10.212.32.11:80,10.212.48.13:80")
    barrier = threading.Barrier(len(wanted))

    def write(provider: OvnProvider, desired: LoadBalancer) -> None:
        provider.known()  # it is connected
        barrier.wait()
        provider.apply(desired, None)

    for _ in range(6):
        providers: list[OvnProvider] = [cloud.provider() for _ in wanted]
        with ThreadPoolExecutor(len(wanted)) as pool:
            for written in [pool.submit(write, *pair) for pair in zip(providers, wanted, strict=True)]:
                written.result()
        found = vips(cloud)
        assert found in [{f"10.212.16.2:80={one}"} for one in targets], found
        providers[0].remove(identity(1))


def test_a_whole_load_balancer_is_one_transaction(cloud: OvnCloud) -> None:
    """Rows for TCP and UDP, monitors and all; beside it each port takes one."""
    guest_port(cloud, "a", PRIVATE, A["address"])
    udp = [A | {"id": identity(51)}, B | {"id": identity(52)}]
    pools = [pool(10, [A, B], healthmonitor=monitor(12)), pool(50, udp, "UDP")]
    desired = tree(pools, [listener(20, 80, 10), listener(21, 53, 50, "UDP")])
    provider = cloud.provider()
    provider.reserve_vip(desired)
    provider._places.monitor_addresses([cloud.network().subnet(PRIVATE)])
    before = provider._northbound.database.transactions
    provider.apply(desired, None)
    assert provider._northbound.database.transactions == before + 1
    assert len(vips(cloud)) == 2
    statuses = provider.observe(desired.id).operating
    assert statuses[A["id"]] is OperatingStatus.ONLINE
    assert statuses[B["id"]] is OperatingStatus.ERROR, "nobody has its address, so nobody can be asked"
    assert statuses[identity(51)] is OperatingStatus.NO_MONITOR


def test_the_last_pool_leaves_a_row_without_protocol_and_that_one_is_used_again(cloud: OvnCloud) -> None:
    provider, full = cloud.provider(), web(A)
    provider.apply(full, None)
    (row,) = provider._northbound.rows(full.id)
    provider.apply(tree(), full)
    (empty,) = provider._northbound.rows(full.id)
    assert (empty.uuid, empty.balance.protocol, empty.vips) == (row.uuid, "", {})
    udp = tree([pool(10, [A], "UDP")], [listener(20, 53, 10, "UDP")])
    provider.apply(udp, tree())
    (used,) = provider._northbound.rows(full.id)
    assert (used.uuid, used.balance.protocol) == (row.uuid, "udp")


def test_pools_that_balance_in_different_ways_do_not_share_a_row(cloud: OvnCloud) -> None:
    """Selection fields and affinity are the row's: with one row for a protocol, the last pool would win."""
    provider = cloud.provider()
    sticky = {"session_persistence": {"type": "SOURCE_IP"}}
    pools = [pool(10, [A]), pool(11, [B], lb_algorithm="SOURCE_IP"), pool(12, [ELSEWHERE], **sticky)]
    provider.apply(tree(pools, [listener(20 + i, 80 + i, 10 + i) for i in range(3)]), None)
    found = {row.balance for row in provider._northbound.rows(identity(1))}
    assert {(len(one.selection_fields), one.affinity_timeout) for one in found} == {(4, None), (2, None), (4, 360)}


def test_sctp_reaches_the_logical_flows(cloud: OvnCloud) -> None:
    """Open vSwitch in user space tracks no SCTP, so no packet can pass here; northd's flows say what would happen."""
    provider = cloud.provider()
    provider.apply(tree([pool(10, [A], "SCTP")], [listener(20, 9899, 10, "SCTP")]), None)
    wait_for(lambda: "sctp.dst == 9899" in cloud.ovn.sbctl("lflow-list"), "flows of SCTP")


def test_what_cannot_be_is_refused_before_anything_is_touched(cloud: OvnCloud) -> None:
    provider = cloud.provider()
    refused = {
        "IPv6 member": web(member(31, "2001:db8::7", subnet_id=None)),
        "a client for 65535 seconds": tree(
            [pool(10, [], "UDP", session_persistence={"type": "SOURCE_IP", "persistence_timeout": 70000})]
        ),
        "no subnet": rebuilt(web(A), vip_subnet_id=identity(98)),
    }
    for words, desired in refused.items():
        with pytest.raises(PermanentError, match=words):
            provider.apply(desired, None)
        provider.remove(desired.id)
    assert not provider.known()


def test_rows_that_cannot_be_read_are_refused_by_place_and_remedy(cloud: OvnCloud) -> None:
    provider, first = cloud.provider(), web(A)
    provider.apply(first, None)
    cloud.ovn.nbctl("set", "Load_Balancer", first.id, "external_ids:ls_refs=nonsense")
    with pytest.raises(PermanentError, match=r"external_ids:ls_refs: cannot be read \(got nonsense\); write a JSON"):
        provider.observe(first.id)
    cloud.ovn.nbctl("lb-del", first.id)


def test_removing_an_additional_vip_removes_its_port_alone(cloud: OvnCloud) -> None:
    provider = cloud.provider()
    second = [{"subnet_id": "b1000000-0000-4000-8000-000000000002"}]
    both, one = web(A, additional_vips=second), web(A)
    provider.apply(both, None)
    addresses = provider.observe(both.id).vip_addresses
    assert len(addresses) == 2
    provider.apply(one, both)
    assert provider.observe(one.id).vip_addresses == addresses[:1]
    assert [port.name for port in cloud.network().ports()] == [names.vip_port(one.id)]


def test_a_port_of_health_checks_is_there_again_after_somebody_removed_it(cloud: OvnCloud) -> None:
    guest_port(cloud, "a", PRIVATE, A["address"])
    desired = tree([pool(10, [A], healthmonitor=monitor(12))], [listener(20, 80, 10)])
    provider = cloud.provider()
    provider.apply(desired, None)
    cloud.network().remove_port(names.monitor_port(PRIVATE))
    provider.apply(desired, desired)
    port = cloud.network().port(names.monitor_port(PRIVATE))
    assert port is not None
    (row,) = provider._northbound.rows(desired.id)
    assert replace(row).ip_port_mappings[A["address"]].endswith(f":{port.address_in(PRIVATE)}")


def test_floating_addresses_are_followed_and_members_get_theirs_back(cloud: OvnCloud) -> None:
    """Of the VIP and of a member, as NAT rows; packets go through them in ``test_ovn_balances_packets.py``."""
    guest_port(cloud, "a", PRIVATE, A["address"])
    (router,) = cloud.ovn.nbctl("--bare", "--columns=name", "list", "Logical_Router").split()
    provider, desired = cloud.provider(), web(A)
    provider.apply(desired, None)
    vip = provider.observe(desired.id).vip_addresses[0]
    mac = "02:00:00:00:00:0a"
    cloud.ovn.nbctl("lr-nat-add", router, "dnat_and_snat", "172.24.4.9", vip)
    port = cloud.network().port("a")
    assert port is not None
    cloud.ovn.nbctl("lr-nat-add", router, "dnat_and_snat", "172.24.4.31", A["address"], port.id, mac)

    def translation() -> str:
        return cloud.ovn.nbctl(
            "--bare", "--columns=external_mac,logical_port", "find", "NAT", "external_ip=172.24.4.31"
        )

    wait_for(lambda: provider.apply(desired, None) or len(vips(cloud)) == 2, "the floating IP's entry")
    assert vips(cloud) == {f"{one}:80=10.212.32.11:80" for one in (vip, "172.24.4.9")}
    assert not translation()
    cloud.ovn.nbctl("lr-nat-del", router, "dnat_and_snat", "172.24.4.9")
    wait_for(lambda: provider.apply(desired, None) or len(vips(cloud)) == 1, "the entry's end")
    assert translation().split() == [mac, port.id]
    cloud.ovn.nbctl("lr-nat-add", router, "dnat_and_snat", "172.24.4.9", vip)
    wait_for(lambda: provider.apply(desired, None) or not translation(), "the translation at the gateway")
    provider.remove(desired.id)
    assert translation().split() == [mac, port.id]


def test_what_another_writer_wrote_a_moment_ago_is_seen(cloud: OvnCloud) -> None:
    """The replica of a connection follows the database a moment behind; whoever looks, looks past that."""
    writer, reader = cloud.provider(), cloud.provider()
    before = web(A)
    writer.apply(before, None)
    for number in range(30):
        desired = web(*([A, B] if number % 2 else [A]), admin_state_up=bool(number % 3))
        writer.apply(desired, before)
        assert (B["id"] in reader.observe(desired.id).operating) == bool(number % 2)
        assert not reader.plan(desired, None)
        before = desired
    writer.remove(before.id)
    assert not reader.known()
