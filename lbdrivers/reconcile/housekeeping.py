"""``lbdrivers housekeeping``: maintains every load balancer in turn, lets providers look after their stock, and reports
what belongs to nothing.

What ages is its work, what is wished for the workers': without it, certificates of appliances end and a warm pool is
not refilled, however many workers there are. One is enough; several get in nobody's way.

Law: it begins nothing that the engine would not do; one that cannot be maintained now keeps nobody else waiting, nor
does a provider that cannot be asked. Orphans are reported once, and never removed from here: that needs a person, or
``lbdrivers orphans --remove``. Records of what is deleted go with it, so nothing is left to purge; what providers
remember for a while is forgotten by their ``tend``.
"""

from __future__ import annotations

import time
from collections.abc import Iterable

from lbdrivers.drivers.provider import Caretaker, Orphan
from lbdrivers.errors import DriverError
from lbdrivers.reconcile.daemon import DaemonContext
from lbdrivers.reconcile.exposure import Health, Metric
from lbdrivers.reconcile.orphans import orphaned
from lbdrivers.reconcile.outcome import Done
from lbdrivers.settings import read


def run(context: DaemonContext) -> None:
    """Round after round until ``context.stop`` is set.

    :raises DriverError: when it can never work as configured.
    """
    Housekeeper(context).serve()


class Housekeeper:
    """Goes its rounds."""

    def __init__(self, context: DaemonContext) -> None:
        self._context = context
        core = read(context.drivers.configuration)
        self._interval, self._default_provider = core.maintenance_seconds, core.default_provider
        self._maintained = self._failed = self._rounds = 0
        self._failing: dict[str, str] = {}
        self._orphans: frozenset[Orphan] = frozenset()
        self._ended = time.monotonic()
        context.exposure.metrics.append(self._metrics)
        context.exposure.health = self._health

    def serve(self) -> None:
        """Begin the next round an interval after the last one began."""
        stop = self._context.stop
        while not stop.is_set():
            began = time.monotonic()
            try:
                self.one_round()
            except DriverError as error:
                self._context.complain(f"this round is not finished: {error.operator}")
            self._ended = time.monotonic()
            stop.wait(max(0.0, self._interval - (self._ended - began)))

    def one_round(self) -> None:
        """Every load balancer once, then the stock of every provider, and what belongs to nothing."""
        failing: dict[str, str] = {}
        entries = self._context.store.list()
        for entry in entries:
            if self._context.stop.is_set():
                return
            outcome = self._context.engine.maintain(entry.id)
            if isinstance(outcome, Done):
                self._maintained += 1
                continue
            self._failed += 1
            failing[entry.id] = outcome.cause.operator
            if self._failing.get(entry.id) != outcome.cause.operator:
                self._context.complain(f"{entry.id} is not maintained: {outcome.cause.operator}")
        self._failing = failing
        # The default one before its first load balancer, too: a warm pool is for that one most of all.
        self._visit({entry.provider for entry in entries} | {self._default_provider})
        self._rounds += 1
        self._context.say(f"{len(entries) - len(failing)} of {len(entries)} load balancers are maintained")

    def _visit(self, providers: Iterable[str]) -> None:
        """Each provider: its stock, then its orphans."""
        found: set[Orphan] = set()
        for name in sorted(providers):
            try:
                provider = self._context.drivers.load("lbdrivers.providers", name)
                if isinstance(provider, Caretaker):
                    provider.tend()
                found |= set(orphaned(provider, self._wanted))
            except DriverError as error:
                self._context.complain(f"the provider {name} is not looked after: {error.operator}")
        for one in sorted(found - self._orphans, key=lambda one: (one.kind, one.name)):
            proof = f"; {one.proof}" if one.proof else ""
            self._context.complain(f"the {one.kind} {one.name} belongs to nothing{proof}")
        self._orphans = frozenset(found)

    def _wanted(self) -> frozenset[str]:
        return frozenset(self._context.store.standings())

    def _metrics(self) -> Iterable[Metric]:
        ended = ((("done",), self._maintained), (("failed",), self._failed))
        yield Metric("maintenances", "Load balancers that were maintained, by how it ended.", ended, ("outcome",), True)
        yield Metric(
            "orphans", "Machines, ports and load balancers that belong to nothing.", [((), len(self._orphans))]
        )
        yield Metric("housekeeping_rounds", "Rounds that were finished.", [((), self._rounds)], counter=True)

    def _health(self) -> Health:
        late = time.monotonic() - self._ended > 2 * self._interval + 60
        return Health(not late, {"rounds": self._rounds, "failing": self._failing, "orphans": len(self._orphans)})
