"""``lbdrivers conformance``: a report on any installed provider, good or broken, and nothing left behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from lbdrivers.features import ALL

POINTS = "[lbdrivers.providers]\nforgetful = planted:Forgetful\nmodest = planted:Modest\nliar = planted:Liar\n"
MODULE = """
from lbdrivers.features import Feature, check
from lbdrivers.memory.provider import MemoryProvider

class Forgetful(MemoryProvider):
    name = "forgetful"
    def remove(self, load_balancer_id): pass

class Modest(MemoryProvider):
    name = "modest"
    def features(self): return frozenset({Feature.LISTENER_TCP, Feature.ALGORITHM_ROUND_ROBIN})

class Liar(Modest):
    name = "liar"
    def apply(self, desired, applied):
        self.features = lambda: super(Modest, self).features()
        super().apply(desired, applied)
        del self.features
"""


def run(folder: Path, *arguments: str, hide: str = "") -> subprocess.CompletedProcess[str]:
    """The command with planted providers, its temporary folders below ``folder``."""
    information = folder / "planted-1.0.dist-info"
    information.mkdir(exist_ok=True)
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: planted\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text(POINTS)
    (folder / "planted.py").write_text(MODULE)
    (folder / "tmp").mkdir(exist_ok=True)
    environment = {**os.environ, "PYTHONPATH": str(folder), "TMPDIR": str(folder / "tmp")}
    environment.pop("LBDRIVERS_STATE_PATH", None)
    program = f"import sys; sys.modules[{hide!r}] = None; from lbdrivers.cli import main; sys.exit(main(sys.argv[1:]))"
    start = ["-c", program] if hide else ["-m", "lbdrivers"]
    command = [sys.executable, *start, "conformance", "--histories", "1", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)


def test_a_provider_that_conforms(tmp_path: Path) -> None:
    done = run(tmp_path, "modest")
    assert (done.returncode, done.stderr) == (0, "")
    assert "kept  apply makes all of it" in done.stdout
    assert "refused  l7" in done.stdout
    assert "not claimed  failover of the unknown is refused" in done.stdout
    assert "modest    conforms" in done.stdout
    assert list((tmp_path / "tmp").iterdir()) == []


def test_the_answer_for_scripts_has_every_law_and_every_feature(tmp_path: Path) -> None:
    around = tmp_path / "around.yaml"
    around.write_text("flavors: [{appliances: 2}]\n")
    done = run(tmp_path, "memory", "--json", "--around", str(around))
    answer = json.loads(done.stdout)
    assert done.returncode == 0
    assert answer["conforms"] is True
    assert {one["subject"] for one in answer["features"]} == set(ALL)
    assert set(answer["claimed"]) - set(answer["proved"]) == {
        "availability-zone",
        "member-sriov",
        "vip-qos",
        "vip-security-groups",
    }


def test_a_provider_that_breaks_a_law(tmp_path: Path) -> None:
    done = run(tmp_path, "forgetful", "--json")
    answer = json.loads(done.stdout)
    broken = {one["subject"]: one["text"] for one in answer["laws"] if one["verdict"] == "broken"}
    assert done.returncode == 1
    assert broken["check_remove_leaves_nothing"] == "observe still shows what was removed"
    assert answer["conforms"] is False
    assert answer["left"]
    assert "the provider still holds" in done.stderr


def test_a_provider_that_takes_what_it_does_not_claim(tmp_path: Path) -> None:
    done = run(tmp_path, "liar")
    assert done.returncode == 1
    assert "broken  l7" in done.stdout
    assert "l7 is not claimed, and a tree that needs it was not refused" in done.stdout


def test_what_cannot_be_tried_is_said(tmp_path: Path) -> None:
    assert "there is no provider 'nobody'; installed:" in run(tmp_path, "nobody").stderr
    done = run(tmp_path, "memory", hide="hypothesis")
    assert done.returncode == 1
    assert "needs hypothesis, which is not installed: pip install 'lbdrivers[testing]'" in done.stderr
    bad = tmp_path / "around.yaml"
    for text, message in (
        ("ports: [many]\n", "ports.0"),
        ("subnet: x\n", "known fields (got subnet)"),
        ("- 1\n", "is no"),
    ):
        bad.write_text(text)
        done = run(tmp_path, "memory", "--around", str(bad))
        assert done.returncode == 2
        assert message in done.stderr
