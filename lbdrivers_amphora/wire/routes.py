"""The requests of the amphora agent's REST API 1.0 (and our superset), shared by both ends.

Law: one frozen class per route says method, path and body once; the controller sends it with
``target()`` and ``body()``, the agent gets it back from ``parse``; ``parse`` of what was sent is what
was sent. A request that exists is valid; everything else is a :class:`Refused` with the answer to give.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import ClassVar, Self
from urllib.parse import quote

from lbdrivers_amphora.wire.fields import Fields, Malformed, address, cidr

#: Identifiers appear in paths on the appliance's disk; UUIDs and nothing that could leave the folder.
_IDENTIFIER = re.compile(r"[0-9A-Za-z][0-9A-Za-z_-]{0,127}")
#: Two or more characters, then "pem", is what the API asks of a certificate's name; the narrower
#: alphabet keeps it a plain file name.
_CERTIFICATE_NAME = re.compile(r"(?=.*(?:\w.)+pem)[0-9A-Za-z_][0-9A-Za-z_.-]{0,250}", re.ASCII)
_MAC = re.compile(r"[0-9a-f]{2}(?::[0-9a-f]{2}){5}")


class Refused(Exception):
    """A request that is not acceptable; ``payload`` is the JSON body of the answer."""

    def __init__(self, status: int, payload: Mapping[str, object]) -> None:
        super().__init__(str(payload))
        self.status = status
        self.payload = payload


def bad_request(text: str) -> Refused:
    """400 in the framework's shape, which validation failures use."""
    return Refused(400, {"error": f"400 Bad Request: {text}", "http_code": 400})


def _identifier(text: str) -> str:
    if not _IDENTIFIER.fullmatch(text):
        raise Refused(400, {"message": "Invalid request", "details": f"not an identifier: {text[:60]!r}"})
    return text


@dataclass(frozen=True)
class Request:
    """Base of all requests. ``PATH`` names the fields that travel in the path."""

    METHOD: ClassVar[str]
    PATH: ClassVar[str]

    def target(self) -> str:
        """The path with its arguments filled in and quoted."""
        names = (field.name for field in fields(self))
        return self.PATH.format(**{name: quote(str(getattr(self, name)), safe="") for name in names})

    def body(self) -> bytes:
        """The body to send; empty for most."""
        return b""

    @classmethod
    def parse(cls, arguments: Mapping[str, str], body: bytes) -> Self:
        """The request out of the path's arguments and the body. :raises Refused: when it is not valid."""
        del body
        return cls(**{name: _identifier(value) for name, value in arguments.items()})


@dataclass(frozen=True)
class DiscoverVersion(Request):
    METHOD, PATH = "GET", "/"


@dataclass(frozen=True)
class GetInfo(Request):
    METHOD, PATH = "GET", "/1.0/info"


@dataclass(frozen=True)
class GetDetails(Request):
    METHOD, PATH = "GET", "/1.0/details"


@dataclass(frozen=True)
class GetStatistics(Request):
    """Superset: the content of a heartbeat with totals, states and revisions, on demand."""

    METHOD, PATH = "GET", "/1.0/statistics"


@dataclass(frozen=True)
class UploadHaproxy(Request):
    METHOD, PATH = "PUT", "/1.0/loadbalancer/{amphora_id}/{load_balancer_id}/haproxy"
    amphora_id: str
    load_balancer_id: str
    content: bytes

    def body(self) -> bytes:
        return self.content

    @classmethod
    def parse(cls, arguments: Mapping[str, str], body: bytes) -> Self:
        return cls(_identifier(arguments["amphora_id"]), _identifier(arguments["load_balancer_id"]), body)


@dataclass(frozen=True)
class GetHaproxy(Request):
    METHOD, PATH = "GET", "/1.0/loadbalancer/{load_balancer_id}/haproxy"
    load_balancer_id: str


ACTIONS = ("start", "stop", "reload")


@dataclass(frozen=True)
class ActOnBalancer(Request):
    """Start, stop or reload what serves a load balancer."""

    METHOD, PATH = "PUT", "/1.0/loadbalancer/{object_id}/{action}"
    object_id: str
    action: str

    @classmethod
    def parse(cls, arguments: Mapping[str, str], body: bytes) -> Self:
        del body
        action = arguments["action"].lower()
        if action not in ACTIONS:
            raise Refused(400, {"message": "Invalid Request", "details": f"Unknown action: {arguments['action']}"})
        return cls(_identifier(arguments["object_id"]), action)


@dataclass(frozen=True)
class DeleteListeners(Request):
    METHOD, PATH = "DELETE", "/1.0/listeners/{object_id}"
    object_id: str


@dataclass(frozen=True)
class ListListeners(Request):
    METHOD, PATH = "GET", "/1.0/listeners"


@dataclass(frozen=True)
class _Certificate(Request):
    PATH = "/1.0/loadbalancer/{load_balancer_id}/certificates/{name}"
    load_balancer_id: str
    name: str

    @classmethod
    def parse(cls, arguments: Mapping[str, str], body: bytes) -> Self:
        del body
        return cls(_identifier(arguments["load_balancer_id"]), _certificate_name(arguments["name"]))


def _certificate_name(text: str) -> str:
    if not _CERTIFICATE_NAME.fullmatch(text):
        raise Refused(400, {"message": "Filename has wrong format"})
    return text


@dataclass(frozen=True)
class PutCertificate(_Certificate):
    METHOD = "PUT"
    content: bytes = b""

    def body(self) -> bytes:
        return self.content

    @classmethod
    def parse(cls, arguments: Mapping[str, str], body: bytes) -> Self:
        return cls(_identifier(arguments["load_balancer_id"]), _certificate_name(arguments["name"]), body)

    def __repr__(self) -> str:
        return f"PutCertificate({self.load_balancer_id!r}, {self.name!r}, ***)"


@dataclass(frozen=True)
class GetCertificate(_Certificate):
    METHOD = "GET"


@dataclass(frozen=True)
class DeleteCertificate(_Certificate):
    METHOD = "DELETE"


@dataclass(frozen=True)
class Route:
    """A host route of a subnet."""

    destination: str
    nexthop: str

    @classmethod
    def read(cls, source: Fields) -> Route:
        return cls(
            cidr(source.text("destination"), "host route destination"),
            address(source.text("nexthop"), "host route nexthop"),
        )


@dataclass(frozen=True)
class VipAddress:
    """One VIP with the subnet around it."""

    ip_address: str
    subnet_cidr: str
    gateway: str | None = None
    host_routes: tuple[Route, ...] = ()

    @classmethod
    def read(cls, source: Fields, vip: str | None = None) -> VipAddress:
        gateway = source.text_or_none("gateway") or None
        return cls(
            address(vip if vip is not None else source.text("ip_address"), "VIP"),
            cidr(source.text("subnet_cidr"), "subnet_cidr"),
            None if gateway is None else address(gateway, "gateway"),
            source.each("host_routes", Route.read),
        )


@dataclass(frozen=True)
class VipNetwork:
    """What the appliance must know to set up the interface of its VIPs; the primary one first."""

    vips: tuple[VipAddress, ...]
    vrrp_ip: str | None = None
    mtu: int | None = None
    is_sriov: bool = False

    @classmethod
    def read(cls, source: Fields, vip: str) -> VipNetwork:
        """:raises Refused: with the words of the API for a bad VIP, VRRP address or subnet."""
        try:
            primary = VipAddress.read(source, vip)
            others = source.each("additional_vips", VipAddress.read)
            mtu, is_sriov, vrrp = (
                source.number_or_none("mtu"),
                source.switch("is_sriov"),
                source.text_or_none("vrrp_ip"),
            )
        except Malformed as error:
            if str(error).startswith(("VIP:", "subnet_cidr:")):
                raise bad_request(f"Invalid VIP: {error}") from error
            raise bad_request("Invalid subnet information") from error
        try:
            vrrp = address(vrrp, "vrrp_ip") if vrrp else None
        except Malformed as error:
            raise bad_request(f"Invalid VRRP Address: {error}") from error
        return cls((primary, *others), vrrp, mtu, is_sriov)

    def fields(self) -> dict[str, object]:
        """The JSON fields, without the VIP address itself."""
        primary, *others = self.vips
        content: dict[str, object] = asdict(primary)
        del content["ip_address"]
        content |= {"mtu": self.mtu, "is_sriov": self.is_sriov, "additional_vips": [asdict(vip) for vip in others]}
        return content | ({"vrrp_ip": self.vrrp_ip} if self.vrrp_ip else {})


def _mac(source: Fields) -> str:
    mac = source.text("mac_address").lower()
    if not _MAC.fullmatch(mac):
        raise Malformed(f"mac_address: not a MAC address: {mac[:40]!r}")
    return mac


@dataclass(frozen=True)
class PlugVip(Request):
    METHOD, PATH = "POST", "/1.0/plug/vip/{vip}"
    mac_address: str
    network: VipNetwork

    @property
    def vip(self) -> str:
        return self.network.vips[0].ip_address

    def target(self) -> str:
        return self.PATH.format(vip=quote(self.vip, safe=""))

    def body(self) -> bytes:
        return json.dumps({"mac_address": self.mac_address} | self.network.fields()).encode()

    @classmethod
    def parse(cls, arguments: Mapping[str, str], body: bytes) -> Self:
        try:
            source = Fields.of_text(body)
            mac = _mac(source)
        except Malformed as error:
            raise bad_request("Invalid subnet information") from error
        return cls(mac, VipNetwork.read(source, arguments["vip"]))


@dataclass(frozen=True)
class FixedIp:
    """An address of a plugged port; its subnet's gateway is known but not used for members."""

    ip_address: str
    subnet_cidr: str
    gateway: str | None = None
    host_routes: tuple[Route, ...] = ()

    @classmethod
    def read(cls, source: Fields) -> FixedIp:
        gateway = source.text_or_none("gateway") or None
        return cls(
            address(source.text("ip_address"), "ip_address"),
            cidr(source.text("subnet_cidr"), "subnet_cidr"),
            None if gateway is None else address(gateway, "gateway"),
            source.each("host_routes", Route.read),
        )


@dataclass(frozen=True)
class PlugNetwork(Request):
    METHOD, PATH = "POST", "/1.0/plug/network"
    mac_address: str
    fixed_ips: tuple[FixedIp, ...] = ()
    mtu: int | None = None
    is_sriov: bool = False
    vip_network: VipNetwork | None = None

    def body(self) -> bytes:
        content: dict[str, object] = {
            "mac_address": self.mac_address,
            "fixed_ips": [asdict(fixed) for fixed in self.fixed_ips],
            "mtu": self.mtu,
            "is_sriov": self.is_sriov,
        }
        if self.vip_network is not None:
            content["vip_net_info"] = {"vip": self.vip_network.vips[0].ip_address} | self.vip_network.fields()
        return json.dumps(content).encode()

    def target(self) -> str:
        return self.PATH

    @classmethod
    def parse(cls, arguments: Mapping[str, str], body: bytes) -> Self:
        del arguments
        try:
            source = Fields.of_text(body)
            mac, mtu, is_sriov = _mac(source), source.number_or_none("mtu"), source.switch("is_sriov")
            vip_source = source.inner("vip_net_info")
            vip = vip_source.text("vip") if vip_source else ""
        except Malformed as error:
            raise bad_request("Invalid port information") from error
        try:
            fixed = source.each("fixed_ips", FixedIp.read)
        except Malformed as error:
            raise bad_request("Invalid network port") from error
        return cls(mac, fixed, mtu, is_sriov, VipNetwork.read(vip_source, vip) if vip_source else None)


@dataclass(frozen=True)
class UnplugNetwork(Request):
    """Superset: take the interface with that MAC out of service; absent is success."""

    METHOD, PATH = "DELETE", "/1.0/plug/network/{mac_address}"
    mac_address: str

    @classmethod
    def parse(cls, arguments: Mapping[str, str], body: bytes) -> Self:
        del body
        mac = arguments["mac_address"].lower()
        if not _MAC.fullmatch(mac):
            raise bad_request("Invalid port information")
        return cls(mac)


@dataclass(frozen=True)
class UploadKeepalived(Request):
    METHOD, PATH = "PUT", "/1.0/vrrp/upload"
    content: bytes

    def target(self) -> str:
        return self.PATH

    def body(self) -> bytes:
        return self.content

    @classmethod
    def parse(cls, arguments: Mapping[str, str], body: bytes) -> Self:
        del arguments
        return cls(body)


@dataclass(frozen=True)
class ActOnKeepalived(Request):
    METHOD, PATH = "PUT", "/1.0/vrrp/{action}"
    action: str

    @classmethod
    def parse(cls, arguments: Mapping[str, str], body: bytes) -> Self:
        del body
        action = arguments["action"].lower()
        if action not in ACTIONS:
            raise Refused(400, {"message": "Invalid Request", "details": f"Unknown action: {arguments['action']}"})
        return cls(action)


@dataclass(frozen=True)
class FindInterface(Request):
    METHOD, PATH = "GET", "/1.0/interface/{ip_address}"
    ip_address: str

    @classmethod
    def parse(cls, arguments: Mapping[str, str], body: bytes) -> Self:
        del body
        try:
            return cls(address(arguments["ip_address"], "ip_address"))
        except Malformed as error:
            raise Refused(400, {"message": "Invalid IP address"}) from error


@dataclass(frozen=True)
class PutConfig(Request):
    METHOD, PATH = "PUT", "/1.0/config"
    content: bytes

    def target(self) -> str:
        return self.PATH

    def body(self) -> bytes:
        return self.content

    @classmethod
    def parse(cls, arguments: Mapping[str, str], body: bytes) -> Self:
        del arguments
        return cls(body)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(***)"


@dataclass(frozen=True, repr=False)
class PutServerCertificate(PutConfig):
    METHOD, PATH = "PUT", "/1.0/certificate"


@dataclass(frozen=True)
class _NotServed(Request):
    """A route of the API that this agent knows of and does not serve."""

    @classmethod
    def parse(cls, arguments: Mapping[str, str], body: bytes) -> Self:
        del arguments, body
        raise Refused(501, {"message": "Not Implemented", "details": f"{cls.METHOD} {cls.PATH} is not served here"})


class PutUdpListener(_NotServed):
    METHOD, PATH = "PUT", "/1.0/listeners/{amphora_id}/{listener_id}/udp_listener"


class GetUdpListener(_NotServed):
    METHOD, PATH = "GET", "/1.0/listeners/{listener_id}/udp_listener"


class PutInterfaceRules(_NotServed):
    METHOD, PATH = "PUT", "/1.0/interface/{ip_address}/rules"


#: Every route of the API.
ROUTES: tuple[type[Request], ...] = (
    DiscoverVersion,
    GetInfo,
    GetDetails,
    GetStatistics,
    UploadHaproxy,
    GetHaproxy,
    ActOnBalancer,
    DeleteListeners,
    ListListeners,
    PutCertificate,
    GetCertificate,
    DeleteCertificate,
    PlugVip,
    PlugNetwork,
    UnplugNetwork,
    UploadKeepalived,
    ActOnKeepalived,
    FindInterface,
    PutConfig,
    PutServerCertificate,
    PutUdpListener,
    GetUdpListener,
    PutInterfaceRules,
)
