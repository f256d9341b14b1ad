"""Run inside a virtual machine whose kernel has IPVS: an agent, keepalived and members, and what becomes of traffic."""

from __future__ import annotations

import contextlib
import re
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
from oslo_config import cfg
from support.appliance import CLIENT, MEMBER_CLIENT, VIP
from support.appliance_site import BOTH_FAMILIES, BOTH_VIPS, MEMBER6, VIP6, Site, an_appliance
from support.authority import TestAuthority
from support.bundles import listener, member, monitor, pool
from support.datagrams import Echoes, flows, spread
from support.patience import eventually

from lbdrivers.drivers.context import DriverContext
from lbdrivers.memory.records import MemoryRecords
from lbdrivers.model.resources import Member
from lbdrivers_amphora import client_settings
from lbdrivers_amphora.client import RestAmphoraDriver

_LIMIT = 180.0
_PORTS = (7001, 7002)
# A row of /proc/net/ip_vs: address and port in hexadecimal, how it is forwarded, weight.
_REAL = re.compile(r"-> \S+:([0-9A-F]{4})\s+Masq\s+(\d+)")


_eventually = partial(eventually, limit=_LIMIT, pause=0.1)


class IpvsSite(Site):
    """With a look into the kernel's table."""

    def balance(self, *members: Member, protocol: str = "UDP", port: int = 53, **fields: Any) -> None:
        each = pool(protocol=protocol, members=members, **fields)
        front = listener(f"front {port}", port, protocol=protocol, default_pool_id=each.id)
        self.configure(front, pools=(each,))

    def table(self) -> str:
        return self.appliance.run("ip", "netns", "exec", "amphora-haproxy", "cat", "/proc/net/ip_vs")

    def members(self) -> dict[str, int]:
        """Weights of the members that IPVS has, by port."""
        return {str(int(port, 16)): int(weight) for port, weight in _REAL.findall(self.table())}

    def spread(self, count: int, vip: str = VIP) -> dict[str, int]:
        with flows(self.appliance.inside, (vip, 53), count) as made:
            return spread(made)


def _server(port: int, address: str = MEMBER_CLIENT, **fields: Any) -> Member:
    return member(str(port), address, port, **fields)


@pytest.fixture(scope="module")
def site() -> Iterator[IpvsSite]:
    authority = TestAuthority()
    configuration = cfg.ConfigOpts()
    configuration([], default_config_files=[], default_config_dirs=[])
    client_settings.read(configuration)
    configuration.set_override("datagram_driver", "keepalived_lvs", "haproxy_amphora")
    context = DriverContext(configuration, MemoryRecords(), lambda _group, _name: authority)
    with an_appliance(authority=authority, speaker=RestAmphoraDriver(context), limit=_LIMIT) as plain:
        plain.add_ipv6()
        plain.plug(*BOTH_FAMILIES)
        yield IpvsSite(plain.appliance, plain.driver, BOTH_VIPS)


@pytest.fixture
def echoes(site: IpvsSite) -> Iterator[Echoes]:
    with Echoes(site.appliance.inside, MEMBER_CLIENT) as made:
        made.open(*_PORTS)
        yield made


def test_the_agent_says_that_its_kernel_can(site: IpvsSite) -> None:
    assert "ipvs" in site.driver.facts(site.appliance.machine, site.appliance.amphora_id).capabilities


def test_weights_are_exact_in_both_families(site: IpvsSite, echoes: Echoes) -> None:
    with Echoes(site.appliance.inside, MEMBER6) as echoes6:
        echoes6.open(*_PORTS)
        six = (member("six 1", MEMBER6, 7001, weight=2), member("six 2", MEMBER6, 7002))
        site.balance(_server(7001, weight=3), _server(7002), *six)
        assert _eventually(lambda: site.spread(8), lambda found: found == {"7001": 6, "7002": 2}), site.table()
        assert _eventually(lambda: site.spread(6, VIP6), lambda found: found == {"7001": 4, "7002": 2}), site.table()


def test_a_source_has_one_member_and_one_that_drains_has_none(site: IpvsSite, echoes: Echoes) -> None:
    site.balance(_server(7001), _server(7002), lb_algorithm="SOURCE_IP")
    (chosen,) = _eventually(lambda: site.spread(6), lambda found: len(found) == 1 and sum(found.values()) == 6)
    drained = [_server(port, weight=int(str(port) != chosen)) for port in _PORTS]
    site.balance(*drained, lb_algorithm="SOURCE_IP")
    (other,) = _eventually(lambda: site.spread(6), lambda found: len(found) == 1 and chosen not in found)
    assert other in {"7001", "7002"} - {chosen}
    assert site.members() == {chosen: 0, other: 1}


@pytest.mark.parametrize("kind", ["UDP-CONNECT", "HTTP", "TCP"])
def test_a_dead_member_leaves_and_comes_back(site: IpvsSite, echoes: Echoes, kind: str) -> None:
    codes = {"expected_codes": "418,200"} if kind == "HTTP" else {}
    probed = monitor(kind, delay=3, timeout=2, max_retries=1, max_retries_down=1, **codes)
    with contextlib.ExitStack() as others:
        doors = {}
        if kind != "UDP-CONNECT":
            doors = {port: others.enter_context(_door(site, port)) for port in _PORTS}
        site.balance(_server(7001), _server(7002), healthmonitor=probed)
        assert _eventually(lambda: site.spread(4), lambda found: found == {"7001": 2, "7002": 2}), site.table()
        if doors:
            doors[7002].shut()
        else:
            echoes.close(7002)
        assert _eventually(lambda: site.spread(4), lambda found: found == {"7001": 4}) == {"7001": 4}, site.table()
        assert site.members() == {"7001": 1}
        if doors:
            doors[7002].open()
        else:
            echoes.open(7002)
        both = {"7001": 2, "7002": 2}
        assert _eventually(lambda: site.spread(4), lambda found: found == both) == both, site.table()


class _Door:
    """A TCP server beside a member that answers requests with 200; shut, it refuses."""

    def __init__(self, site: IpvsSite, port: int) -> None:
        self._site, self._port = site, port
        self._end = threading.Event()
        self._thread: threading.Thread | None = None

    def open(self) -> None:
        made = self._site.appliance.inside(lambda: socket.create_server((MEMBER_CLIENT, self._port)))
        made.settimeout(0.1)
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._serve, args=(made, self._end), daemon=True)
        self._thread.start()

    def shut(self) -> None:
        self._end.set()
        if self._thread is not None:
            self._thread.join()

    @staticmethod
    def _serve(server: socket.socket, end: threading.Event) -> None:
        with server:
            while not end.is_set():
                with contextlib.suppress(OSError):
                    client, _ = server.accept()
                    with client:
                        client.settimeout(5)
                        if client.recv(4096):
                            client.sendall(b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n")


@contextlib.contextmanager
def _door(site: IpvsSite, port: int) -> Iterator[_Door]:
    made = _Door(site, port)
    made.open()
    try:
        yield made
    finally:
        made.shut()


def test_sctp_is_balanced_and_its_members_are_checked(site: IpvsSite) -> None:
    # The checker is a program of its own, and everything is slow in here.
    probed = monitor("SCTP", delay=5, timeout=20, max_retries=1, max_retries_down=1)
    servers = {port: _Association(site, port) for port in _PORTS}
    try:
        site.balance(*map(_server, _PORTS), protocol="SCTP", port=3868, healthmonitor=probed)
        both = {"7001": 2, "7002": 2}
        assert _eventually(lambda: _associations(site, 4), lambda found: found == both) == both, site.table()
        servers[7002].close()
        one = {"7001": 4}
        assert _eventually(lambda: _associations(site, 4), lambda found: found == one) == one, site.table()
        assert site.members() == {"7001": 1}
    finally:
        for server in servers.values():
            server.close()


class _Association:
    """A SCTP server that says its port to everybody."""

    def __init__(self, site: IpvsSite, port: int) -> None:
        self._end = threading.Event()
        self._socket = site.appliance.inside(lambda: _sctp_server(port))
        self._thread = threading.Thread(target=self._serve, args=(str(port).encode(),), daemon=True)
        self._thread.start()

    def _serve(self, word: bytes) -> None:
        with self._socket:
            while not self._end.is_set():
                with contextlib.suppress(OSError):
                    client, _ = self._socket.accept()
                    with client:
                        client.sendall(word)

    def close(self) -> None:
        self._end.set()
        self._thread.join()


def _sctp_server(port: int) -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_SCTP)
    made.bind((MEMBER_CLIENT, port))
    made.listen()
    made.settimeout(0.1)
    return made


def _associations(site: IpvsSite, count: int) -> dict[str, int]:
    def one() -> str:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_SCTP) as client:
            client.settimeout(5)
            client.bind((CLIENT, 0))
            client.connect((VIP, 3868))
            return client.recv(16).decode()

    return dict(Counter(site.appliance.inside(one) for _ in range(count)))
