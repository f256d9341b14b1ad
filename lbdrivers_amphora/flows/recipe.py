"""What a recipe is: a table of stages, each a tuple of named do/undo steps.

Law: recipes are data, and docs/flows.md is drawn from them. A stage runs its steps in order for each of
its subjects; subjects of one stage run side by side; stages run one after another. ``compile.py`` alone
turns them into flows.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lbdrivers_amphora.flows.work import Work


class Subject(enum.StrEnum):
    """What a stage is carried out for."""

    LOAD_BALANCER = "load balancer"
    BUILT = "each amphora that is built"
    KEPT = "each amphora that stays"
    SERVING = "each amphora, built or kept"
    REMOVED = "each amphora that goes"


#: ``do(work, amphora id)``; the id is "" for the load balancer itself.
Action = Callable[["Work", str], None]


@dataclass(frozen=True)
class Step:
    """One idempotent thing to do, and how to take it back.

    :param undo: carried out when a later step fails for good; None where the next run simply goes on.
    :param commits: once this is done, what was done before serves and is not taken back any more.
    """

    name: str
    do: Action
    undo: Action | None = None
    commits: bool = False


@dataclass(frozen=True)
class Stage:
    """Steps in order, for each of the subjects."""

    subject: Subject
    steps: tuple[Step, ...]


@dataclass(frozen=True)
class Recipe:
    """Stages, one after another.

    :param name: as steps are told under and docs/flows.md has it.
    :param purpose: from what to what, in one sentence.
    """

    name: str
    purpose: str
    stages: tuple[Stage, ...]
