"""PROMETHEUS listeners -> what exports HAProxy's metrics, and what turns them into the load balancer's terms.

Law: scrapers reach a listener; it passes their requests to a small program beside HAProxy
(``prometheus-proxy`` of the agent), which asks HAProxy's own exporter on loopback. Names and ports are
Octavia's, whose appliances have the same program.
"""

from __future__ import annotations

from lbdrivers_amphora.haproxy.ir import Backend, Frontend, Server
from lbdrivers_amphora.haproxy.metrics import EXPORTER, EXPORTER_PORT, METRICS_PATH, PROXY_BACKEND, PROXY_PORT
from lbdrivers_amphora.haproxy.quote import token
from lbdrivers_amphora.haproxy.translate_rules import words

_EXPORTER_FRONTEND = f"{EXPORTER}-internal-endpoint"
# Both ends of loopback answer at once, or not at all.
_PATIENCE = "5s"


def exporter() -> Frontend:
    """HAProxy's own exporter, for the program alone."""
    lines = (
        f"bind 127.0.0.1:{EXPORTER_PORT}",
        "mode http",
        f"timeout client {_PATIENCE}",
        "no log",
        f"http-request use-service prometheus-exporter if {{ path {METRICS_PATH} }}",
        "http-request reject",
    )
    return Frontend(token(_EXPORTER_FRONTEND), None, tuple(map(words, lines)))


def proxy() -> Backend:
    """The program that listeners pass scrapes to."""
    lines = ("mode http", "balance first", f"timeout connect {_PATIENCE}", f"timeout server {_PATIENCE}")
    server = Server(token("prometheus-internal"), token("127.0.0.1"), PROXY_PORT)
    return Backend(token(PROXY_BACKEND), tuple(map(words, lines)), (server,))
