"""A real agent in a box runs a real HAProxy: traffic flows, and each change goes the mildest way."""

from __future__ import annotations

import http.client
import re
import signal
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from support.appliance import CLIENT, MEMBER_CLIENT, MEMBER_MAC, VIP, Appliance
from support.appliance_site import FRONT, Site, an_appliance
from support.bundles import ident, listener, member, policy, pool, rule
from support.haproxy import program
from support.patience import eventually

from lbdrivers.drivers.amphora import (
    DaemonState,
    Interface,
    InterfaceAddress,
)
from lbdrivers.drivers.provider import Mildness
from lbdrivers.errors import PermanentError, TemporaryError
from lbdrivers_amphora.client_transport import Answer
from lbdrivers_amphora.haproxy import translate_rules
from lbdrivers_amphora.site.namespaces import in_namespace
from lbdrivers_amphora.wire import routes
from lbdrivers_amphora.wire.request import Request

_PORTS = (8081, 8082, 8083)


class WebSite(Site):
    """With members that say which one they are."""

    def serve(self, *ports: int, listeners: int = 1) -> Mildness:
        """Members on those ports, behind listeners on 80, 81..."""
        each = pool(members=tuple(member(f"m{port}", CLIENT, port) for port in ports))
        fronts = (listener(f"l{number}", 80 + number, default_pool_id=each.id) for number in range(listeners))
        return self.configure(*fronts, pools=(each,))

    def ask(self, request: Request) -> Answer:
        return self.driver._ask(self.appliance.machine, self.appliance.amphora_id, request)

    def seen(self) -> set[str]:
        """Members that answered over as many requests as round robin needs."""
        return {self.appliance.get()[1] for _ in range(2 * len(_PORTS))}


@pytest.fixture(scope="module", params=["2.6", pytest.param("3.0", marks=pytest.mark.long)])
def site(request: pytest.FixtureRequest) -> Iterator[WebSite]:
    with an_appliance(*FRONT, haproxy=program(request.param)) as plain, plain.appliance.members(*_PORTS):
        yield WebSite(plain.appliance, plain.driver)


class Client:
    """Somebody who asks all the time; ``failures`` must stay empty."""

    def __init__(self, appliance: Appliance) -> None:
        self._appliance = appliance
        self._end = threading.Event()
        self.requests, self.failures = 0, list[str]()
        self._thread = threading.Thread(target=lambda: appliance.inside(self._run))

    def _run(self) -> None:
        while not self._end.is_set():
            connection = http.client.HTTPConnection(VIP, 80, timeout=5)
            try:
                connection.request("GET", "/")
                answer = connection.getresponse()
                answer.read()
                if answer.status != 200:
                    self.failures.append(f"status {answer.status}")
            except (OSError, http.client.HTTPException) as error:
                self.failures.append(repr(error))
            finally:
                connection.close()
            self.requests += 1

    def __enter__(self) -> Client:
        self._thread.start()
        eventually(lambda: self.requests > 20)
        return self

    def __exit__(self, *_error: object) -> None:
        before = self.requests
        eventually(lambda: self.requests > before + 20)
        self._end.set()
        self._thread.join()


def test_facts_say_what_the_appliance_is(site: WebSite) -> None:
    facts = site.facts()
    assert facts.haproxy_version.startswith(("2.6.", "3.0."))
    assert facts.keepalived_version.startswith("2.")
    assert facts.base_path == site.appliance.config.base_path
    assert facts.log_socket is None
    assert facts.haproxy_user == "nobody"
    assert "runtime" in facts.capabilities


def test_a_fresh_configuration_is_started_and_serves(site: WebSite) -> None:
    site.configure()
    assert site.serve(8081) is Mildness.RESTART
    assert site.appliance.get() == (200, "8081")


def test_the_same_again_does_nothing(site: WebSite) -> None:
    site.serve(8081)
    assert site.serve(8081) is Mildness.NOTHING


def test_a_member_is_added_at_runtime_without_a_failed_request(site: WebSite) -> None:
    site.serve(8081)
    before = site.report().haproxy_pids
    with Client(site.appliance) as client:
        assert site.serve(8081, 8082) is Mildness.RUNTIME
        assert eventually(site.seen, lambda seen: seen == {"8081", "8082"}) == {"8081", "8082"}
        assert site.serve(8082) is Mildness.RUNTIME
        assert site.seen() == {"8082"}
    assert client.failures == []
    report = site.report()
    assert report.haproxy_pids == before
    assert [len(entry.members) for entry in report.pools.values()] == [1]


def test_a_listener_is_added_by_a_reload_without_a_failed_request(site: WebSite) -> None:
    site.serve(8081)
    before = site.report().haproxy_pids
    with Client(site.appliance) as client:
        assert site.serve(8081, listeners=2) is Mildness.RELOAD
        assert site.appliance.get(81) == (200, "8081")
        # At once again: a signal that comes too early must not be lost.
        assert site.serve(8081, listeners=3) is Mildness.RELOAD
        assert site.appliance.get(82) == (200, "8081")
    assert client.failures == []
    assert site.report().haproxy_pids == before


def test_totals_survive_reloads_and_crashes(site: WebSite) -> None:
    site.serve(8081)
    for _ in range(10):
        site.appliance.get()

    def total() -> int:
        return sum(entry.total_connections for _, entry in site.report().listeners.values())

    before = total()
    assert before >= 10
    site.serve(8081, listeners=2)
    assert total() >= before
    # What the old worker served in its very last moment is nobody's; from then on all counts again.
    for _ in range(20):
        site.appliance.get()
    assert total() >= before + 10
    site.appliance.signal(site.report().haproxy_pids[0], signal.SIGKILL)
    assert eventually(lambda: site.appliance.get()[0]) == 200
    # Its socket may answer a moment after its port.
    assert eventually(total, lambda found: found >= before + 10) >= before + 10


def test_a_bad_file_is_refused_with_haproxys_words_and_the_old_one_runs_on(site: WebSite) -> None:
    site.serve(8081)
    made = site.bundle().load_balancer.id
    before = site.report().revisions
    answer = site.ask(routes.UploadHaproxy(site.appliance.amphora_id, made, b"frontend x\n    bind nonsense\n"))
    assert answer.status == 400
    assert "ALERT" in answer.words and "bind" in answer.words
    assert site.appliance.get() == (200, "8081")
    assert site.report().revisions == before
    assert site.ask(routes.ActOnBalancer(made, "reload")).status == 202
    assert site.appliance.get() == (200, "8081")


def test_a_reload_that_fails_is_reported_and_the_old_configuration_stays(site: WebSite) -> None:
    site.serve(8081)
    balancer = site.bundle().load_balancer.id
    good = site.ask(routes.GetHaproxy(balancer)).content
    # Passes haproxy -c, but the address cannot be bound: it is another socket's.
    bad = good + b"\nfrontend second\n    mode http\n    timeout client 1s\n    bind 127.0.0.1:9\n"
    with in_namespace(site.appliance.traffic, lambda: socket.create_server(("127.0.0.1", 9))):
        assert site.ask(routes.UploadHaproxy(site.appliance.amphora_id, balancer, bad)).status == 202
        answer = site.ask(routes.ActOnBalancer(balancer, "reload"))
    assert answer.status == 500, answer.words
    assert "127.0.0.1:9" in answer.words
    assert eventually(lambda: site.appliance.get()[0]) == 200
    assert site.ask(routes.GetHaproxy(balancer)).content == good
    # And the way back into a good state is an ordinary change.
    assert site.serve(8081, 8082, listeners=2) is Mildness.RELOAD
    assert eventually(site.seen, lambda seen: len(seen) == 2) == {"8081", "8082"}


def test_a_foreign_configuration_is_reloaded(site: WebSite) -> None:
    site.serve(8081)
    balancer = site.bundle().load_balancer.id
    good = site.ask(routes.GetHaproxy(balancer)).content
    foreign = good.replace(b"# Configuration for loadbalancer", b"# Somebody else's", 1)
    foreign = foreign.replace(b"global\n", b"global\n    group nogroup\n", 1)
    site.ask(routes.UploadHaproxy(site.appliance.amphora_id, balancer, foreign))
    answer = site.ask(routes.ActOnBalancer(balancer, "reload"))
    assert (answer.status, b'"transition":"reload"' in answer.content.replace(b" ", b"")) == (202, True)
    assert b"group" not in site.ask(routes.GetHaproxy(balancer)).content
    assert site.appliance.get() == (200, "8081")


def test_only_the_process_s_own_group_gives_way(site: WebSite) -> None:
    site.serve(8081)
    balancer = site.bundle().load_balancer.id
    good = site.ask(routes.GetHaproxy(balancer)).content.decode()
    users = "\nuserlist people\n    group admins users anna\n    user anna insecure-password x\n"
    rule = '    http-request return status 418 content-type text/plain string "my group x" if { path / }\n'
    frontend, mode = re.search(r"^frontend .*\n", good, re.MULTILINE), "    mode http\n"
    assert frontend is not None
    at = good.index(mode, frontend.end()) + len(mode)
    wanted = good[:at] + rule + good[at:] + users
    uploaded = wanted.replace("global\n", "global\n\tgroup  nogroup # no rights\n", 1).encode()
    assert site.ask(routes.UploadHaproxy(site.appliance.amphora_id, balancer, uploaded)).status == 202
    assert site.ask(routes.GetHaproxy(balancer)).content.decode() == wanted
    assert site.ask(routes.ActOnBalancer(balancer, "reload")).status == 202
    assert eventually(site.appliance.get, lambda answer: answer[0] == 418) == (418, "my group x")


def test_a_killed_haproxy_is_started_again(site: WebSite) -> None:
    site.serve(8081)
    (before,) = site.report().haproxy_pids
    site.appliance.signal(before, signal.SIGKILL)
    (after,) = eventually(lambda: site.report().haproxy_pids, lambda pids: bool(pids) and pids != (before,))
    assert after != before
    assert eventually(lambda: site.appliance.get()[0]) == 200
    assert site.serve(8081) is Mildness.NOTHING


def test_daemons_outlive_the_agent_and_are_adopted(site: WebSite) -> None:
    site.serve(8081, 8082)
    (before,) = site.report().haproxy_pids
    site.appliance.kill_agent()
    assert site.appliance.get()[0] == 200
    site.appliance.start_agent()
    report = eventually(site.report)
    assert report.haproxy_pids == (before,)
    assert report.holds_vip
    assert site.serve(8081) is Mildness.RUNTIME
    site.appliance.signal(before, signal.SIGKILL)
    assert eventually(lambda: site.report().haproxy_pids, lambda pids: bool(pids) and pids != (before,))
    assert eventually(lambda: site.appliance.get()[0]) == 200


def test_without_listeners_haproxy_stops_and_stays_stopped(site: WebSite) -> None:
    site.serve(8081)
    assert site.configure() is Mildness.RESTART
    assert site.report().haproxy is DaemonState.STOPPED
    assert site.configure() is Mildness.NOTHING
    assert site.report().holds_vip
    assert site.serve(8081) is Mildness.RESTART


def test_a_stopped_haproxy_is_not_started_behind_our_back(site: WebSite) -> None:
    site.serve(8081)
    balancer = site.bundle().load_balancer.id
    assert site.ask(routes.ActOnBalancer(balancer, "stop")).status == 202
    time.sleep(0.6)  # three rounds of supervision
    assert site.report().haproxy is DaemonState.STOPPED
    assert site.ask(routes.ActOnBalancer(balancer, "start")).status == 202
    assert site.appliance.get()[0] == 200


def test_a_member_network_comes_and_goes(site: WebSite) -> None:
    appliance = site.appliance
    more = Interface(MEMBER_MAC, 1400, (InterfaceAddress("10.1.0.5", "10.1.0.0/24"),))
    site.driver.plug(appliance.machine, appliance.amphora_id, (*FRONT, more))
    site.driver.plug(appliance.machine, appliance.amphora_id, (*FRONT, more))
    inside = appliance.run("ip", "-n", "amphora-haproxy", "address", "show", "dev", "eth2")
    assert "10.1.0.5/24" in inside and "mtu 1400" in inside
    assert "1 received" in appliance.run("ip", "netns", "exec", "amphora-haproxy", "ping", "-c1", "-W2", MEMBER_CLIENT)
    changed = replace(more, addresses=(InterfaceAddress("10.1.0.6", "10.1.0.0/24"),))
    site.driver.plug(appliance.machine, appliance.amphora_id, (*FRONT, changed))
    inside = appliance.run("ip", "-n", "amphora-haproxy", "address", "show", "dev", "eth2")
    assert "10.1.0.6/24" in inside and "10.1.0.5" not in inside
    site.driver.plug(appliance.machine, appliance.amphora_id, FRONT)
    assert "eth2" not in appliance.run("ip", "-n", "amphora-haproxy", "link")
    assert MEMBER_MAC in appliance.run("ip", "link")
    site.driver.plug(appliance.machine, appliance.amphora_id, FRONT)


def test_a_port_that_has_not_arrived_is_a_temporary_error(site: WebSite) -> None:
    appliance = site.appliance
    absent = Interface("02:00:00:00:00:99", 1500, (InterfaceAddress("10.9.0.5", "10.9.0.0/24"),))
    with pytest.raises(TemporaryError) as caught:
        site.driver.plug(appliance.machine, appliance.amphora_id, (*FRONT, absent))
    assert caught.value.retry_after is not None


def test_what_is_not_served_says_so(site: WebSite) -> None:
    raw = site.driver._line(site.appliance.machine, site.appliance.amphora_id)
    assert raw.ask(_Raw("PUT", "/1.0/listeners/a/b/udp_listener")).status == 501
    assert raw.ask(_Raw("PUT", "/1.0/interface/10.0.0.1/rules")).status == 501
    unknown = raw.ask(_Raw("GET", "/1.0/nothing"))
    assert (unknown.status, b'"http_code":404' in unknown.content.replace(b" ", b"")) == (404, True)
    assert raw.ask(_Raw("PUT", "/1.0/loadbalancer/x/haproxy")).status == 400
    assert raw.ask(_Raw("DELETE", "/1.0/info")).status == 405


class _Raw(Request):
    def __init__(self, method: str, path: str) -> None:
        self.__dict__.update(METHOD=method, _path=path)

    def target(self) -> str:
        return str(self.__dict__["_path"])


def test_secrets_on_disk_are_for_root_alone(site: WebSite) -> None:
    site.serve(8081)
    balancer = site.bundle().load_balancer.id
    assert site.ask(routes.PutCertificate(balancer, "abc.pem", b"secret")).status == 200
    assert site.ask(routes.PutCertificate(balancer, "passwd", b"x")).status == 400
    path = Path(site.appliance.config.base_cert_dir) / balancer / "abc.pem"
    assert path.stat().st_mode & 0o777 == 0o600
    target = site.appliance.folder / "elsewhere"
    target.write_bytes(b"untouched")
    path.unlink()
    path.symlink_to(target)
    assert site.ask(routes.PutCertificate(balancer, "abc.pem", b"new")).status == 200
    assert (target.read_bytes(), path.is_symlink(), path.read_bytes()) == (b"untouched", False, b"new")
    assert site.ask(routes.DeleteCertificate(balancer, "abc.pem")).status == 200
    assert site.ask(routes.GetCertificate(balancer, "abc.pem")).status == 404


def test_an_address_that_is_taken_is_told_of_its_listener(site: WebSite) -> None:
    site.serve(8081)
    with (
        in_namespace(site.appliance.traffic, lambda: socket.create_server((VIP, 81))),
        pytest.raises(TemporaryError) as caught,
    ):
        site.serve(8081, listeners=2)
    assert f"listener 'l1' ({ident('l1')})" in caught.value.user
    assert "cannot bind socket (Address already in use)" in caught.value.user
    assert site.appliance.folder.name not in caught.value.user
    assert "haproxy.cfg:" in caught.value.operator
    assert eventually(lambda: site.appliance.get()[0]) == 200


def test_a_refused_configuration_is_told_of_its_rule_and_never_runs(
    site: WebSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a door that lets through what PCRE2 does not take: the daemon is the last to say no."""
    site.serve(8081)
    before = site.report().revisions
    monkeypatch.setattr(translate_rules, "regex", translate_rules.pattern)
    bad = rule("bad", "PATH", "REGEX", "(?P<\u00e9>x)")
    with pytest.raises(PermanentError) as caught:
        site.configure(listener("l0", 80, l7policies=(policy("p", "REJECT", bad),)))
    assert caught.value.object_id == bad.id
    assert caught.value.user.startswith(f"HAProxy refused the configuration: l7rule {bad.id}: ")
    assert "subpattern name expected" in caught.value.user
    assert site.report().revisions == before
    assert site.appliance.get() == (200, "8081")
