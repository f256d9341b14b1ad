"""For every tree with UDP or SCTP listeners: keepalived accepts the text, and agents find every id in it."""

from __future__ import annotations

import re

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support import keepalived
from support.bundles import bundle, facts, listener, member, monitor, pool, tree

from lbdrivers.drivers.amphora import Bundle, Vip
from lbdrivers.errors import UnsupportedError
from lbdrivers.model.resources import Algorithm, Listener
from lbdrivers_amphora.keepalived.lvs_render import render
from lbdrivers_amphora.keepalived.lvs_translate import translate

_VIPS = (Vip("192.0.2.10", "192.0.2.0/24"), Vip("2001:db8::10", "2001:db8::/64"))
_MOSTLY = st.sampled_from([True, True, True, False])
# What Octavia's agent looks for: resources in use, resources that are not, members' places.
_IN_USE = re.compile(r"# Configuration for (\w+) ([0-9a-f-]{36})")
_DISABLED = re.compile(r"# (\w+) ([0-9a-f-]{36}) is disabled")
_REAL = re.compile(r"real_server (\S+) (\d+) \{")


_ADDRESSES = ("198.51.100.1", "198.51.100.2", "2001:db8:1::1", "2001:db8:1::2")
_MONITORS = {
    "UDP-CONNECT": st.just({}),
    "SCTP": st.just({}),
    "TCP": st.just({}),
    "HTTP": st.fixed_dictionaries(
        {"http_version": st.just(1.1)},
        optional={
            "url_path": st.text("abc/?=&.;,:@%20!$'~()*+", max_size=20).map(
                lambda text: "/" + text.replace("%", "%2F")
            ),
            "expected_codes": st.sampled_from(["200", "201,200", "200-299", "404,200,201", "999"]),
            "http_method": st.sampled_from(["GET", "GET", "HEAD"]),
            "domain_name": st.sampled_from(["www.example.com", "a-b.c_d"]),
        },
    ),
}


@st.composite
def _listeners(draw: st.DrawFn) -> tuple[Bundle, Listener]:
    protocol = draw(st.sampled_from(["UDP", "SCTP"]))
    places = draw(st.lists(st.tuples(st.sampled_from(_ADDRESSES), st.integers(1, 65535)), max_size=5, unique=True))
    members = tuple(
        member(
            f"m{number}",
            address,
            port,
            weight=draw(st.integers(0, 256)),
            admin_state_up=draw(_MOSTLY),
            monitor_port=draw(st.none() | st.integers(1, 65535)),
            monitor_address=draw(st.none() | st.sampled_from(_ADDRESSES)),
        )
        for number, (address, port) in enumerate(places)
    )
    kind = draw(st.none() | st.sampled_from(sorted(_MONITORS)))
    watch = None
    if kind is not None:
        times = {"delay": draw(st.integers(3, 99)), "max_retries_down": draw(st.integers(1, 10))}
        watch = monitor(kind, **times, admin_state_up=draw(_MOSTLY), **draw(_MONITORS[kind]))
    stay = draw(
        st.none()
        | st.fixed_dictionaries(
            {"type": st.just("SOURCE_IP")},
            optional={
                "persistence_timeout": st.integers(1, 9999),
                "persistence_granularity": st.sampled_from(["255.255.0.0", "ffff::"]),
            },
        )
    )
    behind = pool(
        protocol=protocol,
        lb_algorithm=draw(st.sampled_from(list(Algorithm))),
        members=members,
        healthmonitor=watch,
        session_persistence=stay,
        admin_state_up=draw(_MOSTLY),
    )
    front = listener(
        port=draw(st.integers(1, 65535)),
        protocol=protocol,
        default_pool_id=behind.id,
        connection_limit=draw(st.sampled_from([-1, 0, 1, 2147483647])),
        admin_state_up=draw(_MOSTLY),
    )
    given_tree = tree((front,), (behind,), admin_state_up=draw(_MOSTLY))
    return bundle(given_tree, vips=_VIPS), front


def _drawn(count: int) -> list[tuple[Bundle, Listener, str]]:
    """Listeners with their text, those that are served."""
    found: list[tuple[Bundle, Listener, str]] = []

    @settings(max_examples=count, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(_listeners())
    def draw(given_listener: tuple[Bundle, Listener]) -> None:
        given_bundle, front = given_listener
        try:
            found.append((given_bundle, front, render(translate(given_bundle, facts(), front))))
        except UnsupportedError as refused:
            assert refused.object_id in {resource.id for _, resource in given_bundle.load_balancer.walk()}

    draw()
    return found


def test_keepalived_accepts_it_and_agents_find_every_id() -> None:
    drawn = _drawn(200)
    assert len(drawn) > 50
    answers = keepalived.check_all([text for _, _, text in drawn])
    for (given_bundle, front, text), (status, output) in zip(drawn, answers, strict=True):
        assert (status, keepalived.without_drained(output)) in ((0, ""), (5, "")), f"{output}{text}"
        assert status == 0 or re.search(r"\bweight 0$", text, re.MULTILINE)
        _agents_find_every_id(given_bundle, front, text)


def _agents_find_every_id(given_bundle: Bundle, front: Listener, text: str) -> None:
    in_use, disabled = _IN_USE.findall(text), _DISABLED.findall(text)
    serves = given_bundle.load_balancer.admin_state_up and front.admin_state_up
    assert (("Listener", front.id) in in_use, ("Listener", front.id) in disabled) == (serves, not serves)
    (behind,) = given_bundle.load_balancer.pools
    members = behind.members if serves and behind.admin_state_up else ()
    assert {found for kind, found in disabled if kind == "Member"} == {m.id for m in members if not m.admin_state_up}
    # Octavia's agent joins the n-th member in use to the n-th real server.
    named = [found for kind, found in in_use if kind == "Member"]
    places = {m.id: (m.address, str(m.protocol_port)) for m in members if m.admin_state_up}
    assert dict(zip(named, _REAL.findall(text), strict=True)) == places
