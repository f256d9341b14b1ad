"""Counters that survive HAProxy's workers: what each live worker says, and what dead ones left.

Law: pure. A worker's counters start at zero and only grow; when its process is gone, the last that it
said is folded into the base. So totals never fall, whatever reloads, restarts or crashes. The counters
of a listener in the kernel count as a worker's.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field, replace

from lbdrivers_amphora.wire.fields import Fields, Malformed
from lbdrivers_amphora.wire.report import Totals

WorkerTotals = Mapping[str, Totals]


@dataclass(frozen=True)
class Counters:
    """``base`` by listener: what workers that are gone counted; ``workers``: the last word of the others."""

    base: Mapping[str, Totals] = field(default_factory=dict)
    workers: Mapping[str, WorkerTotals] = field(default_factory=dict)

    def observed(self, workers: Mapping[str, WorkerTotals], living: Collection[str]) -> Counters:
        """The counters after these workers answered.

        :param living: workers whose process exists, whether it answered or not: one that is merely
            silent keeps its last word, else it would count twice when it speaks again.
        """
        base = dict(self.base)
        silent: dict[str, WorkerTotals] = {}
        for worker, totals in self.workers.items():
            if worker in workers:
                continue
            if worker in living:
                silent[worker] = totals
                continue
            for listener, counted in totals.items():
                base[listener] = base.get(listener, Totals()) + replace(counted, active_connections=0)
        return Counters(base, silent | {worker: dict(totals) for worker, totals in workers.items()})

    def measured(self, listeners: Mapping[str, Totals]) -> Counters:
        """The counters after the kernel's said this. They are read one after the other, so that a value
        which is lower than before began at zero in between."""
        now = {listener: {listener: counted} for listener, counted in listeners.items()}
        going_on = {name: one for name, one in self.workers.items() if name in now and not _fell(one, now[name])}
        return self.observed(going_on, ()).observed(now, ())

    def totals(self) -> dict[str, Totals]:
        """Totals since the amphora's creation, by listener."""
        result = dict(self.base)
        for totals in self.workers.values():
            for listener, counted in totals.items():
                result[listener] = result.get(listener, Totals()) + counted
        return result


def _fell(before: WorkerTotals, now: WorkerTotals) -> bool:
    """Whether any counter is lower than it was, and so began at zero in between."""
    return any(
        getattr(now.get(listener, Totals()), name) < getattr(known, name)
        for listener, known in before.items()
        for name in ("bytes_in", "bytes_out", "request_errors", "total_connections")
    )


def render(balancers: Mapping[str, Counters]) -> bytes:
    """Counters by load balancer as JSON, for the file that survives the agent."""
    return json.dumps({balancer: asdict(counters) for balancer, counters in balancers.items()}).encode()


def parse(text: bytes) -> dict[str, Counters]:
    """:raises Malformed: when the text is no such file."""
    source = Fields.of_text(text, "stats_counters.json")
    inner = {name: source.inner(name) for name in source.names()}
    return {name: _counters(counters) for name, counters in inner.items() if counters is not None}


def _counters(source: Fields) -> Counters:
    workers = source.inner("workers")
    names = () if workers is None else workers.names()
    return Counters(
        source.mapping("base", Totals.read),
        {} if workers is None else {name: workers.mapping(name, Totals.read) for name in names},
    )


def parse_or_empty(text: bytes | None) -> dict[str, Counters]:
    """Counters out of a file that may be absent or another program's: then they start at zero."""
    if text is None:
        return {}
    try:
        return parse(text)
    except Malformed:
        return {}
