"""Every request that the controller can send arrives at the agent as the same value, or is refused."""

from __future__ import annotations

import re
from urllib.parse import unquote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lbdrivers_amphora.nftables.ir import Configuration, Service
from lbdrivers_amphora.wire import routes
from lbdrivers_amphora.wire.plugging import FixedIp, PlugNetwork, PlugVip, Route, UnplugNetwork, VipAddress, VipNetwork
from lbdrivers_amphora.wire.request import Refused, Request

_ROUTE = Route("10.9.0.0/16", "10.0.0.254")
_VIP = VipAddress("10.0.0.100", "10.0.0.0/24", "10.0.0.1", (_ROUTE,))
_SIX = VipAddress("fd00::1", "fd00::/64")
_NETWORK = VipNetwork((_VIP, _SIX), "10.0.0.11", 1450)
_FIXED = (FixedIp("10.1.0.5", "10.1.0.0/24", None, (_ROUTE,)), FixedIp("fd01::5", "fd01::/64", "fd01::1"))
_MAC = "02:00:00:00:00:01"
_ID = "2432b9b7-4b3f-5db4-8060-d47194746a0e"

_REQUESTS: tuple[Request, ...] = (
    routes.DiscoverVersion(),
    routes.GetInfo(),
    routes.GetDetails(),
    routes.GetStatistics(),
    routes.GetRevisions(),
    routes.UploadHaproxy(_ID, _ID, b"global\n"),
    routes.GetHaproxy(_ID),
    routes.ActOnBalancer(_ID, "reload"),
    routes.DeleteListeners(_ID),
    routes.ListListeners(),
    routes.PutCertificate(_ID, "0a1b.pem", b"\x00\xff"),
    routes.GetCertificate(_ID, "0a1b.pem"),
    routes.DeleteCertificate(_ID, "0a1b.pem"),
    PlugVip(_MAC, _NETWORK),
    PlugVip(_MAC, VipNetwork((_SIX,))),
    PlugNetwork(_MAC, _FIXED, 1400),
    PlugNetwork(_MAC, _FIXED, None, is_sriov=True, vip_network=_NETWORK),
    PlugNetwork(_MAC),
    UnplugNetwork(_MAC),
    routes.UploadKeepalived(b"vrrp"),
    routes.ActOnKeepalived("start"),
    routes.FindInterface("fd00::1"),
    routes.PutConfig(b"[DEFAULT]\n"),
    routes.PutServerCertificate(b"pem"),
    routes.PutDatagrams(_ID, Configuration(_ID, (Service(_ID, ("10.0.0.1", "fd00::1"), 53),))),
    routes.GetDatagrams(_ID),
    routes.DeleteDatagrams(_ID),
    routes.PutUdpListener(_ID, _ID, b"virtual_server ..."),
    routes.GetUdpListener(_ID),
)


def arrive(kind: type[Request], target: str, body: bytes) -> Request:
    """What the agent makes of it, with a path matcher of this test's own."""
    pattern = re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>[^/]+)", re.escape(kind.PATH))
    found = re.fullmatch(pattern, target)
    assert found is not None
    return kind.parse({name: unquote(value) for name, value in found.groupdict().items()}, body)


@pytest.mark.parametrize("request_", _REQUESTS, ids=lambda request: type(request).__name__)
def test_a_request_arrives_as_it_was_sent(request_: Request) -> None:
    assert arrive(type(request_), request_.target(), request_.body()) == request_


def test_every_route_is_served_or_said_not_to_be() -> None:
    sent = {type(request) for request in _REQUESTS}
    unserved = {kind for kind in routes.ROUTES if kind not in sent}
    assert unserved == {routes.PutInterfaceRules}
    for kind in unserved:
        with pytest.raises(Refused) as caught:
            kind.parse({}, b"")
        assert caught.value.status == 501


@pytest.mark.parametrize(
    ("kind", "arguments", "body", "status", "words"),
    [
        (routes.ActOnBalancer, {"object_id": _ID, "action": "haproxy"}, b"", 400, "Unknown action: haproxy"),
        (routes.GetHaproxy, {"load_balancer_id": ".."}, b"", 400, "identifier"),
        (routes.GetHaproxy, {"load_balancer_id": "-x"}, b"", 400, "identifier"),
        (routes.PutCertificate, {"load_balancer_id": _ID, "name": "a.txt"}, b"", 400, "Filename has wrong format"),
        (routes.PutCertificate, {"load_balancer_id": _ID, "name": "..pem"}, b"", 400, "Filename has wrong format"),
        (routes.PutCertificate, {"load_balancer_id": _ID, "name": "é.pem"}, b"", 400, "Filename has wrong format"),
        (routes.FindInterface, {"ip_address": "10.0.0"}, b"", 400, "Invalid IP address"),
        (PlugNetwork, {}, b"", 400, "Invalid port information"),
        (PlugNetwork, {}, b"[]", 400, "Invalid port information"),
        (PlugNetwork, {}, b'{"mac_address": "zz"}', 400, "Invalid port information"),
        (
            PlugNetwork,
            {},
            b'{"mac_address": "02:00:00:00:00:01", "fixed_ips": [{"ip_address": "x", "subnet_cidr": "10.0.0.0/8"}]}',
            400,
            "Invalid network port",
        ),
        (PlugVip, {"vip": "10.0.0.1"}, b"{}", 400, "Invalid subnet information"),
        (
            PlugVip,
            {"vip": "nonsense"},
            b'{"mac_address": "02:00:00:00:00:01", "subnet_cidr": "10.0.0.0/24", "gateway": null}',
            400,
            "Invalid VIP",
        ),
        (
            PlugVip,
            {"vip": "10.0.0.1"},
            b'{"mac_address": "02:00:00:00:00:01", "subnet_cidr": "10.0.0.5/24", "gateway": null}',
            400,
            "Invalid VIP",
        ),
        (
            PlugVip,
            {"vip": "10.0.0.1"},
            b'{"mac_address": "02:00:00:00:00:01", "subnet_cidr": "10.0.0.0/24", "vrrp_ip": "x"}',
            400,
            "Invalid VRRP Address",
        ),
    ],
)
def test_what_is_not_valid_is_refused(
    kind: type[Request], arguments: dict[str, str], body: bytes, status: int, words: str
) -> None:
    with pytest.raises(Refused) as caught:
        kind.parse(arguments, body)
    assert caught.value.status == status
    assert words in str(caught.value.payload)


@settings(max_examples=150, deadline=None)
@given(st.text(), st.binary(max_size=200))
def test_no_input_is_a_crash(text: str, body: bytes) -> None:
    for kind in routes.ROUTES:
        names = re.findall(r"\{(\w+)\}", kind.PATH)
        try:
            made = kind.parse(dict.fromkeys(names, text), body)
        except Refused as refusal:
            assert refusal.status in (400, 501)
        else:
            assert all("/" not in str(getattr(made, name)) for name in names if hasattr(made, name))


def test_secrets_do_not_show() -> None:
    for request in (
        routes.PutConfig(b"key"),
        routes.PutServerCertificate(b"key"),
        routes.PutCertificate(_ID, "a.pem", b"key"),
    ):
        assert "key" not in repr(request)
