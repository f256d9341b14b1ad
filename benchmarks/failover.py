"""How long clients of a pair get no answer when something of it fails, on the local backend: medians of the gaps.

Each round breaks one thing on the amphora that holds the VIP, while a client asks through the VIP all the
time; the gap is the longest time between two answers around that moment. Then a failover makes the pair whole
again; after a machine was killed, that is timed, too. There is no figure of a peer: its timers are those of
virtual machines.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import itertools

from rich.console import Console
from rich.progress import track
from rich.table import Table

from examples.demo import leftovers
from examples.demo.client import Client
from examples.demo.world import World

DOCUMENT = Path(__file__).parents[1] / "examples" / "web.yaml"
PROGRAM = str(Path(sys.executable).parent / "lbdrivers")
PUBLIC, PRIVATE = "b0000000-0000-4000-8000-000000000002", "b0000000-0000-4000-8000-000000000003"
VIP, PORT = "10.211.16.10", 80
#: profile -> seconds between two VRRP advertisements, and the budget of the gap in milliseconds.
PROFILES = {"default": (0.1, 1000), "fast": (0.03, 400)}
#: Milliseconds from the decision to a pair that is redundant again.
REPLACEMENT_BUDGET = 3000
#: Client threads and seconds that each waits for an answer: so they find the moment within some 5 ms.
THREADS, PATIENCE = 6, 0.03
#: Seconds of asking before and after the fault: twice the widest gap that is allowed, and some.
BEFORE, AFTER = 0.3, 2.5


class Box:
    """One amphora's processes, as this host sees them."""

    def __init__(self, world: World, amphora_id: str) -> None:
        pid = world.site.machine(f"amphora-{amphora_id}").pid()
        if pid is None:
            raise RuntimeError(f"amphora {amphora_id} is not running")
        self.pid = pid
        self._space = Path(f"/proc/{pid}/ns/pid").readlink()

    def processes(self, name: str) -> list[int]:
        """Processes of that name, the oldest first."""
        found = []
        for folder in Path("/proc").iterdir():
            if folder.name.isdigit():
                try:
                    mine = (folder / "comm").read_text().strip() == name and (
                        folder / "ns/pid"
                    ).readlink() == self._space
                except OSError:
                    continue
                if mine:
                    found.append(int(folder.name))
        return sorted(found)

    def signal(self, name: str, number: signal.Signals) -> None:
        """To every process of that name at once."""
        for process in self.processes(name):
            try:
                os.kill(process, number)
            except ProcessLookupError:
                continue  # ended with another one of them


def stop_keepalived(box: Box) -> None:
    """As an administrator does: it says its farewell."""
    os.kill(box.processes("keepalived")[0], signal.SIGTERM)


def kill_haproxy(box: Box) -> None:
    """Master and worker."""
    box.signal("haproxy", signal.SIGKILL)


def kill_machine(box: Box) -> None:
    """Everything in it, as by a power cut."""
    os.kill(box.pid, signal.SIGKILL)


def take_link_down(box: Box) -> None:
    """The interface that the VIP is on."""
    traffic = f"/proc/{box.processes('haproxy')[0]}/ns/net"
    subprocess.run(["nsenter", f"--net={traffic}", "ip", "link", "set", "eth1", "down"], check=True)


FAULTS: dict[str, Callable[[Box], None]] = {
    "keepalived stopped": stop_keepalived,
    "HAProxy killed": kill_haproxy,
    "machine killed": kill_machine,
    "VIP link down": take_link_down,
}


class Asking:
    """Threads that ask through the VIP all the time; the moments of the answers."""

    def __init__(self, world: World) -> None:
        self._world, self._over = world, threading.Event()
        self._answers: list[float] = []
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(THREADS)]

    def _run(self) -> None:
        client = Client(VIP, PORT, self._world.open_from_client)
        while not self._over.is_set():
            answer = client.get(PATIENCE)
            if answer.body is not None:
                self._answers.append(answer.at)
                self._over.wait(0.002)

    @contextmanager
    def going_on(self) -> Iterator[None]:
        """While in here."""
        for thread in self._threads:
            thread.start()
        try:
            yield
        finally:
            self._over.set()
            for thread in self._threads:
                thread.join()

    def gap(self, moment: float) -> float:
        """Longest time without an answer that ends after the moment, in seconds."""
        answers = sorted(self._answers)
        pairs = [(one, other) for one, other in itertools.pairwise(answers) if other >= moment]
        if not pairs or answers[-1] < moment + AFTER / 2:
            raise RuntimeError("the pair did not come back")
        return max(other - one for one, other in pairs)


def measure(profile: str, rounds: int, tell: Callable[[Any], Any]) -> dict[str, list[float]]:
    """Milliseconds by fault, and of the replacement of a dead machine."""
    with tempfile.TemporaryDirectory(prefix="lbdrivers-bench-") as folder:
        state, configuration = Path(folder) / "state", Path(folder) / "lbdrivers.conf"
        configuration.write_text(f"[keepalived_vrrp]\nvrrp_advert_int = {PROFILES[profile][0]}\n")
        world = World(state, PRIVATE, PUBLIC)
        command = [PROGRAM, "--config-file", str(configuration), "--state", str(state)]
        try:
            for number in (1, 2):
                world.serve(f"web-{number}", f"10.211.32.{10 + number}", 8080)
            world.start_client()
            subprocess.run([*command, "apply", str(DOCUMENT)], capture_output=True, check=True)
            found: dict[str, list[float]] = {name: [] for name in (*FAULTS, "replacement of the dead")}
            for name in tell([name for name in FAULTS for _ in range(rounds)]):
                _round(world, command, name, found)
            return found
        finally:
            subprocess.run([*command, "delete", "web"], capture_output=True, check=False)
            world.close()
            leftovers.clean(state)


def _round(world: World, command: list[str], name: str, found: dict[str, list[float]]) -> None:
    asking = Asking(world)
    holder = _holder(command)
    box = Box(world, holder)
    with asking.going_on():
        time.sleep(BEFORE)
        moment = time.monotonic()
        FAULTS[name](box)
        time.sleep(AFTER)
    found[name].append(asking.gap(moment) * 1000)
    began = time.monotonic()
    # The broken one alone: what is healthy stays, and is needed for the next round's takeover.
    subprocess.run([*command, "failover", "web", "--amphora", holder], capture_output=True, check=True)
    if name == "machine killed":
        found["replacement of the dead"].append((time.monotonic() - began) * 1000)


def _holder(command: list[str]) -> str:
    """Id of the amphora that has the VIP."""
    shown = subprocess.run([*command, "show", "web", "--json"], capture_output=True, text=True, check=True)
    return next(one["id"] for one in json.loads(shown.stdout)["appliances"] if one["holds_vip"])


def main() -> None:
    """Measure, draw, and with --json end with one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--profile", choices=PROFILES, action="append")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    leftovers.clean_when_terminated()
    console = Console(stderr=arguments.json)
    table = Table(title=f"gaps on the local backend, medians of {arguments.rounds} (longest), milliseconds")
    table.add_column("fault")
    rows: list[dict[str, Any]] = []
    columns: dict[str, dict[str, list[float]]] = {}
    for profile in arguments.profile or list(PROFILES):
        table.add_column(f"{profile}, budget {PROFILES[profile][1]}", justify="right")

        def tell(names: list[str], profile: str = profile) -> Any:
            return track(names, profile, console=console, transient=True)

        columns[profile] = measure(profile, arguments.rounds, tell)
    for name in (*FAULTS, "replacement of the dead"):
        found = [columns[profile][name] for profile in columns]
        table.add_row(name, *(f"{statistics.median(values):.0f} ({max(values):.0f})" for values in found))
        for profile in columns:
            median = round(statistics.median(columns[profile][name]), 1)
            rows.append({"case": f"{profile}, {name}", "unit": "ms", "ours": median, "peer": None, "ratio": None})
    table.add_row(f"budget of the replacement: {REPLACEMENT_BUDGET}", style="dim")
    console.print(table)
    if arguments.json:
        print(json.dumps({"rows": rows}))


if __name__ == "__main__":
    main()
