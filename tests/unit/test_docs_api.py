"""docs/api.md says what the sources say, of every public module."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
GENERATOR = ROOT / "docs" / "generate_api.py"


def test_the_page_is_up_to_date() -> None:
    done = subprocess.run([sys.executable, GENERATOR, "--check"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_page_has_the_verbs_and_the_checks() -> None:
    text = (ROOT / "docs" / "api.md").read_text()
    provider = text.partition("### Provider\n")[2].partition("\n### ")[0]
    for verb in ("features", "apply", "remove", "observe", "known", "failover"):
        assert f"- `{verb}(" in provider
    assert "Law: addresses stay" in provider
    assert "raises `PermanentError`: when no such load balancer is known" in provider
    for name in ("check_remove_leaves_nothing", "checks_for", "examine", "run_start_hooks", "TemporaryError"):
        assert f"### {name}\n" in text


def test_what_is_out_of_date_is_told_with_the_command() -> None:
    """On sources whose page nobody wrote."""
    program = (
        "import pathlib, runpy, sys; made = runpy.run_path(sys.argv[1]); "
        "made['main'].__globals__['PAGE'] = pathlib.Path('/nonexistent/api.md'); sys.exit(made['main'](['--check']))"
    )
    done = subprocess.run([sys.executable, "-c", program, GENERATOR], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "out of date; write it anew with: python docs/generate_api.py" in done.stderr
