"""What means itself to keepalived passes; everything else is refused."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.bundles import bundle, facts, tree

from lbdrivers.drivers.amphora import Peer, Role, Topology, Vip, VrrpTimers
from lbdrivers.model.secret import Secret
from lbdrivers_amphora.keepalived.quote import quote
from lbdrivers_amphora.keepalived.render import render
from lbdrivers_amphora.keepalived.translate import translate

_VIPS = (Vip("172.16.1.10", "172.16.1.0/24", "172.16.1.1"),)


@pytest.mark.parametrize(
    "text", ["eth1", "172.16.1.0/24", "2001:db8::10", "::1", "::/0", "0.1", "/var/lib/x-y_z/a.sh", "a1B"]
)
def test_plain_words_pass(text: str) -> None:
    assert quote(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a b",
        "a\nb",
        "a\tb",
        "a#b",
        "a!b",
        "${X}",
        "$x",
        "~SEQ(a,1,2)",
        "@host",
        '"a',
        "'a",
        "a\\b",
        "{",
        "a}",
        "é",
        "-x",
    ],
    ids=repr,
)
def test_everything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="keepalived"):
        quote(text)


@pytest.mark.parametrize("password", [b"a b", b"a#b", b"a\n}", b"\xff", b"ninechars"], ids=repr)
def test_a_password_is_no_exception(password: bytes) -> None:
    pair = bundle(tree(), Topology.ACTIVE_STANDBY, _VIPS, timers=VrrpTimers(version=2), vrrp_password=Secret(password))
    with pytest.raises(ValueError, match="VRRP password") as refused:
        render(translate(pair, facts(), "eth1"))
    assert repr(password)[2:-1] not in str(refused.value)


@pytest.mark.parametrize("interface", ["eth 1", "eth1 {", "e;#"])
def test_an_interface_is_no_exception(interface: str) -> None:
    with pytest.raises(ValueError):
        render(translate(bundle(tree(), Topology.ACTIVE_STANDBY, _VIPS), facts(), interface))


def test_version_2_rounds_to_seconds_and_has_the_password() -> None:
    timers = VrrpTimers(version=2, advertisement_interval=0.1)
    pair = bundle(tree(), Topology.ACTIVE_STANDBY, _VIPS, timers=timers, vrrp_password=Secret(b"b76d77e"))
    text = render(translate(pair, facts(), "eth1"))
    assert "    vrrp_version 2\n" in text
    assert "    advert_int 1\n" in text
    assert "        auth_pass b76d77e\n" in text


def test_version_3_has_no_password() -> None:
    pair = bundle(tree(), Topology.ACTIVE_STANDBY, _VIPS, vrrp_password=Secret(b"b76d77e"))
    text = render(translate(pair, facts(), "eth1"))
    assert "    advert_int 0.1\n" in text
    assert "auth" not in text


def test_ipv6_is_version_3_whatever_was_asked() -> None:
    pair = bundle(tree(), Topology.ACTIVE_STANDBY, _VIPS, timers=VrrpTimers(version=2), vrrp_password=Secret(b"x"))
    peers = (Peer(pair.amphora_id, "2001:db8::3", Role.MASTER, 100),)
    configuration = translate(replace(pair, peers=peers), facts(), "eth1")
    assert (configuration.version, configuration.password) == (3, None)
    assert configuration.excluded == ("172.16.1.10",)


def test_the_last_amphora_has_nobody_to_talk_to() -> None:
    pair = bundle(tree(), Topology.ACTIVE_STANDBY, _VIPS)
    text = render(translate(replace(pair, peers=pair.peers[:1]), facts(), "eth1"))
    assert "unicast" not in text
    assert "    mcast_src_ip 127.0.0.1\n" in text
