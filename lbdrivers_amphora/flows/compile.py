"""Recipes to taskflow: the one file that knows its flows.

Law: a step that fails for good (PermanentError) takes the finished steps of the run back, by
their ``undo``, as far as they are not committed; one that fails for now leaves everything where it
is, and the next run goes on.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from taskflow import engines, task
from taskflow.exceptions import WrappedFailure
from taskflow.patterns import linear_flow, unordered_flow
from taskflow.persistence.models import FlowDetail

from lbdrivers.drivers.context import Progress
from lbdrivers.errors import DriverError, PermanentError
from lbdrivers_amphora.flows.recipe import Recipe, Stage, Step
from lbdrivers_amphora.flows.work import Work

#: Steps that are done and could be taken back, in order, each with its subject.
_Done = list[tuple[Step, str]]


class _LineTask(task.Task):  # type: ignore[misc]  # taskflow ships no type information
    """A stage's steps for one subject, in order. They are one task, as taskflow takes a millisecond for each.
    Steps are taken back by ``run``, not by taskflow: while others of their stage still run, nobody knows yet
    whether one of them fails for good."""

    def __init__(self, name: str, steps: tuple[Step, ...], work: Work, subject: str, done: _Done) -> None:
        super().__init__(name=name, auto_extract=False)  # it takes no arguments, so nothing need be looked for
        self._steps, self._work, self._subject, self._done = steps, work, subject, done

    def execute(self) -> None:
        for step in self._steps:
            with _told(step.name, self._work, self._subject):
                step.do(self._work, self._subject)
            if step.commits:
                self._done.clear()
            self._done.append((step, self._subject))


@contextmanager
def _told(name: str, work: Work, subject: str) -> Iterator[None]:
    """Tell of a step's beginning and end."""
    report, label = work.context.report, work.label(subject)
    report(Progress(name, label, "started"))
    started = time.perf_counter()
    state = "failed"
    try:
        yield
        state = "done"
    finally:
        report(Progress(name, label, state, time.perf_counter() - started))


def run(recipe: Recipe, work: Work) -> None:
    """Carry the recipe out.

    :raises TemporaryError, PermanentError: the gravest failure of a step; the others are its notes.
    """
    flow, done = linear_flow.Flow(recipe.name), _Done()
    for number, stage in enumerate(recipe.stages):
        subjects = tuple(work.subjects(stage.subject))
        if subjects:
            flow.add(_stage(f"{number} {stage.subject}", stage, subjects, work, done))
    if not len(flow):
        return
    try:
        _carry_out(flow, work)
    except WrappedFailure as wrapped:
        causes = [failure.exception for failure in wrapped if failure.exception is not None]
        gravest = _gravest(causes) or RuntimeError(str(wrapped))
        if any(isinstance(cause, PermanentError) for cause in causes):
            _take_back(done, work, gravest)
        raise gravest from wrapped
    except PermanentError as error:
        _take_back(done, work, error)
        raise


class _Forgetful:
    """What keeps the states of a flow, for taskflow: nothing, as a run that dies is planned anew. Its own
    in memory copies everything at each change of a state, which is half of what a short run costs."""

    def get_connection(self) -> _Forgetful:
        return self

    def close(self) -> None:
        return

    def update_flow_details(self, details: Any) -> Any:
        return details

    def update_atom_details(self, details: Any) -> Any:
        return details


def _carry_out(flow: Any, work: Work) -> None:
    kept = {"flow_detail": FlowDetail(flow.name, uuid=str(uuid.uuid4())), "backend": _Forgetful()}
    if _alone(work):
        engines.load(flow, engine="serial", **kept).run()
        return
    # An executor of our own: taskflow's takes a second to shut down.
    with ThreadPoolExecutor(work.settings.workers) as executor:
        engines.load(flow, engine="parallel", executor=executor, **kept).run()


def _gravest(causes: list[BaseException]) -> BaseException | None:
    """Several amphorae failed at once: what is no DriverError is a defect and decides, then what is
    final; the others become notes."""
    ordered = sorted(causes, key=lambda cause: (isinstance(cause, DriverError), not isinstance(cause, PermanentError)))
    for other in ordered[1:]:
        ordered[0].add_note(f"also: {other}")
    return ordered[0] if ordered else None


def _take_back(done: _Done, work: Work, cause: BaseException) -> None:
    """Undo what was done, last first. What cannot be undone now is a note: the next run takes it up."""
    for step, subject in reversed(done):
        if step.undo is not None:
            try:
                with _told(f"take back: {step.name}", work, subject):
                    step.undo(work, subject)
            except DriverError as error:
                cause.add_note(f"not taken back: {step.name} of {work.label(subject)}: {error}")


def _stage(name: str, stage: Stage, subjects: Iterable[str], work: Work, done: _Done) -> Any:
    together = linear_flow.Flow if _alone(work) else unordered_flow.Flow
    lines = (_LineTask(f"{name} {subject}", stage.steps, work, subject, done) for subject in subjects)
    return together(name).add(*lines)


def _alone(work: Work) -> bool:
    """One worker needs no threads, and takes the same order in each run."""
    return work.settings.workers == 1
