"""A real agent in a box balances real datagrams: exact weights, steady flows, probes, statistics."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any

import pytest
from support.appliance import CLIENT, MEMBER_CLIENT, VIP
from support.appliance_site import BOTH_FAMILIES, BOTH_VIPS, MEMBER6, OWN, VIP6, Site, an_appliance
from support.bundles import ident, listener, member, monitor, pool
from support.datagrams import Echoes, Flow, Steady, flows, spread
from support.patience import eventually

from lbdrivers.drivers.provider import Mildness, Statistics
from lbdrivers.errors import UnsupportedError
from lbdrivers.model.resources import Listener, Member, Pool
from lbdrivers_amphora.wire import routes

_STRANGER = "10.0.0.2"
_PORTS = (7001, 7002, 7003)
#: IPv4 and UDP headers, which statistics count as IPVS does.
_HEADERS = 28


@dataclass(kw_only=True)
class DatagramSite(Site):
    """With servers that answer datagrams, in both families."""

    echoes: Echoes
    echoes6: Echoes

    def balance(self, *members: Member, port: int = 53, front: dict[str, Any] | None = None, **fields: Any) -> Mildness:
        """One listener with one pool of those members."""
        each = pool(members=members, **({"protocol": "UDP"} | fields))
        return self.configure(udp(port, each, **(front or {})), pools=(each,))

    def statistics(self, name: str = "udp 53") -> Statistics:
        return self.report().listeners[ident(name)][1]

    def member_words(self) -> dict[str, str]:
        """Status words of the members of the one pool, by name."""
        (state,) = self.report().pools.values()
        names = {ident(str(port)): str(port) for port in _PORTS}
        return {names[name]: member.status for name, member in state.members.items()}

    def flows(self, count: int = 1, **where: Any) -> AbstractContextManager[list[Flow]]:
        """Flows to the VIP's port 53, unless said otherwise."""
        target = where.pop("target", (VIP, 53))
        return flows(self.appliance.inside, target, count, **where)


def udp(port: int, each: Pool | None, **fields: Any) -> Listener:
    default = None if each is None else each.id
    return listener(f"udp {port}", port, protocol="UDP", default_pool_id=default, **fields)


def server(port: int, **fields: Any) -> Member:
    return member(str(port), MEMBER_CLIENT, port, **fields)


ONE, TWO, THREE = map(server, _PORTS)


@pytest.fixture(scope="module")
def world() -> Iterator[DatagramSite]:
    with an_appliance() as plain:
        plain.add_ipv6()
        assert plain.appliance.run("ip", *f"addr add {_STRANGER}/24 dev wire1".split()) == ""
        plain.plug(*BOTH_FAMILIES)
        inside = plain.appliance.inside
        with Echoes(inside, MEMBER_CLIENT) as echoes, Echoes(inside, MEMBER6) as echoes6:
            yield DatagramSite(plain.appliance, plain.driver, BOTH_VIPS, echoes=echoes, echoes6=echoes6)


@pytest.fixture
def site(world: DatagramSite) -> DatagramSite:
    """All servers answer; nothing is balanced yet."""
    world.echoes.open(*_PORTS)
    world.echoes6.open(*_PORTS)
    world.configure()
    return world


def test_the_agent_says_that_it_can(site: DatagramSite) -> None:
    facts = site.driver.facts(site.appliance.machine, site.appliance.amphora_id)
    assert "nftables" in facts.capabilities


def test_weights_are_exact(site: DatagramSite) -> None:
    assert site.balance(server(7001, weight=3), TWO) is Mildness.RUNTIME
    with site.flows(80) as made:
        assert spread(made) == {"7001": 60, "7002": 20}


def test_ipv6_is_balanced_beside_ipv4(site: DatagramSite) -> None:
    six = [member(f"six {port}", MEMBER6, port) for port in (7001, 7002)]
    site.balance(THREE, *six, port=5454)
    with site.flows(10, target=(VIP, 5454)) as made, site.flows(20, target=(VIP6, 5454)) as made6:
        assert spread(made) == {"7003": 10}
        assert spread(made6) == {"7001": 10, "7002": 10}
        assert site.statistics("udp 5454").active_connections == 30


def test_the_same_again_is_not_sent(site: DatagramSite) -> None:
    site.balance(ONE, TWO)
    assert site.balance(ONE, TWO) is Mildness.NOTHING


@pytest.mark.parametrize("algorithm", ["SOURCE_IP", "SOURCE_IP_PORT"])
def test_a_source_has_its_member(site: DatagramSite, algorithm: str) -> None:
    site.balance(ONE, TWO, THREE, lb_algorithm=algorithm)
    with site.flows(60, source=CLIENT) as made:
        found = spread(made)
    if algorithm == "SOURCE_IP":
        assert len(found) == 1
    else:
        assert set(found) == {"7001", "7002", "7003"}
    # The same client port again, as after a pause that ended its flow: the same member.
    with site.flows(source=CLIENT, source_port=40001) as first:
        before = first[0].ask()
    forget(site, 40001)
    with site.flows(source=CLIENT, source_port=40001) as again:
        assert again[0].ask() == before


def forget(site: DatagramSite, port: int) -> None:
    """What the kernel does by itself when a flow was silent for long."""
    words = ["ip", "netns", "exec", "amphora-haproxy", "conntrack", "-D", "-p", "udp", "--orig-port-src", str(port)]
    assert "1 flow entries have been deleted" in site.appliance.run(*words)


def test_persistence_keeps_a_network_of_clients_at_a_member_for_its_time(site: DatagramSite) -> None:
    kept = {"type": "SOURCE_IP", "persistence_timeout": 2, "persistence_granularity": "255.255.255.0"}
    site.balance(ONE, TWO, session_persistence=kept)
    with site.flows(10, source=CLIENT) as some, site.flows(10, source=_STRANGER) as others:
        found = spread([*some, *others])
        (member_,) = found
        assert found == {member_: 20}

    def after_a_pause() -> str:
        time.sleep(2.1)  # longer than nobody may have begun a flow
        with site.flows(source=CLIENT) as one:
            return one[0].ask()

    assert eventually(after_a_pause, lambda answer: answer != member_) != member_


def test_persistence_leads_away_from_a_member_that_drains(site: DatagramSite) -> None:
    kept = {"type": "SOURCE_IP", "persistence_timeout": 600}
    site.balance(ONE, TWO, session_persistence=kept)
    with site.flows(2) as made:
        (member_,) = spread(made)
        drained = [server(port, weight=int(str(port) != member_)) for port in (7001, 7002)]
        site.balance(*drained, session_persistence=kept)
        assert spread(made) == {member_: 2}, "what it has it keeps"
        with site.flows(3) as fresh:
            (other,) = spread(fresh)
        assert other != member_
        site.balance(ONE, TWO, session_persistence=kept)
        with site.flows(3) as fresh:
            assert spread(fresh) == {other: 3}, "the client was remembered anew"


def test_edits_leave_flows_with_their_members_and_lose_nothing(site: DatagramSite) -> None:
    site.balance(ONE, TWO)
    with site.flows(8) as made:
        pinned = [flow.ask() for flow in made]
        assert sorted(set(pinned)) == ["7001", "7002"]
        with Steady(made):
            assert site.balance(ONE, TWO, THREE) is Mildness.RUNTIME
            assert site.balance(server(7001, weight=5), TWO, THREE) is Mildness.RUNTIME
            assert site.balance(server(7001, weight=0), TWO, THREE) is Mildness.RUNTIME
            assert site.balance(server(7001, weight=0), TWO, lb_algorithm="SOURCE_IP") is Mildness.RUNTIME
            with site.flows(4) as fresh:
                assert spread(fresh) == {"7002": 4}
            assert site.balance(server(7001, weight=0), TWO, front={"connection_limit": 100}) is Mildness.RUNTIME
        assert [set(flow.answers) for flow in made] == [{member_} for member_ in pinned]
        assert sum(flow.lost for flow in made) == 0


@pytest.mark.parametrize(("address", "entry"), [(MEMBER_CLIENT, VIP), (MEMBER6, VIP6)])
def test_flows_of_a_removed_member_go_to_others_and_the_rest_stay(site: DatagramSite, address: str, entry: str) -> None:
    members = [member(str(port), address, port) for port in _PORTS]
    site.balance(*members)
    with site.flows(9, target=(entry, 53)) as made:
        pinned = {id(flow): flow.ask() for flow in made}
        assert set(pinned.values()) == {"7001", "7002", "7003"}
        site.balance(*members[:2])
        for flow in made:
            if pinned[id(flow)] == "7003":
                assert flow.ask() in ("7001", "7002")
            else:
                assert flow.ask() == pinned[id(flow)]


@pytest.mark.parametrize("kind", ["UDP-CONNECT", "HTTP"])
def test_a_dead_member_leaves_and_comes_back(site: DatagramSite, kind: str) -> None:
    """Its flows are the others' at once; a new life of the agent knows what the old one knew."""
    least = 3 if kind == "UDP-CONNECT" else 1
    probed = monitor(kind, delay=least, timeout=1, max_retries=1, max_retries_down=1)
    with Lively(site, kind) as lively:
        site.balance(ONE, TWO, healthmonitor=probed)
        eventually(site.member_words, lambda words: words == {"7001": "UP", "7002": "UP"})
        with site.flows(4) as made:
            assert spread(made) == {"7001": 2, "7002": 2}
            lively.die(7002)
            assert eventually(site.member_words, lambda words: words["7002"] == "DOWN") == {
                "7001": "UP",
                "7002": "DOWN",
            }
            assert spread(made) == {"7001": 4}
            if kind == "UDP-CONNECT":
                site.appliance.kill_agent()
                site.appliance.start_agent()
                assert eventually(site.member_words) == {"7001": "UP", "7002": "DOWN"}
                assert spread(made) == {"7001": 4}
            lively.revive(7002)
            assert eventually(site.member_words, lambda words: words["7002"] == "UP") == {"7001": "UP", "7002": "UP"}
            with site.flows(4) as fresh:
                assert spread(fresh) == {"7001": 2, "7002": 2}


class Lively:
    """Servers as a monitor looks at them: their datagram socket, or a TCP or HTTP server beside it."""

    def __init__(self, site: DatagramSite, kind: str) -> None:
        self._site, self._kind = site, kind
        self._servers: dict[int, Any] = {}

    def __enter__(self) -> Lively:
        for port in (7001, 7002):
            self.revive(port)
        return self

    def __exit__(self, *_error: object) -> None:
        for port in list(self._servers):
            self.die(port)

    def die(self, port: int) -> None:
        if self._kind == "UDP-CONNECT":
            self._site.echoes.close(port)
            return
        self._servers.pop(port).__exit__(None, None, None)

    def revive(self, port: int) -> None:
        self._site.echoes.open(port)
        if self._kind != "UDP-CONNECT":
            self._servers[port] = self._site.appliance.members(port, address=MEMBER_CLIENT)
            self._servers[port].__enter__()


def test_all_dead_are_refused_and_said_to_be(site: DatagramSite) -> None:
    probed = monitor("TCP", delay=1, timeout=1, max_retries=1, max_retries_down=1)
    site.balance(ONE, TWO, healthmonitor=probed)
    eventually(site.member_words, lambda words: set(words.values()) == {"DOWN"})
    (state,) = site.report().pools.values()
    assert state.status == "DOWN"
    assert {member_.detail for member_ in state.members.values()} == {"refused"}
    with site.flows() as made:
        assert spread(made) == {"refused": 1}


def test_backup_members_serve_when_no_other_can(site: DatagramSite) -> None:
    site.balance(server(7001, admin_state_up=False), server(7002, weight=0), server(7003, backup=True))
    assert site.member_words() == {"7001": "MAINT", "7002": "DRAIN", "7003": "no check"}
    with site.flows(4) as made:
        assert spread(made) == {"7003": 4}
    site.balance(ONE, server(7002, weight=0), server(7003, backup=True))
    with site.flows(4) as made:
        assert spread(made) == {"7001": 4}


def test_without_members_a_client_is_refused_and_served_as_soon_as_there_is_one(site: DatagramSite) -> None:
    site.balance()
    with site.flows(source=CLIENT, source_port=40002) as made:
        assert [made[0].ask() for _ in range(3)] == ["refused"] * 3
        site.balance(ONE)
        assert made[0].ask() == "7001"
        site.configure(udp(53, None))
        assert made[0].ask() == "refused"


def test_a_client_that_asked_before_there_was_a_listener_is_served(site: DatagramSite) -> None:
    site.balance(ONE, port=54)
    with site.flows(source=CLIENT, source_port=40003) as made:
        assert made[0].ask() == "refused"
        site.balance(ONE)
        assert made[0].ask() == "7001"


def test_more_flows_than_the_limit_are_refused_and_counted(site: DatagramSite) -> None:
    site.balance(ONE, front={"connection_limit": 3})
    before = site.statistics().request_errors
    with site.flows(5) as made:
        assert [flow.ask(patience=0.2) for flow in made] == ["7001"] * 3 + ["silence"] * 2
        assert [flow.ask() for flow in made[:3]] == ["7001"] * 3
        status, counted = site.report().listeners[ident("udp 53")]
    assert (status, counted.active_connections, counted.request_errors - before) == ("FULL", 3, 2)


def test_only_allowed_networks_come_in(site: DatagramSite) -> None:
    site.balance(ONE, front={"allowed_cidrs": [f"{CLIENT}/32", "fd00::/64"]})
    with site.flows(source=CLIENT) as known, site.flows(source=_STRANGER) as unknown:
        assert known[0].ask() == "7001"
        assert unknown[0].ask(patience=0.2) == "silence"
    site.balance(ONE, front={"allowed_cidrs": [f"{_STRANGER}/32"]})
    with site.flows(source=_STRANGER) as made:
        assert made[0].ask() == "7001"


def test_statistics_are_what_the_client_sent_and_never_fall(site: DatagramSite) -> None:
    before = Statistics()
    sizes = (1, 100, 1400)
    for edit in ((ONE,), (ONE, TWO), (server(7002, weight=7),), (ONE, THREE)):
        site.balance(*edit, port=5353)
        seen = site.statistics("udp 5353")
        assert replace(seen, active_connections=0) == replace(before, active_connections=0)
        with site.flows(3, target=(VIP, 5353)) as made:
            for flow, size in zip(made, sizes, strict=True):
                assert flow.ask(b"x" * size).isdigit()
        asked = sum(size + _HEADERS for size in sizes)
        before = before + Statistics(0, asked, asked + 3 * len("7001 "), 0, 3)
        assert replace(site.statistics("udp 5353"), active_connections=0) == before
    site.configure()
    site.appliance.kill_agent()
    site.appliance.start_agent()
    eventually(lambda: site.driver.facts(site.appliance.machine, site.appliance.amphora_id))
    site.balance(ONE, port=5353)
    assert replace(site.statistics("udp 5353"), active_connections=0) == before


def test_tcp_and_udp_share_a_port(site: DatagramSite) -> None:
    web = pool("web", protocol="TCP", members=(member("8081", MEMBER_CLIENT, 8081),))
    each = pool(protocol="UDP", members=(ONE,))
    with site.appliance.members(8081, address=MEMBER_CLIENT):
        site.configure(udp(53, each), listener("tcp", 53, protocol="TCP", default_pool_id=web.id), pools=(web, each))
        assert site.appliance.get(53) == (200, "8081")
        with site.flows(2) as made:
            assert spread(made) == {"7001": 2}
        assert set(site.report().listeners) == {ident("udp 53"), ident("tcp")}


def test_a_disabled_listener_is_no_listener(site: DatagramSite) -> None:
    site.balance(ONE, front={"admin_state_up": False})
    with site.flows() as made:
        assert spread(made) == {"refused": 1}
    assert site.report().listeners == {}


def test_nobody_passes_through_beside_a_listener(site: DatagramSite) -> None:
    site.balance(ONE)
    assert site.appliance.run("ip", "route", "replace", "10.1.0.77/32", "via", OWN, "dev", "wire1") == ""
    with site.appliance.inside(sniffer) as wire:
        with flows(site.appliance.inside, ("10.1.0.77", 9), 5) as strangers:
            for flow in strangers:
                flow.ask(patience=0.05)
        with site.flows() as made:
            assert made[0].ask(b"allowed") == "7001"
        frames = heard(wire)
    assert any(b"allowed" in frame for frame in frames)
    # Neither the datagrams nor ARP for them.
    assert not any(socket.inet_aton("10.1.0.77") in frame for frame in frames)


def sniffer() -> socket.socket:
    """Hears everything on the members' network."""
    every_protocol = 3
    made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(every_protocol))
    made.bind(("wire2", every_protocol))
    made.setblocking(False)
    return made


def heard(wire: socket.socket) -> list[bytes]:
    frames: list[bytes] = []
    with contextlib.suppress(BlockingIOError):
        while True:
            frames.append(wire.recv(65535))
    return frames


def test_what_is_not_understood_is_refused_and_changes_nothing(site: DatagramSite) -> None:
    site.balance(ONE)
    before = ruleset(site)
    good = routes.PutDatagrams.parse({"load_balancer_id": ident("tree")}, asked(site))
    content = json.loads(good.body())
    content["services"][0]["pool"]["members"][0]["address"] = "10.0.0.1; flush ruleset"
    line = site.driver._line(site.appliance.machine, site.appliance.amphora_id)
    answer = line.ask(Spoiled(ident("tree"), good.configuration, json.dumps(content).encode()))
    assert answer.status == 400
    assert "services[0].pool.members[0].address" in answer.content.decode()
    assert ruleset(site) == before


def asked(site: DatagramSite) -> bytes:
    request = routes.GetDatagrams(ident("tree"))
    return site.driver._line(site.appliance.machine, site.appliance.amphora_id).ask(request).content


@dataclass(frozen=True)
class Spoiled(routes.PutDatagrams):
    content: bytes = b""

    def body(self) -> bytes:
        return self.content


def ruleset(site: DatagramSite) -> str:
    words = ["ip", "netns", "exec", "amphora-haproxy", "nft", "--stateless", "list", "ruleset"]
    return re.sub(r"\t# handle \d+", "", site.appliance.run(*words))


def test_rules_of_which_the_agent_knows_nothing_are_replaced(site: DatagramSite) -> None:
    site.balance(ONE, TWO)
    table = f"inet lbdrivers-{ident('tree')}"
    listener_id = ident("udp 53")
    words = f"ip netns exec amphora-haproxy nft flush chain {table} service4-{listener_id}"
    assert site.appliance.run(*words.split()) == ""
    words = f"ip netns exec amphora-haproxy nft delete table {table}"
    assert site.appliance.run(*words.split()) == ""
    site.balance(ONE)
    with site.flows(4) as made:
        assert spread(made) == {"7001": 4}


def test_least_connections_is_refused_by_name(site: DatagramSite) -> None:
    with pytest.raises(UnsupportedError, match="LEAST_CONNECTIONS"):
        site.balance(ONE, lb_algorithm="LEAST_CONNECTIONS")


def test_ipvs_is_refused_where_the_kernel_has_none(site: DatagramSite) -> None:
    facts = site.driver.facts(site.appliance.machine, site.appliance.amphora_id)
    assert "ipvs" not in facts.capabilities
    request = routes.PutUdpListener(site.appliance.amphora_id, ident("udp 53"), b"nothing")
    answer = site.driver._line(site.appliance.machine, site.appliance.amphora_id).ask(request)
    assert answer.status == 501
    assert "ip_vs" in answer.content.decode()
