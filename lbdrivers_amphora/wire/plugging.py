"""Requests that plug interfaces into an appliance: VIPs, member networks, and out again.

Law: as in ``routes``; addresses and networks are canonical once they are here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Self
from urllib.parse import quote

from lbdrivers_amphora.wire.fields import Fields, Malformed, address, cidr
from lbdrivers_amphora.wire.request import Request, bad_request

_MAC = re.compile(r"[0-9a-f]{2}(?::[0-9a-f]{2}){5}")


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
