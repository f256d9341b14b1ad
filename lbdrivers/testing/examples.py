"""Trees to check with: a small one out of what a provider can do, and one for each feature.

Law: pure. ``example(feature, ...)`` needs that feature, and beside it only what the small tree needs.
"""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic import BaseModel

from lbdrivers.errors import PermanentError
from lbdrivers.features import Feature
from lbdrivers.model.resources import (
    COMPATIBLE_POOLS,
    DATAGRAM_POOLS,
    Algorithm,
    ListenerProtocol,
    LoadBalancer,
    MonitorType,
    PersistenceType,
    PoolProtocol,
)
from lbdrivers.testing.surroundings import Surroundings, new_id

Model = TypeVar("Model", bound=BaseModel)

#: In this order a small tree takes its listener: the plainest first.
_PLAINEST = (ListenerProtocol.HTTP, ListenerProtocol.TCP, ListenerProtocol.HTTPS, ListenerProtocol.UDP)
_POOLS = {protocol: min(pools, key=list(PoolProtocol).index) for protocol, pools in COMPATIBLE_POOLS.items() if pools}
_TIMES = {"delay": 5, "timeout": 3, "max_retries": 2}


def feature_of(prefix: str, word: str) -> Feature:
    """The feature that stands for a word of the model, such as ``monitor`` and ``TLS-HELLO``."""
    return Feature(f"{prefix}-{word.lower().replace('_', '-')}")


def algorithms(protocol: PoolProtocol, features: frozenset[Feature]) -> tuple[Algorithm, ...]:
    """The algorithms that the features allow a pool of that protocol."""
    prefix = "datagram" if protocol in DATAGRAM_POOLS else "algorithm"
    return tuple(kind for kind in Algorithm if feature_of(prefix, kind) in features)


def rebuilt(resource: Model, **fields: Any) -> Model:
    """The resource with other field values, validated again.

    :raises ValueError: when these values do not go together.
    """
    return type(resource).model_validate({**resource.__dict__, **fields})


def small_tree(features: frozenset[Feature], around: Surroundings, name: str = "kit") -> LoadBalancer:
    """One listener, one pool, two members, out of what the features allow; ids are new.

    :raises PermanentError: when they allow no listener or no algorithm.
    """
    return _tree(_draft(features, around), name)


def example(feature: Feature, features: frozenset[Feature], around: Surroundings) -> LoadBalancer | None:
    """A tree that needs the feature; None where a tree alone cannot show it, or where ``around`` does
    not name what it takes."""
    draft = _draft(features, around)
    protocol = _listener_for(feature)
    if protocol is not None:
        _turn_listener_to(draft, protocol, features)
    if feature is Feature.MEMBER_SRIOV:
        allowing = [one for one in around.flavors if one.get("allow_member_sriov") is True]
        if not allowing and feature in features:
            return None
        # What nobody has looked up may allow it; enough to be refused.
        draft["load_balancer"] |= {"flavor_id": new_id(), **({"flavor_data": allowing[0]} if allowing else {})}
    addition = _additions(around).get(feature)
    if addition is not None:
        part, fields = addition
        draft[part] |= fields
    elif protocol in (None, ListenerProtocol.TERMINATED_HTTPS):
        return None
    return _tree(draft, feature)


def _tree(draft: dict[str, Any], name: str) -> LoadBalancer:
    parts = {"listeners": [draft["listener"]], "pools": [draft["pool"]] if draft["pool"] else []}
    return LoadBalancer.model_validate({"id": new_id(), "name": name, **draft["load_balancer"], **parts})


def _draft(features: frozenset[Feature], around: Surroundings) -> dict[str, Any]:
    able = (one for one in _PLAINEST if feature_of("listener", one) in features and algorithms(_POOLS[one], features))
    protocol = next(able, None)
    if protocol is None:
        raise PermanentError("the kit needs a provider with a HTTP, TCP, HTTPS or UDP listener and an algorithm")
    algorithm = algorithms(_POOLS[protocol], features)[0]
    members = [
        {"id": new_id(), "address": address, "protocol_port": 8080, "subnet_id": around.member_subnet_ids[0]}
        for address in around.member_addresses[:2]
    ]
    pool = {"id": new_id(), "name": "pool", "protocol": _POOLS[protocol], "lb_algorithm": algorithm, "members": members}
    listener = {"id": new_id(), "name": "listener", "protocol": protocol, "protocol_port": around.ports[0]}
    listener["default_pool_id"] = pool["id"]
    return {"load_balancer": {"vip_subnet_id": around.vip_subnet_id}, "listener": listener, "pool": pool}


def _listener_for(feature: Feature) -> ListenerProtocol | None:
    """The listener that the feature needs; None when any will do."""
    needed = {feature_of("listener", one): one for one in ListenerProtocol}
    needed |= dict.fromkeys((Feature.LISTENER_INSERT_HEADERS, Feature.L7), ListenerProtocol.HTTP)
    needed[Feature.L7_WITHOUT_HTTP] = ListenerProtocol.TCP
    needed |= {Feature.MONITOR_UDP_CONNECT: ListenerProtocol.UDP, Feature.MONITOR_SCTP: ListenerProtocol.SCTP}
    beside = (Feature.MONITOR_ACROSS_PROTOCOLS, Feature.PERSISTENCE_GRANULARITY)
    needed |= dict.fromkeys(beside, ListenerProtocol.UDP)
    needed |= dict.fromkeys((feature_of("datagram", one) for one in Algorithm), ListenerProtocol.UDP)
    return needed.get(feature)


def _turn_listener_to(draft: dict[str, Any], protocol: ListenerProtocol, features: frozenset[Feature]) -> None:
    draft["listener"]["protocol"] = protocol
    if protocol is ListenerProtocol.PROMETHEUS:
        del draft["listener"]["default_pool_id"]
        draft["pool"] = None
    else:
        # Without an algorithm for it the tree says what is missing.
        chosen = algorithms(_POOLS[protocol], features) or tuple(Algorithm)
        draft["pool"] |= {"protocol": _POOLS[protocol], "lb_algorithm": chosen[0]}


def _additions(around: Surroundings) -> dict[Feature, tuple[str, dict[str, Any]]]:
    """feature -> part of the draft and fields to add there; without those that ``around`` names nothing for."""
    added = {feature: ("pool", fields) for feature, fields in _pool_additions().items()}
    added |= {feature: ("listener", fields) for feature, fields in _listener_additions(around).items()}
    added |= {feature: ("load_balancer", fields) for feature, fields in _load_balancer_additions(around).items()}
    fields_of_a_member: dict[Feature, dict[str, Any]] = {
        Feature.MEMBER_WEIGHT: {"weight": 10},
        Feature.MEMBER_BACKUP: {"backup": True},
        Feature.MEMBER_MONITOR_ADDRESS: {"monitor_port": 9000},
        Feature.MEMBER_SRIOV: {"request_sriov": True},
    }
    member = {"id": new_id(), "address": around.member_addresses[0], "protocol_port": 8081}
    added |= {feature: ("pool", {"members": [member | fields]}) for feature, fields in fields_of_a_member.items()}
    return added


def _load_balancer_additions(around: Surroundings) -> dict[Feature, dict[str, Any]]:
    extra, group = around.additional_subnet_id, around.security_group_id
    fields: dict[Feature, tuple[str, Any]] = {
        Feature.VIP_ADDITIONAL: ("additional_vips", [{"subnet_id": extra}] if extra else None),
        Feature.VIP_QOS: ("vip_qos_policy_id", around.qos_policy_id),
        Feature.VIP_SECURITY_GROUPS: ("vip_sg_ids", [group] if group else None),
    }
    found = {feature: {name: value} for feature, (name, value) in fields.items() if value is not None}
    if around.flavors:
        found[Feature.FLAVOR] = {"flavor_id": new_id(), "flavor_data": around.flavors[0]}
    if around.availability_zones:
        zone = {"availability_zone": "zone", "availability_zone_data": around.availability_zones[0]}
        found[Feature.AVAILABILITY_ZONE] = zone
    return found


def _listener_additions(around: Surroundings) -> dict[Feature, dict[str, Any]]:
    rule = {"id": new_id(), "type": "PATH", "compare_type": "STARTS_WITH", "value": "/admin"}
    fields: dict[Feature, dict[str, Any]] = {
        Feature.LISTENER_ALLOWED_CIDRS: {"allowed_cidrs": ["192.0.2.0/24"]},
        Feature.LISTENER_CONNECTION_LIMIT: {"connection_limit": 100},
        Feature.LISTENER_TIMEOUTS: {"timeout_client_data": 10000},
        Feature.LISTENER_INSERT_HEADERS: {"insert_headers": {"X-Forwarded-For": "true"}},
        Feature.L7: {"l7policies": [{"id": new_id(), "action": "REJECT", "rules": [rule]}]},
    }
    fields[Feature.L7_WITHOUT_HTTP] = fields[Feature.L7]
    if around.references:
        fields[Feature.LISTENER_TERMINATED_HTTPS] = {"default_tls_container_ref": around.references[0]}
    return fields


def _pool_additions() -> dict[Feature, dict[str, Any]]:
    fields: dict[Feature, dict[str, Any]] = {
        feature_of("monitor", kind): {"healthmonitor": {"id": new_id(), "type": kind, **_TIMES}} for kind in MonitorType
    }
    for prefix in ("algorithm", "datagram"):
        fields |= {feature_of(prefix, kind): {"lb_algorithm": kind} for kind in Algorithm}
    for kind in PersistenceType:
        cookie = {"cookie_name": "JSESSIONID"} if kind is PersistenceType.APP_COOKIE else {}
        fields[feature_of("persistence", kind)] = {"session_persistence": {"type": kind, **cookie}}
    fields[Feature.MONITOR_ACROSS_PROTOCOLS] = fields[Feature.MONITOR_TCP]
    narrow = {"type": PersistenceType.SOURCE_IP, "persistence_granularity": "255.255.255.0"}
    fields[Feature.PERSISTENCE_GRANULARITY] = {"session_persistence": narrow}
    fields[Feature.POOL_TLS] = {"tls_enabled": True}
    fields[Feature.POOL_PROXY] = {"protocol": PoolProtocol.PROXY}
    return fields
