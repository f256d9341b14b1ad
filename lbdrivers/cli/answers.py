"""The JSON answers: stable keys, documented here, words as in the v2 API where it has them.

Law: values in, plain values out; a key is added, never renamed or dropped. Every status may be null
when the backend could not be asked.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from lbdrivers.cli.actions import Action
from lbdrivers.cli.top.rates import Rates, Reading
from lbdrivers.drivers.context import Progress
from lbdrivers.drivers.provider import Deviation, Observation, Orphan, Statistics
from lbdrivers.model.infra import Network
from lbdrivers.model.resources import L7Policy, Listener, LoadBalancer, Pool
from lbdrivers.registry import DriverInfo
from lbdrivers.store.entry import Entry


def summary(entry: Entry, observation: Observation | None) -> dict[str, Any]:
    """A load balancer in one level: identity, statuses, addresses, trouble."""
    tree = entry.desired
    addresses = vip_addresses(tree, observation)
    return {
        "id": tree.id,
        "name": tree.name,
        "project_id": tree.project_id,
        "provider": entry.provider,
        "provisioning_status": entry.status.value,
        "operating_status": _operating(observation, tree.id),
        "vip_address": addresses[0] if addresses else None,
        "vip_addresses": list(addresses),
        "cause": entry.cause.user if entry.cause else None,
        "cause_detail": entry.cause.operator if entry.cause else None,
        "cause_object_id": entry.cause.object_id if entry.cause else None,
        "next_attempt": entry.next_attempt,
    }


def show(entry: Entry, observation: Observation | None) -> dict[str, Any]:
    """``show``: the summary with ``listeners``, ``pools`` and ``appliances``."""
    tree = entry.desired
    return {
        **summary(entry, observation),
        "listeners": [_listener(listener, observation) for listener in tree.listeners],
        "pools": [_pool(pool, observation) for pool in tree.pools],
        "appliances": [asdict(appliance) for appliance in observation.appliances] if observation else [],
    }


def listing(entries: Iterable[Entry], observations: Mapping[str, Observation | None]) -> dict[str, Any]:
    """``list``: ``loadbalancers``, each a summary with its listeners' ids."""
    return {
        "loadbalancers": [
            {**summary(entry, observations.get(entry.id)), "listeners": [item.id for item in entry.desired.listeners]}
            for entry in entries
        ]
    }


def top(readings: Iterable[Reading], at: float) -> dict[str, Any]:
    """``top``: ``at`` (seconds since the epoch) and ``loadbalancers``, each a summary with ``open_connections``,
    ``rates`` (connections, bytes and errors a second; null while they are not known) and ``appliances``."""
    return {
        "at": at,
        "loadbalancers": [
            {
                **summary(one.entry, one.observation),
                "open_connections": one.open_connections,
                "rates": _rates(one.rates),
                "appliances": [
                    {**asdict(appliance), "rates": _rates(one.appliances.get(appliance.id))}
                    for appliance in (one.observation.appliances if one.observation else ())
                ],
            }
            for one in readings
        ],
    }


def _rates(rates: Rates | None) -> dict[str, float] | None:
    return None if rates is None else asdict(rates)


def applied(
    entry: Entry,
    observation: Observation | None,
    *,
    changed: bool,
    seconds: float,
    actions: Iterable[Action],
    steps: Iterable[Progress],
) -> dict[str, Any]:
    """``apply``: what it is now, whether it changed, what was planned and what was done."""
    addresses = vip_addresses(entry.desired, observation)
    return {
        "load_balancer_id": entry.id,
        "name": entry.name,
        "changed": changed,
        "vip_address": addresses[0] if addresses else None,
        "vip_addresses": list(addresses),
        "provisioning_status": entry.status.value,
        "operating_status": _operating(observation, entry.id),
        "cause": entry.cause.user if entry.cause else None,
        "next_attempt": entry.next_attempt,
        "seconds": round(seconds, 3),
        "actions": [action.as_json() for action in actions],
        "steps": [{**asdict(step), "seconds": round(step.seconds, 3)} for step in steps],
    }


def finished(entry: Entry, after: Entry | None, seconds: float) -> dict[str, Any]:
    """``failover`` and ``delete``: ``deleted`` says whether it is gone."""
    return {
        "load_balancer_id": entry.id,
        "name": entry.name,
        "deleted": after is None,
        "provisioning_status": after.status.value if after else "DELETED",
        "cause": after.cause.user if after and after.cause else None,
        "next_attempt": after.next_attempt if after else None,
        "seconds": round(seconds, 3),
    }


def planned(tree: LoadBalancer, actions: Iterable[Action]) -> dict[str, Any]:
    """``plan``: ``actions``, each with ``subject``, ``action`` and ``mildness``."""
    return {"load_balancer_id": tree.id, "name": tree.name, "actions": [action.as_json() for action in actions]}


def observed(entry: Entry, found: Iterable[Deviation]) -> dict[str, Any]:
    """``observe``: ``deviations``, each with ``subject``, ``aspect``, ``wanted``, ``found`` and ``remedy``."""
    return {"load_balancer_id": entry.id, "name": entry.name, "deviations": [asdict(one) for one in found]}


def orphans(found: Iterable[Orphan], removed: Iterable[Orphan]) -> dict[str, Any]:
    """``orphans``: those that are there, and those that were removed; ``proof`` is empty without a record."""
    return {"orphans": [asdict(one) for one in found], "removed": [asdict(one) for one in removed]}


def maintained(outcomes: Mapping[str, str]) -> dict[str, Any]:
    """``maintain``: load balancer id -> what went wrong, or null."""
    return {"loadbalancers": [{"id": one, "cause": cause or None} for one, cause in outcomes.items()]}


def statistics(entry: Entry, measured: Mapping[str, Statistics]) -> dict[str, Any]:
    """``stats``: ``listeners`` and their ``total``; five numbers each."""
    listeners = [
        {
            "id": listener.id,
            "name": listener.name,
            "protocol": listener.protocol.value,
            "protocol_port": listener.protocol_port,
            **asdict(measured.get(listener.id, Statistics())),
        }
        for listener in entry.desired.listeners
    ]
    total = Statistics()
    for listener in entry.desired.listeners:
        total = total + measured.get(listener.id, Statistics())
    return {"load_balancer_id": entry.id, "name": entry.name, "total": asdict(total), "listeners": listeners}


def drivers(infos: Iterable[DriverInfo]) -> dict[str, Any]:
    """``drivers``: one object each; ``error`` is null when it works."""
    return {
        "drivers": [{**asdict(info), "features": list(info.features), "error": info.error or None} for info in infos]
    }


def networks(found: Iterable[Network]) -> dict[str, Any]:
    """``networks``: with their ``subnets``."""
    return {"networks": [asdict(network) for network in found]}


def vip_addresses(tree: LoadBalancer, observation: Observation | None) -> tuple[str, ...]:
    """The addresses that it has, else those that it asks for."""
    if observation is not None and observation.vip_addresses:
        return observation.vip_addresses
    return (tree.vip_address,) if tree.vip_address else ()


def _operating(observation: Observation | None, object_id: str) -> str | None:
    status = observation.operating.get(object_id) if observation else None
    return status.value if status else None


def _listener(listener: Listener, observation: Observation | None) -> dict[str, Any]:
    plain = listener.model_dump(mode="json", include={"id", "name", "protocol", "protocol_port", "admin_state_up"})
    return {
        **plain,
        "operating_status": _operating(observation, listener.id),
        "default_pool_id": listener.default_pool_id,
        "l7policies": [_policy(policy, observation) for policy in listener.l7policies],
    }


def _policy(policy: L7Policy, observation: Observation | None) -> dict[str, Any]:
    plain = policy.model_dump(mode="json", exclude={"rules", "tags", "description"})
    rules = [rule.model_dump(mode="json", exclude={"tags"}) for rule in policy.rules]
    return {**plain, "operating_status": _operating(observation, policy.id), "rules": rules}


def _pool(pool: Pool, observation: Observation | None) -> dict[str, Any]:
    plain = pool.model_dump(mode="json", include={"id", "name", "protocol", "lb_algorithm", "admin_state_up"})
    fields = {"id", "name", "address", "protocol_port", "weight", "backup", "admin_state_up"}
    members = [
        {**member.model_dump(mode="json", include=fields), "operating_status": _operating(observation, member.id)}
        for member in pool.members
    ]
    monitor = None
    if pool.healthmonitor is not None:
        monitor = pool.healthmonitor.model_dump(mode="json", exclude={"tags"})
        monitor["operating_status"] = _operating(observation, pool.healthmonitor.id)
    operating = _operating(observation, pool.id)
    return {**plain, "operating_status": operating, "members": members, "healthmonitor": monitor}
