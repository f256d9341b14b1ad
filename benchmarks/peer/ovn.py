"""Runs inside the peer's own environment: OVN's driver for Octavia carries out a plan on a real northbound database.

Started by the benchmark of the same name; drives its ``OvnProviderDriver``, as Octavia's API does, and waits for each
call's requests to be done. Neutron and Octavia answer from memory, at once (see ``ovn_cloudless``), so only the
driver's own work counts. Arguments: the database, a file with the plan. After each part of the plan it prints a
JSON object and waits for a line.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from pathlib import Path
from typing import Any

from ovn_cloudless import Neutron, Octavia, driver, load_balancer, member, settle


class Part:
    """A part of the plan: from now until ``tell``."""

    def __init__(self) -> None:
        self._seconds, self._processor = time.perf_counter(), time.process_time()

    def tell(self) -> None:
        """Say what it took, and wait for the other side to have read its clocks."""
        seconds, processor = time.perf_counter() - self._seconds, time.process_time() - self._processor
        print(json.dumps({"seconds": seconds, "processor": processor}), flush=True)
        sys.stdin.readline()


def create(theirs: Any, octavia: Octavia, tree: dict[str, Any]) -> None:
    """Create the load balancer as a whole."""
    vip = {name: tree[name] for name in ("vip_network_id", "vip_subnet_id", "vip_address")}
    theirs.create_vip_port(tree["id"], "project", vip)
    balancer = load_balancer(tree)
    octavia.created(balancer)
    theirs.loadbalancer_create(balancer)
    settle(theirs)


def change(theirs: Any, kind: str, pool_id: str, one: dict[str, Any]) -> None:
    """One change of one member."""
    wanted = member(one, pool_id)
    if kind == "add":
        theirs.member_create(wanted)
    elif kind == "remove":
        theirs.member_delete(wanted)
    else:
        wanted.admin_state_up = kind == "enable"
        theirs.member_update(member({**one, "admin_state_up": kind != "enable"}, pool_id), wanted)
    settle(theirs)


def main() -> None:
    """Carry the plan out and answer."""
    plan = json.loads(Path(sys.argv[2]).read_text())
    logging.disable(logging.WARNING)
    octavia = Octavia()
    theirs = driver(sys.argv[1], Neutron(plan["subnets"], []), octavia)
    Part().tell()
    part = Part()
    for tree in plan["trees"]:
        create(theirs, octavia, tree)
    part.tell()
    part = Part()
    for kind, pool_id, one in plan["changes"]:
        change(theirs, kind, pool_id, one)
    part.tell()
    if wrong := octavia.not_active():
        raise RuntimeError(f"the peer reports {wrong}")


if __name__ == "__main__":
    main()
