"""A scrape of a PROMETHEUS listener, through the VIP of a real appliance, speaks of listeners, pools and members."""

from __future__ import annotations

import contextlib
import http.client
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TypeVar

import pytest
from support.appliance import CLIENT, MAC, VIP, Appliance, driver
from support.authority import TestAuthority
from support.bundles import bundle, ident, listener, member, pool, tree

from lbdrivers.drivers.amphora import Interface, InterfaceAddress, Peer, Role, Vip
from lbdrivers.drivers.provider import Mildness
from lbdrivers.errors import TemporaryError
from lbdrivers.model.resources import Listener
from lbdrivers_amphora.client import RestAmphoraDriver

T = TypeVar("T")
_LIMIT = 20.0
_OWN = "10.0.0.11"
_MEMBER, _WEB, _METRICS = 8081, 80, 8088
_POOL = pool(members=(member("m", CLIENT, _MEMBER),))
_FRONT = listener("web", _WEB, default_pool_id=_POOL.id)
_EXPORTER = listener("metrics", _METRICS, protocol="PROMETHEUS")


def _eventually(probe: Callable[[], T], good: Callable[[T], bool] = bool) -> T:
    deadline = time.monotonic() + _LIMIT
    while True:
        try:
            value = probe()
            if good(value) or time.monotonic() > deadline:
                return value
        except (TemporaryError, OSError, http.client.HTTPException):
            if time.monotonic() > deadline:
                raise
        time.sleep(0.02)


class Site:
    def __init__(self, appliance: Appliance, speaker: RestAmphoraDriver) -> None:
        self.appliance, self.driver = appliance, speaker

    def configure(self, *listeners: Listener) -> Mildness:
        own = Peer(self.appliance.amphora_id, _OWN, Role.STANDALONE, 100)
        made = bundle(tree(listeners, (_POOL,)), vips=(Vip(VIP, "10.0.0.0/24"),))
        wanted = replace(made, amphora_id=own.amphora_id, peers=(own,))
        return self.driver.configure(self.appliance.machine, wanted)

    def scrape(self, path: str = "/metrics") -> tuple[int, str, str]:
        """Status, content type and text."""

        def request() -> tuple[int, str, str]:
            connection = http.client.HTTPConnection(VIP, _METRICS, timeout=10)
            with contextlib.closing(connection):
                connection.request("GET", path)
                answer = connection.getresponse()
                return answer.status, answer.getheader("Content-Type", ""), answer.read().decode()

        return self.appliance.inside(request)

    def programs(self) -> list[str]:
        return self.appliance.run("pgrep", "-f", "lbdrivers_amphora.agent.prometheus_proxy").split()


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    authority = TestAuthority()
    appliance = Appliance(authority)
    try:
        made = Site(appliance, driver(authority))
        _eventually(lambda: made.driver.facts(appliance.machine, appliance.amphora_id))
        own = InterfaceAddress(_OWN, "10.0.0.0/24")
        vip = Interface(MAC, 1500, (own,), (Vip(VIP, "10.0.0.0/24"),))
        made.driver.plug(appliance.machine, appliance.amphora_id, (vip,))
        with appliance.members(_MEMBER):
            yield made
    except BaseException:
        print(appliance.console)
        raise
    finally:
        appliance.close()


def test_a_scrape_tells_what_was_served(site: Site) -> None:
    site.configure(_FRONT, _EXPORTER)
    assert _eventually(lambda: site.appliance.get(_WEB)[0], lambda status: status == 200) == 200
    status, kind, text = _eventually(site.scrape, lambda answer: answer[0] == 200)
    assert (status, kind) == (200, "text/plain; version=0.0.4")
    samples = dict(line.rpartition(" ")[::2] for line in text.splitlines() if not line.startswith("#"))
    behind = f"{_POOL.id}:{_FRONT.id}"
    assert int(samples[f'octavia_listener_http_requests_total{{listener="{_FRONT.id}"}}']) >= 1
    assert samples[f'octavia_member_status{{pool="{behind}",member="{ident("m")}",state="UP"}}'] == "1"
    assert samples[f'octavia_pool_active_members{{pool="{behind}"}}'] == "1"
    assert int(samples["octavia_loadbalancer_requests_total"]) >= 1
    assert float(samples["octavia_memory_pool_used_bytes"]) > 0
    assert 0 < float(samples["octavia_loadbalancer_memory"]) < 100
    assert f'listener="{_EXPORTER.id}"' in text
    assert "haproxy" not in "".join(samples)
    assert "prometheus-exporter" not in text


def test_only_metrics_are_told(site: Site) -> None:
    site.configure(_FRONT, _EXPORTER)
    assert _eventually(lambda: site.scrape("/"), lambda answer: answer[0] == 404)[0] == 404


def test_the_listener_is_open_and_its_machinery_is_no_listener(site: Site) -> None:
    site.configure(_FRONT, _EXPORTER)
    report = site.driver.report(site.appliance.machine, site.appliance.amphora_id)
    assert set(report.listeners) == {_FRONT.id, _EXPORTER.id}
    assert set(report.pools) == {f"{_POOL.id}:{_FRONT.id}"}


def test_the_program_comes_back_and_goes_with_the_listener(site: Site) -> None:
    site.configure(_FRONT, _EXPORTER)
    (first,) = _eventually(site.programs)
    site.appliance.run("kill", "-KILL", first)
    assert _eventually(site.programs, lambda found: bool(found) and found != [first]) != [first]
    assert _eventually(site.scrape, lambda answer: answer[0] == 200)[0] == 200
    assert site.configure(_FRONT) == Mildness.RELOAD
    assert site.programs() == []
    with pytest.raises(OSError):
        site.scrape()
