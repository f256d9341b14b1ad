"""Runs inside the peer's own environment: one specification from standard input through Octavia's templater.

Started by the benchmark of the same name; uses Octavia's public classes and nothing of ours. Ends with one JSON object.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from typing import Any


def _tree(given: dict[str, Any]) -> Any:
    """The specification as Octavia's data models."""
    from octavia.common import data_models

    state = {"provisioning_status": "ACTIVE", "operating_status": "ONLINE", "enabled": True}
    balancer = data_models.LoadBalancer(id=given["id"], project_id=given["project_id"], topology="SINGLE", **state)
    balancer.vip = data_models.Vip(load_balancer_id=balancer.id, ip_address=given["vip_address"])
    balancer.additional_vips = []
    balancer.amphorae = [data_models.Amphora(id=given["id"], status="ALLOCATED", vrrp_ip="10.20.0.20")]
    pools = {}
    for entry in given["pools"]:
        kept = {key: entry[key] for key in ("id", "protocol", "lb_algorithm")}
        pool = data_models.Pool(load_balancer=balancer, tls_enabled=False, **kept, **state)
        monitor = dict(entry["healthmonitor"])
        monitor["rise_threshold"], monitor["fall_threshold"] = (
            monitor.pop("max_retries"),
            monitor.pop("max_retries_down"),
        )
        pool.health_monitor = data_models.HealthMonitor(pool=pool, **monitor, **state)
        if entry["session_persistence"]:
            pool.session_persistence = data_models.SessionPersistence(**entry["session_persistence"])
        for member in entry["members"]:
            values = {key: value for key, value in member.items() if key != "address"}
            pool.members.append(
                data_models.Member(pool=pool, ip_address=member["address"], backup=False, **values, **state)
            )
        pools[pool.id] = pool
        balancer.pools.append(pool)
    for entry in given["listeners"]:
        kept = {key: value for key, value in entry.items() if key != "l7policies"}
        listener = data_models.Listener(
            load_balancer=balancer, default_pool=pools[entry["default_pool_id"]], peer_port=1025, **kept, **state
        )
        listener.pools = [listener.default_pool]
        for policy in entry["l7policies"]:
            values = {key: value for key, value in policy.items() if key != "rules"}
            target = pools.get(policy.get("redirect_pool_id"))
            made = data_models.L7Policy(listener=listener, redirect_pool=target, **values, **state)
            made.l7rules = [
                data_models.L7Rule(l7policy=made, **{"key": None, "invert": False, **rule}, **state)
                for rule in policy["rules"]
            ]
            listener.l7policies.append(made)
        balancer.listeners.append(listener)
    return balancer


def main() -> None:
    """Render often enough for a median."""
    from octavia.common.jinja.haproxy.combined_listeners import jinja_cfg

    balancer = _tree(json.load(sys.stdin))
    templater = jinja_cfg.JinjaTemplater(
        base_amp_path="/var/lib/octavia", base_crt_dir="/var/lib/octavia/certs", connection_logging=True
    )
    details = {"active_tuned_profiles": "", "cpu_count": 2}

    def render() -> str:
        text: str = templater.build_config(balancer.amphorae[0], balancer.listeners, None, ("2", "6"), details)
        return text

    text = render()
    durations: list[float] = []
    end = time.perf_counter() + 2.0
    while len(durations) < 5 or (time.perf_counter() < end and len(durations) < 500):
        started = time.perf_counter()
        render()
        durations.append(time.perf_counter() - started)
    print(json.dumps({"milliseconds": statistics.median(durations) * 1000, "text": text}))


if __name__ == "__main__":
    main()
