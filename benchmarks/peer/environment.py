"""Where a peer is measured: in an environment of its own, which is made once and kept in a folder.

Runs in ours; the other modules here run in the peer's.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def add_options(parser: argparse.ArgumentParser, peer: str = "Octavia 19.0.0") -> None:
    """``--json``, ``--peer`` and ``--peer-folder``, as every benchmark with a peer has them."""
    parser.add_argument("--json", action="store_true", help="end with one JSON object")
    parser.add_argument("--peer", action="store_true", help=f"measure {peer} as well")
    default = Path(tempfile.gettempdir()) / "lbdrivers-peer"
    parser.add_argument("--peer-folder", type=Path, default=default, help="where the peer is installed")


def interpreter(folder: Path, requirements: Sequence[str], name: str = "venv") -> str:
    """Path of a Python that has the requirements.

    :param name: of the environment in the folder; peers that exclude each other have several.
    """
    python = folder / name / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(folder / name)], check=True)
    subprocess.run([str(python), "-m", "pip", "install", "--quiet", *requirements], check=True)
    return str(python)


def answer(command: Sequence[str], given: object = None) -> Any:
    """What the peer's program says, which is JSON on its last line.

    :param given: what it reads, as JSON; None: nothing.
    :raises RuntimeError: with its last words, when it fails.
    """
    text = None if given is None else json.dumps(given)
    done = subprocess.run(list(command), input=text, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"the peer failed: {done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])
