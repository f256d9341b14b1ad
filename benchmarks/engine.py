"""What the control plane itself costs: each change of a load balancer with drivers that do nothing, on SQLite.

From ``submit`` to the end of the run: store, leases, plan, recipe, records. Compute, network, appliance
and certificates are the memory drivers, their cloud in this process's memory; databases lie on a real
disk. With ``--peer`` the same is asked of Octavia 19.0.0 with its own no-operation drivers, in the same run:
its API and its controller worker in one process, without a message queue between them.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from oslo_config import cfg
from rich.console import Console
from rich.progress import track
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.peer import environment
from lbdrivers import settings
from lbdrivers.drivers.context import DriverContext, Records
from lbdrivers.memory.amphora import MemoryAmphoraDriver
from lbdrivers.memory.certificate import MemoryAuthority
from lbdrivers.memory.compute import MemoryCompute
from lbdrivers.memory.network import MemoryNetwork
from lbdrivers.memory.records import MemoryRecords
from lbdrivers.model.resources import LoadBalancer, Member
from lbdrivers.reconcile.engine import Engine
from lbdrivers.reconcile.outcome import Done
from lbdrivers.store.store import Store
from lbdrivers_amphora.provider import AmphoraProvider

#: case -> budget in milliseconds.
BUDGETS: dict[str, float | None] = {
    "create, SINGLE": 40,
    "create, ACTIVE_STANDBY": 60,
    "create a member beside 50": 15,
    "replace 50 members": 40,
    "failover of a pair": 150,
    "delete a pair": None,
}
MEMBERS = 50
DRIVERS: dict[str, Callable[[DriverContext], Any]] = {
    "lbdrivers.compute": MemoryCompute,
    "lbdrivers.networks": MemoryNetwork,
    "lbdrivers.amphora": MemoryAmphoraDriver,
    "lbdrivers.certificates": MemoryAuthority,
}
PEER_DRIVER = Path(__file__).parent / "peer" / "engine.py"
PEER_REQUIREMENTS = ("octavia==19.0.0", "SQLAlchemy>=2.0,<2.1", "WebTest>=3.0")


def tree(members: tuple[Member, ...] = ()) -> LoadBalancer:
    """A load balancer with an HTTP listener, a monitored pool and those members."""
    pool = str(uuid.uuid4())
    monitor = {"id": str(uuid.uuid4()), "type": "HTTP", "delay": 5, "timeout": 4, "max_retries": 3}
    return LoadBalancer.model_validate(
        {
            "id": str(uuid.uuid4()),
            "vip_subnet_id": str(uuid.uuid4()),
            "listeners": [{"id": str(uuid.uuid4()), "protocol": "HTTP", "protocol_port": 80, "default_pool_id": pool}],
            "pools": [
                {
                    "id": pool,
                    "protocol": "HTTP",
                    "lb_algorithm": "ROUND_ROBIN",
                    "healthmonitor": monitor,
                    "members": [member.model_dump() for member in members],
                }
            ],
        }
    )


def some_members(network: int) -> tuple[Member, ...]:
    """Fifty members with new ids."""
    return tuple(
        Member(id=str(uuid.uuid4()), address=f"10.{network}.0.{host + 1}", protocol_port=80) for host in range(MEMBERS)
    )


def with_members(old: LoadBalancer, members: tuple[Member, ...]) -> LoadBalancer:
    """The same load balancer with those members, validated as at the edge."""
    values = old.model_dump()
    values["pools"][0]["members"] = [member.model_dump() for member in members]
    return LoadBalancer.model_validate(values)


class Side:
    """Our control plane in one process, on a database of its own."""

    def __init__(self, folder: Path, topology: str) -> None:
        text = f"""
[lbdrivers]
state_path = {folder}
[controller_worker]
compute_driver = memory
network_driver = memory
amphora_driver = memory
loadbalancer_topology = {topology}
[certificates]
cert_generator = memory
"""
        file = folder / "benchmark.conf"
        file.write_text(text)
        self._configuration: cfg.ConfigOpts = settings.load([file])
        values = settings.read(self._configuration)
        self.store = Store(values.database)
        self._made: dict[str, Any] = {}
        self._outside = MemoryRecords()
        provider = AmphoraProvider(self._context(self.store.records))
        self.engine = Engine(self.store, lambda _name: provider, values)

    def _context(self, records: Records) -> DriverContext:
        return DriverContext(self._configuration, records, self._load)

    def _load(self, group: str, _name: str) -> Any:
        if group not in self._made:
            self._made[group] = DRIVERS[group](self._context(self._outside))
        return self._made[group]

    def timed(self, wish: Callable[[], object], load_balancer_id: str) -> float:
        """Milliseconds until what is wished is so."""
        started = time.perf_counter()
        wish()
        outcome = self.engine.run(load_balancer_id)
        seconds = time.perf_counter() - started
        if not isinstance(outcome, Done):
            raise RuntimeError(f"the run ended in {outcome}")
        return seconds * 1000


def one_round(single: Side, pair: Side) -> dict[str, float]:
    """Each case once, on new load balancers."""
    first, wanted = tree(), tree(some_members(1))
    found = {"create, SINGLE": single.timed(lambda: single.engine.submit(first), first.id)}
    found["create, ACTIVE_STANDBY"] = pair.timed(lambda: pair.engine.submit(wanted), wanted.id)
    old = wanted.pools[0].members
    more = with_members(wanted, (*old, Member(id=str(uuid.uuid4()), address="10.9.0.1", protocol_port=80)))
    found["create a member beside 50"] = pair.timed(lambda: pair.engine.submit(more), wanted.id)
    other = with_members(wanted, some_members(2))
    found["replace 50 members"] = pair.timed(lambda: pair.engine.submit(other), wanted.id)
    found["failover of a pair"] = pair.timed(lambda: pair.engine.failover(wanted.id), wanted.id)
    found["delete a pair"] = pair.timed(lambda: pair.engine.delete(wanted.id), wanted.id)
    single.timed(lambda: single.engine.delete(first.id), first.id)
    return found


def ours(rounds: int, console: Console) -> dict[str, float]:
    """Medians of our side."""
    with tempfile.TemporaryDirectory(prefix="lbdrivers-engine-") as name:
        sides = []
        for topology in ("SINGLE", "ACTIVE_STANDBY"):
            folder = Path(name) / topology
            folder.mkdir()
            sides.append(Side(folder, topology))
        single, pair = sides
        one_round(single, pair)
        steps = track(range(rounds), "ours", console=console, transient=True)
        found = [one_round(single, pair) for _ in steps]
        for side in sides:
            side.store.close()
    return {case: statistics.median(values[case] for values in found) for case in BUDGETS}


def peers(folder: Path, rounds: int) -> dict[str, float]:
    """Medians of Octavia, in an environment in the folder."""
    python = environment.interpreter(folder, PEER_REQUIREMENTS)
    found: dict[str, float] = {}
    for topology in ("SINGLE", "ACTIVE_STANDBY"):
        with tempfile.TemporaryDirectory(prefix="lbdrivers-peer-") as scratch:
            found |= environment.answer([python, str(PEER_DRIVER), topology, str(rounds), scratch])
    return found


def main() -> None:
    """Measure, draw, and with --json end with one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=20)
    environment.add_options(parser)
    arguments = parser.parse_args()
    console = Console(stderr=arguments.json)
    found = ours(arguments.rounds, console)
    other = peers(arguments.peer_folder, max(3, arguments.rounds // 4)) if arguments.peer else {}
    table = Table(title=f"one change with drivers that do nothing, SQLite, medians of {arguments.rounds}")
    for column in ("change", "ours", "budget", "Octavia 19.0.0", "ratio"):
        table.add_column(column, justify="left" if column == "change" else "right")
    rows: list[dict[str, Any]] = []
    for case, budget in BUDGETS.items():
        peer, ratio = other.get(case), other[case] / found[case] if case in other else None
        rows.append({"case": case, "unit": "ms", "ours": found[case], "peer": peer, "ratio": ratio})
        told = ("-", "-") if peer is None or ratio is None else (f"{peer:.0f} ms", f"{ratio:.0f}x")
        limit = "-" if budget is None else f"{budget:.0f} ms"
        table.add_row(case, f"{found[case]:.1f} ms", limit, *told)
    console.print(table)
    if arguments.json:
        print(json.dumps({"rows": rows}))


if __name__ == "__main__":
    main()
