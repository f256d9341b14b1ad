"""Changes under load: requests that fail while HAProxy is reloaded and members come and go; and what it serves at best.

A real amphora on the local backend, nginx members, and wrk as the clients, with persistent and with new
connections, through the VIP. Each change goes the whole way: engine, provider, agent, HAProxy. The peer is a
HAProxy that is configured by hand, beside ours in the same amphora, before the same members.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[1]))

from examples.demo import leftovers
from lbdrivers.cli.session import Session
from lbdrivers.model.resources import LoadBalancer
from lbdrivers.model.status import ProvisioningStatus
from lbdrivers_amphora.site.guests import Guest, GuestProcess, Plug, known_guests
from lbdrivers_amphora.site.place import Site

PUBLIC, PRIVATE = "b0000000-0000-4000-8000-000000000002", "b0000000-0000-4000-8000-000000000003"
VIP, PORT, PEER_PORT, MEMBER_PORT = "10.211.16.10", 80, 8081, 8080
MEMBERS = {f"member-{number}": f"10.211.32.{10 + number}" for number in (1, 2, 3)}
#: Milliseconds from the call to the effect of a member's change; share of what the peer serves.
CHANGE_BUDGET, THROUGHPUT_BUDGET = 50.0, 0.98
#: Seconds for the drain of what came before: wrk would count an answer that takes longer as failed.
PATIENCE = "20s"
_SETTLE_SECONDS = 60.0
_NGINX = """
daemon off; master_process off; pid {folder}/{name}.pid; error_log {folder}/{name}.log;
events {{ worker_connections 4096; }}
http {{
    access_log off; keepalive_requests 100000000; keepalive_timeout 3600s;
    client_body_temp_path {folder}/{name}.1; proxy_temp_path {folder}/{name}.2; fastcgi_temp_path {folder}/{name}.3;
    uwsgi_temp_path {folder}/{name}.4; scgi_temp_path {folder}/{name}.5;
    server {{ listen {address}:{port} backlog=4096; location / {{ return 200 "{name}"; }} }}
}}
"""
#: What somebody who knows HAProxy well would write for these two members.
_PEER = """
global
    maxconn 4000
defaults
    mode http
    timeout connect 5s
    timeout client 50s
    timeout server 50s
    option splice-auto
frontend peer
    bind {vip}:{port}
    default_backend members
backend members
    balance roundrobin
    option forwardfor
{servers}
"""


def identity(name: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_DNS, f"hitless {name}"))


def tree(members: dict[str, int], timeout: int = 50000) -> LoadBalancer:
    """The load balancer with members by name and weight; each ``timeout`` of clients needs a reload."""
    pool = {
        "id": identity("pool"),
        "protocol": "HTTP",
        "lb_algorithm": "ROUND_ROBIN",
        "members": [
            {
                "id": identity(name),
                "name": name,
                "address": MEMBERS[name],
                "protocol_port": MEMBER_PORT,
                "subnet_id": PRIVATE,
                "weight": weight,
            }
            for name, weight in members.items()
        ],
    }
    listener = {
        "id": identity("listener"),
        "protocol": "HTTP",
        "protocol_port": PORT,
        "default_pool_id": pool["id"],
        "timeout_client_data": timeout,
        "insert_headers": {"X-Forwarded-For": "true"},
    }
    body = {"id": identity("balancer"), "name": "hitless", "vip_subnet_id": PUBLIC, "vip_address": VIP}
    return LoadBalancer.model_validate({**body, "listeners": [listener], "pools": [pool]})


@dataclass(frozen=True)
class Load:
    """What wrk counted. ``failed``: errors of sockets, answers that never came, statuses other than 2xx and 3xx."""

    requests: int
    failed: int
    rate: float
    words: str = ""

    @classmethod
    def parse(cls, text: str) -> Load:
        """:raises RuntimeError: when this is no result of wrk."""
        requests, rate = re.search(r"(\d+) requests in", text), re.search(r"Requests/sec:\s+([\d.]+)", text)
        if requests is None or rate is None:
            raise RuntimeError(f"wrk said {text!r}")
        errors = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", text)
        strange = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
        failed = sum(map(int, errors.groups())) if errors else 0
        words = " ".join(found[0] for found in (errors, strange) if found)
        return cls(int(requests[1]), failed + (int(strange[1]) if strange else 0), float(rate[1]), words)


class Bench:
    """The site with its guests, and the load balancer on it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.state = folder, folder / "state"
        configuration = folder / "lbdrivers.conf"
        configuration.write_text("[controller_worker]\nloadbalancer_topology = SINGLE\n")
        self.session = Session([configuration], self.state, lambda _progress: None, lambda _words: None)
        self.session.start()
        self.site = Site.of(self.session.configuration)
        self._processes: list[subprocess.Popen[Any]] = []

    def furnish(self) -> None:
        """Members that listen, and a guest for clients whose ports do not run out."""
        for name, address in MEMBERS.items():
            guest = Guest(self.site, name).ensure([Plug(PRIVATE, address)])
            path = self.folder / f"{name}.conf"
            path.write_text(_NGINX.format(folder=self.folder, name=name, address=address, port=MEMBER_PORT))
            self._processes.append(guest.popen(["nginx", "-c", str(path)], stdin=subprocess.DEVNULL))
        self.client = Guest(self.site, "client").ensure([Plug(PUBLIC)])
        for setting in ("net.ipv4.ip_local_port_range=1024 65535", "net.ipv4.tcp_tw_reuse=1"):
            self.client.popen(["sysctl", "-qw", setting]).wait()

    def apply(self, wanted: LoadBalancer) -> float:
        """Milliseconds until the change has its effect. :raises RuntimeError: when it has none."""
        begin = time.perf_counter()
        self.session.engine.submit(wanted)
        entry = self.session.settle(wanted.id, _SETTLE_SECONDS)
        if entry is None or entry.status is not ProvisioningStatus.ACTIVE:
            raise RuntimeError(f"not applied: {entry}")
        return (time.perf_counter() - begin) * 1000

    def wrk(self, connections: int, port: int = PORT, *, persistent: bool = True, seconds: int = 36000) -> GuestProcess:
        """Clients at work."""
        header = [] if persistent else ["-H", "Connection: close"]
        words = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", PATIENCE, *header]
        return self.client.popen([*words, f"http://{VIP}:{port}/"], stdout=subprocess.PIPE, text=True)

    @contextlib.contextmanager
    def peer(self) -> Iterator[None]:
        """The HAProxy that is configured by hand, in the network of ours."""
        path = self.folder / "peer.cfg"
        lines = [f"    server {name} {address}:{MEMBER_PORT}" for name, address in list(MEMBERS.items())[:2]]
        path.write_text(_PEER.format(vip=VIP, port=PEER_PORT, servers="\n".join(lines)))
        enter = ["nsenter", f"--target={self._machine()}", "--net", "--mount", "--pid", "--uts", "--"]
        inside = [*enter, "ip", "netns", "exec", "amphora-haproxy", "haproxy", "-db", "-f", str(path)]
        # A session of its own, as ours has: the kernel shares the processors out by session (sched(7), autogroup).
        process = GuestProcess(inside, stdin=subprocess.DEVNULL, start_new_session=True)
        try:
            time.sleep(0.5)
            yield
        finally:
            process.terminate()
            process.wait(20)

    def _machine(self) -> int:
        """Process id of the amphora's init."""
        (machine,) = (path.name for path in self.site.machines.iterdir())
        return self.site.machine(machine).pid()

    def haproxies(self) -> frozenset[int]:
        """Every process of HAProxy in the amphora."""
        namespace = Path(f"/proc/{self._machine()}/ns/pid").readlink()
        found: set[int] = set()
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):  # it has just ended
                if (folder / "comm").read_text() == "haproxy\n" and (folder / "ns" / "pid").readlink() == namespace:
                    found.add(int(folder.name))
        return frozenset(found)

    def close(self) -> None:
        """Nothing is left."""
        with contextlib.suppress(Exception):
            self.session.engine.delete(identity("balancer"))
            self.session.settle(identity("balancer"), _SETTLE_SECONDS)
        for process in self._processes:
            process.terminate()
            process.wait(10)
        for name in known_guests(self.site):
            Guest(self.site, name).kill()
        self.session.close()
        leftovers.clean(self.state)


def under_load(bench: Bench, changes: Callable[[], list[float]]) -> tuple[list[float], dict[str, Load]]:
    """Carry the changes out while clients are at work; what each took, and what the clients saw."""
    clients = {
        "persistent connections": bench.wrk(32),
        "new connections": bench.wrk(8, persistent=False),
    }
    time.sleep(1)  # the clients have their connections
    try:
        found = changes()
        time.sleep(1)  # a failure that the last change causes is seen
    finally:
        for client in clients.values():
            client.send_signal(signal.SIGINT)
    return found, {name: Load.parse(client.communicate(timeout=60)[0]) for name, client in clients.items()}


def reloads(bench: Bench, count: int, console: Console) -> list[float]:
    steps = track(range(count), "reloads", console=console, transient=True)
    return [bench.apply(tree({"member-1": 1, "member-2": 1}, 50001 + number)) for number in steps]


def member_changes(bench: Bench, count: int, console: Console, timeout: int) -> list[float]:
    """A third member comes, weighs more, is drained, and goes."""
    stages: tuple[dict[str, int], ...] = ({"member-3": 1}, {"member-3": 7}, {"member-3": 0}, {})
    steps = track(range(count), "member changes", console=console, transient=True)
    return [bench.apply(tree({"member-1": 1, "member-2": 1} | stages[number % 4], timeout)) for number in steps]


def processor_seconds(processes: frozenset[int]) -> float:
    """What their threads have used so far (kernel documentation, "Scheduler Statistics", /proc/PID/schedstat)."""
    threads = [thread for process in processes for thread in Path(f"/proc/{process}/task").iterdir()]
    return sum(int((thread / "schedstat").read_text().split()[0]) for thread in threads) / 1e9


def throughput(bench: Bench, rounds: int, seconds: int) -> list[dict[str, Any]]:
    """Requests a second, ours and the peer's, and what a request costs HAProxy.

    Rounds in turn, so that both see the same machine. How the kernel spreads the processes over the processors
    decides by some percent, anew in each round: many short ones tell more than a few long ones.
    """
    processes = {PORT: bench.haproxies()}
    rates: dict[int, list[float]] = {PORT: [], PEER_PORT: []}
    costs: dict[int, list[float]] = {PORT: [], PEER_PORT: []}
    with bench.peer():
        processes[PEER_PORT] = bench.haproxies() - processes[PORT]
        for number in range(rounds):
            for port in (PORT, PEER_PORT) if number % 2 else (PEER_PORT, PORT):
                before = processor_seconds(processes[port])
                load = Load.parse(bench.wrk(64, port, seconds=seconds).communicate(timeout=seconds + 60)[0])
                if load.failed:
                    raise RuntimeError(f"{load.failed} of {load.requests} requests failed on port {port}")
                rates[port].append(load.rate)
                costs[port].append((processor_seconds(processes[port]) - before) / load.requests * 1e6)
    ours, peer = (statistics.median(rates[port]) for port in (PORT, PEER_PORT))
    cost, peer_cost = (statistics.median(costs[port]) for port in (PORT, PEER_PORT))
    return [
        row("requests a second through the VIP", "1/s", ours, peer, ours / peer),
        row("processor time of HAProxy for a request", "us", cost, peer_cost, peer_cost / cost),
    ]


def measure(bench: Bench, arguments: argparse.Namespace, console: Console) -> list[dict[str, Any]]:
    """Rows of the answer."""
    bench.furnish()
    bench.apply(tree({"member-1": 1, "member-2": 1}))
    rows = throughput(bench, arguments.rounds, arguments.seconds)
    alone = member_changes(bench, 40, console, 50000)
    rows.append(row("member change without load, call to effect, median of 40", "ms", statistics.median(alone)))
    jobs: dict[str, Callable[[], list[float]]] = {
        "reload": lambda: reloads(bench, arguments.reloads, console),
        "member change": lambda: member_changes(bench, arguments.changes, console, 50000 + arguments.reloads),
    }
    for name, job in jobs.items():
        durations, loads = under_load(bench, job)
        rows.append(row(f"{name}, call to effect, median of {len(durations)}", "ms", statistics.median(durations)))
        rows.append(row(f"{name}, call to effect, longest", "ms", max(durations)))
        for clients, load in loads.items():
            if load.failed:
                console.print(f"{name}, {clients}: {load}")
            rows.append(row(f"{name}s, {clients}: requests", "1", load.requests))
            rows.append(row(f"{name}s, {clients}: failed", "1", load.failed))
    return rows


def row(case: str, unit: str, ours: float, peer: float | None = None, ratio: float | None = None) -> dict[str, Any]:
    return {"case": case, "unit": unit, "ours": ours, "peer": peer, "ratio": ratio}


def main() -> None:
    """Measure, draw, and with --json end with one JSON object; the exit status is 1 when a request failed."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--json", action="store_true", help="end with one JSON object")
    parser.add_argument("--reloads", type=int, default=100)
    parser.add_argument("--changes", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=40, help="of each side's throughput")
    parser.add_argument("--seconds", type=int, default=1, help="of each round")
    arguments = parser.parse_args()
    console = Console(stderr=arguments.json)
    with tempfile.TemporaryDirectory(prefix="lbdrivers-bench-") as folder:
        bench = Bench(Path(folder))
        try:
            rows = measure(bench, arguments, console)
        finally:
            bench.close()
    budgets = f"{CHANGE_BUDGET:.0f} ms a member change without load, no failure, {THROUGHPUT_BUDGET} of the one by hand"
    table = Table(title="changes under load", caption=f"budgets: {budgets}")
    for column in ("", "ours", "by hand", "ratio"):
        table.add_column(column, justify="right" if column else "left")
    for one in rows:
        peer = ["-" if one[name] is None else f"{one[name]:.3g}" for name in ("peer", "ratio")]
        table.add_row(one["case"], f"{one['ours']:,.1f} {one['unit'] if one['unit'] != '1' else ''}", *peer)
    console.print(table)
    if arguments.json:
        print(json.dumps({"rows": rows}))
    if any(one["ours"] for one in rows if one["case"].endswith("failed")):
        sys.exit(1)


if __name__ == "__main__":
    main()
