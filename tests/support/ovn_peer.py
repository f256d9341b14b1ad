"""Runs inside the environment of OVN's driver for Octavia: what it makes of rows, and which rows it makes.

    python ovn_peer.py ORDER

ORDER is a JSON file: ``remote``, ``subnets`` and ``ports`` (the cloud), ``tree`` and its ``vip_port_id``, and
``calls``, each a list of a function's name below and its arguments. Prints one JSON object: what the calls
returned, and the statuses that were reported.
"""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path
from typing import Any

from ovn_cloudless import Neutron, Octavia, driver, load_balancer, member, settle


class Peer:
    """The driver, beside a cloud and an Octavia that know one load balancer."""

    def __init__(self, order: dict[str, Any]) -> None:
        self._octavia = Octavia()
        self._balancer = load_balancer(order["tree"], order["vip_port_id"])
        self._octavia.created(self._balancer)
        self._driver = driver(order["remote"], Neutron(order["subnets"], order["ports"]), self._octavia)
        self._helper = self._driver._ovn_helper

    def statuses(self) -> dict[str, dict[str, dict[str, str]]]:
        """Everything that was reported to Octavia, by kind and id."""
        return self._octavia.statuses

    def create(self) -> None:
        """Create the load balancer with all that is in it."""
        self._driver.loadbalancer_create(self._balancer)

    def delete(self) -> None:
        """Delete the load balancer with all that is in it."""
        self._driver.loadbalancer_delete(self._balancer, cascade=True)

    def member_create(self, pool_id: str, one: dict[str, Any]) -> None:
        self._driver.member_create(member(one, pool_id))

    def member_delete(self, pool_id: str, one: dict[str, Any]) -> None:
        self._driver.member_delete(member(one, pool_id))

    def member_update(self, pool_id: str, one: dict[str, Any]) -> None:
        before = {**one, "admin_state_up": not one["admin_state_up"]}
        self._driver.member_update(member(before, pool_id), member(one, pool_id))

    def monitor_delete(self, pool_id: str) -> None:
        self._driver.health_monitor_delete(
            next(one for one in self._balancer.pools if one.pool_id == pool_id).healthmonitor
        )

    def found(self) -> dict[str, Any]:
        """How it finds the load balancer: by pool, and what it reads of statuses."""
        owners = {}
        for pool in self._balancer.pools:
            key, row = self._helper._find_ovn_lb_by_pool_id(pool.pool_id)
            owners[key] = None if row is None else row.name
        rows = self._helper._find_ovn_lbs(self._balancer.loadbalancer_id)
        read: dict[str, str] = {}
        for row in rows:
            for entries in self._helper._get_current_operating_statuses(row).values():
                read |= {entry["id"].removesuffix(":D"): entry["operating_status"] for entry in entries}
        return {"rows": len(rows), "owners": owners, "operating": read}


def main() -> None:
    order = json.loads(Path(sys.argv[1]).read_text())
    logging.disable(logging.WARNING)
    logging.basicConfig(stream=sys.stderr)
    peer = Peer(order)
    answers = []
    for name, *arguments in order["calls"]:
        answers.append(getattr(peer, name)(*arguments))
        settle(peer._driver)
    print(json.dumps({"answers": answers, "statuses": peer.statuses()}))


if __name__ == "__main__":
    main()
