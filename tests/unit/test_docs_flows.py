"""docs/flows.md shows the recipes as they are, and recipes keep the laws that can be read off a table."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import generate_flows
import pytest

from lbdrivers_amphora.flows.recipe import Recipe, Subject
from lbdrivers_amphora.flows.recipes import RECIPES

ROOT = Path(__file__).parents[2]
GENERATOR = ROOT / "docs" / "generate_flows.py"


def test_the_page_is_up_to_date() -> None:
    done = subprocess.run([sys.executable, GENERATOR, "--check"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_what_is_out_of_date_is_told_with_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(generate_flows, "PAGE", tmp_path / "flows.md")
    assert generate_flows.main(["--check"]) == 1
    assert "out of date; write it anew with: python docs/generate_flows.py" in capsys.readouterr().err
    assert generate_flows.main([]) == generate_flows.main(["--check"]) == 0


def test_the_page_has_every_recipe_and_every_step() -> None:
    text = (ROOT / "docs" / "flows.md").read_text()
    for recipe in RECIPES:
        assert f"\n## {recipe.name}\n\n{recipe.purpose}\n" in text
        for stage in recipe.stages:
            for step in stage.steps:
                assert f"\n| {step.name} | " in text


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.name)
def test_nothing_is_removed_before_its_replacement_is_committed(recipe: Recipe) -> None:
    subjects = [stage.subject for stage in recipe.stages]
    if Subject.REMOVED not in subjects or Subject.BUILT not in subjects:
        return
    commits = [any(step.commits for step in stage.steps) for stage in recipe.stages]
    assert subjects.index(Subject.BUILT) <= commits.index(True) < subjects.index(Subject.REMOVED)


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.name)
def test_the_vip_is_released_by_a_delete_alone_and_last_but_for_the_record(recipe: Recipe) -> None:
    names = [step.name for stage in recipe.stages for step in stage.steps]
    if recipe.name == "delete":
        assert names[-2:] == ["release VIP", "forget load balancer"]
    else:
        assert "release VIP" not in names
