"""What a run of the engine ended in, and the decision whether and when to try again.

Law: pure; the type of the error decides and nothing else (see ``lbdrivers.errors``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from lbdrivers.errors import DriverError, PermanentError, TemporaryError
from lbdrivers.model.status import ProvisioningStatus
from lbdrivers.store.entry import Cause, Entry, pending_status

#: Failed runs in a row for temporary reasons that still count as "on its way". With waits that
#: double from one second this is half a minute; after it the status says ERROR, and runs go on.
PATIENCE = 5


@dataclass(frozen=True)
class Done:
    """Nothing is left to do."""


@dataclass(frozen=True)
class Retry:
    """It may succeed after ``after`` seconds."""

    after: float
    cause: Cause


@dataclass(frozen=True)
class Failed:
    """It will fail again until somebody changes something."""

    cause: Cause

    @property
    def object_id(self) -> str | None:
        """The resource that caused it, when one can be named."""
        return self.cause.object_id


Outcome: TypeAlias = Done | Retry | Failed


@dataclass(frozen=True)
class Backoff:
    """How waits grow: ``initial`` seconds, doubled each time, never more than ``maximum``."""

    initial: float
    maximum: float

    def wait(self, attempt: int, jitter: float) -> float:
        """Seconds before the attempt after the ``attempt``-th one (from 1) failed.

        :param jitter: 0 to 1; takes off up to half, so that what failed together does not come back
            together.
        """
        doubled = self.initial * 2.0 ** min(max(attempt, 1) - 1, 60)
        return min(doubled, self.maximum) * (1 - jitter / 2)


def decide(error: Exception, attempt: int, backoff: Backoff, jitter: float) -> Retry | Failed:
    """What an error of a provider means for the run whose ``attempt``-th failure in a row it is."""
    if isinstance(error, PermanentError):
        return Failed(Cause(error.user, error.operator, error.object_id))
    wait = backoff.wait(attempt, jitter)
    if isinstance(error, TemporaryError):
        if error.retry_after is not None:
            wait = min(max(error.retry_after, 0.0), backoff.maximum)
        return Retry(wait, Cause(error.user, error.operator))
    if isinstance(error, DriverError):
        return Retry(wait, Cause(error.user, error.operator))
    # A provider may raise nothing else, so this is a defect of it; its words are for operators only.
    return Retry(wait, Cause("an internal error stopped the work", f"{type(error).__name__}: {error}"))


def seconds_until_next(outcome: Retry | Failed, backoff: Backoff) -> float:
    """When the next run is due. What fails for good is tried again too, as rarely as can be: what
    was wrong (a quota, a certificate) may have been put right where nobody tells us."""
    return outcome.after if isinstance(outcome, Retry) else backoff.maximum


def status_after(outcome: Retry | Failed, entry: Entry) -> ProvisioningStatus:
    """The status that a failed run leaves, given the entry that it worked from."""
    if isinstance(outcome, Failed) or entry.attempts + 1 >= PATIENCE:
        return ProvisioningStatus.ERROR
    return pending_status(applied_generation=entry.applied_generation, delete_wanted=entry.delete_wanted)
