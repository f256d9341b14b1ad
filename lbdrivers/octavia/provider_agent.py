"""The companion of our drivers in Octavia's driver agent: runs the engine, reports how things stand.

Laws: a report follows from the store alone, so that a crash or a refused report costs time and nothing
else. What Octavia has not committed yet is not reported. Nothing that one load balancer does keeps
another one waiting.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Protocol

from octavia_lib.api.drivers import driver_lib, exceptions

from lbdrivers.drivers.provider import Observation, Statistics
from lbdrivers.errors import DriverError, PermanentError
from lbdrivers.model.kinds import Kind
from lbdrivers.model.status import OperatingStatus, ProvisioningStatus
from lbdrivers.octavia import models, pending, positions
from lbdrivers.octavia.pending import Pending
from lbdrivers.octavia.session import Session, current
from lbdrivers.octavia.settings import Sockets
from lbdrivers.store.entry import Cause, Entry

LOG = logging.getLogger(__name__)

#: Seconds between two looks at the store: what a caller of the API may notice.
_TICK = 0.1
#: Seconds before a report that was refused, or could not be sent, is tried again.
_PAUSE = 1.0
#: Seconds after which a request that Octavia never committed is given up.
_COMMIT = 600.0

_REFUSED = (
    exceptions.UpdateStatusError,
    exceptions.UpdateStatisticsError,
    exceptions.DriverAgentTimeout,
    exceptions.DriverError,
)
_GETTERS = {kind: f"get_{theirs.__name__.lower()}" for kind, (theirs, _ours) in models.CLASSES.items()}


class ExitEvent(Protocol):
    """What the driver agent hands over: a threading or multiprocessing event."""

    def is_set(self) -> bool:
        """Whether to end."""
        ...

    def wait(self, timeout: float) -> bool:
        """Wait until it is set, or for so many seconds."""
        ...


def run(exit_event: ExitEvent) -> None:
    """Entry point of the group ``octavia.driver_agent.provider_agents``."""
    with_session(current(), exit_event)


def with_session(session: Session, exit_event: ExitEvent) -> None:
    """Work and report until the event is set."""
    agent = ProviderAgent(session, library(session.settings.sockets))
    try:
        while not exit_event.is_set():
            exit_event.wait(agent.tick())
    finally:
        agent.close()


def library(sockets: Sockets) -> Any:
    """octavia-lib's own client. It waits up to two minutes for the sockets to be there."""
    return driver_lib.DriverLibrary(
        status_socket=str(sockets.status), stats_socket=str(sockets.stats), get_socket=str(sockets.get)
    )


class ProviderAgent:
    """Runs what is due and reports what is waited for, a tick at a time.

    :param client: a DriverLibrary.
    """

    def __init__(self, session: Session, client: Any) -> None:
        self._session = session
        self._client = client
        self._pool = ThreadPoolExecutor(session.settings.workers, thread_name_prefix="octavia")
        self._running: dict[str, Future[Any]] = {}
        self._watch: Future[None] | None = None
        self._next_watch = session.now() + session.settings.report_interval
        #: What failed and was reported already, by load balancer.
        self._failures: dict[str, tuple[Cause | None, tuple[str, ...]]] = {}
        #: load balancer -> when it was first seen waiting for Octavia's commit.
        self._uncommitted: dict[str, float] = {}
        #: load balancer -> earliest time of its next report, after one was refused.
        self._pause: dict[str, float] = {}
        self._last_told: dict[str, Mapping[str, OperatingStatus]] = {}

    def close(self) -> None:
        """End; runs that are on are waited for."""
        self._pool.shutdown(cancel_futures=True)

    def tick(self) -> float:
        """Start what is due, report what is ready; seconds until the next look."""
        try:
            self._start_due()
            for identity, waiting in pending.waiting(self._session.store.records).items():
                self._attend(identity, waiting)
            self._start_watch()
        except DriverError as error:  # the store cannot be reached
            LOG.warning("the provider agent has to wait: %s", error.operator)
            return _PAUSE
        return _TICK

    # -- work -------------------------------------------------------------------------------------

    def _start_due(self) -> None:
        for identity, run_of in list(self._running.items()):
            if run_of.done():
                del self._running[identity]
                if (failure := run_of.exception()) is not None:
                    LOG.error("%s: the run broke off", identity, exc_info=failure)
        for identity in self._session.store.due(self._session.now()):
            if identity not in self._running:
                self._running[identity] = self._pool.submit(self._session.engine.run, identity)

    # -- what Octavia waits for -------------------------------------------------------------------

    def _attend(self, identity: str, waiting: Pending) -> None:
        if self._session.now() < self._pause.get(identity, 0.0):
            return
        try:
            self._report(identity, waiting)
        except _REFUSED as error:
            LOG.warning("%s: a report was refused and will be repeated: %s", identity, error)
            self._pause[identity] = self._session.now() + _PAUSE
        else:
            self._pause.pop(identity, None)

    def _report(self, identity: str, waiting: Pending) -> None:
        """Say how it ended, if it has."""
        records = self._session.store.records
        entry = self._session.store.get(identity)
        entry = entry if entry is not None and entry.id == identity else None
        found = pending.statuses(waiting, entry)
        failure = (entry.cause, waiting.notes) if entry is not None and not entry.settled else None
        if found is None or (failure and self._failures.get(identity) == failure):
            return
        if entry is not None and not (self._committed(entry, waiting) and self._complete(entry, waiting)):
            return
        seen = self._observed(identity, entry.provider) if entry is not None and entry.settled else Observation(False)
        self._client.update_loadbalancer_status(pending.message(found, seen.operating))
        if failure is not None:
            self._failures[identity] = failure
            return
        self._failures.pop(identity, None)
        if entry is None:
            pending.gone(records, identity)
        pending.forget(records, waiting)

    def _committed(self, entry: Entry, waiting: Pending) -> bool:
        """Whether Octavia knows what it asked for. What it took back again is given up, in the end."""
        held = {one.id for _, one in entry.desired.walk()}
        created = ((one, kind) for one, kind in waiting.created.items() if one in held)
        missing = [one for one, kind in created if not self._known(kind, one)]
        if not missing:
            self._uncommitted.pop(entry.id, None)
            return True
        since = self._uncommitted.setdefault(entry.id, self._session.now())
        if self._session.now() - since < _COMMIT:
            return False
        LOG.error("%s: Octavia does not know %s, which it asked for; look there", entry.id, ", ".join(missing))
        del self._uncommitted[entry.id]
        return True

    def _complete(self, entry: Entry, waiting: Pending) -> bool:
        """Whether we have all of a new load balancer. Octavia 19 leaves the policies of listeners that are
        made in one request with it out of what it hands over, and shows them when it is asked afterwards."""
        if entry.id not in waiting.created:
            return True
        shown = self._client.get_loadbalancer(entry.id)
        held = {one.id for _, one in entry.desired.walk()}
        missing = {one: kind for one, kind in models.identities(shown or {}).items() if one not in held}
        if not missing:
            return True
        try:
            tree = positions.canonical(models.load_balancer(shown))
            self._session.engine.submit(tree.model_copy(update={"provider": entry.provider}))
        except PermanentError as error:
            LOG.error("%s: what Octavia added cannot be made: %s", entry.id, error.operator)
            refused = {one: (kind, ProvisioningStatus.ERROR) for one, kind in missing.items()}
            self._client.update_loadbalancer_status(pending.message(refused, {}))
            return True
        pending.note(self._session.store.records, entry.id, Pending(missing))
        return False

    def _known(self, kind: Kind, identity: str) -> bool:
        return getattr(self._client, _GETTERS[kind])(identity) is not None

    # -- how things stand -------------------------------------------------------------------------

    def _start_watch(self) -> None:
        """From time to time, beside everything else, as backends are asked for it."""
        if self._watch is not None and self._watch.done():
            if (failure := self._watch.exception()) is not None:
                LOG.error("operating statuses and statistics could not be reported", exc_info=failure)
            self._watch = None
        if self._watch is None and self._session.now() >= self._next_watch:
            self._next_watch = self._session.now() + self._session.settings.report_interval
            self._watch = self._pool.submit(self._report_operation)

    def _report_operation(self) -> None:
        """Operating statuses that have changed, and all statistics, of what Octavia knows."""
        records = self._session.store.records
        for identity in pending.known(records) - pending.waiting(records).keys():
            entry = self._session.store.get(identity)
            if entry is None or not entry.settled:
                continue
            seen = self._observed(entry.id, entry.provider)
            if not seen.exists:
                continue
            kinds = {one.id: Kind(kind) for kind, one in entry.desired.walk()}
            before = self._last_told.get(entry.id, {})
            changed = {one: word for one, word in seen.operating.items() if one in kinds and before.get(one) != word}
            if changed:
                self._client.update_loadbalancer_status(_operating_message(changed, kinds))
                self._last_told[entry.id] = seen.operating
            if seen.statistics:
                listed = [_counted(one, values) for one, values in seen.statistics.items()]
                self._client.update_listener_statistics({"listeners": listed})

    def _observed(self, load_balancer_id: str, provider: str) -> Observation:
        try:
            return self._session.provider(provider).observe(load_balancer_id)
        except DriverError as error:
            LOG.info("%s: cannot be observed: %s", load_balancer_id, error.operator)
            return Observation(exists=False)


def _counted(listener_id: str, values: Statistics) -> dict[str, str | int]:
    return {"id": listener_id, **{name: getattr(values, name) for name in models.STATISTICS}}


def _operating_message(
    changed: Mapping[str, OperatingStatus], kinds: Mapping[str, Kind]
) -> dict[str, list[dict[str, str]]]:
    lists: dict[str, list[dict[str, str]]] = {}
    for kind, plural in models.PLURALS.items():
        records = [{"id": one, "operating_status": word.value} for one, word in changed.items() if kinds[one] is kind]
        if records:
            lists[plural] = records
    return lists
