"""Drivers in Octavia's own entry-point group are providers like ours, under their names where these are free."""

from __future__ import annotations

from pathlib import Path

import pytest
from stevedore import ExtensionManager

from lbdrivers import registry, settings
from lbdrivers.errors import PermanentError
from lbdrivers.features import ALL
from lbdrivers.memory.records import MemoryRecords
from lbdrivers.octavia.foreign import ForeignProvider

MODULE = """
from octavia_lib.api.drivers import provider_base
class Driver(provider_base.ProviderDriver): pass
"""
POINTS = """
[octavia.api.drivers]
memory = planted_octavia:Driver
vendor = planted_octavia:Driver
torn = planted_octavia:Absent
"""


@pytest.fixture(autouse=True)
def planted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    information = tmp_path / "planted_octavia-2.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: planted-octavia\nVersion: 2.0\n")
    (information / "entry_points.txt").write_text(POINTS)
    (tmp_path / "planted_octavia.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    # What stevedore has found in this process stays found.
    monkeypatch.setattr(ExtensionManager, "ENTRY_POINT_CACHE", {})


@pytest.mark.parametrize("name", ["vendor", "octavia_memory"])
def test_they_are_loaded_as_providers(name: str) -> None:
    provider = registry.make_context(settings.load(), MemoryRecords()).load(registry.PROVIDERS, name)
    assert isinstance(provider, ForeignProvider)
    assert (provider.name, provider.features(), provider.known()) == (name, ALL, frozenset())


def test_ours_keep_their_names_and_are_not_found_twice() -> None:
    infos = registry.installed(settings.load())
    names = [info.name for info in infos if info.group == registry.PROVIDERS]
    assert sorted(names) == sorted({"amphora", "memory", "octavia_memory", "vendor", "torn", *names})
    assert not [name for name in names if name.startswith("lbdrivers_")]
    by_name = {info.name: info for info in infos if info.distribution == "planted-octavia"}
    assert (by_name["vendor"].version, by_name["vendor"].contract, by_name["vendor"].error) == ("2.0", 1, "")
    assert "Absent" in by_name["torn"].error


def test_a_broken_one_is_refused_by_name_and_cause() -> None:
    with pytest.raises(PermanentError, match="'torn' cannot be loaded: AttributeError"):
        registry.load(registry.PROVIDERS, "torn", registry.make_context(settings.load(), MemoryRecords()))
    with pytest.raises(PermanentError, match=r"installed: .*memory.*vendor"):
        registry.load(registry.PROVIDERS, "nobody", registry.make_context(settings.load(), MemoryRecords()))
