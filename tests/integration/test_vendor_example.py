"""The example of a driver out of tree: it conforms, and real requests through nginx are balanced."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

import pytest
from support.local_site import eventually
from support.planted import plant

from lbdrivers import settings
from lbdrivers.drivers.context import DriverContext
from lbdrivers.errors import PermanentError
from lbdrivers.memory.records import MemoryRecords
from lbdrivers.model.resources import LoadBalancer
from lbdrivers.model.status import OperatingStatus
from lbdrivers.testing.surroundings import identity, new_id

ROOT = Path(__file__).parents[2] / "contrib" / "vendor_example"
sys.path.insert(0, str(ROOT))
from lbdrivers_nginx import render  # noqa: E402 it is no package of ours
from lbdrivers_nginx.provider import NginxProvider  # noqa: E402


class Here(BaseHTTPRequestHandler):
    """Answers with the port that it listens on."""

    def do_GET(self) -> None:
        body = str(self.server.server_port).encode()  # type: ignore[attr-defined] # it is a TCP server
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_arguments: Any) -> None:
        """Nothing."""


@contextmanager
def backends(count: int) -> Iterator[list[ThreadingHTTPServer]]:
    servers = [ThreadingHTTPServer(("127.0.0.1", 0), Here) for _ in range(count)]
    for server in servers:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield servers
    finally:
        for server in servers:
            server.shutdown()
            server.server_close()


@contextmanager
def a_provider(**options: str) -> Iterator[NginxProvider]:
    """A provider with a folder of its own; afterwards nothing runs there."""
    with tempfile.TemporaryDirectory(prefix="lbdrivers-nginx-") as folder:
        configuration = settings.load(state_path=Path(folder))
        context = DriverContext(configuration, MemoryRecords(), load=lambda *_: None)
        NginxProvider(context)  # registers its options
        for name, value in options.items():
            configuration.set_override(name, value, "nginx")
        made = NginxProvider(context)
        try:
            yield made
        finally:
            for load_balancer_id in made.known():
                made.remove(load_balancer_id)
        assert processes(folder) == []


@pytest.fixture
def provider() -> Iterator[NginxProvider]:
    with a_provider() as made:
        yield made


def processes(folder: str) -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            if folder in str((path.parent / "cwd").readlink()):
                found.append(int(path.parent.name))
    return found


@pytest.fixture
def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def tree(port: int, members: list[dict[str, Any]], **fields: Any) -> LoadBalancer:
    """A listener on the port; each member is a dictionary of its fields."""
    protocol = fields.pop("protocol", "HTTP")
    pool = {"id": new_id(), "protocol": protocol, "lb_algorithm": "ROUND_ROBIN", **fields}
    pool["members"] = [{"id": new_id(), "address": "127.0.0.1", **one} for one in members]
    listener = {"id": new_id(), "protocol": protocol, "protocol_port": port, "default_pool_id": pool["id"]}
    hostile = 'a"; } # $host \\ \u0663'
    plain = {"id": new_id(), "name": hostile, "vip_subnet_id": identity(1), "listeners": [listener], "pools": [pool]}
    return LoadBalancer.model_validate(plain)


def answers(provider: NginxProvider, wanted: LoadBalancer, count: int = 12) -> Counter[str]:
    """Who answered how often."""
    address = provider.observe(wanted.id).vip_addresses[0]
    found: Counter[str] = Counter()
    for _ in range(count):
        with urlopen(f"http://{address}:{wanted.listeners[0].protocol_port}/", timeout=10) as response:
            found[response.read().decode()] += 1
    return found


def port_of(server: ThreadingHTTPServer) -> dict[str, Any]:
    return {"protocol_port": server.server_port}


def test_it_conforms(tmp_path: Path) -> None:
    """As installed: through its entry points and the command line."""
    plant(tmp_path, (ROOT / "setup.cfg").read_text())
    around = tmp_path / "around.yaml"
    around.write_text("ports: [18080, 18081, 18443, 18444]\n")
    options = tmp_path / "nginx.conf"
    options.write_text("[nginx]\nvip_range = 127.78.0.0/24\n")
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}:{ROOT}"}
    environment.pop("LBDRIVERS_STATE_PATH", None)
    command = [sys.executable, "-m", "lbdrivers", "conformance", "nginx", "--histories", "5", "--json"]
    done = subprocess.run(
        [*command, "--around", around, "--config-file", options],
        env=environment,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    answer = json.loads(done.stdout)
    assert done.returncode == 0, done.stderr or [
        one for one in answer["laws"] + answer["features"] if one["verdict"] == "broken"
    ]
    assert answer["claimed"] == answer["proved"]
    assert "l7" in answer["refused"]
    assert "statistics" not in answer["claimed"]
    options.write_text("[nginx]\nvip_rnage = 127.78.0.0/24\n")
    done = subprocess.run([*command, "--config-file", options], env=environment, capture_output=True, check=False)
    assert done.returncode == 2
    assert b"vip_range" in done.stdout


@pytest.mark.parametrize("protocol", ["HTTP", "TCP"])
def test_requests_are_balanced(provider: NginxProvider, port: int, protocol: str) -> None:
    with backends(3) as (one, other, spare):
        members = [port_of(one) | {"weight": 3}, port_of(other), port_of(spare) | {"backup": True}]
        wanted = tree(port, members, protocol=protocol)
        provider.apply(wanted, None)
        assert answers(provider, wanted) == {str(one.server_port): 9, str(other.server_port): 3}
        disabled = [port_of(one) | {"admin_state_up": False}, port_of(other)]
        changed = tree(port, disabled, protocol=protocol).model_copy(update={"id": wanted.id})
        provider.apply(changed, wanted)
        assert answers(provider, changed) == {str(other.server_port): 12}


def test_backups_serve_when_the_others_are_dead(provider: NginxProvider, port: int) -> None:
    with backends(2) as (one, spare):
        wanted = tree(port, [port_of(one), port_of(spare) | {"backup": True}])
        provider.apply(wanted, None)
        assert answers(provider, wanted) == {str(one.server_port): 12}
        one.shutdown()
        one.server_close()
        assert answers(provider, wanted) == {str(spare.server_port): 12}


def test_a_client_stays_where_its_address_leads(provider: NginxProvider, port: int) -> None:
    with backends(3) as servers:
        wanted = tree(port, [port_of(server) for server in servers], lb_algorithm="SOURCE_IP")
        provider.apply(wanted, None)
        assert len(answers(provider, wanted)) == 1


def test_nothing_behind_is_said_with_503(provider: NginxProvider, port: int) -> None:
    wanted = tree(port, [])
    provider.apply(wanted, None)
    with pytest.raises(HTTPError, match="503"):
        answers(provider, wanted)


def test_a_killed_process_is_seen_and_started_again(provider: NginxProvider, port: int) -> None:
    with backends(1) as (one,):
        wanted = tree(port, [port_of(one)])
        provider.apply(wanted, None)
        address = provider.observe(wanted.id).vip_addresses
        os.kill(min(processes(wanted.id)), signal.SIGKILL)  # the master; its worker goes on by itself
        eventually(lambda: provider.observe(wanted.id).operating[wanted.id] is OperatingStatus.ERROR)
        provider.apply(wanted, wanted)
        assert provider.observe(wanted.id).operating[wanted.id] is OperatingStatus.ONLINE
        assert provider.observe(wanted.id).vip_addresses == address
        assert answers(provider, wanted, 1) == {str(one.server_port): 1}


def test_what_nginx_refuses_leaves_what_runs(provider: NginxProvider, port: int) -> None:
    with backends(1) as (one,):
        wanted = tree(port, [port_of(one)])
        provider.apply(wanted, None)
        before = processes(wanted.id)
        elsewhere = tree(port, []).model_copy(update={"vip_address": "192.0.2.77"})  # not an address of this host
        with pytest.raises(PermanentError, match="nginx refuses"):
            provider.apply(elsewhere, None)
        provider.remove(elsewhere.id)
        assert answers(provider, wanted, 1) == {str(one.server_port): 1}
        assert processes(wanted.id) == before
        assert provider.known() == {wanted.id}


def test_it_runs_in_a_namespace(port: int) -> None:
    name = f"lbd-nginx-{os.getpid()}"
    subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        subprocess.run(["ip", "-n", name, "link", "set", "lo", "up"], check=True)
        with a_provider(namespace=name) as made:
            wanted = tree(port, [])
            made.apply(wanted, None)
            (address,) = made.observe(wanted.id).vip_addresses
            ask = ["ip", "netns", "exec", name, "curl", "-s", "-o", "/dev/null", "-w", "%{http_code}"]
            done = subprocess.run([*ask, f"http://{address}:{port}/"], capture_output=True, text=True, check=True)
            assert done.stdout == "503"
            with pytest.raises(URLError, match="refused"):
                answers(made, wanted, 1)
    finally:
        subprocess.run(["ip", "netns", "delete", name], check=True)


def test_texts_are_carried_literally_or_refused() -> None:
    assert render.quoted("/var/lib/a b;{}#/x") == '"/var/lib/a b;{}#/x"'
    for text in ('a"b', "a\\b", "$host", "a\nb", "a\x00b"):
        with pytest.raises(PermanentError, match="nginx cannot take"):
            render.quoted(text)
    wanted = tree(80, [{"protocol_port": number} for number in range(1, 50)])
    text = render.configuration(wanted, "127.77.0.1", "/folder", "")
    assert render.parsed(text)[0] == wanted
    renamed = render.configuration(wanted.model_copy(update={"name": ""}), "127.77.0.1", "/folder", "")
    assert effective(text) == effective(renamed)
    assert max(len(line.encode()) for line in text.split("\n")) < 4096


def effective(text: str) -> list[str]:
    """What nginx reads of a configuration."""
    return [line for line in text.split("\n") if not line.startswith("#")]
