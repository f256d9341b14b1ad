"""``lbdrivers worker``: works on whatever is due until a signal says stop.

Law: SIGTERM and SIGINT let it finish what it has begun, then it ends with 0; the second one ends it at
once, and another worker takes over what it leaves.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass

from lbdrivers.cli.exposition import exposed
from lbdrivers.cli.output import Output
from lbdrivers.cli.session import Session
from lbdrivers.cli.signals import until_signalled
from lbdrivers.errors import InvalidInput, Problem
from lbdrivers.reconcile.exposure import Exposure, Metric
from lbdrivers.reconcile.outcome import Done, Failed, Outcome, Retry
from lbdrivers.reconcile.worker import Worker


@dataclass
class _Tally:
    """What was done so far, told run by run."""

    output: Output
    done: int = 0
    retried: int = 0
    failed: int = 0

    def report(self, load_balancer_id: str, outcome: Outcome) -> None:
        """One run has ended."""
        self.output.steps.finished.clear()  # a worker may run for years
        match outcome:
            case Done():
                self.done += 1
                self.output.say(f"{load_balancer_id} is as it is wanted")
            case Retry(after, cause):
                self.retried += 1
                self.output.notice(f"{load_balancer_id}: {cause.operator}; again in {after:.1f} s")
            case Failed(cause):
                self.failed += 1
                self.output.complain(f"{load_balancer_id}: {cause.user}", cause.operator)

    def metrics(self) -> Iterable[Metric]:
        """The same for whoever looks."""
        counted = [(("done",), self.done), (("retried",), self.retried), (("failed",), self.failed)]
        yield Metric("runs", "Runs that ended, by how.", counted, ("outcome",), counter=True)


def work(session: Session, output: Output, metrics: str | None) -> int:
    """Work until a signal comes; ``metrics`` is where it shows itself, if anywhere."""
    if logging.getLogger().level > logging.WARNING:
        # Nobody waits for its exit status, so what is wrong meanwhile is told without -v, too.
        logging.getLogger("lbdrivers").setLevel(logging.WARNING)
    engine = session.engine
    settings, tally = session.settings, _Tally(output)
    board = None
    if settings.jobboard is not None:
        try:
            from lbdrivers.reconcile.jobs import Board
        except ModuleNotFoundError as error:
            remedy = "install it: pip install 'lbdrivers[jobboard]'"
            text = f"needs {error.name}, which is not installed"
            raise InvalidInput((Problem("[task_flow] jobboard_enabled", "true", text, remedy),)) from error
        board = Board(settings.jobboard, engine.holder)
    worker = Worker(session.store, engine, board, settings.worker_poll_seconds, report=tally.report)
    try:
        with until_signalled() as stop, exposed(Exposure([tally.metrics]), metrics):
            output.say("working; SIGTERM ends it")
            worker.run(stop)
    finally:
        if board is not None:
            board.close()
    output.answer({"done": tally.done, "retried": tally.retried, "failed": tally.failed})
    output.say(f"ended: {tally.done} done, {tally.retried} to be tried again, {tally.failed} failed")
    return 0
