"""The import contracts hold, and each of them would notice."""

from __future__ import annotations

import configparser
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LINT = Path(sys.executable).with_name("lint-imports")

#: contract -> a line that breaks it, and the module that gets it.
VIOLATIONS = {
    "layers": ("lbdrivers/model/status.py", "import lbdrivers.features"),
    "providers": ("lbdrivers/settings.py", "import lbdrivers_amphora.records"),
    "independence": ("lbdrivers_ovn/network/driver.py", "import lbdrivers_amphora.records"),
    "pure": ("lbdrivers/model/values.py", "import os"),
    "agent": ("lbdrivers_amphora/agent/__init__.py", "import lbdrivers.store.store"),
    "stevedore": ("lbdrivers_amphora/records.py", "import stevedore"),
    "taskflow": ("lbdrivers_amphora/provider.py", "import taskflow.engines"),
    "sqlalchemy": ("lbdrivers/memory/records.py", "import sqlalchemy"),
    "rich": ("lbdrivers/registry.py", "import rich.console"),
    "ovsdb": ("lbdrivers_ovn/provider.py", "import ovsdbapp.api"),
}


def contracts() -> dict[str, str]:
    """Name of each contract in the file, by its key."""
    parser = configparser.ConfigParser()
    parser.read(ROOT / ".importlinter")
    prefix = "importlinter:contract:"
    return {key.removeprefix(prefix): parser[key]["name"] for key in parser.sections() if key.startswith(prefix)}


def lint(folder: Path) -> tuple[int, str]:
    """Exit status and output, unwrapped, of lint-imports on the packages in the folder."""
    environment = {**os.environ, "COLUMNS": "250", "NO_COLOR": "1", "PYTHONPATH": str(folder)}
    command = [LINT, "--config", folder / ".importlinter", "--no-cache"]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    return done.returncode, re.sub(r"\s+", " ", done.stdout + done.stderr)


def test_every_contract_is_kept() -> None:
    status, output = lint(ROOT)
    assert status == 0, output
    assert f"Contracts: {len(contracts())} kept, 0 broken" in output


def test_every_contract_notices_a_violation(tmp_path: Path) -> None:
    for package in ("lbdrivers", "lbdrivers_amphora", "lbdrivers_ovn"):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / ".importlinter", tmp_path)
    assert set(VIOLATIONS) == set(contracts())
    for file, line in VIOLATIONS.values():
        with (tmp_path / file).open("a") as stream:
            stream.write(f"\n{line}\n")
    status, output = lint(tmp_path)
    assert status == 1, output
    for name in contracts().values():
        assert f"{name} BROKEN" in output


PURE_PACKAGES = ("lbdrivers_amphora/haproxy", "lbdrivers_amphora/wire", "lbdrivers_amphora/decide", "lbdrivers/model")


@pytest.mark.parametrize("package", PURE_PACKAGES)
def test_pure_packages_are_under_the_contract(package: str) -> None:
    parser = configparser.ConfigParser()
    parser.read(ROOT / ".importlinter")
    assert package.replace("/", ".") in parser["importlinter:contract:pure"]["source_modules"].split()
