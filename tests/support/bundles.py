"""Trees, bundles and facts for tests: short to write, complete where it matters."""

from __future__ import annotations

import uuid
from typing import Any

from lbdrivers.drivers.amphora import Bundle, Facts, Peer, Role, Topology, Vip
from lbdrivers.features import Feature
from lbdrivers.model.resources import HealthMonitor, L7Policy, L7Rule, Listener, LoadBalancer, Member, Pool
from lbdrivers_amphora.decide import tls

#: What the renderer knows how to do.
RENDERED = frozenset(Feature) - {
    Feature.LISTENER_PROMETHEUS,
    Feature.LISTENER_UDP,
    Feature.LISTENER_SCTP,
    Feature.ALGORITHM_SOURCE_IP_PORT,
    Feature.MONITOR_UDP_CONNECT,
    Feature.MONITOR_SCTP,
}

#: The same without what needs files of certificates beside the configuration.
WITHOUT_FILES = RENDERED - {Feature.LISTENER_TERMINATED_HTTPS, Feature.POOL_TLS}


def ident(name: str) -> str:
    """A UUID out of a name, so that failures read well and runs agree."""
    return str(uuid.uuid5(uuid.NAMESPACE_DNS, name))


def member(name: str, address: str = "192.0.2.1", port: int = 80, **fields: Any) -> Member:
    return Member(id=ident(name), name=name, address=address, protocol_port=port, **fields)


def monitor(kind: str = "TCP", **fields: Any) -> HealthMonitor:
    values = {"id": ident(f"monitor {kind}"), "delay": 1, "timeout": 1, "max_retries": 2, "max_retries_down": 3}
    return HealthMonitor(type=kind, **(values | fields))


def pool(name: str = "pool", **fields: Any) -> Pool:
    values = {"protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN"} | fields
    return Pool(id=ident(name), name=name, **values)


def rule(name: str, kind: str, compare: str, value: str, **fields: Any) -> L7Rule:
    return L7Rule(id=ident(f"rule {name}"), type=kind, compare_type=compare, value=value, **fields)


def policy(name: str, action: str, *rules: L7Rule, **fields: Any) -> L7Policy:
    return L7Policy(id=ident(f"policy {name}"), name=name, action=action, rules=rules, **fields)


def listener(name: str = "listener", port: int = 80, **fields: Any) -> Listener:
    values = {"protocol": "HTTP", "protocol_port": port} | fields
    return Listener(id=ident(name), name=name, **values)


def tree(listeners: tuple[Listener, ...] = (), pools: tuple[Pool, ...] = (), **fields: Any) -> LoadBalancer:
    values = {"id": ident("tree"), "vip_subnet_id": ident("subnet"), "listeners": listeners, "pools": pools} | fields
    return LoadBalancer(**values)


def bundle(
    load_balancer: LoadBalancer,
    topology: Topology = Topology.SINGLE,
    vips: tuple[Vip, ...] = (Vip("127.0.0.1", "127.0.0.0/8"),),
    **fields: Any,
) -> Bundle:
    own = Peer(ident("amphora 1"), "127.0.0.1", Role.MASTER, 100)
    other = Peer(ident("amphora 2"), "127.0.0.2", Role.BACKUP, 90)
    peers = (own,) if topology is Topology.SINGLE else (own, other)
    values = {"tls": tls.unknown(tls.uses(load_balancer))} | fields
    return Bundle(load_balancer, own.amphora_id, topology, peers, vips, **values)


def facts(base_path: str = "/var/lib/octavia", **fields: Any) -> Facts:
    values = {"hostname": "amphora", "api_version": "1.0", "haproxy_version": "2.6.12", "keepalived_version": "2.2.7"}
    return Facts(**(values | {"base_path": base_path, "log_socket": None} | fields))
