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

from lbdrivers.drivers.certificate import Authority
from lbdrivers.drivers.context import DriverContext
from lbdrivers.memory.records import MemoryRecords
from lbdrivers.model.infra import Machine, MachineStatus
from lbdrivers_amphora.client import RestAmphoraDriver
from lbdrivers_amphora.site.namespaces import in_namespace
from lbdrivers_amphora.wire import agent_config

T = TypeVar("T")

CLIENT = "10.0.0.1"
VIP = "10.0.0.100"
MAC = "02:00:00:00:00:01"
MEMBER_CLIENT = "10.1.0.1"
MEMBER_MAC = "02:00:00:00:00:02"


def driver(authority: Authority, port: int = 9443) -> RestAmphoraDriver:
    configuration = cfg.ConfigOpts()
    configuration([], default_config_files=[], default_config_dirs=[])
    context = DriverContext(configuration, MemoryRecords(), lambda _group, _name: authority)
    return RestAmphoraDriver(context)


#: Process 1 of the box: says that all is ready, reaps, and ends with whoever holds its standard input.
_INIT = """
import os, signal, sys, threading
def end():
    sys.stdin.read()
    os._exit(0)
print("ready", flush=True)
threading.Thread(target=end, daemon=True).start()
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD])
while True:
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass
    signal.sigtimedwait([signal.SIGCHLD], 0.05)
"""


class Appliance:
    """The agent in a box; its main namespace is also where members and clients live."""

    def __init__(
        self, authority: TestAuthority, topology: str = agent_config.SINGLE, haproxy: str = "/usr/sbin/haproxy"
    ) -> None:
        self.amphora_id = str(uuid.uuid4())
        self.folder = Path(tempfile.mkdtemp(prefix="lbd"))
        self.config = agent_config.AgentConfig(
            self.amphora_id,
            base_path=f"{self.folder}/base",
            base_cert_dir=f"{self.folder}/base/certs",
            agent_server_ca=f"{self.folder}/client_ca.pem",
            agent_server_cert=f"{self.folder}/server.pem",
            agent_server_network_dir=f"{self.folder}/interfaces",
            haproxy_cmd=haproxy,
            loadbalancer_topology=topology,
        )
        self.config_file = self.folder / "agent.conf"
        self.config_file.write_text(agent_config.render(self.config))
        Path(self.config.agent_server_ca).write_bytes(authority.trust().client_ca)
        pem = authority.issue_server(self.amphora_id, 3600).pem
        Path(self.config.agent_server_cert).write_bytes(pem.reveal())
        self._init = self._boot()
        children = Path(f"/proc/{self._init.pid}/task/{self._init.pid}/children").read_text().split()
        self.pid = int(children[0])
        self.vantage = f"/proc/{self.pid}/ns/net"
        self.machine = Machine("m", "m", MachineStatus.RUNNING, "127.0.0.1", self.vantage)
        self._furnish()
        self._agent: subprocess.Popen[bytes] | None = None
        self.start_agent()

    def _boot(self) -> subprocess.Popen[str]:
        script = (
            "mount --make-rprivate / && mount -t tmpfs tmpfs /run && ip link set lo up && "
            f"hostname amphora && exec {sys.executable} -c '{_INIT}'"
        )
        flags = ["--net", "--mount", "--pid", "--uts", "--fork", "--kill-child", "--mount-proc"]
        init = subprocess.Popen(
            ["unshare", *flags, "sh", "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert init.stdout is not None and init.stdout.readline() == "ready\n"
        return init

    def _furnish(self) -> None:
        for words in (
            f"link add wire1 type veth peer name port1 address {MAC}",
            f"addr add {CLIENT}/24 dev wire1",
            "link set wire1 up",
            f"link add wire2 type veth peer name port2 address {MEMBER_MAC}",
            f"addr add {MEMBER_CLIENT}/24 dev wire2",
            "link set wire2 up",
        ):
            self.run("ip", *words.split())

    def _enter(self) -> list[str]:
        return ["nsenter", "-t", str(self.pid), "-n", "-m", "-p", "-u", "--"]

    def start_agent(self) -> None:
        command = [sys.executable, "-m", "lbdrivers_amphora.agent.server", "--config-file", str(self.config_file)]
        with (self.folder / "agent.log").open("ab") as log:
            self._agent = subprocess.Popen(
                [*self._enter(), *command], stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/"
            )

    def kill_agent(self) -> None:
        """End the agent as a crash would: nothing gets a chance to say farewell."""
        assert self._agent is not None
        for pid in self.run("pgrep", "-f", "lbdrivers_amphora.agent.server").split():
            self.run("kill", "-KILL", pid)
        self._agent.wait(10)

    def inside(self, function: Callable[[], T]) -> T:
        """Call it in the box's main namespace."""
        return in_namespace(self.vantage, function)

    @property
    def traffic(self) -> str:
        """Path of the namespace of traffic, as seen from here."""
        return f"/proc/{self.pid}/root/run/netns/amphora-haproxy"

    def run(self, *command: str) -> str:
        """A program in all of the box's namespaces."""
        done = subprocess.run(
            [*self._enter(), *command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
        )
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
        return (self.folder / "agent.log").read_text(errors="replace")

    def close(self) -> None:
        if self._init.stdin is not None:
            self._init.stdin.close()
        self._init.wait(10)
        if self._agent is not None:
            self._agent.wait(10)
        if self._init.stdout is not None:
            self._init.stdout.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    @contextlib.contextmanager
    def members(self, *ports: int, address: str = CLIENT) -> Iterator[None]:
        """Web servers, at the client's address if not elsewhere, that answer with their port."""
        servers = [self.inside(lambda port=port: _server(port, address)) for port in ports]
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

    def handle_error(self, request: Any, client_address: Any) -> None:
        """HAProxy closes idle connections and checks by resetting them; nothing to tell."""

    def server_bind(self) -> None:
        # As the base class does it, without a look-up of the host's name.
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = "member", self.server_address[1]


def _server(port: int, address: str) -> _Server:
    return _Server((address, port), _Member)
