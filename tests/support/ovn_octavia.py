"""Drives OVN's driver for Octavia through our provider. Runs inside that driver's own environment, where octavia-lib's
fixed folder of sockets is private (see test_octavia_ovn_driver.py). Prints one JSON object.

    python ovn_octavia.py CONFIGURATION
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from lbdrivers import registry, settings
from lbdrivers.errors import DriverError
from lbdrivers.model.resources import LoadBalancer, Member
from lbdrivers.store.store import Store

NETWORK, SUBNET = (f"00000000-0000-0000-0000-00000000000{number}" for number in (1, 2))
IDS = {name: f"00000000-0000-0000-0000-0000000000{number:02}" for number, name in enumerate("tlpab", start=10)}


def tree(**changes: dict[str, Any]) -> LoadBalancer:
    """A TCP load balancer that OVN can carry out, with changes of its listener and pool."""
    members = [{"id": IDS["a"], "address": "192.0.2.10", "protocol_port": 8080, "subnet_id": SUBNET}]
    pool = {"id": IDS["p"], "protocol": "TCP", "lb_algorithm": "SOURCE_IP_PORT", "members": members}
    listener = {"id": IDS["l"], "protocol": "TCP", "protocol_port": 80, "default_pool_id": IDS["p"]}
    return LoadBalancer.model_validate(
        {
            "id": IDS["t"],
            "name": "web",
            "vip_network_id": NETWORK,
            "vip_subnet_id": SUBNET,
            "listeners": [{**listener, **changes.get("listener", {})}],
            "pools": [{**pool, **changes.get("pool", {})}],
        }
    )


def outcome(action: Any, *arguments: Any) -> dict[str, Any]:
    """How it went, and what the backend says then."""
    try:
        action(*arguments)
    except DriverError as error:
        return {"error": type(error).__name__, "user": error.user, "operator": error.operator}
    seen = PROVIDER.observe(IDS["t"])
    return {"addresses": seen.vip_addresses, "operating": {one: str(word) for one, word in seen.operating.items()}}


def main() -> None:
    first = tree()
    pool = first.pools[0]
    second = Member(id=IDS["b"], address="192.0.2.11", protocol_port=8080, subnet_id=SUBNET)
    more = first.model_copy(update={"pools": (pool.model_copy(update={"members": (*pool.members, second)}),)})
    found = {"provider": type(PROVIDER).__name__, "known": sorted(PROVIDER.known())}
    found["create"] = outcome(PROVIDER.apply, first, None)
    if "error" not in found["create"]:
        found["more"] = outcome(PROVIDER.apply, more, first)
        for name, changed in REFUSED.items():
            found[name] = outcome(PROVIDER.apply, changed, more)
        found["again"] = outcome(PROVIDER.apply, more, more)
        found["failover"] = outcome(PROVIDER.failover, IDS["t"])
        found["rows"] = rows()
    found["remove"] = outcome(PROVIDER.remove, IDS["t"])
    found["left"] = {"rows": rows(), "known": sorted(PROVIDER.known())}
    print(json.dumps(found))


def rows() -> list[dict[str, Any]]:
    """OVN's load balancers, as its northbound database has them."""
    from ovn_octavia_provider import helper

    balancers = helper.OvnProviderHelper(notifier=False).ovn_nbdb_api.db_list("Load_Balancer").execute()
    return [{"name": one["name"], "vips": one["vips"], "protocol": one["protocol"]} for one in balancers]


REFUSED = {
    "algorithm": tree(pool={"lb_algorithm": "ROUND_ROBIN"}),
    "protocol": tree(listener={"protocol": "HTTP"}, pool={"protocol": "HTTP"}),
    "cidrs": tree(listener={"allowed_cidrs": ["198.51.100.0/24"]}),
}

if __name__ == "__main__":
    CONFIGURATION = settings.load([Path(sys.argv[1])])
    STORE = Store(settings.read(CONFIGURATION).database)
    # Its own name is that of our provider for OVN.
    PROVIDER = registry.make_context(CONFIGURATION, STORE.records).load(registry.PROVIDERS, "octavia_ovn")
    main()
