"""A real appliance for tests: a box with the agent in it, links to plug, members and clients beside it."""

from __future__ import annotations

import contextlib
import http.client
import http.server
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from oslo_config import cfg
from support.authority import TestAuthority

from lbdrivers.drivers.context import DriverContext
from lbdrivers.memory.records import MemoryRecords
from lbdrivers.model.infra import Machine, MachineStatus
from lbdrivers.model.secret import Secret
from lbdrivers_amphora.client import RestAmphoraDriver
from lbdrivers_amphora.site.box import Box, Contents
from lbdrivers_amphora.site.namespaces import in_namespace
from lbdrivers_amphora.wire import agent_config

T = TypeVar("T")

CONFIG = "/etc/octavia/amphora-agent.conf"
CLIENT = "10.0.0.1"
VIP = "10.0.0.100"
MAC = "02:00:00:00:00:01"


def driver(authority: TestAuthority, port: int = 9443) -> RestAmphoraDriver:
    configuration = cfg.ConfigOpts()
    configuration([], default_config_files=[], default_config_dirs=[])
    context = DriverContext(configuration, MemoryRecords(), lambda _group, _name: authority)
    return RestAmphoraDriver(context)


class Appliance:
    """The agent in a box; its main namespace is also where members and clients live."""

    def __init__(self, authority: TestAuthority, topology: str = agent_config.SINGLE) -> None:
        self.amphora_id = str(uuid.uuid4())
        self._folder = Path(tempfile.mkdtemp(prefix="lbd"))
        self._box = Box(self._folder / "box")
        config = agent_config.AgentConfig(self.amphora_id, loadbalancer_topology=topology)
        files = {
            CONFIG: Secret(agent_config.render(config).encode()),
            config.agent_server_ca: Secret(authority.trust().client_ca),
            config.agent_server_cert: authority.issue_server(self.amphora_id, 3600).pem,
        }
        command = (sys.executable, "-m", "lbdrivers_amphora.agent.server", "--config-file", CONFIG)
        lock = self._box.try_hold()
        assert lock is not None
        self.pid = self._box.boot(lock, Contents("amphora", command, files), self._furnish, 20)
        self.vantage = f"/proc/{self.pid}/ns/net"
        self.machine = Machine("m", "m", MachineStatus.RUNNING, "127.0.0.1", self.vantage)
        self.root = Path(f"/proc/{self.pid}/root")

    def _furnish(self, pid: int) -> None:
        run = ["nsenter", "-t", str(pid), "-n", "ip"]
        for words in (
            f"link add wire1 type veth peer name port1 address {MAC}",
            f"addr add {CLIENT}/24 dev wire1",
            "link set wire1 up",
        ):
            subprocess.run([*run, *words.split()], check=True)

    def inside(self, function: Callable[[], T]) -> T:
        """Call it in the box's main namespace."""
        return in_namespace(self.vantage, function)

    def run(self, *command: str) -> str:
        """A program in all of the box's namespaces."""
        done = subprocess.run(
            ["nsenter", "-t", str(self.pid), "-n", "-m", "-p", "-u", "--", *command],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
        )  # fmt: skip
        return done.stdout

    def get(self, port: int = 80, address: str = VIP, timeout: float = 2.0) -> tuple[int, str]:
        """One HTTP request from the client's place."""

        def request() -> tuple[int, str]:
            connection = http.client.HTTPConnection(address, port, timeout=timeout)
            with contextlib.closing(connection):
                connection.request("GET", "/")
                answer = connection.getresponse()
                return answer.status, answer.read().decode()

        return self.inside(request)

    def signal(self, pid: int, number: signal.Signals) -> None:
        """Signal a process by the pid that it has inside the box."""
        self.run("kill", f"-{number.name.removeprefix('SIG')}", str(pid))

    @property
    def console(self) -> str:
        return self._box.console_tail()

    def close(self) -> None:
        self._box.delete()
        shutil.rmtree(self._folder, ignore_errors=True)

    @contextlib.contextmanager
    def members(self, *ports: int) -> Iterator[None]:
        """Web servers at the client's address that answer with their port."""
        servers = [self.inside(lambda port=port: _server(port)) for port in ports]
        for server in servers:
            threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        try:
            yield
        finally:
            for server in servers:
                server.shutdown()
                server.server_close()


class _Member(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        body = str(self.server.server_address[1]).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: Any) -> None:
        pass


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 512

    def server_bind(self) -> None:
        # As the base class does it, without a look-up of the host's name.
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = "member", self.server_address[1]


def _server(port: int) -> _Server:
    return _Server((CLIENT, port), _Member)
