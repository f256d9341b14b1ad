"""Recipes to taskflow: the one file that knows it.

Law: a step that fails for good (PermanentError) takes the finished steps of the run back, by
their ``undo``; one that fails for now leaves everything where it is, and the next run goes on.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from taskflow import engines, task
from taskflow.exceptions import WrappedFailure
from taskflow.patterns import linear_flow, unordered_flow
from taskflow.types.failure import Failure

from lbdrivers.drivers.context import Progress
from lbdrivers.errors import DriverError, PermanentError
from lbdrivers_amphora.flows.recipe import Recipe, Stage, Step, Subject
from lbdrivers_amphora.flows.work import Work


class _StepTask(task.Task):  # type: ignore[misc]  # taskflow ships no type information
    """One step for one subject."""

    def __init__(self, name: str, step: Step, work: Work, subject: str) -> None:
        super().__init__(name=name)
        self._step, self._work, self._subject = step, work, subject

    def execute(self, *_arguments: Any, **_keywords: Any) -> None:
        report = self._work.context.report
        label = self._work.label(self._subject)
        report(Progress(self._step.name, label, "started"))
        started = time.perf_counter()
        state = "failed"
        try:
            self._step.do(self._work, self._subject)
            state = "done"
        finally:
            report(Progress(self._step.name, label, state, time.perf_counter() - started))

    def revert(self, *_arguments: Any, flow_failures: dict[str, Failure], result: Any, **_keywords: Any) -> None:
        for_good = any(failure.check(PermanentError) for failure in flow_failures.values())
        if self._step.undo is not None and for_good and not isinstance(result, Failure):
            self._step.undo(self._work, self._subject)


def run(name: str, recipe: Recipe, work: Work) -> None:
    """Carry the recipe out.

    :raises TemporaryError, PermanentError: the first failure of a step; others are chained notes.
    """
    flow = linear_flow.Flow(name)
    for number, stage in enumerate(recipe):
        subjects = tuple(work.subjects(stage.subject))
        if subjects:
            flow.add(_stage(f"{number} {stage.subject}", stage, subjects, work))
    if not len(flow):
        return
    try:
        if _alone(work):
            engines.load(flow, engine="serial").run()
            return
        # An executor of our own: taskflow's takes a second to shut down.
        with ThreadPoolExecutor(work.settings.workers) as executor:
            engines.load(flow, engine="parallel", executor=executor).run()
    except WrappedFailure as wrapped:
        raise _gravest(wrapped) from wrapped


def _gravest(wrapped: WrappedFailure) -> BaseException:
    """Several amphorae failed at once: what is no DriverError is a defect and decides, then what is
    final; the others become notes."""
    causes = [failure.exception for failure in wrapped if failure.exception is not None]
    if not causes:
        return RuntimeError(str(wrapped))
    causes.sort(key=lambda cause: (isinstance(cause, DriverError), not isinstance(cause, PermanentError)))
    for other in causes[1:]:
        causes[0].add_note(f"also: {other}")
    gravest: BaseException = causes[0]
    return gravest


def _stage(name: str, stage: Stage, subjects: Iterable[str], work: Work) -> Any:
    lines = []
    for subject in subjects:
        line = linear_flow.Flow(f"{name} {subject}")
        line.add(*(_StepTask(f"{name} {subject} {step.name}", step, work, subject) for step in stage.steps))
        lines.append(line)
    if stage.subject is Subject.LOAD_BALANCER:
        return lines[0]
    together = linear_flow.Flow if _alone(work) else unordered_flow.Flow
    return together(name).add(*lines)


def _alone(work: Work) -> bool:
    """One worker needs no threads, and takes the same order in each run."""
    return work.settings.workers == 1
