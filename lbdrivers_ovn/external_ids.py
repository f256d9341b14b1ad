"""The external_ids of a Load_Balancer row, in the layout that ovn-octavia-provider established.

Law: pure; ``decode(encode(content)) == content``. Keys that are not in the layout are somebody else's: they are
neither read nor written. What cannot be read is refused with the key, its value and a remedy.
"""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from lbdrivers.errors import InvalidInput, Problem

ENABLED = "enabled"
VIP = "neutron:vip"
VIP_PORT = "neutron:vip_port_id"
ADDITIONAL_VIPS = "neutron:additional_vips"
ADDITIONAL_VIP_PORTS = "neutron:additional_vip_port_ids"
VIP_FIP = "neutron:vip_fip"
ADDITIONAL_VIP_FIPS = "neutron:additional_vip_fips"
SWITCHES = "ls_refs"
ROUTERS = "lr_ref"
MEMBER_STATUS = "neutron:member_status"
MONITORS = "octavia:healthmonitors"
_FIXED = frozenset(
    {
        ENABLED,
        VIP,
        VIP_PORT,
        ADDITIONAL_VIPS,
        ADDITIONAL_VIP_PORTS,
        VIP_FIP,
        ADDITIONAL_VIP_FIPS,
        SWITCHES,
        ROUTERS,
        MEMBER_STATUS,
        MONITORS,
    }
)
_LISTENER, _POOL, _MEMBER = "listener_", "pool_", "member_"
_DISABLED = ":D"
#: Rows with such an owner are Neutron's port forwardings.
OWNER = "neutron:device_owner"
PORT_FORWARDING = "port_forwarding_plugin"


@dataclass(frozen=True)
class ListenerEntry:
    """A listener: its port, and its default pool."""

    id: str
    port: int
    pool_id: str | None = None
    enabled: bool = True


@dataclass(frozen=True)
class MemberEntry:
    """A member; ``subnet_id`` is empty where its owner named none and none is known."""

    id: str
    address: str
    port: int
    subnet_id: str = ""


@dataclass(frozen=True)
class PoolEntry:
    """A pool with its members."""

    id: str
    members: tuple[MemberEntry, ...] = ()
    enabled: bool = True


@dataclass(frozen=True)
class Content:
    """What the layout says of one row.

    :param switch_references: name of a logical switch -> how many VIPs and members are on it.
    :param member_statuses: member id -> operating status, in the v2 API's words.
    :param monitors: ids of health monitors.
    """

    vip: str = ""
    vip_port_id: str = ""
    enabled: bool = True
    additional_vips: tuple[str, ...] = ()
    additional_vip_port_ids: tuple[str, ...] = ()
    vip_fip: str = ""
    additional_vip_fips: tuple[str, ...] = ()
    switch_references: Mapping[str, int] = field(default_factory=dict)
    routers: tuple[str, ...] = ()
    listeners: tuple[ListenerEntry, ...] = ()
    pools: tuple[PoolEntry, ...] = ()
    member_statuses: Mapping[str, str] = field(default_factory=dict)
    monitors: tuple[str, ...] = ()


def in_layout(key: str) -> bool:
    """Whether the key belongs to the layout."""
    return key in _FIXED or key.startswith((_LISTENER, _POOL))


def encode(content: Content) -> dict[str, str]:
    """The keys and values; what is empty has no key."""
    entries = {
        ENABLED: str(content.enabled),
        VIP: content.vip,
        VIP_PORT: content.vip_port_id,
        ADDITIONAL_VIPS: ",".join(content.additional_vips),
        ADDITIONAL_VIP_PORTS: ",".join(content.additional_vip_port_ids),
        VIP_FIP: content.vip_fip,
        ADDITIONAL_VIP_FIPS: ",".join(content.additional_vip_fips),
        ROUTERS: ",".join(content.routers),
        MEMBER_STATUS: encode_statuses(content.member_statuses) if content.member_statuses else "",
        MONITORS: json.dumps(list(content.monitors)) if content.monitors else "",
    }
    found = {key: value for key, value in entries.items() if value}
    found[SWITCHES] = json.dumps(dict(sorted(content.switch_references.items())))
    for listener in content.listeners:
        suffix = "" if listener.enabled else _DISABLED
        pool = f"{_POOL}{listener.pool_id}" if listener.pool_id else ""
        found[f"{_LISTENER}{listener.id}{suffix}"] = f"{listener.port}:{pool}"
    for one in content.pools:
        key = f"{_POOL}{one.id}" + ("" if one.enabled else _DISABLED)
        found[key] = ",".join(map(_member_text, one.members))
    return found


def encode_statuses(statuses: Mapping[str, str]) -> str:
    """The value of the key with the members' statuses."""
    return json.dumps(dict(sorted(statuses.items())))


def _member_text(member: MemberEntry) -> str:
    return f"{_MEMBER}{member.id}_{member.address}:{member.port}_{member.subnet_id}"


def decode(external_ids: Mapping[str, str], place: str) -> Content:
    """What the keys say; listeners and pools by id.

    :param place: the row, as an operator would look for it; errors name it.
    :raises InvalidInput: names the key, its value and what it should be.
    """
    reader = _Reader(external_ids, place)
    return Content(
        vip=external_ids.get(VIP, ""),
        vip_port_id=external_ids.get(VIP_PORT, ""),
        enabled=external_ids.get(ENABLED, "True") != "False",
        additional_vips=reader.listed(ADDITIONAL_VIPS),
        additional_vip_port_ids=reader.listed(ADDITIONAL_VIP_PORTS),
        vip_fip=external_ids.get(VIP_FIP, ""),
        additional_vip_fips=reader.listed(ADDITIONAL_VIP_FIPS),
        switch_references=reader.counts(),
        routers=reader.listed(ROUTERS),
        listeners=tuple(reader.listeners()),
        pools=tuple(reader.pools()),
        member_statuses=reader.statuses(),
        monitors=reader.monitors(),
    )


class _Reader:
    def __init__(self, external_ids: Mapping[str, str], place: str) -> None:
        self._ids = external_ids
        self._place = place

    def _refused(self, key: str, remedy: str) -> InvalidInput:
        path = f"{self._place} external_ids:{key}"
        return InvalidInput((Problem(path, self._ids[key][:120], "cannot be read", remedy),))

    def listed(self, key: str) -> tuple[str, ...]:
        return tuple(filter(None, self._ids.get(key, "").split(",")))

    def _json(self, key: str, kind: type, remedy: str) -> object:
        if not self._ids.get(key):
            return kind()
        try:
            found = json.loads(self._ids[key])
        except ValueError as error:
            raise self._refused(key, remedy) from error
        if not isinstance(found, kind):
            raise self._refused(key, remedy)
        return found

    def counts(self) -> dict[str, int]:
        remedy = 'write a JSON object such as {"neutron-<network id>": 1}'
        found = self._json(SWITCHES, dict, remedy)
        assert isinstance(found, dict)
        if not all(isinstance(count, int) for count in found.values()):
            raise self._refused(SWITCHES, remedy)
        return found

    def statuses(self) -> dict[str, str]:
        remedy = 'write a JSON object such as {"<member id>": "ONLINE"}'
        found = self._json(MEMBER_STATUS, dict, remedy)
        assert isinstance(found, dict)
        if not all(isinstance(status, str) for status in found.values()):
            raise self._refused(MEMBER_STATUS, remedy)
        return found

    def monitors(self) -> tuple[str, ...]:
        remedy = "write a JSON list of ids"
        found = self._json(MONITORS, list, remedy)
        assert isinstance(found, list)
        if not all(isinstance(one, str) for one in found):
            raise self._refused(MONITORS, remedy)
        return tuple(found)

    def _keys(self, prefix: str) -> Iterator[tuple[str, str, bool]]:
        """Each key of the kind, with the id in it and whether it is enabled, by id."""
        found = (key for key in self._ids if key.startswith(prefix))
        for key in sorted(found, key=lambda key: key.removesuffix(_DISABLED)):
            yield key, key.removeprefix(prefix).removesuffix(_DISABLED), not key.endswith(_DISABLED)

    def listeners(self) -> Iterable[ListenerEntry]:
        for key, identity, enabled in self._keys(_LISTENER):
            port, _, pool = self._ids[key].partition(":")
            if not (port.isascii() and port.isdigit()):
                raise self._refused(key, "write <port>: or <port>:pool_<pool id>")
            # Rows of others may name a pool that is switched off with its suffix, and a second time.
            pool_id = pool.removeprefix(_POOL).partition(_POOL)[0].removesuffix(_DISABLED)
            yield ListenerEntry(identity, int(port), pool_id if pool_id not in ("", "None") else None, enabled)

    def pools(self) -> Iterable[PoolEntry]:
        for key, identity, enabled in self._keys(_POOL):
            yield PoolEntry(identity, tuple(self._members(key)), enabled)

    def _members(self, key: str) -> Iterator[MemberEntry]:
        for text in self.listed(key):
            try:
                _, identity, target, *subnet = text.split("_")
                address, _, port = target.rpartition(":")
                canonical = str(ipaddress.ip_address(address.strip("[]")))
                yield MemberEntry(identity, canonical, int(port), subnet[0] if subnet else "")
            except ValueError as error:
                remedy = "write member_<id>_<address>:<port>_<subnet id>, several with commas between them"
                raise self._refused(key, remedy) from error
