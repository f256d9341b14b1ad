"""Recipes to taskflow: the one file that knows it.

Law: a step that fails for good (PermanentError) takes the finished steps of the run back, by
their ``undo``; one that fails for now leaves everything where it is, and the next run goes on.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any

from taskflow import engines, task
from taskflow.patterns import linear_flow, unordered_flow
from taskflow.types.failure import Failure

from lbdrivers.drivers.context import Progress
from lbdrivers.errors import PermanentError
from lbdrivers_amphora.flows.recipe import Recipe, Stage, Step, Subject
from lbdrivers_amphora.flows.work import Work


class _StepTask(task.Task):  # type: ignore[misc]  # taskflow ships no type information
    """One step for one subject."""

    def __init__(self, name: str, step: Step, work: Work, subject: str) -> None:
        super().__init__(name=name)
        self._step, self._work, self._subject = step, work, subject

    def execute(self, *_arguments: Any, **_keywords: Any) -> None:
        report = self._work.context.report
        label = f"amphora {self._subject}" if self._subject else f"load balancer {self._work.label}"
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
    _execute(lambda: engines.load(flow, engine="parallel", executor="threaded", max_workers=work.settings.workers))


def _stage(name: str, stage: Stage, subjects: Iterable[str], work: Work) -> Any:
    lines = []
    for subject in subjects:
        line = linear_flow.Flow(f"{name} {subject}")
        line.add(*(_StepTask(f"{name} {subject} {step.name}", step, work, subject) for step in stage.steps))
        lines.append(line)
    if stage.subject is Subject.LOAD_BALANCER:
        return lines[0]
    return unordered_flow.Flow(name).add(*lines)


def _execute(load: Callable[[], Any]) -> None:
    engine = load()
    try:
        engine.run()
    except Exception as error:
        # Several amphorae may fail at once: taskflow wraps those; the first that is final decides.
        failures = [failure.exception for failure in getattr(error, "_failures", ())]
        causes = [cause for cause in failures if isinstance(cause, BaseException)]
        if not causes:
            raise
        causes.sort(key=lambda cause: not isinstance(cause, PermanentError))
        for other in causes[1:]:
            causes[0].add_note(f"also: {other}")
        raise causes[0] from error
