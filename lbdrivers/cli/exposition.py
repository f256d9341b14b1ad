"""Serves a daemon's metrics and health over HTTP: ``GET /metrics`` for Prometheus, ``GET /health`` as JSON.

Law: it looks and changes nothing. Health is 200 while all is well and 503 else, so that a load balancer in
front of it understands it, too.
"""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from lbdrivers.errors import InvalidInput, Problem
from lbdrivers.reconcile.exposure import Exposure


@contextmanager
def exposed(exposure: Exposure, address: str | None) -> Iterator[str]:
    """Serve at ``host:port`` while the block lasts; None serves nowhere. Gives the address, with its real port.

    :raises InvalidInput: when the address cannot be had, or the Prometheus library is missing.
    """
    if address is None:
        yield ""
        return
    host, _, port = address.rpartition(":")
    try:
        # Bound before anything is served, so that a taken port is told at once.
        server = _Server((host.strip("[]"), int(port)), _handler(exposure, _registry(exposure)))
    except ModuleNotFoundError as error:
        remedy = "install it: pip install 'lbdrivers[amphora]'"
        raise InvalidInput((Problem("--metrics", address, f"needs {error.name}", remedy),)) from error
    except (OSError, ValueError, OverflowError) as error:
        remedy = "name an address of this machine with a free port: 127.0.0.1:9557"
        raise InvalidInput((Problem("--metrics", address, f"cannot be served: {error}", remedy),)) from error
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, name="metrics", daemon=True)
    thread.start()
    try:
        yield f"{host}:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def server_bind(self) -> None:
        # As the base class does it, without a look-up of the host's name.
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]


def _registry(exposure: Exposure) -> Any:
    from prometheus_client import GC_COLLECTOR, PROCESS_COLLECTOR, CollectorRegistry
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

    class Collector:
        def collect(self) -> Iterable[Metric]:
            for make in exposure.metrics:
                for metric in make():
                    kind = CounterMetricFamily if metric.counter else GaugeMetricFamily
                    family = kind(f"lbdrivers_{metric.name}", metric.text, labels=metric.labels)
                    for labels, value in metric.values:
                        family.add_metric(labels, value)
                    yield family

    registry = CollectorRegistry(auto_describe=False)
    registry.register(Collector())
    registry.register(PROCESS_COLLECTOR)
    registry.register(GC_COLLECTOR)
    return registry


def _handler(exposure: Exposure, registry: Any) -> type[http.server.BaseHTTPRequestHandler]:
    from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

    class Handler(http.server.BaseHTTPRequestHandler):
        timeout = 5

        def do_GET(self) -> None:
            """The two pages."""
            if self.path == "/metrics":
                self._answer(200, CONTENT_TYPE_LATEST, generate_latest(registry))
            elif self.path == "/health":
                health = exposure.health()
                body = {"healthy": health.healthy, **health.details}
                self._answer(200 if health.healthy else 503, "application/json", json.dumps(body).encode() + b"\n")
            else:
                self._answer(404, "text/plain", b"there are /metrics and /health\n")

        def _answer(self, status: int, kind: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_arguments: object) -> None:
            """Who looks is nobody's news."""

    return Handler
