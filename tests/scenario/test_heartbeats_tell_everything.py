"""Statuses, statistics and failover out of heartbeats alone, on real daemons. The tests build on one another."""

from __future__ import annotations

import http.client
import json
import subprocess
import time
from collections.abc import Iterator
from dataclasses import asdict
from functools import partial
from typing import Any

import pytest
from scenario.conftest import PROGRAM, VIP, Lab, document

from lbdrivers.drivers.provider import Statistics

KEY = "a-key-of-this-scenario-alone-0123456789"
CONFIGURATION = f"""
[health_manager]
bind_ip = 10.211.0.1
controller_ip_port_list = 10.211.0.1:5555
heartbeat_key = {KEY}
heartbeat_interval = 1
heartbeat_timeout = 3
health_check_interval = 0.2
flush_interval = 0.2
failover_grace = 30
"""
#: Port of the listener that looks into nothing, so that it counts what is on the wire.
PLAIN = 81
#: Said to a server behind it, which answers and ends the connection.
QUESTION = b"GET / HTTP/1.1\r\nHost: example.org\r\nConnection: close\r\n\r\n"


def balancer() -> dict[str, Any]:
    """An HTTP and a TCP listener before the same servers."""
    body = document()
    (front,) = body["loadbalancer"]["listeners"]
    pool = {"name": "plain", "protocol": "TCP", "lb_algorithm": "ROUND_ROBIN"}
    pool["members"] = front["default_pool"]["members"]
    listener = {"name": "plain", "protocol": "TCP", "protocol_port": PLAIN, "default_pool": pool}
    body["loadbalancer"]["listeners"].append(listener)
    return body


@pytest.fixture(scope="module", autouse=True)
def created(lab: Lab) -> None:
    config = lab.file.with_suffix(".conf")
    config.write_text(CONFIGURATION)
    lab.options = ("--config-file", str(config))
    lab.run("apply", lab.write(balancer()))


class Manager:
    """The health manager's process; what it says goes to a file."""

    def __init__(self, lab: Lab) -> None:
        self._log = lab.file.with_suffix(".log")
        with self._log.open("ab") as log:
            command = [PROGRAM, "--state", str(lab.state), *lab.options, "health-manager"]
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    @property
    def said(self) -> str:
        return self._log.read_text()

    def end(self) -> int:
        self.process.terminate()
        return self.process.wait(30)


@pytest.fixture(scope="module")
def manager(lab: Lab, created: None) -> Iterator[Manager]:
    made = Manager(lab)
    try:
        yield made
    finally:
        made.process.kill()
        made.process.wait()


def operating(lab: Lab) -> str:
    """As the health manager wrote it down; asking the command takes longer than most of what is waited for."""
    identity = lab.ledger.balancers()[0].id
    found = lab.ledger.operating(identity)
    return "" if found is None else found.statuses[identity].value


def counted(lab: Lab) -> dict[str, Statistics]:
    """By listener, as the health manager wrote it down."""
    total: dict[str, Statistics] = {}
    for amphora in lab.ledger.heard(lab.ledger.balancers()[0].id).values():
        for listener, statistics in amphora.statistics.items():
            total[listener] = total.get(listener, Statistics()) + statistics
    return total


def total_connections(lab: Lab) -> int:
    return sum(one.total_connections for one in counted(lab).values())


def await_heartbeats(lab: Lab, number: int) -> None:
    """So many more of each amphora, written down."""

    def sequences() -> dict[str, int]:
        return {name: one.sequence for name, one in lab.ledger.heard(lab.ledger.balancers()[0].id).items()}

    before = sequences()
    lab.eventually(lambda: all(after >= before[name] + number for name, after in sequences().items()))


def answer(lab: Lab, question: bytes) -> bytes:
    """All that one connection to the TCP listener brings."""
    with lab.world.open_from_client(VIP, PLAIN, 5.0) as connection:
        connection.sendall(question)
        return b"".join(iter(partial(connection.recv, 1 << 16), b""))


def test_cut_off_it_is_offline_with_statistics_0_and_show_says_why(lab: Lab) -> None:
    assert lab.client().burst(10) == {"web-1": 5, "web-2": 5}
    shown = lab.ask("show", "web")
    assert (shown["provisioning_status"], shown["operating_status"]) == ("ACTIVE", "OFFLINE")
    assert set(lab.ask("stats", "web")["total"].values()) == {0}
    text = lab.run("show", "web").stdout
    assert text.count("no health manager is listening; run: lbdrivers health-manager") == 2


def test_heard_it_is_online_and_the_five_counters_are_exact(lab: Lab, manager: Manager) -> None:
    lab.eventually(lambda: operating(lab) == "ONLINE")
    assert lab.client().burst(40) == {"web-1": 20, "web-2": 20}
    answers = [answer(lab, QUESTION) for _ in range(7)]
    assert all(one.endswith((b"web-1\n", b"web-2\n")) for one in answers)
    listeners = {one["name"]: one["id"] for one in lab.ask("stats", "web")["listeners"]}
    with lab.world.open_from_client(VIP, PLAIN, 5.0):
        # To the byte: what seven connections have carried, and one that is open and silent.
        wire = Statistics(1, 7 * len(QUESTION), sum(map(len, answers)), 0, 8)
        lab.eventually(lambda: counted(lab).get(listeners["plain"]) == wire)
        await_heartbeats(lab, 2)
        told = {one["name"]: one for one in lab.ask("stats", "web")["listeners"]}
        assert {name: told["plain"][name] for name in asdict(wire)} == asdict(wire)
    assert lab.ask("show", "web")["operating_status"] == "ONLINE"
    assert "no health manager" not in lab.run("show", "web").stdout
    # The ten that came while nobody was heard are in it. Bytes of HTTP are those of HAProxy's own form of a message.
    web = counted(lab)[listeners["http"]]
    assert (web.total_connections, web.requests, web.request_errors, web.active_connections) == (50, 50, 0, 0)
    assert web.bytes_in % 50 == 0 and web.bytes_in > 0
    assert web.bytes_out % 25 == 0 and web.bytes_out > web.bytes_in


def test_requests_and_errors_are_counted_and_not_connections_alone(lab: Lab, manager: Manager) -> None:
    (listener,) = [one["id"] for one in lab.ask("stats", "web")["listeners"] if one["name"] == "http"]
    before = counted(lab)[listener]
    connection = http.client.HTTPConnection(VIP)
    connection.sock = lab.world.open_from_client(VIP, 80, 5.0)
    for _ in range(3):
        connection.request("GET", "/")
        assert connection.getresponse().read() in (b"web-1\n", b"web-2\n")
    connection.close()
    with lab.world.open_from_client(VIP, 80, 5.0) as raw:
        raw.sendall(b"no request\r\n\r\n")
        assert raw.recv(1 << 16).startswith(b"HTTP/1.1 400 ")
    wanted = (before.total_connections + 2, before.requests + 4, before.request_errors + 1)

    def found() -> tuple[int, int, int]:
        now = counted(lab)[listener]
        return now.total_connections, now.requests, now.request_errors

    lab.eventually(lambda: found() == wanted)
    await_heartbeats(lab, 2)
    assert found() == wanted


def test_top_tells_rates_between_heartbeats(lab: Lab, manager: Manager) -> None:
    looking = subprocess.Popen(
        [PROGRAM, "--state", str(lab.state), *lab.options, "top", "--json", "--interval", "3"], stdout=subprocess.PIPE
    )
    client = lab.client()
    while looking.poll() is None:
        assert client.burst(10)["failed"] == 0
        time.sleep(0.1)
    assert looking.stdout is not None and looking.returncode == 0
    (found,) = json.load(looking.stdout)["loadbalancers"]
    assert found["operating_status"] == "ONLINE"
    holder, other = sorted(found["appliances"], key=lambda one: not one["holds_vip"])
    assert found["rates"]["connections"] == pytest.approx(holder["rates"]["connections"])
    assert holder["rates"]["connections"] > 5
    # A connection is counted when it comes, its request when it is answered: a few may be on their way at each end.
    assert found["rates"]["requests"] == pytest.approx(found["rates"]["connections"], rel=0.1)
    assert found["rates"]["bytes_out"] > found["rates"]["bytes_in"] > 0
    assert other["rates"]["connections"] == 0
    assert all(time.time() - one["heard_at"] < 10 for one in (holder, other))


def test_a_member_that_stops_is_told(lab: Lab, manager: Manager) -> None:
    lab.world.stop("web-1")
    lab.eventually(lambda: operating(lab) == "DEGRADED")
    lab.world.serve("web-1", "10.211.32.11", 8080)
    lab.eventually(lambda: operating(lab) == "ONLINE")


def test_a_dead_amphora_is_replaced_without_anybody_asking(lab: Lab, manager: Manager) -> None:
    before = lab.ask("stats", "web")["total"]["total_connections"]
    appliances = lab.ask("show", "web")["appliances"]
    holder = next(one["id"] for one in appliances if one["holds_vip"])
    lab.world.kill_amphora(holder)
    assert lab.client().until_answered(limit=20) is not None

    def whole() -> bool:
        heard = lab.ledger.heard(lab.ledger.balancers()[0].id)
        return len(heard) == 2 and holder not in heard and not any(one.silent for one in heard.values())

    lab.eventually(whole, limit=60)
    lab.eventually(lambda: operating(lab) == "ONLINE")
    assert [one["remark"] for one in lab.ask("show", "web")["appliances"]] == ["", ""]
    assert f"amphora {holder}" in manager.said
    assert lab.client().burst(10)["failed"] == 0
    lab.eventually(lambda: lab.ask("stats", "web")["total"]["total_connections"] >= before + 10)


def test_a_restarted_health_manager_fails_nothing_over_at_once(lab: Lab, manager: Manager) -> None:
    appliances = {one["id"] for one in lab.ask("show", "web")["appliances"]}
    manager.process.kill()
    manager.process.wait()
    again = Manager(lab)
    try:
        names = {one.name for one in lab.ledger.listening()}
        lab.eventually(lambda: {one.name for one in lab.ledger.listening()} > names)
        lab.eventually(lambda: operating(lab) == "ONLINE")
        assert {one["id"] for one in lab.ask("show", "web")["appliances"]} == appliances
    finally:
        assert again.end() == 0


@pytest.mark.long
def test_a_zombie_is_removed_and_its_place_can_be_filled(lab: Lab) -> None:
    """Its record says that it was removed; its machine, as after a cloud's mistake, runs and speaks."""
    manager = Manager(lab)
    try:
        lab.eventually(lambda: operating(lab) == "ONLINE")
        zombie = next(one for one in lab.ask("show", "web")["appliances"] if not one["holds_vip"])["id"]
        lab.ledger.forget_amphora(zombie, time.time())
        lab.eventually(lambda: f"removed of amphora {zombie}: machine amphora-{zombie}" in manager.said)
        assert f"amphora-{zombie}" not in lab.machines() and len(lab.machines()) == 1
        assert lab.run("orphans").stdout.strip() == "no orphans"
        assert lab.client().burst(10)["failed"] == 0
        lab.run("failover", "web")
        assert len(lab.machines()) == 2
    finally:
        assert manager.end() == 0


@pytest.mark.long
def test_the_fleet_changes_over_to_octavias_form_and_goes_on_counting(lab: Lab, manager: Manager) -> None:
    """The health managers first, then each amphora: nobody is failed over, nothing is counted twice."""
    manager.process.kill()
    manager.process.wait()
    appliances = {one["id"] for one in lab.ask("show", "web")["appliances"]}
    file = lab.file.with_suffix(".conf")
    file.write_text(CONFIGURATION + "heartbeat_form = octavia\nprevious_heartbeat_form = lbdrivers\n")
    again = Manager(lab)
    try:
        lab.eventually(lambda: "2 amphorae may still speak in the previous" in again.said)
        assert lab.client().burst(20)["failed"] == 0
        time.sleep(3)  # a whole timeout: who is not understood would be silent by now
        before = total_connections(lab)
        lab.run("maintain")
        told = {one.told_heartbeats.partition("-")[0] for one in lab.ledger.all_amphorae()}
        assert told == {"octavia"}
        lab.eventually(lambda: "no amphora needs to speak any more in the previous" in again.said)
        assert lab.client().burst(40)["failed"] == 0
        lab.eventually(lambda: total_connections(lab) >= before + 40)
        time.sleep(4)
        assert total_connections(lab) == before + 40
        assert {one["id"] for one in lab.ask("show", "web")["appliances"]} == appliances
        assert operating(lab) == "ONLINE" and "failover" not in again.said.rpartition("may still speak")[2]
    finally:
        assert again.end() == 0


def test_delete_leaves_nothing(lab: Lab) -> None:
    lab.run("delete", "web")
    assert (lab.machines(), lab.ports()) == (set(), [])
