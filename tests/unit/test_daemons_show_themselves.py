"""What daemons show: metrics in Prometheus' form, health as JSON; and where statistics go besides the store."""

from __future__ import annotations

import json
import logging
import urllib.error
import urllib.request
from dataclasses import replace

import pytest
from prometheus_client.parser import text_string_to_metric_families
from support.memory_fixtures import a_context as context

from lbdrivers.cli.exposition import exposed
from lbdrivers.drivers.provider import Statistics
from lbdrivers.drivers.statistics import ListenerStatistics
from lbdrivers.errors import InvalidInput
from lbdrivers.model.status import OperatingStatus as Status
from lbdrivers.reconcile.exposure import Exposure, Health, Metric
from lbdrivers_amphora.decide.damping import Damper
from lbdrivers_amphora.statistics.log import LogSink
from lbdrivers_amphora.statistics.prometheus import PrometheusSink


def get(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def samples(text: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    families = text_string_to_metric_families(text)
    return {(s.name, tuple(sorted(s.labels.items()))): s.value for family in families for s in family.samples}


def test_metrics_and_health() -> None:
    exposure = Exposure()
    exposure.metrics.append(lambda: [Metric("beats", "Beats.", [(("good",), 3.0)], ("kind",), counter=True)])
    exposure.metrics.append(lambda: [Metric("age", "Age.", [((), 1.5)])])
    exposure.health = lambda: Health(True, {"amphorae": 2})
    with exposed(exposure, "127.0.0.1:0") as address:
        status, text = get(f"http://{address}/metrics")
        found = samples(text)
        assert status == 200
        assert found["lbdrivers_beats_total", (("kind", "good"),)] == 3.0
        assert found["lbdrivers_age", ()] == 1.5
        assert found["process_resident_memory_bytes", ()] > 0
        assert get(f"http://{address}/health") == (200, '{"healthy": true, "amphorae": 2}\n')
        exposure.health = lambda: Health(False, {"trouble": "x"})
        status, text = get(f"http://{address}/health")
        assert status == 503 and json.loads(text) == {"healthy": False, "trouble": "x"}
        assert get(f"http://{address}/else")[0] == 404
        with pytest.raises(InvalidInput, match="cannot be served"), exposed(exposure, address):
            pass


@pytest.mark.parametrize("address", ["127.0.0.1", "127.0.0.1:x", "127.0.0.1:99999", "192.0.2.1:9557"])
def test_an_address_that_cannot_be_had_is_refused(address: str) -> None:
    with pytest.raises(InvalidInput, match="--metrics"), exposed(Exposure(), address):
        pass


def test_without_an_address_nothing_is_served() -> None:
    with exposed(Exposure(), None) as address:
        assert address == ""


MEASURED = tuple(
    ListenerStatistics("lb", appliance, "front", Statistics(1, 10, 20, 0, 3, 9), at=100.0) for appliance in "ab"
)


def test_the_sink_log(caplog) -> None:
    with caplog.at_level(logging.INFO, "lbdrivers.statistics"):
        LogSink(context()).take(MEASURED[:1])
    line = (
        "load_balancer=lb listener=front appliance=a active_connections=1 bytes_in=10 bytes_out=20 request_errors=0 "
        "total_connections=3 requests=9"
    )
    assert caplog.messages == [line]


def test_the_sink_prometheus_sums_the_amphorae_of_a_listener_and_forgets_who_is_gone() -> None:
    now = [100.0]
    sink = PrometheusSink(replace(context(), now=lambda: now[0]))
    sink.take(MEASURED)
    sink.take(MEASURED)
    found = {metric.name: dict(metric.values) for metric in sink.metrics()}
    assert found["listener_bytes_out"] == {("lb", "front"): 40.0}
    assert found["listener_active_connections"] == {("lb", "front"): 2.0}
    assert found["listener_requests"] == {("lb", "front"): 18.0}
    now[0] += 3700
    sink.take((replace(MEASURED[0], at=now[0]),))
    found = {metric.name: dict(metric.values) for metric in sink.metrics()}
    assert found["listener_total_connections"] == {("lb", "front"): 3.0}


def test_a_status_that_lasts_is_told_once() -> None:
    damper = Damper().note({"x": (Status.ONLINE, Status.ERROR)}, 10.0)
    damper, news = damper.due(14.9, 5.0)
    assert news == {}
    damper, news = damper.due(15.0, 5.0)
    assert news == {"x": (Status.ONLINE, Status.ERROR)}
    assert damper == Damper()


def test_a_status_that_flaps_is_not_told() -> None:
    damper = Damper()
    for turn in range(20):
        before, after = (Status.ONLINE, Status.ERROR) if turn % 2 == 0 else (Status.ERROR, Status.ONLINE)
        damper, news = damper.note({"x": (before, after)}, float(turn)).due(turn + 0.5, 5.0)
        assert news == {}
    damper, news = damper.due(30.0, 5.0)
    assert news == {} and damper == Damper()  # it has settled where it was


def test_a_round_without_changes_leaves_what_waits_as_it_is() -> None:
    damper = Damper().note({"x": (Status.ONLINE, Status.ERROR)}, 10.0)
    assert damper.note({}, 11.0) is damper
