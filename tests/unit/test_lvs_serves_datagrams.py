"""UDP and SCTP listeners through IPVS: what is right is rendered, what cannot be done is refused by id."""

from __future__ import annotations

from typing import Any

import pytest
from support.bundles import bundle, facts, ident, listener, member, monitor, pool, tree

from lbdrivers.drivers.amphora import Bundle, Vip
from lbdrivers.errors import UnsupportedError
from lbdrivers_amphora.keepalived.lvs_ir import Configuration, HttpCheck, MiscCheck, TcpCheck
from lbdrivers_amphora.keepalived.lvs_render import render
from lbdrivers_amphora.keepalived.lvs_translate import translate
from lbdrivers_amphora.keepalived.quote import command, url_path

_V4, _V6 = Vip("192.0.2.10", "192.0.2.0/24"), Vip("2001:db8::10", "2001:db8::/64")


def _bundle(vips: tuple[Vip, ...] = (_V4,), protocol: str = "UDP", **fields: Any) -> Bundle:
    behind = pool(protocol=protocol, **fields)
    return bundle(tree((listener(port=53, protocol=protocol, default_pool_id=behind.id),), (behind,)), vips=vips)


def _translate(given: Bundle) -> Configuration:
    return translate(given, facts(), given.load_balancer.listeners[0])


def test_each_family_has_its_own_addresses_and_members() -> None:
    other_vip = Vip("192.0.2.11", "192.0.2.0/24")
    members = (member("six", "2001:db8:1::1", 53), member("four", "198.51.100.1", 53))
    four, six = _translate(_bundle((_V6, other_vip, _V4), members=members)).servers
    assert (four.addresses, [one.address for one in four.servers]) == (("192.0.2.11", "192.0.2.10"), ["198.51.100.1"])
    assert (six.addresses, [one.address for one in six.servers]) == (("2001:db8::10",), ["2001:db8:1::1"])


@pytest.mark.parametrize(
    ("fields", "words", "culprit"),
    [
        ({"members": (member("m", port=53, backup=True),)}, "backup", "m"),
        ({"members": (member("m", "2001:db8::1", 53),)}, "no VIP is of its family", "m"),
        ({"healthmonitor": monitor("HTTP", http_method="HEAD")}, "GET only", "monitor HTTP"),
        ({"healthmonitor": monitor("HTTP", url_path="/a$b")}, "/a\\$b", "monitor HTTP"),
        ({"healthmonitor": monitor("HTTP", url_path="/it's")}, "it's", "monitor HTTP"),
        ({"healthmonitor": monitor("HTTP", url_path="/!")}, "/!", "monitor HTTP"),
        ({"healthmonitor": monitor("HTTP", url_path="/~SEQ(1,2)")}, "SEQ", "monitor HTTP"),
        ({"healthmonitor": monitor("HTTP", expected_codes="200-999")}, "999", "monitor HTTP"),
    ],
)
def test_what_cannot_be_done_is_refused_with_the_id(fields: dict[str, Any], words: str, culprit: str) -> None:
    given = {"members": (member("m", port=53),)} | fields
    with pytest.raises(UnsupportedError, match=words) as refused:
        _translate(_bundle(**given))
    assert refused.value.object_id == ident(culprit)


@pytest.mark.parametrize(
    ("mask", "four", "six"),
    [
        (None, "255.255.255.255", "128"),
        ("255.255.0.0", "255.255.0.0", "128"),
        ("ffff:ffff:ffff::", "255.255.255.255", "48"),
    ],
)
def test_a_granularity_counts_for_its_own_family(mask: str | None, four: str, six: str) -> None:
    persistence = {"type": "SOURCE_IP", "persistence_granularity": mask}
    found = _translate(_bundle((_V4, _V6), session_persistence=persistence)).servers
    assert [one.persistence and one.persistence.granularity for one in found] == [four, six]
    assert {one.persistence and one.persistence.timeout for one in found} == {360}


@pytest.mark.parametrize(
    ("protocol", "given", "expected"),
    [
        ("UDP", monitor("UDP-CONNECT", delay=3), MiscCheck(("/base/lvs/check/udp_check.sh", "192.0.2.1", "53"), 1, 2)),
        ("SCTP", monitor("SCTP"), MiscCheck(("amphora-health-checker", "sctp", "-t", "1", "192.0.2.1", "53"), 2, 2)),
        ("UDP", monitor("TCP"), TcpCheck("192.0.2.1", 53, 1, 2)),
        ("UDP", monitor("HTTP"), HttpCheck("192.0.2.1", 53, 1, 2, "/", ("200",))),
        ("UDP", monitor("HTTP", expected_codes="301,200,301"), HttpCheck("192.0.2.1", 53, 1, 2, "/", ("200", "301"))),
        ("UDP", monitor("HTTP", expected_codes="200-204"), HttpCheck("192.0.2.1", 53, 1, 2, "/", ("200-204",))),
    ],
)
def test_each_type_of_monitor_has_its_checker(protocol: str, given: Any, expected: Any) -> None:
    behind = _bundle(protocol=protocol, healthmonitor=given, members=(member("m", port=53),))
    (server,) = translate(behind, facts("/base"), behind.load_balancer.listeners[0]).servers
    # The third failure in a row takes a member down: two are forgiven.
    assert server.servers[0].checker == expected


def test_what_is_disabled_shows_its_id_and_takes_no_traffic() -> None:
    behind = pool(protocol="UDP", members=(member("m", port=53),), healthmonitor=monitor("TCP"), admin_state_up=False)
    udp = listener(port=53, protocol="UDP", default_pool_id=behind.id)
    one = bundle(tree((udp,), (behind,)), vips=(_V4,))
    text = render(_translate(one))
    assert f"# Pool {behind.id} is disabled" in text
    assert "real_server" not in text
    assert "delay_loop" not in text
    off = bundle(tree((udp,), (behind,), admin_state_up=False), vips=(_V4,))
    text = render(_translate(off))
    assert f"# Listener {udp.id} is disabled" in text
    assert "virtual_server" not in text


def test_a_command_is_one_string_of_plain_words() -> None:
    assert command(("/bin/x", "-t", "3", "::1")) == '"/bin/x -t 3 ::1"'
    for word in ("a b", 'a"', "a\\", "", "-", "$x"):
        with pytest.raises(ValueError, match="keepalived"):
            command(("/bin/x", word))


@pytest.mark.parametrize("path", ["", "a", "/a b", "/#", "/!", "/$x", "/'", '/"', "/{", "/\\", "/(", "/\n", "/é"])
def test_a_path_that_keepalived_would_not_read_literally_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match="keepalived"):
        url_path(path)
