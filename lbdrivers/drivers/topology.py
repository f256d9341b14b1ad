"""The networks file of a driver that makes its own networks: YAML, parsed once into typed networks and subnets.

Law: a topology that exists is consistent: ids and names are unique, no two subnets overlap, every
address lies in its subnet. What is wrong is refused with path, value and remedy.
"""

from __future__ import annotations

import ipaddress
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import yaml
from pydantic import BaseModel, ConfigDict, Field, PlainValidator, ValidationError

from lbdrivers.errors import InvalidInput, PermanentError, Problem
from lbdrivers.model.infra import HostRoute, Network, Subnet

_IpNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network


def _range(value: object) -> _IpNetwork:
    return ipaddress.ip_network(str(value))


def _address(value: object) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    return ipaddress.ip_address(str(value))


#: Parsed by ``ipaddress``, whose complaints are the better ones ("has host bits set").
_IpRange = Annotated[_IpNetwork, PlainValidator(_range)]
_IpAddress = Annotated[ipaddress.IPv4Address | ipaddress.IPv6Address, PlainValidator(_address)]


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _RouteEntry(_Entry):
    destination: _IpRange
    nexthop: _IpAddress


class _SubnetEntry(_Entry):
    id: uuid.UUID
    name: str = Field(min_length=1)
    cidr: _IpRange
    gateway: _IpAddress | None = None
    controller_address: _IpAddress | None = None
    host_routes: tuple[_RouteEntry, ...] = ()


class _NetworkEntry(_Entry):
    id: uuid.UUID
    name: str = Field(min_length=1)
    mtu: int = Field(default=1500, ge=576, le=65535)
    subnets: tuple[_SubnetEntry, ...] = Field(min_length=1)


class _File(_Entry):
    networks: tuple[_NetworkEntry, ...] = Field(min_length=1)


@dataclass(frozen=True)
class NamedSubnet:
    """A subnet with what the file says of it besides.

    :param controller_address: address of the controller in it, or None.
    """

    value: Subnet
    name: str
    controller_address: str | None = None

    @property
    def range(self) -> _IpNetwork:
        """The subnet's CIDR as a number range."""
        return ipaddress.ip_network(self.value.cidr)

    def reserved(self) -> frozenset[str]:
        """Addresses that no port may have: network, broadcast, gateway, controller."""
        span = self.range
        first = {str(span.network_address)} if span.prefixlen < span.max_prefixlen - 1 else set()
        last = {str(span.broadcast_address)} if span.version == 4 and span.prefixlen < 31 else set()
        return frozenset(first | last | {a for a in (self.value.gateway, self.controller_address) if a})


@dataclass(frozen=True)
class Topology:
    """Every network and subnet, in the file's order."""

    networks: tuple[Network, ...]
    subnets: tuple[NamedSubnet, ...]

    def network(self, key: str) -> Network:
        """The network of that id or name. :raises PermanentError: naming those that there are."""
        for network in self.networks:
            if key in (network.id, network.name):
                return network
        known = ", ".join(f"{network.name} ({network.id})" for network in self.networks)
        raise PermanentError(f"there is no network {key!r} on this site; there are: {known}")

    def subnet(self, key: str) -> NamedSubnet:
        """The subnet of that id or name. :raises PermanentError: naming those that there are."""
        for subnet in self.subnets:
            if key in (subnet.value.id, subnet.name):
                return subnet
        known = ", ".join(f"{subnet.name} ({subnet.value.id}, {subnet.value.cidr})" for subnet in self.subnets)
        raise PermanentError(f"there is no subnet {key!r} on this site; there are: {known}")

    def subnets_of(self, network_id: str) -> tuple[NamedSubnet, ...]:
        """The network's subnets."""
        return tuple(subnet for subnet in self.subnets if subnet.value.network_id == network_id)


def load(path: Path, setting: str) -> Topology:
    """Parse the file.

    :param setting: where it is named, as people write it: "[local] networks_file".
    :raises InvalidInput: naming every place, value and remedy.
    """
    try:
        document = yaml.safe_load(path.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        remedy = f"name a readable YAML file in {setting}"
        raise InvalidInput((Problem(str(path), "", f"cannot be read: {error}", remedy),)) from error
    return parse(document, str(path))


def parse(document: object, source: str) -> Topology:
    """A parsed YAML document as a topology. :raises InvalidInput: as :func:`load`."""
    try:
        file = _File.model_validate(document)
    except ValidationError as error:
        raise InvalidInput(
            tuple(_problem(source, detail["loc"], detail["input"], detail["msg"]) for detail in error.errors())
        ) from error
    problems = tuple(
        Problem(f"{source}: {path}", value, message, remedy) for path, value, message, remedy in _flaws(file)
    )
    if problems:
        raise InvalidInput(problems)
    networks = tuple(_network(entry) for entry in file.networks)
    values = {subnet.id: subnet for network in networks for subnet in network.subnets}
    subnets = tuple(
        NamedSubnet(
            values[str(subnet.id)], subnet.name, str(subnet.controller_address) if subnet.controller_address else None
        )
        for entry in file.networks
        for subnet in entry.subnets
    )
    return Topology(networks, subnets)


def _network(entry: _NetworkEntry) -> Network:
    subnets = tuple(
        Subnet(
            id=str(subnet.id),
            network_id=str(entry.id),
            cidr=str(subnet.cidr),
            gateway=str(subnet.gateway) if subnet.gateway else None,
            host_routes=tuple(HostRoute(str(route.destination), str(route.nexthop)) for route in subnet.host_routes),
        )
        for subnet in entry.subnets
    )
    return Network(id=str(entry.id), name=entry.name, mtu=entry.mtu, subnets=subnets)


def _problem(source: str, place: tuple[int | str, ...], value: object, message: str) -> Problem:
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place).lstrip(".")
    remedy = "write it as the networks file that comes with the driver does"
    return Problem(f"{source}: {path}" if path else source, repr(value)[:80], message, remedy)


def _flaws(file: _File) -> Iterator[tuple[str, str, str, str]]:
    """What single fields cannot tell: (path, value, message, remedy)."""
    seen: dict[str, str] = {}
    spans: list[tuple[str, _IpNetwork]] = []
    for i, network in enumerate(file.networks):
        path = f"networks[{i}]"
        yield from _twice(seen, path, network.id, network.name, "network")
        for j, subnet in enumerate(network.subnets):
            place = f"{path}.subnets[{j}]"
            yield from _twice(seen, place, subnet.id, subnet.name, "subnet")
            for field in ("gateway", "controller_address"):
                address = getattr(subnet, field)
                if address is not None and address not in subnet.cidr:
                    yield (
                        f"{place}.{field}",
                        str(address),
                        f"is not in {subnet.cidr}",
                        "choose an address of the subnet",
                    )
            for other, span in spans:
                if span.version == subnet.cidr.version and span.overlaps(subnet.cidr):
                    yield f"{place}.cidr", str(subnet.cidr), f"overlaps {other} ({span})", "choose another range"
            spans.append((place, subnet.cidr))


def _twice(
    seen: dict[str, str], path: str, key: uuid.UUID, name: str, kind: str
) -> Iterator[tuple[str, str, str, str]]:
    for field, value in (("id", str(key)), ("name", name)):
        holder = seen.setdefault(f"{kind} {field} {value}", path)
        if holder != path:
            yield f"{path}.{field}", value, f"is the {field} of {holder} already", f"choose another {field}"
