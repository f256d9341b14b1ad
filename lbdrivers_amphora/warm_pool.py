"""The warm pool: booted amphorae that belong to no load balancer yet; taken first, refilled by ``tend``.

Law: of two that want one spare, one gets it; one worker refills at a time. A spare has its record from before
its machine is made, and becomes a load balancer's amphora by one write: its name stays, so nothing is lost
whenever a worker dies.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from lbdrivers.drivers.context import Conflict, DriverContext, Record, Unfenced
from lbdrivers.model.resources import LoadBalancer
from lbdrivers_amphora.admission import KIND
from lbdrivers_amphora.decide import warm_pool
from lbdrivers_amphora.decide.topology import Slot
from lbdrivers_amphora.flows import recipes
from lbdrivers_amphora.flows.compile import run
from lbdrivers_amphora.flows.work import Drivers, Work
from lbdrivers_amphora.ledger import Ledger
from lbdrivers_amphora.records import Amphora, AmphoraStatus, Balancer
from lbdrivers_amphora.settings import AmphoraSettings

#: Record of who refills now.
_REFILLING = "warm-pool"


class WarmPool:
    """The spares of this deployment.

    :param drivers: gives the drivers; they are loaded only if something is to do.
    """

    def __init__(
        self, context: DriverContext, settings: AmphoraSettings, ledger: Ledger, drivers: Callable[[], Drivers]
    ) -> None:
        self._context, self._settings, self._ledger, self._drivers = context, settings, ledger, drivers

    def take(self, balancer: Balancer, slot: Slot, tree: LoadBalancer) -> Amphora | None:
        """A spare for that slot, which it has from now on; None when there is none that fits."""
        if not self._settings.warm_pool:
            return None
        wanted = self._work(balancer, tree)
        for spare in warm_pool.fit(self._ledger.spares(), self._settings.image, self._latest()):
            request, usual = wanted.machine_request(spare), self._work(balancer, None).machine_request(spare)
            if request != usual or wanted.management_networks != self._settings.management_networks:
                return None  # another flavor or zone
            owner = {"load_balancer_id": balancer.id, "role": slot.role, "priority": slot.priority}
            taken = spare.model_copy(update={**owner, "status": AmphoraStatus.PENDING_CREATE})
            if self._ledger.take(spare, taken):
                return taken
        return None

    def fill(self) -> None:
        """Bring the pool to its size."""
        spares = self._ledger.spares()
        if not spares and not self._settings.warm_pool:
            return
        with self._alone() as alone:
            if alone:
                run(recipes.WARM, self._planned())

    def _planned(self) -> Work:
        spares, compute = self._ledger.spares(), self._drivers().compute
        machines = {one.id: machine.status for one in spares if (machine := compute.find(one.machine)) is not None}
        plan = warm_pool.plan_spares(self._settings.warm_pool, spares, machines, self._settings.image, self._latest())
        built = []
        for slot, unfinished in plan.build:
            spare = unfinished or Amphora(
                id=str(uuid.uuid4()),
                load_balancer_id="",
                role=slot.role,
                priority=slot.priority,
                created_at=self._context.now(),
            )
            self._ledger.save_amphora(spare)
            built.append(spare)
        nobody = Balancer(id="", name="warm pool", topology=self._settings.topology)
        return self._work(nobody, None, tuple(built), plan.remove)

    def _latest(self) -> float:
        """Until when a spare's certificate must be valid at least."""
        return self._context.now() + self._settings.certificate_renewal

    def _work(
        self,
        balancer: Balancer,
        tree: LoadBalancer | None,
        built: tuple[Amphora, ...] = (),
        removed: tuple[Amphora, ...] = (),
    ) -> Work:
        return Work(
            self._context,
            self._settings,
            self._drivers(),
            self._ledger,
            Unfenced(self._context.records),
            balancer,
            tree,
            built=built,
            removed=removed,
        )

    @contextmanager
    def _alone(self) -> Iterator[bool]:
        """True for one worker at a time; a dead one's turn lapses."""
        records, now = self._context.records, self._context.now()
        held = records.get(KIND, _REFILLING)
        if held is not None and held.data["until"] > now:
            yield False
            return
        until = {"until": now + 2 * self._settings.active_timeout}
        try:
            mine = records.put(Record(KIND, _REFILLING, until, version=held.version if held else 0))
        except Conflict:
            yield False
            return
        try:
            yield True
        finally:
            with suppress(Conflict):  # it had lapsed, and is another's
                records.put(Record(KIND, _REFILLING, {"until": 0.0}, version=mine.version))
