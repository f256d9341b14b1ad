"""Runs programs as the user nobody, without any privilege, wherever interpreter and project lie."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

NOBODY = 65534
ROOT = Path(__file__).resolve().parents[2]


def _closed_ancestor(path: Path) -> Path | None:
    """The highest folder above the path that others may not enter."""
    return next((p for p in [*reversed(path.parents)] if not p.stat().st_mode & 0o001), None)


def _opened(folders: list[Path]) -> str:
    """Shell commands for a private mount namespace in which these folders can be reached by everybody.

    The interpreter or the project may lie in somebody's home; there is no need to copy them.
    """
    closed = {folder: ancestor for folder in folders if (ancestor := _closed_ancestor(folder)) is not None}
    lines = ["set -e", "mount -t tmpfs -o mode=0755 tmpfs /mnt"]
    for i, folder in enumerate(closed):
        lines += [f"mkdir /mnt/{i}", f"mount --rbind '{folder}' /mnt/{i}"]
    lines += [f"mount -t tmpfs -o mode=0755 tmpfs '{ancestor}'" for ancestor in dict.fromkeys(closed.values())]
    for i, folder in enumerate(closed):
        lines += [f"mkdir -p '{folder}'", f"mount --rbind /mnt/{i} '{folder}'"]
    return "\n".join(lines)


def run_as_nobody(argv: Sequence[str], home: Path, cwd: Path = Path("/")) -> subprocess.CompletedProcess[str]:
    """The program to its end; its output is text."""
    folders = [Path(sys.prefix).resolve(), Path(sys.base_prefix).resolve(), ROOT]
    user = f"--reuid {NOBODY} --regid {NOBODY} --clear-groups --no-new-privs"
    drop = f'{_opened(folders)}\ncd "$0"\nexec setpriv {user} "$@"'
    enter = ["unshare", "--mount", "--propagation", "private", "sh", "-c", drop, str(cwd)]
    python = {name: value for name, value in os.environ.items() if name.startswith("PYTHON")}
    environment = python | {"PATH": os.environ["PATH"], "HOME": str(home), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(
        [*enter, *argv], capture_output=True, text=True, cwd="/", env=environment, timeout=60, check=False
    )


def processes_of_nobody(state: Path) -> list[Path]:
    """Living processes of nobody that name the state folder."""
    return [
        path.parent
        for path in Path("/proc").glob("[0-9]*/cmdline")
        if path.exists() and str(state).encode() in path.read_bytes() and path.stat().st_uid == NOBODY
    ]
