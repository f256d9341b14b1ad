"""What happens in OVN is followed by the agent, which nobody has to tell: on real databases."""

from __future__ import annotations

import functools
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from support.ovn import (
    PRIVATE,
    PUBLIC,
    PUBLIC_NETWORK,
    OvnCloud,
    listener,
    member,
    monitor,
    ovn_cloud,
    pool,
    tree,
)

from examples.ovn_demo.guests import wait_for
from lbdrivers import registry, settings
from lbdrivers.drivers.addresses import port_id
from lbdrivers.drivers.context import DriverContext
from lbdrivers.model.infra import FixedAddress, PortRequest
from lbdrivers.reconcile.daemon import DaemonContext
from lbdrivers.reconcile.engine import Engine
from lbdrivers.reconcile.outcome import Done
from lbdrivers.store.store import Store
from lbdrivers_ovn import agent, names
from lbdrivers_ovn.external_ids import decode
from lbdrivers_ovn.provider import OvnProvider

A, B = member(31, "10.212.32.11"), member(32, "10.212.32.12")
WATCHED = tree([pool(10, [A, B], healthmonitor=monitor(12))], [listener(20, 80, 10)])


class Deployment:
    """A store with one load balancer, applied, and what an agent says."""

    def __init__(self, cloud: OvnCloud) -> None:
        self.cloud, self.ovn = cloud, cloud.ovn
        folder = cloud.ovn.folder
        file = folder / "agent.conf"
        file.write_text(cloud.ovn.configuration() + "[api_settings]\ndefault_provider_driver = ovn\n")
        configuration = settings.load([file], state_path=folder / "agent")
        self.settings = settings.read(configuration)
        self.store = Store(self.settings.database)
        self.context: DriverContext = registry.make_context(configuration, self.store.records)
        self.provider: OvnProvider = self.context.load(registry.PROVIDERS, "ovn")
        self.engine = Engine(self.store, lambda name: self.context.load(registry.PROVIDERS, name), self.settings)
        self.reader = cloud.provider()
        self.told: list[str] = []

    def member_statuses(self) -> dict[str, str]:
        """As whoever reads the rows finds them."""
        (row,) = self.reader._northbound.rows(WATCHED.id)
        return dict(decode(row.external_ids, "row").member_statuses)

    def shows(self, member_id: str, status: str) -> bool:
        return self.member_statuses()[member_id] == status

    def row(self) -> str:
        return self.ovn.nbctl("list", "Load_Balancer", WATCHED.id)

    @contextmanager
    def agent(self) -> Iterator[None]:
        """The daemon at work."""
        stop = threading.Event()
        context = DaemonContext(self.context, self.store, self.engine, stop, self.told.append, self.told.append)
        thread = threading.Thread(target=agent.run, args=(context,))
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join(30)
        assert not thread.is_alive()


@pytest.fixture
def deployment() -> Iterator[Deployment]:
    with ovn_cloud() as cloud:
        made = Deployment(cloud)
        made.engine.submit(WATCHED)
        assert isinstance(made.engine.run(WATCHED.id), Done)
        yield made
        made.store.close()


def guest_port(deployment: Deployment, name: str, address: str) -> None:
    network = deployment.cloud.network()
    network_id = network.subnet(PRIVATE).network_id
    network.ensure_port(PortRequest(name, network_id, (FixedAddress(PRIVATE, address),)))


def test_routers_ports_and_monitors_are_followed(deployment: Deployment) -> None:
    ovn, switch = deployment.ovn, names.switch(PUBLIC_NETWORK)
    assert set(deployment.member_statuses().values()) == {"ERROR"}, "no port has a member's address"
    with deployment.agent():
        guest_port(deployment, "a", A["address"])
        wait_for(lambda: "10.212.32.11=" in deployment.row().replace('"', ""), "a probe of the member with a port")
        wait_for(lambda: deployment.member_statuses()[A["id"]] == "ONLINE", "its status")

        port = ["lsp-add", switch, "late-end", "--", "lsp-set-type", "late-end", "router"]
        ovn.nbctl(
            "lr-add", "neutron-late", "--", "lrp-add", "neutron-late", "late", "02:00:00:00:00:01", "10.212.16.9/20"
        )
        ovn.nbctl(*port, "--", "lsp-set-options", "late-end", "router-port=late")
        wait_for(lambda: "neutron-late" in deployment.row(), "the new router in the row")
        ovn.nbctl("lsp-del", "late-end", "--", "lr-del", "neutron-late")
        wait_for(lambda: "neutron-late" not in deployment.row(), "the row without the router")

        # A monitor of a port that is on no chassis is always offline.
        ovn.sbctl("chassis-add", "hypervisor", "geneve", "127.0.0.1", "--", "lsp-bind", port_id("a"), "hypervisor")
        wait_for(lambda: ovn.nbctl("lsp-get-up", port_id("a")) == "up", "the port on its chassis")
        wait_for(lambda: ovn.sbctl("--bare", "--columns=_uuid", "list", "Service_Monitor"), "northd's monitor")
        (probe,) = ovn.sbctl("--bare", "--columns=_uuid", "list", "Service_Monitor").split()
        for word, status in (("offline", "ERROR"), ("online", "ONLINE")):
            ovn.sbctl("set", "Service_Monitor", probe, f"status={word}")  # as ovn-controller does
            wait_for(functools.partial(deployment.shows, A["id"], status), f"{status} in the row")


def test_what_happened_while_the_agent_was_away_is_found(deployment: Deployment) -> None:
    deployment.ovn.nbctl("ls-lb-del", names.switch(PUBLIC_NETWORK), WATCHED.id)
    guest_port(deployment, "b", B["address"])
    with deployment.agent():
        wait_for(lambda: "10.212.32.12=" in deployment.row().replace('"', ""), "a probe of the other member")
        attached = deployment.ovn.nbctl("ls-lb-list", names.switch(PUBLIC_NETWORK))
        assert WATCHED.id[:8] in attached


@pytest.mark.long  # databases are reached anew with growing waits
def test_a_database_that_goes_away_is_waited_for(deployment: Deployment) -> None:
    with deployment.agent():
        wait_for(lambda: not deployment.provider.plan(WATCHED, WATCHED), "quiet")
        deployment.ovn.stop("ovsdb-server")
        wait_for(lambda: any("events are not heard" in line for line in deployment.told), "a complaint")
        deployment.ovn.start_databases()
        guest_port(deployment, "a", A["address"])
        wait_for(lambda: "10.212.32.11=" in deployment.row().replace('"', ""), "a probe of the member with a port")


def test_what_would_be_done_is_told_without_being_done(deployment: Deployment) -> None:
    assert deployment.provider.plan(WATCHED, WATCHED) == ()
    before = deployment.row()
    fewer = tree([pool(10, [A], healthmonitor=monitor(12))], [listener(20, 80, 10)])
    told = {one.action for one in deployment.provider.plan(fewer, WATCHED)}
    assert told == {"change vips of a Load_Balancer", "change external_ids of a Load_Balancer"}
    assert deployment.row() == before
    other = tree(id="00000000-0000-4000-8000-000000000002", vip_subnet_id=PUBLIC)
    assert [one.action for one in deployment.provider.plan(other, None)] == ["reserve VIPs and make rows"]
    assert deployment.provider.known() == {WATCHED.id}
