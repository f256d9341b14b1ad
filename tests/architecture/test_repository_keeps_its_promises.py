"""What is written in setup.cfg exists, and no file speaks of the machine that it was written on."""

from __future__ import annotations

import configparser
import importlib
import re
import subprocess
from pathlib import Path

import pytest

from lbdrivers.drivers.context import CONTRACT
from lbdrivers.registry import ADAPTERS, DAEMONS, GROUPS, START
from lbdrivers.settings.declared import GROUP as OPTIONS

#: Where Octavia looks for drivers and their companions.
OCTAVIA = {"octavia.api.drivers", "octavia.driver_agent.provider_agents"}
ROOT = Path(__file__).parents[2]


def entry_points() -> list[tuple[str, str, str]]:
    """Group, name and target of every entry point."""
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg")
    found = []
    for group, lines in parser["options.entry_points"].items():
        for line in filter(None, lines.splitlines()):
            name, target = (part.strip() for part in line.split("=", 1))
            found.append((group, name, target))
    return found


@pytest.mark.parametrize(("group", "name", "target"), entry_points(), ids=lambda part: str(part))
def test_every_entry_point_is_there(group: str, name: str, target: str) -> None:
    module, attribute = target.split(":")
    found = getattr(importlib.import_module(module), attribute)
    assert callable(found) or group == OPTIONS
    if group in GROUPS:
        assert found.contract == CONTRACT


def test_entry_points_are_all_in_groups_that_are_known() -> None:
    known = {"console_scripts", START, OPTIONS, ADAPTERS, DAEMONS, *GROUPS, *OCTAVIA}
    assert {group for group, _, _ in entry_points()} <= known


def test_no_file_speaks_of_this_machine() -> None:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    places = {str(ROOT)} if len(ROOT.parts) > 2 else set()
    pattern = re.compile("|".join([r"(?<![\w.-])/" + "work" + r"/\w", *map(re.escape, places)]))
    guilty = []
    for name in filter(None, listed.split("\0")):
        path = ROOT / name
        if path.is_file() and (found := pattern.search(path.read_text(errors="replace"))):
            guilty.append(f"{name}: {found[0]}")
    assert not guilty
