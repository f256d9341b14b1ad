"""What the health manager reads from the store and writes to it.

Law: nothing is decided here. Looking again costs the ids and versions of what there is, and the whole of
what has changed; everything that was measured since is one transaction.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from lbdrivers.drivers.context import MeasuredRecords, Record
from lbdrivers.model.resources import LoadBalancer
from lbdrivers.model.status import ProvisioningStatus
from lbdrivers.store.store import Store
from lbdrivers_amphora.health.findings import Finding, Heard, Listening, Operating
from lbdrivers_amphora.health.watch import Changes, Expected, Standing
from lbdrivers_amphora.heartbeat_settings import HeartbeatSettings
from lbdrivers_amphora.records import KIND_AMPHORA, KIND_GONE, Amphora, AmphoraStatus, Gone

F = TypeVar("F", bound=Finding)

_PENDING = frozenset(
    {ProvisioningStatus.PENDING_CREATE, ProvisioningStatus.PENDING_UPDATE, ProvisioningStatus.PENDING_DELETE}
)


@dataclass(frozen=True)
class Fleet:
    """The amphorae that serve, and how their load balancers stand."""

    expected: tuple[Expected, ...]
    standings: Mapping[str, Standing]


@dataclass(frozen=True, slots=True)
class _Looked:
    """An amphora, as its record of that version has it. ``expected``: None when it does not serve."""

    version: int
    expected: Expected | None


class Journal:
    """The store, as the health manager uses it. Every method may raise TemporaryError."""

    def __init__(self, store: Store, records: MeasuredRecords, heartbeats: HeartbeatSettings) -> None:
        self._store = store
        self._records = records
        self._heartbeats = heartbeats
        self._looked: dict[str, _Looked] = {}
        self._found: tuple[object, Fleet] | None = None

    def fleet(self) -> Fleet:
        """What there is to watch; the same object as before when nothing has changed since."""
        versions, standings = self._records.versions(KIND_AMPHORA), self._store.standings()
        if self._found is not None and self._found[0] == (versions, standings):
            return self._found[1]
        looked = self._looked
        self._look_at(
            [name for name, (_, version) in versions.items() if name not in looked or looked[name].version != version]
        )
        self._looked = looked = {name: one for name, one in looked.items() if name in versions}
        fleet = Fleet(
            tuple(one.expected for one in looked.values() if one.expected is not None),
            {
                identity: Standing(generation, status is not ProvisioningStatus.ACTIVE, status in _PENDING)
                for identity, (generation, status) in standings.items()
            },
        )
        self._found = (versions, standings), fleet
        return fleet

    def _look_at(self, changed: list[str]) -> None:
        for record in self._records.several(KIND_AMPHORA, changed):
            amphora = Amphora.model_validate(record.data)
            way = self._heartbeats.way(amphora.told_heartbeats)
            expected = Expected(record.id, record.owner, way) if _serves(amphora) else None
            self._looked[record.id] = _Looked(record.version, expected)

    def recorded(self) -> frozenset[str]:
        """Ids of all amphorae that had a record when there was last looked, those that do not serve, too."""
        return frozenset(self._looked)

    def gone(self, amphorae: Iterable[str]) -> dict[str, float]:
        """When those of them were removed that are remembered, in seconds since the epoch."""
        found = (self._records.get(KIND_GONE, name) for name in amphorae)
        return {one.id: Gone.model_validate(one.data).since for one in found if one is not None}

    def trees(self, load_balancer_ids: Sequence[str]) -> tuple[LoadBalancer, ...]:
        """The wanted trees of these, of those that there still are."""
        return self._store.desired(load_balancer_ids)

    def restore(self) -> tuple[list[Heard], list[Operating]]:
        """What an earlier life wrote down."""
        return self._all(Heard), self._all(Operating)

    def _all(self, kind: type[F]) -> list[F]:
        return [kind.read(one.id, one.owner, one.data) for one in self._records.list(kind.KIND)]

    def heard(self, amphorae: Collection[str]) -> list[Heard]:
        """What was written of these last, by whomever."""
        found = self._records.several(Heard.KIND, amphorae)
        return [Heard.read(one.id, one.owner, one.data) for one in found]

    def still_due(self, amphorae: Sequence[str]) -> dict[str, str]:
        """Those that, at this moment, serve a load balancer at which nobody works, with its id."""
        found = self._records.several(KIND_AMPHORA, amphorae)
        serving = {one.id: one.owner for one in found if _serves(Amphora.model_validate(one.data))}
        standings = self._store.standings(frozenset(serving.values()))
        idle = {identity for identity, (_, status) in standings.items() if status not in _PENDING}
        return {name: owner for name, owner in serving.items() if owner in idle}

    def write(self, changes: Changes, *others: Listening) -> None:
        """Everything in one transaction."""
        findings: tuple[Finding, ...] = (*changes.heard, *changes.operating, *others)
        self._records.put_all([Record(one.KIND, one.key, one.data(), one.owner) for one in findings])

    def forget_others(self, amphorae: Iterable[str]) -> None:
        """Remove what was heard of amphorae that are gone: a heartbeat may have been written down after them."""
        known = self._records.versions(KIND_AMPHORA).keys() | set(amphorae)
        for name in self._records.versions(Heard.KIND).keys() - known:
            self._records.remove(Heard.KIND, name)

    def forget_listeners(self, before: float) -> None:
        """Remove health managers that have not listened since (seconds since the epoch)."""
        for one in self._all(Listening):
            if one.at < before:
                self._records.remove(Listening.KIND, one.key)


def _serves(amphora: Amphora) -> bool:
    return amphora.status is AmphoraStatus.ALLOCATED
