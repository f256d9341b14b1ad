"""The provider's records, typed: load balancers and amphorae.

Law: every write is a commit; nothing external is made before its record is here.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress

from lbdrivers.drivers.context import Conflict, Record, Records
from lbdrivers.drivers.provider import Statistics
from lbdrivers.errors import TemporaryError
from lbdrivers_amphora.health.findings import Heard, Listening, Operating
from lbdrivers_amphora.records import (
    KIND_AMPHORA,
    KIND_BALANCER,
    KIND_GONE,
    KIND_REPLACEMENT,
    Amphora,
    Balancer,
    Gone,
    Replacement,
)


class Ledger:
    """Typed access to the records of this provider."""

    def __init__(self, records: Records) -> None:
        self._records = records

    def balancer(self, load_balancer_id: str) -> Balancer | None:
        """The load balancer's record, or None."""
        record = self._records.get(KIND_BALANCER, load_balancer_id)
        return None if record is None else Balancer.model_validate(record.data)

    def balancers(self) -> tuple[Balancer, ...]:
        """All of them."""
        return tuple(Balancer.model_validate(record.data) for record in self._records.list(KIND_BALANCER))

    def amphorae(self, load_balancer_id: str) -> tuple[Amphora, ...]:
        """The load balancer's amphorae, half-built and dying ones too."""
        records = self._records.list(KIND_AMPHORA, load_balancer_id)
        return tuple(Amphora.model_validate(record.data) for record in records)

    def all_amphorae(self) -> tuple[Amphora, ...]:
        """Those of every load balancer."""
        return tuple(Amphora.model_validate(record.data) for record in self._records.list(KIND_AMPHORA))

    def gone(self) -> tuple[Gone, ...]:
        """Amphorae and load balancers that were removed, for as long as they are remembered."""
        return tuple(Gone.model_validate(record.data) for record in self._records.list(KIND_GONE))

    def heard(self, load_balancer_id: str) -> dict[str, Heard]:
        """What the health manager has heard of its amphorae, by amphora id."""
        found = self._records.list(Heard.KIND, load_balancer_id)
        return {one.id: Heard.read(one.id, one.owner, one.data) for one in found}

    def operating(self, load_balancer_id: str) -> Operating | None:
        """The operating statuses that the health manager has found, or None."""
        found = self._records.get(Operating.KIND, load_balancer_id)
        return None if found is None else Operating.read(found.id, found.owner, found.data)

    def listening(self) -> tuple[Listening, ...]:
        """The health managers, those that have ended too, for a while."""
        return tuple(Listening.read(one.id, one.owner, one.data) for one in self._records.list(Listening.KIND))

    def spares(self) -> tuple[Amphora, ...]:
        """Amphorae of the warm pool, half-built and dying ones too."""
        return self.amphorae("")

    def take(self, spare: Amphora, taken: Amphora) -> bool:
        """Commit that a spare is a load balancer's from now on; False when somebody else was faster."""
        stored = self._records.get(KIND_AMPHORA, spare.id)
        if stored is None or stored.data != spare.model_dump(mode="json"):
            return False
        data = taken.model_dump(mode="json")
        try:
            self._records.put(Record(KIND_AMPHORA, taken.id, data, taken.load_balancer_id, stored.version))
        except Conflict:
            return False
        return True

    def replacements(self, load_balancer_id: str) -> tuple[Replacement, ...]:
        """Whose replacement was asked for."""
        records = self._records.list(KIND_REPLACEMENT, load_balancer_id)
        return tuple(Replacement.model_validate(record.data) for record in records)

    def save_replacement(self, wish: Replacement) -> None:
        """Commit. A record of its own, so that it cannot be lost to a run that writes the amphora's."""
        self._save(KIND_REPLACEMENT, wish.amphora_id, wish.load_balancer_id, wish.model_dump(mode="json"))

    def save_balancer(self, balancer: Balancer) -> None:
        """Commit; the engine's lease makes us the only writer."""
        self._save(KIND_BALANCER, balancer.id, balancer.id, balancer.model_dump(mode="json"))

    def save_amphora(self, amphora: Amphora) -> None:
        """Commit."""
        self._save(KIND_AMPHORA, amphora.id, amphora.load_balancer_id, amphora.model_dump(mode="json"))

    def save_statistics(self, amphora_id: str, statistics: Mapping[str, Statistics]) -> None:
        """Commit what an amphora counted, into its record as it is now: whoever only looked has no lease, and meanwhile
        it may have been changed or forgotten. When somebody writes it at this very moment, nothing is saved."""
        stored = self._records.get(KIND_AMPHORA, amphora_id)
        if stored is None:
            return
        known = Amphora.model_validate(stored.data)
        data = known.model_copy(update={"statistics": dict(statistics)}).model_dump(mode="json")
        if data != stored.data:
            with suppress(Conflict):
                self._records.put(Record(KIND_AMPHORA, amphora_id, data, stored.owner, stored.version))

    def forget_amphora(self, amphora_id: str, now: float) -> None:
        """After everything of it is gone."""
        self._remember_gone(amphora_id, now)
        self._records.remove(KIND_REPLACEMENT, amphora_id)
        self._records.remove(KIND_AMPHORA, amphora_id)
        self._records.remove(Heard.KIND, amphora_id)

    def forget_balancer(self, load_balancer_id: str, now: float) -> None:
        """After everything of it is gone."""
        self._remember_gone(load_balancer_id, now)
        self._records.remove(KIND_BALANCER, load_balancer_id)
        self._records.remove(Operating.KIND, load_balancer_id)

    def forget_gone(self, before: float) -> None:
        """Remember no longer what was removed before that moment."""
        for gone in self.gone():
            if gone.since < before:
                self._records.remove(KIND_GONE, gone.id)

    def _remember_gone(self, identity: str, now: float) -> None:
        # Without an owner: it outlives the load balancer's other records.
        self._save(KIND_GONE, identity, "", Gone(id=identity, since=now).model_dump(mode="json"))

    def _save(self, kind: str, record_id: str, owner: str, data: dict[str, object]) -> None:
        stored = self._records.get(kind, record_id)
        if stored is not None and stored.data == data:
            return
        version = 0 if stored is None else stored.version
        try:
            self._records.put(Record(kind, record_id, data, owner, version))
        except Conflict as error:
            message = "another worker changed the same record; trying again"
            raise TemporaryError(message, f"{kind} {record_id}: {error}", retry_after=0.1) from error
