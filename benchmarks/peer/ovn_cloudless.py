"""OVN's driver for Octavia without a cloud: what it asks Neutron and Octavia for is answered from memory, at once.

Runs inside the peer's own environment and uses nothing of ours. The northbound database is real.
"""

from __future__ import annotations

import uuid
from types import SimpleNamespace
from typing import Any


class Value(SimpleNamespace):
    """As the SDK's resources are read: by attribute and by key."""

    def __getitem__(self, name: str) -> Any:
        return getattr(self, name)


class Neutron:
    """Stands where the SDK's network proxy is.

    :param subnets: values with ``id``, ``network_id`` and ``cidr``.
    :param ports: values as Neutron's API has them, with ``id``, ``name``, ``network_id`` and ``fixed_ips``.
    """

    def __init__(self, subnets: list[dict[str, Any]], ports: list[dict[str, Any]]) -> None:
        self._subnets = {one["id"]: Value(**one) for one in subnets}
        self._ports = {one["id"]: Value(**one) for one in ports}

    def get_subnet(self, identity: str) -> Any:
        """The subnet."""
        return self._subnets[identity]

    def get_port(self, identity: str) -> Any:
        """The port."""
        return self._ports[identity]

    def ports(self, **query: Any) -> list[Any]:
        """Ports whose fields are as asked for."""
        return [port for port in self._ports.values() if query.items() <= vars(port).items()]

    def find_port(self, name_or_id: str, **query: Any) -> Any:
        """The port of that name, or None."""
        return next(iter(self.ports(name=name_or_id, **query)), None)

    def create_port(self, **fields: Any) -> Any:
        """A port with an id; its address has to be named."""
        port = Value(id=str(uuid.uuid4()), **fields)
        self._ports[port.id] = port
        return port

    def delete_port(self, identity: str) -> None:
        """Forget the port."""
        del self._ports[identity]

    def names(self) -> list[str]:
        """Names of all ports."""
        return sorted(port.name for port in self._ports.values())


class Octavia:
    """Stands where octavia-lib's DriverLibrary is: takes statuses, and knows what was created."""

    def __init__(self) -> None:
        #: kind -> id -> provisioning and operating status, as last heard.
        self.statuses: dict[str, dict[str, dict[str, str]]] = {}
        self._objects: dict[str, Any] = {}

    def created(self, balancer: Any) -> None:
        """A load balancer that the driver may ask for."""
        pools = [{"pool_id": one.pool_id, "admin_state_up": one.admin_state_up} for one in balancer.pools]
        listeners = [
            {"listener_id": one.listener_id, "admin_state_up": one.admin_state_up} for one in balancer.listeners
        ]
        up, subnet = balancer.admin_state_up, balancer.vip_subnet_id
        found = SimpleNamespace(pools=pools, listeners=listeners, admin_state_up=up, vip_subnet_id=subnet)
        found.additional_vips = balancer.additional_vips
        self._objects[balancer.loadbalancer_id] = found
        for pool in balancer.pools:
            self._objects[pool.pool_id] = pool

    def get_loadbalancer(self, identity: str) -> Any:
        """As it was created, with dictionaries below it, as octavia-lib gives it."""
        return self._objects.get(identity)

    get_pool = get_listener = get_loadbalancer

    def update_loadbalancer_status(self, status: dict[str, list[dict[str, str]]]) -> None:
        """Take statuses."""
        for kind, entries in status.items():
            for entry in entries:
                self.statuses.setdefault(kind, {}).setdefault(entry["id"], {}).update(entry)

    def not_active(self) -> dict[str, dict[str, str]]:
        """What is neither ACTIVE nor DELETED."""
        return {
            identity: entry
            for entries in self.statuses.values()
            for identity, entry in entries.items()
            if entry.get("provisioning_status") not in ("ACTIVE", "DELETED", None)
        }


def driver(remote: str, neutron: Neutron, octavia: Octavia) -> Any:
    """The driver on the northbound database at ``remote``; a module of it must not have been imported before."""
    from octavia_lib.api.drivers import driver_lib

    driver_lib.DriverLibrary = lambda *_arguments, **_keywords: octavia
    from oslo_config import cfg
    from ovn_octavia_provider import driver as theirs
    from ovn_octavia_provider.common import clients, config

    config.register_opts()
    cfg.CONF.set_override("ovn_nb_connection", [remote], "ovn")
    cfg.CONF.set_override("ovn_sb_connection", [remote], "ovn")
    clients.get_neutron_client = lambda: neutron
    return theirs.OvnProviderDriver()


def settle(driver: Any, seconds: float = 60.0) -> None:
    """Wait until the driver's thread has done all that was asked of it.

    :raises RuntimeError: when it has not after so long: its handler of a request failed.
    """
    requests = driver._ovn_helper.requests
    with requests.all_tasks_done:
        if not requests.all_tasks_done.wait_for(lambda: not requests.unfinished_tasks, seconds):
            raise RuntimeError("a request to the driver was never done; its log says why")


def load_balancer(tree: dict[str, Any], vip_port_id: str | None = None) -> Any:
    """octavia-lib's object of a tree as the v2 API has it, of which pools and listeners are read as far as OVN goes."""
    from octavia_lib.api.drivers import data_models

    pools = [_pool(pool, tree) for pool in tree["pools"]]
    listeners = [
        data_models.Listener(
            listener_id=one["id"],
            loadbalancer_id=tree["id"],
            protocol=one["protocol"],
            protocol_port=one["protocol_port"],
            default_pool_id=one.get("default_pool_id"),
            admin_state_up=one.get("admin_state_up", True),
        )
        for one in tree["listeners"]
    ]
    made = data_models.LoadBalancer(
        loadbalancer_id=tree["id"],
        admin_state_up=tree.get("admin_state_up", True),
        vip_address=tree["vip_address"],
        vip_network_id=tree["vip_network_id"],
        vip_subnet_id=tree["vip_subnet_id"],
        vip_port_id=vip_port_id,
        listeners=listeners,
        pools=pools,
    )
    if tree.get("additional_vips"):
        made.additional_vips = tree["additional_vips"]
    return made


def member(one: dict[str, Any], pool_id: str) -> Any:
    """octavia-lib's object of a member."""
    from octavia_lib.api.drivers import data_models

    return data_models.Member(
        member_id=one["id"],
        pool_id=pool_id,
        address=one["address"],
        protocol_port=one["protocol_port"],
        subnet_id=one["subnet_id"],
        admin_state_up=one.get("admin_state_up", True),
    )


def _pool(pool: dict[str, Any], tree: dict[str, Any]) -> Any:
    from octavia_lib.api.drivers import data_models

    made = data_models.Pool(
        pool_id=pool["id"],
        loadbalancer_id=tree["id"],
        protocol=pool["protocol"],
        lb_algorithm=pool["lb_algorithm"],
        listener_id=next((one["id"] for one in tree["listeners"] if one.get("default_pool_id") == pool["id"]), None),
        admin_state_up=pool.get("admin_state_up", True),
        members=[member(one, pool["id"]) for one in pool["members"]],
    )
    if pool.get("session_persistence"):
        made.session_persistence = pool["session_persistence"]
    if monitor := pool.get("healthmonitor"):
        made.healthmonitor = data_models.HealthMonitor(
            healthmonitor_id=monitor["id"],
            pool_id=pool["id"],
            type=monitor["type"],
            delay=monitor["delay"],
            timeout=monitor["timeout"],
            max_retries=monitor["max_retries"],
            max_retries_down=monitor["max_retries_down"],
            admin_state_up=monitor.get("admin_state_up", True),
        )
    return made
