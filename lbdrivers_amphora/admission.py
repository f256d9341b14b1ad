"""Admission as all workers see it: the queue of builds and the moments of failovers, in the records.

Law: every change is compare-and-set, so that however many workers ask, no limit is exceeded. Without
limits, nothing is written. Waiting ends: who is not admitted in time fails for now.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

from pydantic import BaseModel, ConfigDict

from lbdrivers.drivers.context import Conflict, DriverContext, Record
from lbdrivers.errors import TemporaryError
from lbdrivers_amphora.decide import admission
from lbdrivers_amphora.settings import AmphoraSettings

KIND = "amphora-admission"
#: Polls that one who waits may miss before it loses its place.
_MISSED = 4

T = TypeVar("T", bound=BaseModel)


class _Queue(BaseModel):
    model_config = ConfigDict(frozen=True)

    builds: admission.Queue = ()


class Admission:
    """Lets builds and failovers in."""

    def __init__(self, context: DriverContext, settings: AmphoraSettings) -> None:
        self._context, self._settings = context, settings

    def enter_build(self, amphora_id: str, priority: int) -> None:
        """Wait until the amphora may be built; admitted already is success.

        :raises TemporaryError: when it is not its turn in time.
        """
        limit = self._settings.build_limit
        if limit < 0:
            return
        interval, hold = self._settings.build_interval, 2 * self._settings.active_timeout
        deadline = self._context.now() + self._settings.build_patience

        def ask(queue: _Queue) -> _Queue:
            now = self._context.now()
            builds = admission.ask(queue.builds, amphora_id, priority, now, limit, _MISSED * interval, hold)
            return _Queue(builds=builds)

        while not admission.is_admitted(self._change("builds", _Queue(), ask).builds, amphora_id):
            if self._context.now() >= deadline:
                message = "too many amphorae are built at the same time; this one waits for its turn"
                raise TemporaryError(message, f"{limit} are built at once, amphora {amphora_id} waits")
            self._context.sleep(interval)

    def leave_build(self, amphora_id: str) -> None:
        """It is built, or will not be; not in the queue is success."""
        if self._settings.build_limit >= 0:
            self._change("builds", _Queue(), lambda queue: _Queue(builds=admission.leave(queue.builds, amphora_id)))

    def start_failover(self, domains: Iterable[str]) -> None:
        """Wait for the moment at which a failover in these fault domains may begin.

        :raises TemporaryError: when that is further away than a worker waits.
        """
        rate, domain_rate = self._settings.failover_rate, self._settings.failover_rate_per_zone
        if rate <= 0 and domain_rate <= 0:
            return
        moment = 0.0
        concerned = frozenset(domains)

        def reserve(starts: admission.Starts) -> admission.Starts:
            nonlocal moment
            now = self._context.now()
            moment = admission.next_start(starts, concerned, now, rate, domain_rate)
            if moment - now > self._settings.build_patience:
                message = "many failovers are under way; this one waits for its turn"
                raise TemporaryError(message, f"its turn is in {moment - now:.1f} s", retry_after=moment - now)
            return admission.started(starts, concerned, moment, now, domain_rate)

        self._change("failovers", admission.Starts(), reserve)
        wait = moment - self._context.now()
        if wait > 0:
            self._context.sleep(wait)

    def _change(self, identity: str, empty: T, step: Callable[[T], T]) -> T:
        records = self._context.records
        while True:
            record = records.get(KIND, identity)
            old = empty if record is None else type(empty).model_validate(record.data)
            new = step(old)
            if new == old:
                return new
            version = 0 if record is None else record.version
            try:
                records.put(Record(KIND, identity, new.model_dump(mode="json"), version=version))
            except Conflict:
                continue
            return new
