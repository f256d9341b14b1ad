"""A scrape of a PROMETHEUS listener, through the VIP of a real appliance, speaks of listeners, pools and members."""

from __future__ import annotations

import contextlib
import http.client
from collections.abc import Iterator

import pytest
from support.appliance import CLIENT, VIP
from support.appliance_site import FRONT, Site, an_appliance
from support.bundles import ident, listener, member, pool
from support.patience import eventually

from lbdrivers.drivers.provider import Mildness
from lbdrivers.model.resources import Listener

_MEMBER, _WEB, _METRICS = 8081, 80, 8088
_POOL = pool(members=(member("m", CLIENT, _MEMBER),))
_FRONT = listener("web", _WEB, default_pool_id=_POOL.id)
_EXPORTER = listener("metrics", _METRICS, protocol="PROMETHEUS")


class MetricsSite(Site):
    """With one pool behind every listener."""

    def serve(self, *listeners: Listener) -> Mildness:
        return self.configure(*listeners, pools=(_POOL,))

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
def site() -> Iterator[MetricsSite]:
    with an_appliance(*FRONT) as plain, plain.appliance.members(_MEMBER):
        yield MetricsSite(plain.appliance, plain.driver)


def test_a_scrape_tells_what_was_served(site: MetricsSite) -> None:
    site.serve(_FRONT, _EXPORTER)
    assert eventually(lambda: site.appliance.get(_WEB)[0], lambda status: status == 200) == 200
    status, kind, text = eventually(site.scrape, lambda answer: answer[0] == 200)
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


def test_only_metrics_are_told(site: MetricsSite) -> None:
    site.serve(_FRONT, _EXPORTER)
    assert eventually(lambda: site.scrape("/"), lambda answer: answer[0] == 404)[0] == 404


def test_the_listener_is_open_and_its_machinery_is_no_listener(site: MetricsSite) -> None:
    site.serve(_FRONT, _EXPORTER)
    report = site.driver.report(site.appliance.machine, site.appliance.amphora_id)
    assert set(report.listeners) == {_FRONT.id, _EXPORTER.id}
    assert set(report.pools) == {f"{_POOL.id}:{_FRONT.id}"}


def test_the_program_comes_back_and_goes_with_the_listener(site: MetricsSite) -> None:
    site.serve(_FRONT, _EXPORTER)
    (first,) = eventually(site.programs)
    site.appliance.run("kill", "-KILL", first)
    assert eventually(site.programs, lambda found: bool(found) and found != [first]) != [first]
    assert eventually(site.scrape, lambda answer: answer[0] == 200)[0] == 200
    assert site.serve(_FRONT) == Mildness.RELOAD
    assert site.programs() == []
    with pytest.raises(OSError):
        site.scrape()
