"""A real agent sends heartbeats: to its controllers in turn, in either form, silent without its keepalived."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest
from support.appliance import CLIENT, MAC, VIP, Appliance
from support.appliance_site import OWN, an_appliance
from support.bundles import bundle, listener, member, pool, tree

from lbdrivers.drivers.amphora import Bundle, Interface, InterfaceAddress, Peer, Role, Topology, Vip, VrrpTimers
from lbdrivers.model.secret import Secret
from lbdrivers_amphora.client import RestAmphoraDriver
from lbdrivers_amphora.wire import agent_config, heartbeat
from lbdrivers_amphora.wire.heartbeat import Form, Heartbeat
from lbdrivers_amphora.wire.report import Totals

KEY = "a-key-of-this-test-alone-0123456789"
VIPS = (Vip(VIP, "10.0.0.0/24", CLIENT),)
MEMBER_PORT = 9003


def _bundle(appliance: Appliance) -> Bundle:
    own = Peer(appliance.amphora_id, OWN, Role.MASTER, 100)
    each = pool(members=(member("m", CLIENT, MEMBER_PORT),))
    whole = tree((listener(default_pool_id=each.id),), (each,))
    made = bundle(whole, Topology.ACTIVE_STANDBY, VIPS, timers=VrrpTimers(check_interval=1))
    return replace(made, amphora_id=own.amphora_id, peers=(own,))


@pytest.fixture(scope="module")
def site() -> Iterator[tuple[Appliance, RestAmphoraDriver]]:
    interface = Interface(MAC, 1500, (InterfaceAddress(OWN, "10.0.0.0/24"),), VIPS)
    with (
        an_appliance(interface, topology=agent_config.ACTIVE_STANDBY) as made,
        made.appliance.members(MEMBER_PORT),
    ):
        made.driver.configure(made.appliance.machine, _bundle(made.appliance))
        yield made.appliance, made.driver


@contextlib.contextmanager
def controllers(appliance: Appliance, number: int) -> Iterator[list[socket.socket]]:
    """Sockets in the appliance's main namespace that heartbeats can be sent to."""
    found = []
    with contextlib.ExitStack() as stack:
        for _ in range(number):
            one = appliance.inside(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            stack.enter_context(one)
            one.bind(("127.0.0.1", 0))
            one.settimeout(20)
            found.append(one)
        yield found


def configure(
    site: tuple[Appliance, RestAmphoraDriver], form: Form, receivers: list[socket.socket], interval: int = 1
) -> None:
    appliance, client = site
    places = tuple(f"127.0.0.1:{one.getsockname()[1]}" for one in receivers)
    config = replace(
        appliance.config,
        controller_ip_port_list=places,
        heartbeat_interval=interval,
        heartbeat_key=KEY,
        heartbeat_form=form,
    )
    client.reconfigure(appliance.machine, appliance.amphora_id, Secret(agent_config.render(config).encode()))


def receive(receiver: socket.socket) -> Heartbeat:
    datagram = receiver.recv(1 << 16)
    if heartbeat.form_of(datagram) is Form.OWN:
        assert heartbeat.is_authentic_own(datagram, KEY.encode())
        return heartbeat.open_own(datagram, heartbeat.header_of(datagram))
    stream = heartbeat.stream_octavia(datagram, KEY.encode())
    assert stream is not None
    return heartbeat.open_octavia(stream)


def until_served(receiver: socket.socket) -> Heartbeat:
    """The first that says that the member is checked and the VIP is here."""
    deadline = time.monotonic() + 20
    while True:
        beat = receive(receiver)
        states = [word for pool in beat.pools.values() for word in pool.members.values()]
        if states and all(word in ("UP", "no check") for word in states) and beat.holds_vip in (True, None):
            return beat
        assert time.monotonic() < deadline, beat


def test_controllers_get_heartbeats_in_turn(site) -> None:
    appliance, _ = site
    with controllers(appliance, 2) as receivers:
        configure(site, Form.OWN, receivers)
        first, second, third = (receive(receivers[n]) for n in (0, 1, 0))
        assert {first.amphora_id, second.amphora_id} == {appliance.amphora_id}
        assert first.epoch == second.epoch
        assert [second.sequence - first.sequence, third.sequence - second.sequence] == [1, 1]


def test_what_is_said_is_what_is_there_and_counts_exactly(site) -> None:
    appliance, _ = site
    with controllers(appliance, 1) as receivers:
        configure(site, Form.OWN, receivers)
        before = until_served(receivers[0])
        assert before.holds_vip is True
        (name,) = before.listeners
        assert before.listeners[name].status == "OPEN"
        for _ in range(5):
            assert appliance.get() == (200, str(MEMBER_PORT))
        deadline = time.monotonic() + 20
        while True:
            after = receive(receivers[0]).listeners[name].counters
            if after.total_connections - before.listeners[name].counters.total_connections >= 5:
                break
            assert time.monotonic() < deadline, after
        assert after.total_connections - before.listeners[name].counters.total_connections == 5


def test_octavias_form_adds_up_across_a_new_life_of_the_agent(site) -> None:
    appliance, client = site
    with controllers(appliance, 1) as receivers:
        configure(site, Form.OCTAVIA, receivers)
        seen = receive(receivers[0])
        (name,) = seen.listeners
        assert seen.deltas
        for _ in range(3):
            appliance.get()
        told = Totals()
        appliance.kill_agent()
        appliance.start_agent()
        deadline = time.monotonic() + 20
        while told.total_connections < 3:
            told = told + receive(receivers[0]).listeners[name].counters
            assert time.monotonic() < deadline, (told, appliance.console)
        assert told.total_connections == 3
        assert client.report(appliance.machine, appliance.amphora_id).holds_vip


def test_without_its_keepalived_it_is_silent(site) -> None:
    appliance, _ = site
    with controllers(appliance, 1) as receivers:
        configure(site, Form.OWN, receivers)
        until_served(receivers[0])
        # What should run and does not: a configuration whose keepalived is not started.
        appliance.run("mv", f"{appliance.config.base_path}/vrrp/octavia-keepalived.pid", f"{appliance.folder}/away")
        try:
            receivers[0].settimeout(0.1)
            with contextlib.suppress(TimeoutError):  # one may have been on its way
                receivers[0].recv(1 << 16)
            receivers[0].settimeout(3.5)
            with pytest.raises(TimeoutError):
                receivers[0].recv(1 << 16)
        finally:
            appliance.run("mv", f"{appliance.folder}/away", f"{appliance.config.base_path}/vrrp/octavia-keepalived.pid")
        receivers[0].settimeout(20)
        assert receive(receivers[0]).amphora_id == appliance.amphora_id
