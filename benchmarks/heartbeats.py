"""Heartbeats a second of one health manager: real datagrams on the loopback, one receiver, a real database.

A fleet of single amphorae sends as fast as the health manager takes it. Fewer datagrams wait in the kernel than it
takes at one time: so nothing is lost, and it is never overloaded, when it would be content with the header of each.
Every datagram counts only if the health manager says so. Each amphora is heard some times a second, more often than
any real one; what changes back between two writes, a second apart, is written once. A larger ``--fleet`` makes less of
that. CPU is that of its process, system calls, database driver and the last write included; a database server's own is
not in it. In the steady case nothing but counters changes; in the flipping case every member goes down or comes up
with each heartbeat, and the pool with them.

With ``--peer`` Octavia 19.0.0 takes datagrams of the same trees in the same run: its UDPStatusGetter receives, its
UpdateHealthDb and update_stats work in the same process, without its process pools, as one core has no use for them.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import socket
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from support.fleet import Manager, beat, key_of, manager, populate, waiting
from support.servers import database, postgresql

from benchmarks.peer import environment
from lbdrivers.store.store import Store
from lbdrivers_amphora.health.findings import Operating
from lbdrivers_amphora.health.receiver import BATCH
from lbdrivers_amphora.wire.heartbeat import seal_own

KINDS = ("SQLite", "PostgreSQL")
SHAPES = {"1x1x2": 2, "1x1x50": 50}
#: case -> (messages a second at least, times the peer at least)
BUDGETS = {"steady": (10_000, 60), "flipping": (None, 20)}
#: Datagrams in the kernel's queue beyond which the sender waits.
QUEUE = BATCH * 3 // 4
#: Datagrams between two looks at it.
STEP = 64
PEER = Path(__file__).parent / "peer" / "heartbeats.py"
PEER_REQUIREMENTS = ("octavia==19.0.0", "SQLAlchemy>=2.0,<2.1", "WebTest>=3.0", "psycopg[binary]>=3.1")


def sealed(fleet: int, members: int, turns: range, flipping: bool) -> list[bytes]:
    """Every datagram of those turns, in the order of sending."""
    keys = [key_of(number) for number in range(fleet)]
    return [
        seal_own(beat(number, members, turn, flipping and turn % 2 == 1), keys[number])
        for turn in turns
        for number in range(fleet)
    ]


def room_for(datagram: bytes) -> int:
    """Bytes that the kernel counts for one datagram of that length in a queue."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        receiver.sendto(datagram, receiver.getsockname())
        return waiting(receiver.getsockname()[1])


def send(datagrams: list[bytes], target: Manager) -> None:
    """As fast as they are taken."""
    limit = (QUEUE - STEP) * max(map(room_for, (min(datagrams, key=len), max(datagrams, key=len))))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.connect(("127.0.0.1", target.port))
        for number, datagram in enumerate(datagrams):
            if number % STEP == 0:
                while waiting(target.port) > limit:
                    time.sleep(0.0005)
            sender.send(datagram)
        while waiting(target.port):
            time.sleep(0.001)


def measured(target: Manager, datagrams: list[bytes]) -> dict[str, float]:
    """Messages a second and CPU for these; what was not accepted, or not looked into, is an error."""
    before, cpu, began = target.counts().get("accepted", 0), target.cpu(), time.perf_counter()
    send(datagrams, target)
    seconds = time.perf_counter() - began
    deadline = time.monotonic() + 30
    while (accepted := target.counts().get("accepted", 0) - before) < len(datagrams):
        if time.monotonic() > deadline:
            raise RuntimeError(f"of {len(datagrams)} datagrams {accepted} were accepted: {target.counts()}")
        time.sleep(0.1)
    if any("overloaded" in line for line in target.said):
        raise RuntimeError("the health manager was overloaded, and let statistics wait")
    return {"rate": len(datagrams) / seconds, "cpu": (target.cpu() - cpu) / len(datagrams) * 1e6}


def await_settled(store: Store, fleet: int) -> None:
    """Until every load balancer has its first statuses."""
    deadline = time.monotonic() + 300
    while len(store.records.versions(Operating.KIND)) < fleet:
        if time.monotonic() > deadline:
            raise RuntimeError("the health manager does not find the first statuses")
        time.sleep(0.2)
    time.sleep(1.5)  # one more write, so that the first figure is of its own heartbeats alone


def ours(url: str, members: int, fleet: int, turns: int) -> dict[str, dict[str, float]]:
    """Both cases on a new database."""
    with tempfile.TemporaryDirectory(prefix="lbdrivers-heartbeats-") as folder:
        store = Store(url or f"sqlite:///{folder}/lbdrivers.sqlite")
        try:
            populate(store, fleet, members)
            address = url or f"sqlite:///{folder}/lbdrivers.sqlite"
            with manager(address, store, Path(folder), {"heartbeat_timeout": 3600}) as target:
                send(sealed(fleet, members, range(1), False), target)  # trees are read, keys derived
                await_settled(store, fleet)
                found = {}
                for case, start in (("steady", 1), ("flipping", 1 + turns)):
                    datagrams = sealed(fleet, members, range(start, start + turns), case == "flipping")
                    found[case] = measured(target, datagrams) | {"memory": target.memory()}
                return found
        finally:
            store.close()


def peers(folder: Path, url: str, shape: str, seconds: int) -> dict[str, dict[str, float]]:
    """Both cases of Octavia, in an environment in the folder."""
    python = environment.interpreter(folder, PEER_REQUIREMENTS)
    with tempfile.TemporaryDirectory(prefix="lbdrivers-peer-") as scratch:
        command = [python, str(PEER), url or f"sqlite:///{scratch}/octavia.sqlite", shape, str(seconds)]
        answer: dict[str, dict[str, float]] = environment.answer(command)
    return answer


def rows(arguments: argparse.Namespace, console: Console) -> Iterator[dict[str, Any]]:
    """One for each database, shape and case."""
    with postgresql() as server:
        for kind in arguments.database or KINDS:
            for shape, members in SHAPES.items():
                console.print(f"{kind}, {shape} ...", style="dim")
                with contextlib.nullcontext("") if kind == "SQLite" else database(server) as url:
                    found = ours(url, members, arguments.fleet, arguments.turns)
                other: dict[str, dict[str, float]] = {}
                if arguments.peer:
                    with contextlib.nullcontext("") if kind == "SQLite" else database(server) as url:
                        other = peers(arguments.peer_folder, url, shape, arguments.peer_seconds)
                for case, values in found.items():
                    peer = other.get(case, {})
                    row = {"case": f"{shape} {case}, {kind}", "unit": "messages/s", "ours": values["rate"]}
                    row |= {"peer": peer.get("rate"), "ours_cpu_us": values["cpu"], "peer_cpu_us": peer.get("cpu")}
                    row |= {"ratio": values["rate"] / peer["rate"] if peer else None, "memory_mb": values["memory"]}
                    yield row


def main() -> None:
    """Measure, draw, and with --json end with one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--fleet", type=int, default=3000, help="amphorae")
    parser.add_argument("--turns", type=int, default=12, help="heartbeats of each")
    parser.add_argument("--database", action="append", choices=KINDS, help="on this alone; may be given again")
    environment.add_options(parser)
    parser.add_argument("--peer-seconds", type=int, default=8, help="seconds for each of its cases")
    arguments = parser.parse_args()
    console = Console(stderr=arguments.json)
    found = list(rows(arguments, console))
    table = Table(title=f"heartbeats a second, one receiver, {arguments.fleet} amphorae")
    for column in ("case", "ours", "CPU each", "memory", "Octavia 19.0.0", "CPU each", "ratio", "budget"):
        table.add_column(column, justify="left" if column == "case" else "right")
    for row in found:
        least, times = BUDGETS[row["case"].split()[1].rstrip(",")]
        told = ("-", "-", "-")
        if row["peer"]:
            told = (f"{row['peer']:.0f}/s", f"{row['peer_cpu_us']:.0f} us", f"{row['ratio']:.0f}x")
        budget = f"{times}x" if least is None else f"{least}/s, {times}x"
        own = (f"{row['ours']:.0f}/s", f"{row['ours_cpu_us']:.0f} us", f"{row['memory_mb']:.0f} MB")
        table.add_row(row["case"], *own, *told, budget)
    console.print(table)
    if arguments.json:
        print(json.dumps({"rows": found}))


if __name__ == "__main__":
    main()
