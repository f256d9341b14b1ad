"""What docs/writing-a-driver.md tells to write conforms: its blocks are written down and run."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from support.planted import plant

PAGE = Path(__file__).parents[2] / "docs" / "writing-a-driver.md"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"# (\S+)\n")


def blocks(language: str) -> list[str]:
    return [text for kind, text in BLOCK.findall(PAGE.read_text()) if kind == language]


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """The files of the page: each block begins with its path."""
    for text in (*blocks("python"), *blocks("ini")):
        found = FILE.match(text)
        assert found, f"a block does not say which file it is: {text[:60]}"
        file = tmp_path / found[1]
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
    plant(tmp_path, (tmp_path / "setup.cfg").read_text())
    return tmp_path


def run(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    environment.pop("LBDRIVERS_STATE_PATH", None)
    return subprocess.run(
        [sys.executable, "-m", *command], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


def test_the_kit_passes(package: Path) -> None:
    done = run(package, "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(package), "test_conformance.py")
    assert done.returncode == 0, done.stdout
    assert " passed" in done.stdout


def test_the_commands_work(package: Path) -> None:
    (commands,) = blocks("sh")
    outputs = []
    for line in commands.splitlines():
        done = run(package, *shlex.split(line))
        assert done.returncode == 0, done.stdout + done.stderr
        outputs.append(done.stdout)
    assert "lbdrivers-shelf 0.1.0" in outputs[0]
    assert "shelf     conforms" in outputs[1]


def test_the_provider_is_short() -> None:
    assert len(blocks("python")[0].splitlines()) <= 70
