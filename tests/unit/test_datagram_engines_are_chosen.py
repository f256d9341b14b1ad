"""Who balances datagrams: by the setting and the appliance's facts; what is claimed, sent, and refused by name."""

from __future__ import annotations

import pytest
from support.bundles import bundle, facts, ident, listener, member, monitor, pool, tree
from support.memory_cloud import World

from lbdrivers.drivers.amphora import Bundle, Facts, Vip
from lbdrivers.drivers.provider import Mildness
from lbdrivers.errors import UnsupportedError
from lbdrivers.features import Feature
from lbdrivers.model.resources import LoadBalancer
from lbdrivers_amphora import client_datagrams
from lbdrivers_amphora.client_transport import Answer
from lbdrivers_amphora.decide import datagrams
from lbdrivers_amphora.decide.datagrams import REVISION, DatagramDriver, Datagrams, connections, file_name, listener_of
from lbdrivers_amphora.nftables.ir import Configuration
from lbdrivers_amphora.provider import FEATURES
from lbdrivers_amphora.wire import routes
from lbdrivers_amphora.wire.request import Request

NFTABLES, LVS = DatagramDriver
DNS = ident("dns")


def balancer(algorithm: str = "ROUND_ROBIN", protocol: str = "UDP", **fields: object) -> LoadBalancer:
    each = pool(protocol=protocol, lb_algorithm=algorithm, members=(member("one"),), **fields)
    return tree((listener("dns", 53, protocol=protocol, default_pool_id=each.id),), (each,))


def given(made: LoadBalancer) -> Bundle:
    return bundle(made, vips=(Vip("192.0.2.100", "192.0.2.0/24"),))


def able(*capabilities: str) -> Facts:
    return facts(capabilities=frozenset(capabilities))


def test_what_is_claimed_follows_from_the_setting() -> None:
    assert Feature.DATAGRAM_LEAST_CONNECTIONS not in FEATURES
    assert Feature.LISTENER_SCTP not in FEATURES
    assert {Feature.LISTENER_UDP, Feature.MONITOR_UDP_CONNECT, Feature.DATAGRAM_SOURCE_IP_PORT} <= FEATURES
    assert Feature.ALGORITHM_SOURCE_IP_PORT not in FEATURES, "HAProxy has none like it"
    more = datagrams.FEATURES[LVS] - datagrams.FEATURES[NFTABLES]
    assert more == {Feature.LISTENER_SCTP, Feature.MONITOR_SCTP, Feature.DATAGRAM_LEAST_CONNECTIONS}


@pytest.mark.parametrize(
    ("driver", "capabilities", "engine"),
    [
        (NFTABLES, ("nftables",), "nftables"),
        (NFTABLES, ("nftables", "ipvs"), "nftables"),
        (LVS, ("nftables", "ipvs"), "ipvs"),
        (LVS, ("ipvs",), "ipvs"),
        (LVS, ("nftables",), "nftables"),
    ],
)
def test_the_engine_is_the_wanted_one_where_there_is_it(
    driver: DatagramDriver, capabilities: tuple[str, ...], engine: str
) -> None:
    wanted = datagrams.wanted(given(balancer()), able(*capabilities), driver)
    assert list(wanted.texts) == [REVISION if engine == "nftables" else file_name(DNS)]


@pytest.mark.parametrize(
    ("made", "driver", "capabilities", "words"),
    [
        (balancer(), NFTABLES, ("ipvs",), "reports neither nftables nor IPVS"),
        (balancer(), LVS, (), "build its image"),
        (balancer("LEAST_CONNECTIONS"), LVS, ("nftables",), "cannot use LEAST_CONNECTIONS"),
        (balancer(protocol="SCTP"), LVS, ("nftables",), "SCTP needs IPVS"),
        (balancer(healthmonitor=monitor("SCTP")), LVS, ("nftables",), "cannot be probed by SCTP"),
    ],
)
def test_what_no_engine_of_an_appliance_can_is_refused_by_name(
    made: LoadBalancer, driver: DatagramDriver, capabilities: tuple[str, ...], words: str
) -> None:
    with pytest.raises(UnsupportedError, match=words):
        datagrams.wanted(given(made), able(*capabilities), driver)


def test_a_member_without_a_vip_of_its_family_is_refused() -> None:
    each = pool(protocol="UDP", members=(member("six", "2001:db8::1"),))
    made = tree((listener("dns", 53, protocol="UDP", default_pool_id=each.id),), (each,))
    with pytest.raises(UnsupportedError, match="needs an IPv6 VIP"):
        datagrams.wanted(given(made), able("nftables"), NFTABLES)


def test_without_datagrams_nothing_is_needed_of_an_appliance() -> None:
    web = tree((listener("web", 80),))
    assert datagrams.wanted(given(web), able(), NFTABLES) == Datagrams()
    off = balancer().model_copy(update={"admin_state_up": False})
    assert datagrams.wanted(given(off), able(), NFTABLES) == Datagrams()


def test_haproxy_is_needed_for_connections_only() -> None:
    assert not connections(balancer())
    assert connections(tree((listener("web", 80), *balancer().listeners), balancer().pools))
    assert not connections(tree((listener("web", 80, admin_state_up=False),)))
    assert not connections(tree((listener("web", 80),), admin_state_up=False))


def test_a_provider_refuses_before_anything_is_touched() -> None:
    world = World()
    for made in (balancer("LEAST_CONNECTIONS"), balancer(protocol="SCTP")):
        with pytest.raises(UnsupportedError, match="does not support"):
            world.provider().apply(made, None)
    assert world.left() == []


def test_datagrams_alone_need_no_haproxy_and_nobody_misses_it() -> None:
    world = World()
    world.provider().apply(balancer(), None)
    assert {one.remark for one in world.provider().observe(ident("tree")).appliances} == {""}


# --- what is sent

RULES = Datagrams(configuration=Configuration(ident("tree")))
FILES = Datagrams(files={DNS: b"virtual_server"})


def sent(wanted: Datagrams, reported: Datagrams) -> tuple[list[str], list[str]]:
    """Requests by name, and what is said of how it was done."""
    asked: list[str] = []

    def demand(request: Request, _what: str) -> Answer:
        asked.append(type(request).__name__)
        return Answer(202, b"{}")

    revisions = {name: client_datagrams._md5(text) for name, text in reported.texts.items()}
    steps = client_datagrams.configure(demand, "amphora", ident("tree"), wanted, revisions)
    return asked, [step.value if isinstance(step, Mildness) else "answer" for step in steps]


@pytest.mark.parametrize(
    ("wanted", "reported", "asked", "said"),
    [
        (RULES, Datagrams(), ["PutDatagrams"], ["answer"]),
        (RULES, RULES, [], []),
        (Datagrams(), RULES, ["DeleteDatagrams"], ["runtime"]),
        (FILES, Datagrams(), ["PutUdpListener", "ActOnBalancer"], ["answer"]),
        (FILES, FILES, [], []),
        (Datagrams(), FILES, ["DeleteListeners"], ["restart"]),
        (RULES, FILES, ["DeleteListeners", "PutDatagrams"], ["restart", "answer"]),
        (FILES, RULES, ["DeleteDatagrams", "PutUdpListener", "ActOnBalancer"], ["runtime", "answer"]),
    ],
)
def test_what_differs_is_sent_and_what_is_not_wanted_goes_first(
    wanted: Datagrams, reported: Datagrams, asked: list[str], said: list[str]
) -> None:
    assert sent(wanted, reported) == (asked, said)


def test_files_are_known_by_their_names() -> None:
    assert listener_of(file_name(DNS)) == DNS
    assert listener_of("haproxy.cfg") is None
    assert routes.PutUdpListener("a", DNS, b"").target() == f"/1.0/listeners/a/{DNS}/udp_listener"
