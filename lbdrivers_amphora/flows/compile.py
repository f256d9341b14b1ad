"""Recipes to taskflow: the one file that knows its flows.

Law: a step that fails for good (PermanentError) takes the finished steps of the run back, by
their ``undo``, as far as they are not committed; one that fails for now leaves everything where it
is, and the next run goes on.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from taskflow import engines, task
from taskflow.patterns import linear_flow
from taskflow.persistence.models import FlowDetail

from lbdrivers.drivers.context import Progress
from lbdrivers.errors import DriverError, LeaseLostError, PermanentError
from lbdrivers_amphora.flows.recipe import Recipe, Stage, Step
from lbdrivers_amphora.flows.work import Work

#: Steps that are done and could be taken back, in order, each with its subject.
_Done = list[tuple[Step, str]]


class _StageFailed(Exception):
    """Steps of a stage failed, for these causes."""

    def __init__(self, causes: Sequence[Exception]) -> None:
        super().__init__(*causes)
        self.causes = causes


class _StageTask(task.Task):  # type: ignore[misc]  # taskflow ships no type information
    """A stage for all of its subjects, which are one task, as taskflow takes a millisecond for each and several for
    threads. Steps are taken back by ``run``, not by taskflow: while others of their stage still run, nobody knows
    yet whether one of them fails for good.

    :param pool: runs the subjects side by side; None: one after another, up to the first that fails.
    """

    def __init__(
        self, name: str, stage: Stage, subjects: tuple[str, ...], work: Work, done: _Done, pool: Executor | None
    ) -> None:
        super().__init__(name=name, auto_extract=False)  # it takes no arguments, so nothing need be looked for
        self._stage, self._subjects, self._work, self._done, self._pool = stage, subjects, work, done, pool

    def execute(self) -> None:
        if self._pool is None:
            for subject in self._subjects:
                if (cause := self._failure(subject)) is not None:
                    raise _StageFailed([cause])
            return
        first, *others = self._subjects
        running = [self._pool.submit(self._failure, subject) for subject in others]
        found = [self._failure(first), *(future.result() for future in running)]
        if causes := [cause for cause in found if cause is not None]:
            raise _StageFailed(causes)

    def _failure(self, subject: str) -> Exception | None:
        """Carry the steps out for the subject; why one of them failed."""
        try:
            for step in self._stage.steps:
                with _told(step.name, self._work, subject):
                    step.do(self._work, subject)
                if step.commits:
                    self._done.clear()
                self._done.append((step, subject))
        except Exception as error:  # noqa: BLE001 - the stage raises it, with those of the other subjects
            return error
        return None


@contextmanager
def _told(name: str, work: Work, subject: str) -> Iterator[None]:
    """Tell of a step's beginning and end; a run that has lost its load balancer begins none."""
    work.fence.check()
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
    :raises LeaseLostError: when another run has taken over; nothing is taken back then: it may be in use.
    """
    stages = tuple((stage, subjects) for stage in recipe.stages if (subjects := tuple(work.subjects(stage.subject))))
    if not stages:
        return
    done = _Done()
    try:
        with _threads(work, max(len(subjects) for _, subjects in stages)) as pool:
            flow = linear_flow.Flow(recipe.name)
            for number, (stage, subjects) in enumerate(stages):
                flow.add(_StageTask(f"{number} {stage.subject}", stage, subjects, work, done, pool))
            _carry_out(flow)
    except _StageFailed as failed:
        if lost := next((cause for cause in failed.causes if isinstance(cause, LeaseLostError)), None):
            raise lost from None
        gravest = _gravest(failed.causes)
        if any(isinstance(cause, PermanentError) for cause in failed.causes):
            _take_back(done, work, gravest)
        raise gravest from None


@contextmanager
def _threads(work: Work, subjects: int) -> Iterator[Executor | None]:
    """A pool in which so many subjects go side by side with the thread that asks, as far as workers are allowed."""
    others = min(subjects, work.settings.workers) - 1
    if others < 1:
        yield None
    else:
        with ThreadPoolExecutor(others) as pool:
            yield pool


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


def _carry_out(flow: Any) -> None:
    detail = FlowDetail(flow.name, uuid=str(uuid.uuid4()))
    engines.load(flow, engine="serial", flow_detail=detail, backend=_Forgetful()).run()


def _gravest(causes: Iterable[Exception]) -> Exception:
    """Several amphorae failed at once: what is no DriverError is a defect and decides, then what is
    final; the others become notes."""
    first, *others = sorted(
        causes, key=lambda cause: (isinstance(cause, DriverError), not isinstance(cause, PermanentError))
    )
    for other in others:
        first.add_note(f"also: {other}")
    return first


def _take_back(done: _Done, work: Work, cause: BaseException) -> None:
    """Undo what was done, last first. What cannot be undone now is a note: the next run takes it up."""
    work.fence.check()
    for step, subject in reversed(done):
        if step.undo is not None:
            try:
                with _told(f"take back: {step.name}", work, subject):
                    step.undo(work, subject)
            except DriverError as error:
                cause.add_note(f"not taken back: {step.name} of {work.label(subject)}: {error}")
