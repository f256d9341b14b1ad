"""HAProxy's metrics come out under the load balancer's names; what is the appliance's business stays inside."""

from __future__ import annotations

import pytest

from lbdrivers_amphora.haproxy.metrics import gauge, translated


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('haproxy_frontend_status{proxy="l",state="UP"} 1', 'octavia_listener_status{listener="l",state="UP"} 1'),
        ('haproxy_backend_active_servers{proxy="p:l"} 2', 'octavia_pool_active_members{pool="p:l"} 2'),
        ('haproxy_backend_backup_servers{proxy="p"} 2', 'octavia_pool_backup_members{pool="p"} 2'),
        ('haproxy_backend_server_aborts_total{proxy="p"} 0', 'octavia_pool_member_aborts_total{pool="p"} 0'),
        (
            'haproxy_server_server_aborts_total{proxy="p",server="m"} 0',
            'octavia_member_server_aborts_total{pool="p",member="m"} 0',
        ),
        (
            'haproxy_server_weight{proxy="server=\\"x",server="m"} 0.5',
            'octavia_member_weight{pool="server=\\"x",member="m"} 0.5',
        ),
        ("haproxy_process_pool_used_bytes 5", "octavia_memory_pool_used_bytes 5"),
        ("haproxy_process_max_ssl_connections 0", "octavia_loadbalancer_max_ssl_connections 0"),
        ("haproxy_process_limit_http_comp 0", "octavia_loadbalancer_limit_http_comp 0"),
        (
            "# HELP haproxy_process_requests_total Total number of requests",
            "# HELP octavia_loadbalancer_requests_total Total number of requests",
        ),
        ("# TYPE haproxy_server_weight gauge", "# TYPE octavia_member_weight gauge"),
    ],
)
def test_a_line_is_renamed(line: str, expected: str) -> None:
    assert list(translated([line])) == [expected]


@pytest.mark.parametrize(
    "line",
    [
        "",
        'haproxy_process_build_info{version="2.6.12"} 1',
        "# HELP haproxy_process_nbthread Number of started threads",
        "haproxy_process_uptime_seconds 3",
        "haproxy_process_max_fds 20000",
        'haproxy_frontend_status{proxy="prometheus-exporter-internal-endpoint",state="UP"} 1',
        'haproxy_server_status{proxy="prometheus-exporter-internal",server="prometheus-internal",state="UP"} 1',
        'haproxy_resolver_sent{resolver="r",nameserver="n"} 1',
        'somebody_elses_metric{proxy="x"} 1',
    ],
)
def test_what_concerns_nobody_outside_is_left_out(line: str) -> None:
    assert list(translated([line])) == []


@pytest.mark.parametrize("line", ["<html>", "haproxy_process_requests_total", 'haproxy_server_weight{proxy="p" 1'])
def test_what_is_no_metric_is_refused(line: str) -> None:
    with pytest.raises(ValueError, match="text format"):
        list(translated([line]))


def test_a_gauge_has_a_decimal() -> None:
    assert list(gauge("x", "What it is.", 12.34))[-1] == "x 12.3"
