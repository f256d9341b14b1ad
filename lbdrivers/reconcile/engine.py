"""The engine: brings what runs to what is wanted, one load balancer at a time, whatever happens.

Laws: the engine alone retries, sleeps and writes statuses. One run at a time works on a load
balancer (its lease); it always takes the newest desired tree, so edits submitted meanwhile collapse
into one further pass. A holder that dies is replaced, and what it left half done is completed. One that
stalls is replaced, too, and kept out when it goes on (its fence); then everything is looked at once more.
Time, waiting and randomness are passed in.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from lbdrivers import features
from lbdrivers.drivers.provider import Maintainer, Provider, ReplacementCause, Replacer, check_tree
from lbdrivers.errors import LeaseLostError, PermanentError, TemporaryError, UnsupportedError
from lbdrivers.model.resources import LoadBalancer
from lbdrivers.model.status import ProvisioningStatus
from lbdrivers.model.tls import check_tls
from lbdrivers.reconcile.fence import LeaseFence
from lbdrivers.reconcile.heartbeat import Heartbeat, beat_in_thread
from lbdrivers.reconcile.holder import is_dead, own_holder
from lbdrivers.reconcile.outcome import Backoff, Done, Failed, Outcome, Retry, decide, seconds_until_next, status_after
from lbdrivers.settings import Settings
from lbdrivers.store.entry import Cause, Entry
from lbdrivers.store.store import Store

if TYPE_CHECKING:
    from lbdrivers.reconcile.jobs import Board  # brings taskflow, which few need

LOG = logging.getLogger(__name__)

#: Longest wait before looking again whether another holder has finished, in seconds: its run takes
#: a fraction of a second as a rule, and looking costs one SELECT.
_LOOK_AGAIN = 0.5


class Engine:
    """Carries out what the store says is wanted.

    :param provider: gives the provider of a name; its errors count like the provider's own.
    :param now: seconds since the epoch.
    :param sleep: waits; only ``run_until_settled`` does.
    :param holder: name under which leases are taken; unique among all engines.
    :param jitter: gives a number from 0 to 1.
    :param board: where a job is posted for every wish that leaves work; None: somebody looks for what
        is due (a ``Worker``, or the caller by ``run``).
    """

    def __init__(
        self,
        store: Store,
        provider: Callable[[str], Provider],
        settings: Settings,
        *,
        now: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
        holder: str | None = None,
        heartbeat: Heartbeat = beat_in_thread,
        jitter: Callable[[], float] = random.random,
        board: Board | None = None,
    ) -> None:
        self._store = store
        self._provider = provider
        self._settings = settings
        self._now = now
        self._sleep = sleep
        self._holder = holder or own_holder()
        self._heartbeat = heartbeat
        self._jitter = jitter
        self._board = board
        self._backoff = Backoff(settings.retry_initial_seconds, settings.retry_maximum_seconds)
        self._runs: dict[str, LeaseFence] = {}

    @property
    def holder(self) -> str:
        """The name under which it takes leases."""
        return self._holder

    def fence(self, load_balancer_id: str) -> LeaseFence | None:
        """The fence of its run at that load balancer, for the drivers that it calls; None when there is no run."""
        return self._runs.get(load_balancer_id)

    # -- wishes -----------------------------------------------------------------------------------

    def submit(self, tree: LoadBalancer) -> int:
        """Want this tree; refused before anything is written when the provider cannot do it.

        :returns: the generation that wants it; the same as before when nothing changes.
        :raises UnsupportedError: names what the provider lacks, and what needs it.
        :raises InvalidInput: names what the deployment forbids.
        :raises PermanentError: see ``Store.submit``.
        """
        name = self.check(tree)
        with self._announced(tree.id):
            return self._store.submit(tree, name)

    def check(self, tree: LoadBalancer) -> str:
        """Name of the tree's provider; what must not, or cannot, be brought about is refused as by ``submit``."""
        name = self.provider_of(tree)
        check_tls(tree, self._settings.tls)
        check_tree(name, self._provider(name), tree)
        return name

    def provider_of(self, tree: LoadBalancer) -> str:
        """Name of the provider that the tree asks for, or the default one."""
        return tree.provider or self._settings.default_provider

    def repair(self, load_balancer_id: str) -> None:
        """Want the desired tree carried out once more, as what runs has drifted from it.

        :raises PermanentError: when there is none of that id, or it is being deleted.
        """
        with self._announced(load_balancer_id):
            self._store.request_apply(load_balancer_id)

    def delete(self, load_balancer_id: str) -> None:
        """Want the load balancer gone; absent is success."""
        with self._announced(load_balancer_id):
            self._store.request_delete(load_balancer_id)

    def failover(
        self,
        load_balancer_id: str,
        appliances: frozenset[str] = frozenset(),
        cause: ReplacementCause = ReplacementCause.ADMIN,
    ) -> None:
        """Want the load balancer brought back to full redundancy.

        :param appliances: replace these alone, and what is dead besides; empty: the provider chooses.
        :param cause: how urgent their replacement is.
        :raises PermanentError: when there is none of that id, or it is being deleted, or has no such appliance.
        :raises UnsupportedError: when its provider cannot.
        """
        entry = self._store.get(load_balancer_id)
        if entry is None:
            raise PermanentError(f"there is no load balancer {load_balancer_id}")
        if features.Feature.FAILOVER not in self._provider(entry.provider).features():
            raise UnsupportedError(f"the provider {entry.provider} does not support {features.Feature.FAILOVER}")
        if appliances:
            provider = self._provider(entry.provider)
            if not isinstance(provider, Replacer):
                raise UnsupportedError(f"the provider {entry.provider} replaces no single appliances")
            provider.request_replacement(entry.id, appliances, cause)
        with self._announced(entry.id):
            self._store.request_failover(entry.id)

    @contextmanager
    def _announced(self, load_balancer_id: str) -> Iterator[None]:
        """The block writes a wish; a job is on the board afterwards, when there is a board and work.

        A board that does not answer fails no wish: workers post what they find due.
        """
        if self._board is None:
            yield
            return
        before = self._store.get(load_balancer_id)
        yield
        if self._is_settled(load_balancer_id):
            return
        try:
            # Nothing waited, so no job waits, and a board with many jobs need not be searched.
            if before is None or before.settled or before.next_attempt is not None:
                self._board.post_new(load_balancer_id)
            else:
                self._board.post(load_balancer_id)
        except TemporaryError as error:
            LOG.warning("%s: no job was posted, a worker will find it: %s", load_balancer_id, error.operator)

    # -- work -------------------------------------------------------------------------------------

    def run(self, load_balancer_id: str) -> Outcome:
        """Do everything that is wanted of the load balancer now.

        Somebody else's run is not disturbed: the answer is a Retry then.
        """
        try:
            while True:
                taken = self._take_lease(load_balancer_id)
                if not isinstance(taken, Entry):
                    return taken
                outcome, settled = self._with_lease(taken, self._work)
                # Between the last look and the end of the lease somebody may have asked for more,
                # and have been told that it is being worked on.
                if not isinstance(outcome, Done) or settled or self._is_settled(load_balancer_id):
                    return outcome
        except TemporaryError as error:  # of the store
            return decide(error, 1, self._backoff, self._jitter())

    def run_until_settled(self, load_balancer_id: str, timeout: float) -> Outcome:
        """Run, wait and run again until it is done, has failed for good, or the time is up.

        :param timeout: seconds; the answer after it is the last Retry.
        """
        deadline = self._now() + timeout
        while True:
            outcome = self.run(load_balancer_id)
            remaining = deadline - self._now()
            if not isinstance(outcome, Retry) or remaining <= 0:
                return outcome
            self._sleep(min(outcome.after, remaining))

    def run_due(self) -> dict[str, Outcome]:
        """Run every load balancer whose time has come, once each; the outcomes by id."""
        return {identity: self.run(identity) for identity in self._store.due(self._now())}

    def maintain(self, load_balancer_id: str) -> Outcome:
        """Let its provider renew what ages (certificates and the like), if nothing else is to do there.

        A failure is the caller's to tell and to try again: nothing that was asked for is undone by it.
        """
        try:
            entry = self._store.get(load_balancer_id)
            if entry is None or not isinstance(self._provider(entry.provider), Maintainer):
                return Done()
            if not entry.settled:
                return Retry(_LOOK_AGAIN, Cause("other work comes first", "other work comes first"))
            taken = self._take_lease(load_balancer_id)
            return self._with_lease(taken, self._renew)[0] if isinstance(taken, Entry) else taken
        except TemporaryError as error:  # of the store
            return decide(error, 1, self._backoff, self._jitter())

    def _renew(self, entry: Entry) -> Outcome:
        if not entry.settled:
            return Done()
        provider = self._provider(entry.provider)
        assert isinstance(provider, Maintainer)
        try:
            provider.maintain(entry.id)
        except Exception as error:  # noqa: BLE001 - becomes an outcome; a driver's defect must not end the engine's loop
            return self._failure(error, entry)
        return Done()

    def _is_settled(self, load_balancer_id: str) -> bool:
        entry = self._store.get(load_balancer_id)
        return entry is None or entry.settled

    def _take_lease(self, load_balancer_id: str) -> Entry | Outcome:
        """The entry when the lease is ours now; else what to answer."""
        seconds = self._settings.lease_seconds
        if load_balancer_id in self._runs:
            # In another thread: its lease bears our name, so the store could not tell us apart.
            return self._busy(_LOOK_AGAIN, self._holder)
        taken = self._store.acquire(load_balancer_id, self._holder, self._now(), seconds)
        if taken is not None:
            return taken
        entry = self._store.get(load_balancer_id)
        if entry is None:
            return Done()
        lease = entry.lease
        if lease is None:  # given back since
            return self._busy(0.0, "somebody")
        if is_dead(lease.holder):
            LOG.warning("%s: taking over from %s, which is dead", load_balancer_id, lease.holder)
            taken = self._store.acquire(load_balancer_id, self._holder, self._now(), seconds, instead_of=lease.holder)
            if taken is not None:
                return taken
        return self._busy(min(max(lease.expires - self._now(), 0.0), _LOOK_AGAIN), lease.holder)

    def _busy(self, after: float, holder: str) -> Retry:
        return Retry(after, Cause("another run is working on it", f"another run is working on it: {holder}"))

    def _with_lease(self, entry: Entry, work: Callable[[Entry], Outcome]) -> tuple[Outcome, bool]:
        """Do the work; what came of it, and whether nothing was left when the lease was given back."""
        seconds = self._settings.lease_seconds

        def renew() -> bool:
            return self._store.renew(entry.id, self._holder, self._now(), seconds)

        records = self._store.records_under(entry.id, self._holder)
        fence = LeaseFence(entry.id, records, renew, seconds, self._now)
        self._runs[entry.id] = fence
        try:
            # A third: two beats may be lost before the lease is.
            with self._heartbeat(fence.renew, seconds / 3):
                outcome = work(entry)
        finally:
            settled = self._release(entry.id)
            del self._runs[entry.id]
        return outcome, settled

    def _release(self, load_balancer_id: str) -> bool:
        """Give the lease back; whether nothing was left to do then, as far as anybody knows."""
        try:
            status = self._store.release(load_balancer_id, self._holder)
            if status is None:
                self._look_again(load_balancer_id)
        except TemporaryError as error:
            LOG.warning("%s: the lease could not be given back and will expire: %s", load_balancer_id, error.operator)
            return False
        return status is ProvisioningStatus.ACTIVE

    def _look_again(self, load_balancer_id: str) -> None:
        """The lease was lost to another run, so the last step of ours may have come after its steps."""
        try:
            self._store.request_apply(load_balancer_id)
        except PermanentError:
            return  # it is gone or going, by our own hand as a rule
        LOG.warning("%s: another run took over from a stalled one; everything is looked at once more", load_balancer_id)

    def _work(self, entry: Entry) -> Outcome:
        """Pass after pass until nothing is wanted, or a pass fails and nothing newer is wanted."""
        newest: Entry | None = entry
        while newest is not None and not newest.settled:
            entry = newest
            newest, failure = self._pass(entry)
            if failure is None:
                continue
            after = seconds_until_next(failure, self._backoff)
            # What succeeded before it counts: one that was created is not PENDING_CREATE as its failover fails.
            status = status_after(failure, newest or entry)
            newest = self._store.finish_failure(entry, self._holder, failure.cause, status, self._now() + after)
            if newest is None:
                return self._busy(0.0, "whoever took the lease over")
            if not _asks_for_more(newest, entry):
                return failure
        return Done()

    def _pass(self, entry: Entry) -> tuple[Entry | None, Retry | Failed | None]:
        """Each verb that is wanted, once: the entry after it (None when it is gone), and what failed first.
        One that fails does not keep the others from being tried: an edit must get through while a failover cannot,
        and the other way round."""
        newest: Entry | None = entry
        failure: Retry | Failed | None = None
        for verb in self._verbs(entry):
            try:
                newest = verb(newest or entry)
            except Exception as error:  # noqa: BLE001 - becomes an outcome; a driver's defect must not end the engine's loop
                failure = failure or self._failure(error, entry)
        return newest, failure

    def _verbs(self, entry: Entry) -> Iterator[Callable[[Entry], Entry | None]]:
        if entry.delete_wanted:
            yield self._remove
            return
        if entry.generation > entry.applied_generation:
            yield self._apply
        if entry.failover_wanted:
            yield self._fail_over

    def _failure(self, error: Exception, entry: Entry) -> Retry | Failed:
        """What to make of an error of its provider."""
        if isinstance(error, LeaseLostError):
            return self._busy(0.0, "whoever took the lease over")
        outcome = decide(error, entry.attempts + 1, self._backoff, self._jitter())
        if isinstance(error, TemporaryError | PermanentError):
            LOG.info("%s: %s", entry.id, outcome.cause.operator)
        else:
            LOG.error("%s: the provider %s is defective", entry.id, entry.provider, exc_info=error)
        return outcome

    def _apply(self, entry: Entry) -> Entry:
        # The same tree once more: somebody saw drift, so everything is to be looked at.
        hint = entry.applied if entry.applied != entry.desired else None
        self._provider(entry.provider).apply(entry.desired, hint)
        return _still_held(self._store.finish_apply(entry, self._holder), entry)

    def _remove(self, entry: Entry) -> None:
        self._provider(entry.provider).remove(entry.id)
        if not self._store.finish_remove(entry.id, self._holder):
            raise LeaseLostError(entry.id)

    def _fail_over(self, entry: Entry) -> Entry:
        self._provider(entry.provider).failover(entry.id)
        return _still_held(self._store.finish_failover(entry, self._holder), entry)


def _still_held(newest: Entry | None, entry: Entry) -> Entry:
    if newest is None:
        raise LeaseLostError(entry.id)
    return newest


def _asks_for_more(newest: Entry, seen: Entry) -> bool:
    """Whether something was asked for since ``seen`` was read."""
    return (newest.generation, newest.delete_wanted, newest.failovers_wanted) != (
        seen.generation,
        seen.delete_wanted,
        seen.failovers_wanted,
    )
