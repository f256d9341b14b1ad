"""The real HAProxy for tests: its checker, a running process on loopback, and members to talk to.

Two versions: this system's own, and one of a later Debian release in a folder of the tests' own.
"""

from __future__ import annotations

import contextlib
import functools
import http.server
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType

from support.patience import eventually

from lbdrivers_amphora.agent import processes
from lbdrivers_amphora.agent.layout import PING_WRAPPER
from lbdrivers_amphora.haproxy.ir import Configuration
from lbdrivers_amphora.haproxy.render import render

#: Versions to test with: the floor first, which is this system's own.
VERSIONS = ("2.6", "3.0")
_RELEASES = {"3.0": "trixie"}
_ROOT = Path(__file__).parents[2]


#: Environment variable with the version that tests run without saying one.
CHOICE = "LBDRIVERS_TEST_HAPROXY"


def chosen() -> str:
    """The version under test."""
    return os.environ.get(CHOICE, VERSIONS[0])


@functools.cache
def program(version: str) -> str:
    """The HAProxy of that version; fetched at first use where ``make setup`` has not done it."""
    if version not in _RELEASES:
        return "/usr/sbin/haproxy"
    folder = _ROOT / f".haproxy-{version}"
    installer = _ROOT / "tests" / "support" / "install_haproxy.sh"
    subprocess.run([str(installer), _RELEASES[version], str(folder)], check=True, timeout=300)
    return str(folder / "haproxy")


def check(text: str | bytes, peer: str = "localhost", version: str | None = None) -> tuple[int, str]:
    """Exit status and output of ``haproxy -c`` on the appliance whose peer name is given."""
    with tempfile.NamedTemporaryFile(suffix=".cfg") as file:
        file.write(text if isinstance(text, bytes) else text.encode())
        file.flush()
        done = subprocess.run(
            [program(version or chosen()), "-c", "-L", peer, "-f", file.name],
            capture_output=True,
            text=True,
            timeout=60,
        )
    return done.returncode, done.stdout + done.stderr


def loopback(number: int) -> str:
    """An address of 127/8 that no other test process uses; ``number`` below 250."""
    low = os.getpid() % 60_000
    return f"127.{1 + low // 250}.{low % 250}.{1 + number}"


def free_port(address: str) -> int:
    with socket.create_server((address, 0)) as server:
        return int(server.getsockname()[1])


#: Starts a program in a network of its own, in which unprivileged processes may ping, as the agent sets an
#: appliance up. HAProxy lets no program of its checks gain capabilities, so that elsewhere every ping fails.
PINGING = (
    *("unshare", "--net", "sh", "-c"),
    'ip link set lo up && echo "0 2147483647" > /proc/sys/net/ipv4/ping_group_range && exec "$@"',
    "sh",
)


class Haproxy:
    """A master with its worker, in a folder of its own. Use as a context manager.

    :param launcher: words in front of the command that starts it.
    """

    def __init__(self, launcher: Sequence[str] = ()) -> None:
        self._program = (*launcher, program(chosen()))
        # Not pytest's folder: the path of a UNIX socket is limited to 107 bytes.
        self.base = Path(tempfile.mkdtemp(prefix="lbd"))
        self.base.chmod(0o755)  # HAProxy's checks run as nobody
        self._process: subprocess.Popen[bytes] | None = None
        self._configuration: Configuration | None = None

    @property
    def log(self) -> str:
        path = self.base / "log"
        return path.read_text(errors="replace") if path.exists() else ""

    def write(self, configuration: Configuration) -> None:
        self._configuration = configuration
        (self.base / configuration.load_balancer_id).mkdir(exist_ok=True)
        wrapper = self.base / "ping-wrapper.sh"
        if not wrapper.exists():  # a check may be running it
            wrapper.write_text(PING_WRAPPER)
            wrapper.chmod(0o755)
        state = self.base / configuration.load_balancer_id / "servers-state"
        if not state.exists():
            state.write_text("1\n")
        (self.base / "haproxy.cfg").write_text(render(configuration))

    def start(self, configuration: Configuration) -> None:
        self.write(configuration)
        with (self.base / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [*self._program, "-W", "-db", "-S", str(self.master_socket), "-f", str(self.base / "haproxy.cfg")],
                stdout=log,
                stderr=log,
            )
        assert eventually(self._answers), self.log

    def reload(self, configuration: Configuration, state: str = "1\n") -> None:
        """Write the files and wait for the new worker."""
        assert self._process is not None
        before = self.worker()
        self.write(configuration)
        (self.base / configuration.load_balancer_id / "servers-state").write_text(state)
        # A signal that meets a master which has just been executed is lost without a trace.
        assert eventually(lambda: processes.catches(self.master, signal.SIGUSR2)), self.log
        self._process.send_signal(signal.SIGUSR2)
        assert eventually(lambda: self._replaced(before)), self.log

    @property
    def master_socket(self) -> Path:
        return self.base / "master.sock"

    @property
    def socket(self) -> Path:
        """The worker's, for runtime commands."""
        assert self._configuration is not None
        return self.base / f"{self._configuration.load_balancer_id}.sock"

    @property
    def master(self) -> int:
        assert self._process is not None
        return self._process.pid

    def _replaced(self, before: str) -> bool:
        """Whether the old worker has let go of the socket that both share for a moment."""
        return self._answers() and all(self.worker() != before for _ in range(10))

    def _answers(self) -> bool:
        try:
            return bool(self.ask("show info"))
        except OSError:
            return False

    def ask(self, command: str) -> str:
        """One runtime command, one answer."""
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(5)
            client.connect(str(self.socket))
            client.sendall(command.encode() + b"\n")
            parts = []
            while part := client.recv(65536):
                parts.append(part)
        return b"".join(parts).decode()

    def apply(self, commands: Sequence[str]) -> list[str]:
        return [self.ask(command) for command in commands]

    def worker(self) -> str:
        """Process id of the worker that answers."""
        return next(line for line in self.ask("show info").splitlines() if line.startswith("Pid:"))

    def __enter__(self) -> Haproxy:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(5)
            self._process.kill()
            self._process.wait()
        shutil.rmtree(self.base)


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        seen = "".join(f"{name}: {value}\n" for name, value in self.headers.items())
        body = f"{self.server.server_address[0]}\n{seen}".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *details: object) -> None:
        """Tests read answers, not logs."""


class _Quiet(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that hang up are what these tests are about."""


@contextlib.contextmanager
def web_servers(addresses: Sequence[str], port: int) -> Iterator[None]:
    """Members: each answers with its own address and the headers it got."""
    servers = [_Quiet((address, port), _Handler) for address in addresses]
    threads = [threading.Thread(target=server.serve_forever, args=(0.05,)) for server in servers]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        for server in servers:
            server.shutdown()
            server.server_close()
        for thread in threads:
            thread.join()


def request(address: str, port: int, head: str = "GET / HTTP/1.1\r\nHost: x\r\n") -> bytes:
    """A whole answer to one request, as bytes, so that nothing in between is interpreted."""
    with socket.create_connection((address, port), timeout=10) as client:
        client.sendall((head + "Connection: close\r\n\r\n").encode())
        parts = []
        while part := client.recv(65536):
            parts.append(part)
    return b"".join(parts)
