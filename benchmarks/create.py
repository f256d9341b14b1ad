"""From nothing to the first response through the VIP, on the local backend: medians and phases.

Each round applies examples/web.yaml with the command line, on a state folder of its own, with two
web servers and a client beside it, and deletes everything again. There is no figure of a peer: a
cloud that boots virtual machines takes another order of time for other work.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[1]))

from examples.demo import leftovers
from examples.demo.client import Client
from examples.demo.world import World

DOCUMENT = Path(__file__).parents[1] / "examples" / "web.yaml"
PROGRAM = str(Path(sys.executable).parent / "lbdrivers")
PUBLIC, PRIVATE = "b0000000-0000-4000-8000-000000000002", "b0000000-0000-4000-8000-000000000003"
VIP, PORT = "10.211.16.10", 80
#: budgets in milliseconds to the first response
BUDGETS = {"SINGLE": 1500, "ACTIVE_STANDBY": 2500}
#: Phase of all that is no step: the command's start, the document, the store, the drawing.
REST = "everything else"


def one_round(topology: str) -> dict[str, float]:
    """Milliseconds: ``create`` (the command), ``first response``, and each kind of step (the longest)."""
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
            return _measure(world, command)
        finally:
            subprocess.run([*command, "delete", "web"], capture_output=True, check=False)
            world.close()
            leftovers.clean(state)


def _measure(world: World, command: list[str]) -> dict[str, float]:
    started = time.monotonic()
    with world.first_answer(Client(VIP, PORT, world.open_from_client)) as first:
        result = subprocess.run(
            [*command, "apply", str(DOCUMENT), "--json"], capture_output=True, text=True, check=True
        )
        created = time.monotonic()
        if not first.wait(20):
            raise RuntimeError("no response through the VIP")
    phases: dict[str, float] = {}
    for step in json.loads(result.stdout)["steps"]:
        phases[step["step"]] = max(phases.get(step["step"], 0.0), step["seconds"] * 1000)
    create = (created - started) * 1000
    phases[REST] = create - sum(phases.values())
    return {"create": create, "first response": (first.at - started) * 1000, **phases}


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
    console = Console(stderr=arguments.json)
    medians = {}
    for topology in BUDGETS:
        steps = track(range(arguments.rounds), topology, console=console, transient=True)
        rounds = [one_round(topology) for _ in steps]
        medians[topology] = {name: statistics.median(found[name] for found in rounds) for name in rounds[0]}
    table = Table(title=f"create on the local backend, medians of {arguments.rounds}, milliseconds")
    table.add_column("phase")
    for topology in BUDGETS:
        table.add_column(topology, justify="right")
    for name in medians["SINGLE"]:
        table.add_row(name, *(_cell(medians[topology], name) for topology in BUDGETS))
    table.add_row("budget of the first response", *map(str, BUDGETS.values()), style="dim")
    rows: list[dict[str, Any]] = [
        {"case": f"{topology}, {name}", "unit": "ms", "ours": round(value, 1), "peer": None, "ratio": None}
        for topology, found in medians.items()
        for name, value in found.items()
    ]
    console.print(table)
    if arguments.json:
        print(json.dumps({"rows": rows}))


if __name__ == "__main__":
    main()
