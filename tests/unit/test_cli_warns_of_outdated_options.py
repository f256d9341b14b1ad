"""A command tells once, on standard error, what its configuration files say that is not done."""

from __future__ import annotations

from pathlib import Path

import pytest

from lbdrivers.cli import main

DATA = Path(__file__).parent / "data"


@pytest.fixture(autouse=True)
def _known_width(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")


def test_outdated_options_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = ("--config-file", str(DATA / "amphora-agent.conf"))
    assert main([*files, "--state", str(tmp_path), "drivers", "--json"]) == 0
    told = capsys.readouterr()
    assert told.out.startswith("{")
    assert told.err.startswith("warning: outdated options are ignored: [haproxy_amphora] respawn_count (")
    assert told.err.count("\n") == 1 and "use_upstart" in told.err


def test_without_any_there_is_no_word(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = ("--config-file", str(DATA / "octavia-health-manager.conf"))
    assert main([*files, "--state", str(tmp_path), "drivers"]) == 0
    assert capsys.readouterr().err == ""


def test_an_unknown_option_is_bad_input(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "x.conf"
    file.write_text("[local]\nboot_timout = 1\n")
    assert main(["--config-file", str(file), "--state", str(tmp_path), "drivers"]) == 2
    assert f"{file}:2: [local] boot_timout: is an option that nobody knows" in capsys.readouterr().err
