"""Drivers are found by entry point; a broken one is named with its cause and takes nothing down."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from stevedore import ExtensionManager

from lbdrivers import registry, settings
from lbdrivers.drivers.context import CONTRACT
from lbdrivers.errors import PermanentError
from lbdrivers.memory.records import MemoryRecords

MODULE = f"""
class Good:
    contract = {CONTRACT}
    name = "good"
    def __init__(self, context): self.context = context
    def features(self): return frozenset({{"l7"}})

class Raises(Good):
    def features(self): raise RuntimeError("cannot tell")

class Old(Good):
    contract = 99

class Silent:
    pass

class Circle(Good):
    def __init__(self, context): context.load("lbdrivers.providers", "circle")
"""
POINTS = """
[lbdrivers.providers]
good = planted_drivers:Good
raises = planted_drivers:Raises
old = planted_drivers:Old
silent = planted_drivers:Silent
circle = planted_drivers:Circle
absent = planted_drivers:Absent
broken = planted_broken:Driver
asserts = planted_asserts:Driver
"""


def plant(folder: Path) -> None:
    """A distribution of somebody else's, as pip leaves it."""
    information = folder / "planted_drivers-1.5.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: planted-drivers\nVersion: 1.5\n")
    (information / "entry_points.txt").write_text(POINTS)
    (folder / "planted_drivers.py").write_text(MODULE)
    (folder / "planted_broken.py").write_text("import no_such_module\n")
    (folder / "planted_asserts.py").write_text("assert False, 'not on a Monday'\n")


@pytest.fixture
def planted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    # What stevedore has found in this process stays found.
    monkeypatch.setattr(ExtensionManager, "ENTRY_POINT_CACHE", {})


def load(name: str) -> object:
    context = registry.make_context(settings.load(), MemoryRecords())
    return context.load(registry.PROVIDERS, name)


CAUSES = {
    "absent": "AttributeError",
    "broken": "ModuleNotFoundError: No module named 'no_such_module'",
    "asserts": "AssertionError: not on a Monday",
    "old": f"states the contract version 99; this library speaks version {CONTRACT}",
    "silent": "states no contract version",
    "circle": "drivers load each other in a circle",
}


@pytest.mark.usefixtures("planted")
@pytest.mark.parametrize(("name", "cause"), CAUSES.items())
def test_a_broken_driver_is_refused_by_name_and_cause(name: str, cause: str) -> None:
    with pytest.raises(PermanentError) as caught:
        load(name)
    assert cause in str(caught.value)
    assert name in caught.value.operator


@pytest.mark.usefixtures("planted")
def test_an_absent_driver_names_those_that_there_are() -> None:
    with pytest.raises(PermanentError, match=r"there is no provider 'nobody'; installed: .*amphora.*good.*memory"):
        load("nobody")


@pytest.mark.usefixtures("planted")
def test_one_instance_a_context() -> None:
    context = registry.make_context(settings.load(), MemoryRecords())
    assert context.load(registry.PROVIDERS, "good") is context.load(registry.PROVIDERS, "good")
    assert load("good") is not load("good")


@pytest.mark.usefixtures("planted")
def test_the_list_has_the_broken_ones_too() -> None:
    infos = {info.name: info for info in registry.installed(settings.load()) if info.distribution == "planted-drivers"}
    assert set(infos) == {"good", "raises", *CAUSES}
    assert (infos["good"].version, infos["good"].features, infos["good"].error) == ("1.5", ("l7",), "")
    assert infos["raises"].error == "RuntimeError: cannot tell"
    assert infos["old"].contract == 99
    for name, cause in CAUSES.items():
        if name != "circle":
            assert cause in infos[name].error


@pytest.mark.usefixtures("planted")
def test_ours_work_beside_them() -> None:
    ours = [info for info in registry.installed(settings.load()) if info.distribution == "lbdrivers"]
    assert ("lbdrivers.providers", "memory", "") in [(info.group, info.name, info.error) for info in ours]


def test_the_command_lists_them(tmp_path: Path) -> None:
    plant(tmp_path)
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    command = [sys.executable, "-m", "lbdrivers", "drivers"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (line,) = (line for line in done.stdout.splitlines() if "broken" in line)
    assert "planted-drivers 1.5" in line
    assert "No module named 'no_such_module'" in line
    done = subprocess.run([*command, "--json"], env=environment, capture_output=True, text=True, check=False)
    listed = {item["name"]: item for item in json.loads(done.stdout)["drivers"] if item["group"] == registry.PROVIDERS}
    assert "no_such_module" in listed["broken"]["error"]
    assert (listed["good"]["error"], listed["good"]["features"]) == (None, ["l7"])
