"""Runs inside the peer's own environment: Octavia's health manager takes heartbeats in one process.

Started by the benchmark of the same name; uses Octavia's public names and nothing of ours. Real datagrams go
through UDPStatusGetter's socket on the loopback; what it makes of them is given to UpdateHealthDb and update_stats
in the same process. Arguments: database URL, shape, seconds for each case. Ends with one JSON object.
"""

from __future__ import annotations

import json
import logging
import socket
import sys
import time
import uuid
import warnings
from typing import Any

from octavia_tables import make_tables

KEY = uuid.uuid4().hex
FLEET = 100


def _name(*parts: object) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_OID, ":".join(map(str, parts))))


def _configure(url: str) -> None:
    from octavia.common import config  # noqa: F401 registers the options
    from oslo_config import cfg

    cfg.CONF.set_override("connection", url, "database")
    if url.startswith("sqlite"):
        cfg.CONF.set_override("pool_timeout", None, "database")
    for name, value in {
        "heartbeat_key": KEY,
        "bind_ip": "127.0.0.1",
        "bind_port": 0,
        "heartbeat_interval": 3600,
        "health_update_threads": 1,
        "stats_update_threads": 1,
        "sock_rlimit": 8 << 20,
    }.items():
        cfg.CONF.set_override(name, value, "health_manager")
    cfg.CONF.set_override("statistics_drivers", ["stats_db"], "controller_worker")


def _insert(session: Any, number: int, members: int) -> None:
    from octavia.db import models

    state = {"provisioning_status": "ACTIVE", "operating_status": "ONLINE", "enabled": True, "project_id": "p"}
    balancer, pool, listener = (_name(kind, number) for kind in ("lb", "pool", "listener"))
    session.add(models.LoadBalancer(id=balancer, name="x", topology="SINGLE", provider="amphora", **state))
    session.flush()
    amphora = {"id": _name("amphora", number), "compute_id": _name("compute", number), "status": "ALLOCATED"}
    session.add(models.Amphora(load_balancer_id=balancer, role="STANDALONE", **amphora))
    session.add(
        models.Pool(
            id=pool, load_balancer_id=balancer, protocol="HTTP", lb_algorithm="ROUND_ROBIN", tls_enabled=False, **state
        )
    )
    session.flush()
    monitor = {"type": "HTTP", "delay": 5, "timeout": 4, "fall_threshold": 3, "rise_threshold": 3}
    session.add(models.HealthMonitor(id=_name("monitor", number), pool_id=pool, **monitor, **state))
    for n in range(members):
        place = {"ip_address": f"10.0.{n // 250}.{n % 250 + 1}", "protocol_port": 80, "weight": 1, "backup": False}
        member = models.Member(id=_name("member", number, n), pool_id=pool, vnic_type="normal", **place, **state)
        session.add(member)
    session.flush()
    front = {"protocol": "HTTP", "protocol_port": 80, "connection_limit": -1, "peer_port": 1025}
    session.add(models.Listener(id=listener, load_balancer_id=balancer, default_pool_id=pool, **front, **state))


def _message(number: int, members: int, down: bool) -> dict[str, Any]:
    """What Octavia's agent says, message version 3."""
    stats = {"tx": 5000, "rx": 1000, "conns": 7, "totconns": 10, "ereq": 0}
    states = {_name("member", number, n): "DOWN" if down else "UP" for n in range(members)}
    pool = {"status": "DOWN" if down else "UP", "members": states}
    return {
        "id": _name("amphora", number),
        "seq": 1,
        "listeners": {_name("listener", number): {"status": "OPEN", "stats": stats}},
        "pools": {f"{_name('pool', number)}:{_name('listener', number)}": pool},
        "ver": 3,
    }


class Receiver:
    """Octavia's receiver and what it does with a message, in this process."""

    def __init__(self) -> None:
        from octavia.amphorae.drivers.health import heartbeat_udp

        self.getter = heartbeat_udp.UDPStatusGetter()
        self.updater = heartbeat_udp.UpdateHealthDb()
        self.update_stats = heartbeat_udp.update_stats
        self.sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sender.connect(("127.0.0.1", self.getter.sock.getsockname()[1]))

    def one(self, datagram: bytes) -> None:
        self.sender.send(datagram)
        message, source = self.getter.dorecv()
        self.updater.update_health(message, source)
        self.update_stats(message)


def _measure(receiver: Receiver, turns: list[list[bytes]], seconds: float) -> dict[str, float]:
    began, cpu, count = time.perf_counter(), time.process_time(), 0
    while time.perf_counter() - began < seconds:
        turn = turns[(count // FLEET) % len(turns)]
        receiver.one(turn[count % FLEET])
        count += 1
    return {
        "rate": count / (time.perf_counter() - began),
        "cpu": (time.process_time() - cpu) / count * 1e6,
    }


def main() -> None:
    """Measure and answer."""
    url, members, seconds = sys.argv[1], int(sys.argv[2].rpartition("x")[2]), float(sys.argv[3])
    warnings.simplefilter("ignore")
    _configure(url)
    make_tables()
    from octavia.amphorae.backends.health_daemon import status_message
    from octavia.db import api

    for number in range(FLEET):
        with api.session().begin() as session:
            _insert(session, number, members)
    logging.disable(logging.ERROR)
    up, down = (
        [status_message.wrap_envelope(_message(number, members, state), KEY) for number in range(FLEET)]
        for state in (False, True)
    )
    receiver = Receiver()
    for datagram in up:
        receiver.one(datagram)
    found = {
        "steady": _measure(receiver, [up], seconds),
        "flipping": _measure(receiver, [down, up], seconds),
    }
    _check(members)
    print(json.dumps(found))
    sys.stdout.flush()
    receiver.getter.health_executor.shutdown(wait=False)
    receiver.getter.stats_executor.shutdown(wait=False)


def _check(members: int) -> None:
    """:raises RuntimeError: when it has not done what it was measured for."""
    from octavia.db import api, models

    with api.session().begin() as session:
        healthy = session.query(models.AmphoraHealth).count()
        counted = session.query(models.ListenerStatistics).count()
        there = session.query(models.Member).count()
    if (healthy, counted, there) != (FLEET, FLEET, FLEET * members):
        raise RuntimeError(f"{healthy} amphorae were healthy, {counted} listeners counted, {there} members there")


if __name__ == "__main__":
    main()
