"""Answers a PROMETHEUS listener: asks HAProxy's own exporter and speaks of listeners, pools and members.

Law: runs in the namespace of traffic, on loopback, behind HAProxy, which faces the scrapers. It knows
nothing of its own but the appliance's load and memory, and never asks for more than ``_AT_ONCE`` answers
of HAProxy at a time. What HAProxy does not answer is a 502.
"""

from __future__ import annotations

import argparse
import os
import signal
import socket
import sys
import threading
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from lbdrivers_amphora.haproxy.metrics import EXPORTER_PORT, METRICS_PATH, PROXY_PORT, gauge, translated

_SOURCE = f"http://127.0.0.1:{EXPORTER_PORT}{METRICS_PATH}"
#: Seconds to wait for HAProxy; its own side gives up after as many.
_PATIENCE = 5.0
_AT_ONCE = 4


def appliance() -> Iterator[str]:
    """Lines about the appliance itself."""
    load = os.getloadavg()[0] / (os.cpu_count() or 1) * 100
    yield from gauge("octavia_loadbalancer_cpu", "Load balancer CPU utilization (percentage).", load)
    rows = (line.split() for line in Path("/proc/meminfo").read_text().splitlines())
    memory = {row[0].rstrip(":"): int(row[1]) for row in rows}
    used = (1 - memory["MemAvailable"] / memory["MemTotal"]) * 100
    yield from gauge("octavia_loadbalancer_memory", "Load balancer memory utilization (percentage).", used)


def metrics() -> bytes:
    """The whole answer. :raises OSError, ValueError: when HAProxy's exporter has none."""
    with urllib.request.urlopen(_SOURCE, timeout=_PATIENCE) as answer:
        lines = answer.read().decode().splitlines()
    return "\n".join((*appliance(), *translated(lines), "")).encode()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = _PATIENCE
    gate = threading.BoundedSemaphore(_AT_ONCE)

    def do_GET(self) -> None:
        if self.path.partition("?")[0] != METRICS_PATH:
            self._answer(404, b"")
            return
        try:
            with self.gate:
                content = metrics()
        except (OSError, ValueError) as error:
            sys.stderr.write(f"no metrics: {error}\n")
            self._answer(502, b"")
            return
        self._answer(200, content)

    def _answer(self, status: int, content: bytes) -> None:
        self.send_response(status)
        if content:
            self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.send_header("Cache-Control", "no-cache")
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *arguments: object) -> None:
        """HAProxy logs requests."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def server_bind(self) -> None:
        # Without the base class's look-up of the host's name: the namespace often reaches no name server.
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_name, self.server_port = "prometheus-proxy", PROXY_PORT


def main() -> None:
    """``prometheus-proxy --pid-file FILE``: answer until told to end."""
    parser = argparse.ArgumentParser(prog="prometheus-proxy", description=__doc__.partition("\n")[0])
    parser.add_argument("--pid-file", type=Path, required=True)
    pid_file: Path = parser.parse_args().pid_file
    with _Server(("127.0.0.1", PROXY_PORT), _Handler) as server:
        signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
        pid_file.write_text(f"{os.getpid()}\n")
        server.serve_forever()


if __name__ == "__main__":
    main()
