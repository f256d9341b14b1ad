"""Rows of the northbound database become a tree again: what is there, whoever wrote it.

Law: pure. ``interpret(translate(tree)) == canonical(tree)``: names, descriptions and tags are in no row, and what the
layout says in one way only comes back in that way. What makes no valid tree is refused with row, key and remedy.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from pydantic import ValidationError

from lbdrivers.errors import InvalidInput, Problem
from lbdrivers.model.resources import DATAGRAM_POOLS, LoadBalancer, PersistenceType, Pool
from lbdrivers_ovn.external_ids import Content, PoolEntry, decode
from lbdrivers_ovn.rows import BY_ADDRESS, CHECK_DISABLED, CHECK_MONITOR, CHECK_POOL, HealthCheckRow, LoadBalancerRow
from lbdrivers_ovn.translate import Place, balance, transport

_NUMBER = re.compile(r"[0-9]{1,9}")
#: HealthMonitor field -> key of a health check's options; what ovn-northd takes where there is none.
_OPTIONS = {
    "delay": ("interval", 5),
    "timeout": ("timeout", 20),
    "max_retries": ("success_count", 1),
    "max_retries_down": ("failure_count", 1),
}


def contents(rows: Iterable[LoadBalancerRow]) -> tuple[Content, ...]:
    """What the rows' external_ids say. :raises InvalidInput: see ``external_ids.decode``."""
    return tuple(decode(row.external_ids, place_of(row)) for row in rows)


def place_of(row: LoadBalancerRow) -> str:
    """Where an operator finds the row."""
    return f"Load_Balancer {row.name} ({row.balance.protocol or 'no protocol'})"


def interpret(rows: tuple[LoadBalancerRow, ...], subnet_id: str, additional: tuple[str, ...] = ()) -> LoadBalancer:
    """The tree that the rows of one load balancer stand for; listeners and pools by id.

    :param subnet_id: the primary VIP's subnet; ``additional``: those of the additional VIPs. No row has them.
    :raises InvalidInput: when the rows stand for none.
    """
    read = contents(rows)
    first = read[0]
    pools = [_pool(row, entry) for row, content in zip(rows, read, strict=True) for entry in content.pools]
    listeners = [
        {
            "id": entry.id,
            "admin_state_up": entry.enabled,
            "protocol": (row.balance.protocol or "tcp").upper(),
            "protocol_port": entry.port,
            "default_pool_id": entry.pool_id,
        }
        for row, content in zip(rows, read, strict=True)
        for entry in content.listeners
    ]
    draft = {
        "id": rows[0].name,
        "admin_state_up": first.enabled,
        "vip_address": first.vip,
        "vip_subnet_id": subnet_id,
        "vip_port_id": first.vip_port_id or None,
        "additional_vips": [
            {"ip_address": address, "subnet_id": one}
            for address, one in zip(first.additional_vips, additional, strict=True)
        ],
        "pools": sorted(pools, key=lambda one: str(one["id"])),
        "listeners": sorted(listeners, key=lambda one: str(one["id"])),
    }
    try:
        return LoadBalancer.model_validate(draft)
    except ValidationError as error:
        raise InvalidInput(tuple(_problems(rows[0], error))) from error


def _problems(row: LoadBalancerRow, error: ValidationError) -> Iterator[Problem]:
    for detail in error.errors():
        path = ".".join(map(str, detail["loc"]))
        remedy = "mend the row, or remove it and apply the load balancer anew"
        yield Problem(f"{place_of(row)} {path}".rstrip(), str(detail["input"])[:120], detail["msg"], remedy)


def _pool(row: LoadBalancerRow, entry: PoolEntry) -> dict[str, Any]:
    datagram = row.balance.protocol in ("udp", "sctp")
    persistence = None
    if row.balance.affinity_timeout is not None:
        timeout = row.balance.affinity_timeout if datagram else None
        persistence = {"type": PersistenceType.SOURCE_IP, "persistence_timeout": timeout}
    statuses = decode(row.external_ids, place_of(row)).member_statuses
    return {
        "id": entry.id,
        "admin_state_up": entry.enabled,
        "protocol": (row.balance.protocol or "tcp").upper(),
        "lb_algorithm": "SOURCE_IP" if row.balance.selection_fields == BY_ADDRESS else "SOURCE_IP_PORT",
        "session_persistence": persistence,
        "members": [
            {
                "id": member.id,
                "address": member.address,
                "protocol_port": member.port,
                "subnet_id": member.subnet_id or None,
                "admin_state_up": statuses.get(member.id) != "OFFLINE",
            }
            for member in entry.members
        ],
        "healthmonitor": _monitor(row, entry, "UDP-CONNECT" if datagram else "TCP"),
    }


def _monitor(row: LoadBalancerRow, entry: PoolEntry, kind: str) -> dict[str, Any] | None:
    check = next((one for one in row.health_checks if one.external_ids.get(CHECK_POOL) == entry.id), None)
    if check is None:
        return None
    fields = {field: _number(row, check, *option) for field, option in _OPTIONS.items()}
    enabled = CHECK_DISABLED not in check.external_ids
    return {"id": check.external_ids.get(CHECK_MONITOR), "type": kind, "admin_state_up": enabled, **fields}


def _number(row: LoadBalancerRow, check: HealthCheckRow, key: str, default: int) -> int:
    text = check.options.get(key, str(default))
    if not _NUMBER.fullmatch(text):
        path = f"{place_of(row)} health check {check.vip} options:{key}"
        raise InvalidInput((Problem(path, text[:40], "is not a number", "write whole seconds or a count"),))
    return int(text)


def canonical(tree: LoadBalancer, place: Place) -> LoadBalancer:
    """The tree with what rows keep of it, as they give it back."""
    draft = {
        "id": tree.id,
        "admin_state_up": tree.admin_state_up,
        "vip_address": place.vips[0].address,
        "vip_subnet_id": place.vips[0].subnet.id,
        "vip_port_id": place.vips[0].port_id or None,
        "additional_vips": [{"ip_address": vip.address, "subnet_id": vip.subnet.id} for vip in place.vips[1:]],
        "pools": [_canonical_pool(pool, place) for pool in sorted(tree.pools, key=lambda one: one.id)],
        "listeners": [
            {
                name: getattr(one, name)
                for name in ("id", "admin_state_up", "protocol", "protocol_port", "default_pool_id")
            }
            for one in sorted(tree.listeners, key=lambda one: one.id)
        ],
    }
    return LoadBalancer.model_validate(draft)


def _canonical_pool(pool: Pool, place: Place) -> dict[str, Any]:
    seconds = balance(pool).affinity_timeout
    timed = pool.protocol in DATAGRAM_POOLS
    monitor = pool.healthmonitor
    kept = ("id", "admin_state_up", "type", "delay", "timeout", "max_retries", "max_retries_down")
    members = []
    for member in pool.members:
        subnet = place.subnet_of(member)
        fields = {name: getattr(member, name) for name in ("id", "admin_state_up", "address", "protocol_port")}
        members.append(fields | {"subnet_id": subnet.id if subnet is not None else None})
    return {
        "id": pool.id,
        "admin_state_up": pool.admin_state_up,
        "protocol": transport(pool).upper(),
        "lb_algorithm": pool.lb_algorithm,
        "session_persistence": None
        if seconds is None
        else {"type": PersistenceType.SOURCE_IP, "persistence_timeout": seconds if timed else None},
        "members": members,
        "healthmonitor": None if monitor is None else {name: getattr(monitor, name) for name in kept},
    }
