"""Records in this process's memory: for tests, and for drivers used without a store."""

from __future__ import annotations

import json
import threading
from collections.abc import Collection, Iterable
from dataclasses import replace

from lbdrivers.drivers.context import Conflict, Record


class MemoryRecords:
    """Implements ``MeasuredRecords``. What is put in passes through JSON, as it would on its way to a database."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._records: dict[tuple[str, str], Record] = {}

    def get(self, kind: str, record_id: str) -> Record | None:
        """See ``Records.get``."""
        return self._records.get((kind, record_id))

    def put(self, record: Record) -> Record:
        """See ``Records.put``."""
        written = replace(record, data=json.loads(json.dumps(dict(record.data))), version=record.version + 1)
        with self._lock:
            stored = self._records.get((record.kind, record.id))
            if (stored.version if stored is not None else 0) != record.version:
                raise Conflict(f"the record {record.kind}/{record.id} is not at version {record.version}")
            self._records[record.kind, record.id] = written
        return written

    def put_all(self, records: Iterable[Record]) -> None:
        """See ``MeasuredRecords.put_all``."""
        with self._lock:
            for record in records:
                stored = self._records.get((record.kind, record.id))
                version = 1 if stored is None else stored.version + 1
                data = json.loads(json.dumps(dict(record.data)))
                self._records[record.kind, record.id] = replace(record, data=data, version=version)

    def several(self, kind: str, record_ids: Collection[str]) -> tuple[Record, ...]:
        """See ``MeasuredRecords.several``."""
        found = (self.get(kind, record_id) for record_id in sorted(set(record_ids)))
        return tuple(record for record in found if record is not None)

    def versions(self, kind: str) -> dict[str, tuple[str, int]]:
        """See ``MeasuredRecords.versions``."""
        with self._lock:
            found = [one for one in self._records.values() if one.kind == kind]
        return {one.id: (one.owner, one.version) for one in found}

    def remove(self, kind: str, record_id: str) -> None:
        """See ``Records.remove``."""
        with self._lock:
            self._records.pop((kind, record_id), None)

    def list(self, kind: str, owner: str | None = None) -> tuple[Record, ...]:
        """See ``Records.list``."""
        with self._lock:
            found = [one for one in self._records.values() if one.kind == kind]
        return tuple(sorted((one for one in found if owner in (None, one.owner)), key=lambda one: one.id))
