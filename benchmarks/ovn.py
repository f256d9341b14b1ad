"""What OVN's load balancers cost: many are created in a real northbound database, then their members change.

200 load balancers of 10 members, then 1,000 changes of one member each: adding, disabling, enabling and removing. The
databases and ovn-northd are daemons of our own. Counted are seconds, processor time of the client and of both daemons,
and transactions at the server: records in the database's own log that change more than its counters. A create of
ours has three: the VIP's port, which is there before anything refers to it, ovn-northd's own note that the port is
down, and all rows.

Load balancers are created by the engine, with its store on SQLite. The changes are made twice: by the provider
alone, and by the engine, from ``submit`` to the end of the run. With ``--peer`` the same is asked of
ovn-octavia-provider 11.0.0, on an OVN with the same networks: always its driver alone, with a Neutron and an
Octavia that answer at once and cost nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.peer import environment
from examples.ovn_demo.private_ovn import PrivateOvn
from lbdrivers import registry, settings
from lbdrivers.drivers.context import DriverContext
from lbdrivers.drivers.network import Network
from lbdrivers.memory.records import MemoryRecords
from lbdrivers.model.infra import FixedAddress, PortRequest
from lbdrivers.model.resources import LoadBalancer
from lbdrivers.reconcile.engine import Engine
from lbdrivers.reconcile.outcome import Done
from lbdrivers.store.store import Store

MEMBERS = 10
#: Changes come in rounds of these, each round at the next load balancer.
KINDS = ("add", "disable", "enable", "remove")
PUBLIC, PRIVATE = "b1000000-0000-4000-8000-000000000001", "b1000000-0000-4000-8000-000000000003"
PEER_PROGRAM = Path(__file__).parent / "peer" / "ovn.py"
PEER_REQUIREMENTS = ("ovn-octavia-provider==11.0.0",)
DAEMONS = ("ovsdb-server", "ovn-northd")
CREATE, CHANGE, ENGINE = "create", "member change", "member change by the engine"
#: What is told of each part of the work, with its unit.
TOLD = (
    ("time", "ms"),
    ("client CPU", "ms"),
    ("transactions", "1"),
    ("ovsdb-server CPU", "ms"),
    ("ovn-northd CPU", "ms"),
)


def plan(balancers: int, changes: int) -> dict[str, Any]:
    """Trees, and changes as (kind, id of the pool, member)."""
    trees = [_tree(number) for number in range(balancers)]
    added = [_member(balancers * MEMBERS + number) for number in range(changes // len(KINDS))]
    turns = [(kind, turn) for turn in range(len(added)) for kind in KINDS]
    found = [(kind, trees[turn % balancers]["pools"][0]["id"], added[turn]) for kind, turn in turns]
    return {"trees": trees, "changes": found}


def _member(number: int) -> dict[str, Any]:
    address = f"10.212.{32 + (number + 16) // 256}.{(number + 16) % 256}"
    return {"id": str(uuid.uuid4()), "address": address, "protocol_port": 80, "subnet_id": PRIVATE}


def _tree(number: int) -> dict[str, Any]:
    pool = str(uuid.uuid4())
    listener = {"id": str(uuid.uuid4()), "protocol": "TCP", "protocol_port": 80, "default_pool_id": pool}
    members = [_member(number * MEMBERS + each) for each in range(MEMBERS)]
    common = {"id": pool, "protocol": "TCP", "lb_algorithm": "SOURCE_IP_PORT", "members": members}
    address = f"10.212.{16 + (number + 16) // 256}.{(number + 16) % 256}"
    vip = {"vip_subnet_id": PUBLIC, "vip_address": address, "vip_network_id": "a1000000-0000-4000-8000-000000000001"}
    return {"id": str(uuid.uuid4()), **vip, "listeners": [listener], "pools": [common]}


@dataclass(frozen=True)
class Spent:
    """What a part of the plan took in all: seconds, processor seconds, and transactions."""

    seconds: float
    client: float
    transactions: int
    server: float
    northd: float

    def each(self, part: str, number: int) -> dict[str, float]:
        """Case -> milliseconds, or transactions, for each of so many."""
        found = (self.seconds * 1e3, self.client * 1e3, self.transactions, self.server * 1e3, self.northd * 1e3)
        return {f"{part}: {what}": value / number for (what, _), value in zip(TOLD, found, strict=True)}


class Daemons:
    """What the daemons of an OVN have spent since the last look."""

    def __init__(self, ovn: PrivateOvn) -> None:
        self._ovn = ovn
        self._log = ovn.folder / "nb.db"
        self._place = 0
        self._before = [0.0, 0.0]
        self.look()

    def look(self) -> tuple[int, float, float]:
        """Transactions, and processor seconds of ovsdb-server and ovn-northd, once both have nothing left to do."""
        self._ovn.nbctl("--wait=sb", "--timeout=120", "sync")
        now = [_processor(self._ovn.pid(daemon)) for daemon in DAEMONS]
        spent = [after - before for after, before in zip(now, self._before, strict=True)]
        self._before = now
        return self._transactions(), spent[0], spent[1]

    def _transactions(self) -> int:
        """New records of the log that change any table but that of the database's counters (ovsdb(5))."""
        found = 0
        with self._log.open("rb") as log:
            log.seek(self._place)
            while header := log.readline():
                record = json.loads(log.read(int(header.split()[2])))
                found += any(not table.startswith("_") and table != "NB_Global" for table in record)
            self._place = log.tell()
        return found


def _processor(pid: int) -> float:
    """Seconds that the process has used (proc(5), fields utime and stime)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def surroundings() -> Iterator[tuple[PrivateOvn, DriverContext]]:
    """A private OVN with networks and their router, and a context of drivers on it."""
    with PrivateOvn() as ovn:
        file = ovn.folder / "benchmark.conf"
        file.write_text(ovn.configuration())
        configuration = settings.load([file], state_path=ovn.folder / "state")
        context = registry.make_context(configuration, MemoryRecords())
        network: Network = context.load("lbdrivers.networks", "ovn")
        for subnet_id in (PUBLIC, PRIVATE):
            subnet = network.subnet(subnet_id)
            network.ensure_port(PortRequest("guest " + subnet.id, subnet.network_id, (FixedAddress(subnet_id),)))
        yield ovn, context


def ours(trees: list[LoadBalancer], changes: list[LoadBalancer]) -> dict[str, float]:
    """Our side, in this process. The changes end where they began, so that they can be made twice."""
    with surroundings() as (ovn, context):
        values = settings.read(context.configuration)
        store = Store(values.database)
        provider = registry.make_context(context.configuration, store.records).load("lbdrivers.providers", "ovn")
        engine = Engine(store, lambda _name: provider, values)
        daemons = Daemons(ovn)
        created = _timed(daemons, lambda: [_run(engine, tree) for tree in trees])
        pairs = list(_pairs(trees, changes))
        changed = _timed(daemons, lambda: [provider.apply(new, old) for old, new in pairs])
        by_engine = _timed(daemons, lambda: [_run(engine, tree) for tree in changes])
        store.close()
    number = len(changes)
    return created.each(CREATE, len(trees)) | changed.each(CHANGE, number) | by_engine.each(ENGINE, number)


def _pairs(trees: list[LoadBalancer], changes: list[LoadBalancer]) -> Iterator[tuple[LoadBalancer, LoadBalancer]]:
    """Each changed tree, with what it was before."""
    present = {tree.id: tree for tree in trees}
    for tree in changes:
        yield present[tree.id], tree
        present[tree.id] = tree


def _run(engine: Engine, tree: LoadBalancer) -> None:
    engine.submit(tree)
    outcome = engine.run(tree.id)
    if not isinstance(outcome, Done):
        raise RuntimeError(f"the run ended in {outcome}")


def _timed(daemons: Daemons, work: Callable[[], object]) -> Spent:
    daemons.look()
    seconds, processor = time.perf_counter(), time.process_time()
    work()
    seconds, processor = time.perf_counter() - seconds, time.process_time() - processor
    return Spent(seconds, processor, *daemons.look())


def edited(plan: dict[str, Any]) -> tuple[list[LoadBalancer], list[LoadBalancer]]:
    """The trees of the plan, and for each change the tree that it leads to."""
    trees = {tree["pools"][0]["id"]: LoadBalancer.model_validate(tree) for tree in plan["trees"]}
    created, changed = list(trees.values()), []
    for kind, pool_id, one in plan["changes"]:
        values = trees[pool_id].model_dump()
        members = [member for member in values["pools"][0]["members"] if member["id"] != one["id"]]
        if kind != "remove":
            members.append({**one, "admin_state_up": kind != "disable"})
        values["pools"][0]["members"] = members
        trees[pool_id] = LoadBalancer.model_validate(values)
        changed.append(trees[pool_id])
    return created, changed


def peers(folder: Path, plan: dict[str, Any]) -> dict[str, float]:
    """The peer's side, in an environment in the folder."""
    python = environment.interpreter(folder, PEER_REQUIREMENTS, "venv-ovn")
    with surroundings() as (ovn, context):
        network: Network = context.load("lbdrivers.networks", "ovn")
        subnets = [network.subnet(subnet_id) for subnet_id in (PUBLIC, PRIVATE)]
        told = [{"id": one.id, "network_id": one.network_id, "cidr": one.cidr} for one in subnets]
        file = ovn.folder / "plan.json"
        file.write_text(json.dumps({**plan, "subnets": told}))
        command = [python, str(PEER_PROGRAM), ovn.remote, str(file)]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process:
            daemons = Daemons(ovn)
            _started, created, changed = (_part(process, daemons) for _ in range(3))
            if process.wait():
                assert process.stderr is not None
                raise RuntimeError(f"the peer failed: {process.stderr.read()[-2000:]}")
    number = len(plan["changes"])
    return created.each(CREATE, len(plan["trees"])) | changed.each(CHANGE, number) | changed.each(ENGINE, number)


def _part(process: subprocess.Popen[str], daemons: Daemons) -> Spent:
    """The next part that the peer tells of."""
    assert process.stdin is not None and process.stdout is not None and process.stderr is not None
    line = process.stdout.readline()
    if not line:
        raise RuntimeError(f"the peer failed: {process.stderr.read()[-2000:]}")
    told = json.loads(line)
    spent = Spent(told["seconds"], told["processor"], *daemons.look())
    process.stdin.write("\n")
    process.stdin.flush()
    return spent


def main() -> None:
    """Measure, draw, and with --json end with one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--balancers", type=int, default=200, help="load balancers")
    parser.add_argument("--changes", type=int, default=1000, help="changes of members, rounded up to whole rounds")
    environment.add_options(parser, "ovn-octavia-provider 11.0.0")
    arguments = parser.parse_args()
    console = Console(stderr=arguments.json)
    changes = -(-arguments.changes // len(KINDS)) * len(KINDS)
    work = plan(arguments.balancers, changes)
    found = ours(*edited(work))
    other = peers(arguments.peer_folder, work) if arguments.peer else {}
    title = f"{arguments.balancers} load balancers of {MEMBERS} members in OVN, then {changes} member changes"
    table = Table(title=title)
    for column in ("for each", "ours", "ovn-octavia-provider 11.0.0", "ratio"):
        table.add_column(column, justify="left" if column == "for each" else "right")
    rows: list[dict[str, Any]] = []
    for part in (CREATE, CHANGE, ENGINE):
        for what, unit in TOLD:
            case = f"{part}: {what}"
            peer, ratio = other.get(case), other[case] / found[case] if case in other else None
            rows.append({"case": case, "unit": unit, "ours": found[case], "peer": peer, "ratio": ratio})
            suffix = "" if unit == "1" else f" {unit}"
            told = ("-", "-") if peer is None or ratio is None else (f"{peer:.2f}{suffix}", f"{ratio:.1f}x")
            table.add_row(case, f"{found[case]:.2f}{suffix}", *told)
    console.print(table)
    if arguments.json:
        print(json.dumps({"rows": rows}))


if __name__ == "__main__":
    main()
