"""Writes docs/flows.md out of the recipe tables; ``--check`` says whether it is up to date.

Law: the tables alone say what is drawn; the same tables give the same page.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from written_page import write_or_check

from lbdrivers_amphora.flows.recipe import Action, Recipe, Stage, Step
from lbdrivers_amphora.flows.recipes import RECIPES

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "flows.md"
COMMAND = "python docs/generate_flows.py"

_HEAD = f"""# Flows

What the amphora provider does, step by step: drawn from the tables in `lbdrivers_amphora/flows/recipes.py` by
`{COMMAND}`, so do not edit it.

Stages follow one another; inside a stage the steps are done in order for each of its subjects, and subjects
side by side. `↶` marks a step that is taken back when a later one fails for good, `✔` one that commits: what
was done before it serves, and is not taken back any more. A step that fails for now leaves everything where it
is, and the next run goes on from there.
"""


def page() -> str:
    """The whole page."""
    drawn = [f"\n## {recipe.name}\n\n{recipe.purpose}\n\n```mermaid\n{diagram(recipe)}\n```\n" for recipe in RECIPES]
    rows = "\n".join(_row(step) for step in _steps())
    return "".join(
        (_HEAD, *drawn, f"\n## The steps\n\n| step | what it does | taken back by |\n|---|---|---|\n{rows}\n")
    )


def diagram(recipe: Recipe) -> str:
    """One flowchart: a box for each stage, with its steps in order."""
    lines = ["flowchart TD"]
    for number, stage in enumerate(recipe.stages):
        lines.append(f'  subgraph s{number}["{stage.subject}"]')
        lines.append("    direction LR")
        lines.append("    " + " --> ".join(_node(number, place, step) for place, step in enumerate(stage.steps)))
        lines.append("  end")
    if len(recipe.stages) > 1:
        lines.append("  " + " --> ".join(f"s{number}" for number in range(len(recipe.stages))))
    return "\n".join(lines)


def _node(number: int, place: int, step: Step) -> str:
    mark = " ↶" if step.undo is not None else " ✔" if step.commits else ""
    return f'n{number}_{place}["{step.name}{mark}"]'


def _steps() -> Iterator[Step]:
    """Every step once, in the order of first use."""
    stages: list[Stage] = [stage for recipe in RECIPES for stage in recipe.stages]
    seen: dict[tuple[str, Action], Step] = {}
    for stage in stages:
        for step in stage.steps:
            seen.setdefault((step.name, step.do), step)
    yield from seen.values()


def _row(step: Step) -> str:
    undo = "" if step.undo is None else f"`{step.undo.__name__}`"
    return f"| {step.name} | {_law(step.do)} | {undo} |"


def _law(action: Action) -> str:
    """The docstring of a step as one line: its first paragraph."""
    return " ".join((action.__doc__ or "").partition("\n\n")[0].split())


def main(arguments: list[str]) -> int:
    """Write the page, or with --check compare it. :returns: exit status."""
    return write_or_check(PAGE, page(), COMMAND, arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
