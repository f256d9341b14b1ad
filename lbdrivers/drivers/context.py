"""What every driver is given when it is loaded, and the small services in it.

Law: a driver gets everything through its context and reaches for nothing global. A driver class
is a factory: ``factory(context)`` makes one; constructors are cheap and touch nothing outside.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from oslo_config.cfg import ConfigOpts

#: Version of the driver contracts; a driver class states the one that it was written for as its
#: attribute ``contract``. Another one is refused at loading, by name.
CONTRACT = 1


@dataclass(frozen=True)
class Record:
    """A driver-private record: JSON-able ``data`` under ``(kind, id)``.

    :param owner: id of the load balancer that it belongs to, or "" for none.
    :param version: counts writes; 0 means "not written yet". Used for compare-and-set.
    """

    kind: str
    id: str
    data: Mapping[str, Any]
    owner: str = ""
    version: int = 0


class Conflict(Exception):
    """A record was changed by another writer since it was read; read again and decide again."""


class Records(Protocol):
    """Where a driver keeps what it must remember across crashes (law: intent before effect)."""

    def get(self, kind: str, record_id: str) -> Record | None:
        """The record, or None."""
        ...

    def put(self, record: Record) -> Record:
        """Write if ``record.version`` is still the stored one (0: must be new); commits.

        :returns: the record with its new version.
        :raises Conflict: when the stored version is another.
        """
        ...

    def remove(self, kind: str, record_id: str) -> None:
        """Forget the record; removing what is absent is success."""
        ...

    def list(self, kind: str, owner: str | None = None) -> tuple[Record, ...]:
        """All records of the kind, optionally of one owner, by id."""
        ...


class MeasuredRecords(Records, Protocol):
    """Records that many things are measured into: written in batches, looked at by their versions."""

    def put_all(self, records: Iterable[Record]) -> None:
        """Write all at once, whatever is stored and whatever their version says: the newest measurement is right."""
        ...

    def several(self, kind: str, record_ids: Collection[str]) -> tuple[Record, ...]:
        """Those of these ids that there are, by id."""
        ...

    def versions(self, kind: str) -> Mapping[str, tuple[str, int]]:
        """Owner and version of every record of the kind, by id: what has changed without reading it all."""
        ...


class Fence(Protocol):
    """Keeps a run that has stalled from doing harm when it goes on: its load balancer may be another run's by then.

    A provider asks for it at the beginning of a verb (``DriverContext.fence_of``), checks it before each step
    that acts, and writes its records through it.
    """

    @property
    def records(self) -> Records:
        """The driver's records. A write is refused, by the same transaction, once the run has lost its lease.

        It raises ``LeaseLostError`` then.
        """
        ...

    def check(self) -> None:
        """Asks the store only when the lease was not renewed as usual: cheap enough for every step.

        :raises LeaseLostError: when the run has lost its lease.
        """
        ...


@dataclass(frozen=True)
class Unfenced:
    """The fence of what nobody has a lease for."""

    records: Records

    def check(self) -> None:
        """Nothing can be lost."""


@dataclass(frozen=True)
class Progress:
    """One step of long work, for people: what, on what, how it stands, how long it took.

    :param state: "started", "done" or "failed".
    :param seconds: duration; 0 when started.
    """

    step: str
    subject: str
    state: str
    seconds: float = 0.0


@dataclass(frozen=True)
class DriverContext:
    """Everything a driver may use.

    :param configuration: parsed oslo.config options; a driver reads its own sections from it once.
    :param records: persistent driver-private records.
    :param load: ``load(group, name)`` gives another driver (a provider asks for its compute...).
    :param report: receives Progress; may be called from several threads.
    :param now: seconds since the epoch.
    :param sleep: waits; a test passes a virtual one.
    :param fence: gives the fence of the run that is at a load balancer; None: nobody has leases.
    """

    configuration: ConfigOpts
    records: Records
    load: Callable[[str, str], Any]
    report: Callable[[Progress], None] = field(default=lambda _progress: None)
    now: Callable[[], float] = time.time
    sleep: Callable[[float], None] = time.sleep
    fence: Callable[[str], Fence | None] | None = None

    def fence_of(self, load_balancer_id: str) -> Fence:
        """The fence of the run that is at that load balancer; without a run, one that keeps nothing out."""
        found = self.fence(load_balancer_id) if self.fence is not None else None
        return found or Unfenced(self.records)
