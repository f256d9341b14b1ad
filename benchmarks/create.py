"""From nothing to the first response through the VIP, on the local backend: medians and phases.

Each round applies examples/web.yaml on a state folder of its own, with two web servers and a client beside it, and
deletes everything again: by the command, which begins with its own start, and by the engine of a process that
runs, as a control plane or a worker has it. There is no figure of a peer: a
cloud that boots virtual machines takes another order of time for other work.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[1]))

from examples.demo import leftovers
from examples.demo.client import Client
from examples.demo.world import World
from lbdrivers import document
from lbdrivers.cli.session import Session
from lbdrivers.drivers.context import Progress
from lbdrivers.model.status import ProvisioningStatus

DOCUMENT = Path(__file__).parents[1] / "examples" / "web.yaml"
PROGRAM = str(Path(sys.executable).parent / "lbdrivers")
PUBLIC, PRIVATE = "b0000000-0000-4000-8000-000000000002", "b0000000-0000-4000-8000-000000000003"
VIP, PORT = "10.211.16.10", 80
#: budgets in milliseconds to the first response
BUDGETS = {"SINGLE": 1500, "ACTIVE_STANDBY": 2500}
#: Phase of all that is no step: the command's start, the document, the store, the drawing.
REST = "everything else"
#: Creates, and gives the steps with their seconds.
Create = Callable[[], Iterable[tuple[str, float]]]


def one_round(topology: str, way: str) -> dict[str, float]:
    """Milliseconds: ``create`` (the whole call), ``first response``, and each kind of step (the longest)."""
    with tempfile.TemporaryDirectory(prefix="lbdrivers-bench-") as folder:
        state = Path(folder) / "state"
        configuration = Path(folder) / "lbdrivers.conf"
        configuration.write_text(f"[controller_worker]\nloadbalancer_topology = {topology}\n")
        world = World(state, PRIVATE, PUBLIC)
        command = [PROGRAM, "--config-file", str(configuration), "--state", str(state)]
        try:
            for number in (1, 2):
                world.serve(f"web-{number}", f"10.211.32.{10 + number}", 8080)
            world.start_client()
            with WAYS[way](command, configuration, state) as create:
                return _measure(world, create)
        finally:
            subprocess.run([*command, "delete", "web"], capture_output=True, check=False)
            world.close()
            leftovers.clean(state)


@contextlib.contextmanager
def by_command(command: list[str], _configuration: Path, _state: Path) -> Iterator[Create]:
    """``lbdrivers apply``: a new process, which begins with importing what it is made of."""

    def create() -> Iterable[tuple[str, float]]:
        result = subprocess.run(
            [*command, "apply", str(DOCUMENT), "--json"], capture_output=True, text=True, check=True
        )
        return [(step["step"], step["seconds"]) for step in json.loads(result.stdout)["steps"]]

    yield create


@contextlib.contextmanager
def by_engine(_command: list[str], configuration: Path, state: Path) -> Iterator[Create]:
    """A control plane that runs: document, engine and provider in this process."""
    steps: list[tuple[str, float]] = []

    def note(progress: Progress) -> None:
        if progress.state == "done":
            steps.append((progress.step, progress.seconds))

    session = Session([configuration], state, note, lambda _words: None)
    session.start()

    def create() -> Iterable[tuple[str, float]]:
        tree = document.parse(DOCUMENT.read_text(), DOCUMENT.name)
        session.engine.submit(tree)
        entry = session.settle(tree.id, 60)
        if entry is None or entry.status is not ProvisioningStatus.ACTIVE:
            raise RuntimeError(f"not created: {entry}")
        return steps

    try:
        yield create
    finally:
        session.close()


WAYS: dict[str, Callable[[list[str], Path, Path], AbstractContextManager[Create]]] = {
    "command": by_command,
    "engine": by_engine,
}


def _measure(world: World, create: Create) -> dict[str, float]:
    started = time.monotonic()
    with world.first_answer(Client(VIP, PORT, world.open_from_client)) as first:
        steps = create()
        created = time.monotonic()
        if not first.wait(20):
            raise RuntimeError("no response through the VIP")
    phases: dict[str, float] = {}
    for step, seconds in steps:
        phases[step] = max(phases.get(step, 0.0), seconds * 1000)
    whole = (created - started) * 1000
    phases[REST] = whole - sum(phases.values())
    return {"create": whole, "first response": (first.at - started) * 1000, **phases}


def _cell(medians: dict[str, float], name: str) -> str:
    """Milliseconds; of a phase, its share of the whole, too. Amphorae are built side by side: the longest counts."""
    if name in ("create", "first response"):
        return f"{medians[name]:.0f}"
    return f"{medians[name]:.0f} ({100 * medians[name] / medians['create']:.0f} %)"


def main() -> None:
    """Measure, draw, and with --json end with one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    leftovers.clean_when_terminated()
    console = Console(stderr=arguments.json)
    cases = [(topology, way) for topology in BUDGETS for way in WAYS]
    medians = {}
    for topology, way in cases:
        one_round(topology, way)  # imports what later ones find, so it is not counted
        steps = track(range(arguments.rounds), f"{topology} by {way}", console=console, transient=True)
        rounds = [one_round(topology, way) for _ in steps]
        medians[topology, way] = {name: statistics.median(found[name] for found in rounds) for name in rounds[0]}
    table = Table(title=f"create on the local backend, medians of {arguments.rounds}, milliseconds")
    table.add_column("phase")
    for topology, way in cases:
        table.add_column(f"{topology}\nby {way}", justify="right")
    for name in medians[cases[0]]:
        table.add_row(name, *(_cell(medians[case], name) for case in cases))
    table.add_row("budget of the first response", *(str(BUDGETS[topology]) for topology, _ in cases), style="dim")
    rows: list[dict[str, Any]] = [
        {"case": f"{topology} by {way}, {name}", "unit": "ms", "ours": round(value, 1), "peer": None, "ratio": None}
        for (topology, way), found in medians.items()
        for name, value in found.items()
    ]
    console.print(table)
    if arguments.json:
        print(json.dumps({"rows": rows}))


if __name__ == "__main__":
    main()
