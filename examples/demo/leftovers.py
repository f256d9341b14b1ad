"""What a run must not leave behind, and how what an interrupted run left is removed."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

from lbdrivers import settings
from lbdrivers_amphora.site.place import Site

Snapshot = dict[str, frozenset[str]]


def clean_when_terminated() -> None:
    """SIGTERM ends the program as Ctrl-C does: by way of its ``finally`` blocks."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))


def snapshot() -> Snapshot:
    """The host's own links, addresses, routes and named namespaces."""
    links = json.loads(_output("ip", "-j", "address"))
    names = Path("/run/netns")
    return {
        "link": frozenset(link["ifname"] for link in links),
        "address": frozenset(f"{a['local']} on {link['ifname']}" for link in links for a in link["addr_info"]),
        "route": frozenset(_output("ip", "route", "show", "table", "all").splitlines()),
        "namespace": frozenset(path.name for path in names.iterdir()) if names.is_dir() else frozenset(),
    }


def compare(before: Snapshot, state: Path) -> list[str]:
    """Everything that is there and was not, one text each: of the host, of processes, of files."""
    now = snapshot()
    left = [f"{kind} {name}" for kind, names in now.items() for name in sorted(names - before[kind])]
    left += [f"vanished {kind} {name}" for kind, names in before.items() for name in sorted(names - now[kind])]
    left += [f"process {line}" for line in processes(state)]
    local = state / "local"
    if local.exists():
        left += [f"file {path}" for path in sorted(local.rglob("*"))] or [f"file {local}"]
    return left


def processes(state: Path) -> list[str]:
    """Command lines of living processes that name the state folder."""
    found = []
    for process in Path("/proc").iterdir():
        if process.name.isdigit() and int(process.name) != os.getpid():
            with contextlib.suppress(OSError):
                line = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
                if str(state) in line:
                    found.append(f"{process.name} {line}")
    return found


def clean(state: Path) -> None:
    """End and remove everything that lives in the state folder, and the folder."""
    if not state.exists():
        return
    site = Site.of(settings.load(state_path=state))
    for box in site.boxes():
        box.stop()
        box.delete()
    site.fabric.stop()
    shutil.rmtree(state)


def _output(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout
