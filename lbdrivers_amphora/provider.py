"""The amphora provider: the verbs of its contracts.

Law: level-triggered, and nothing is remembered here. A verb that changes something is one run (``run.py``), behind
its fence; one that only looks needs none.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

from lbdrivers.drivers.amphora import Bundle, Facts, Foreteller
from lbdrivers.drivers.context import CONTRACT, DriverContext, Unfenced
from lbdrivers.drivers.profiles import ProfileKind
from lbdrivers.drivers.provider import (
    Deviation,
    Mildness,
    Observation,
    Orphan,
    PlannedAction,
    ReplacementCause,
)
from lbdrivers.errors import DriverError, LeaseLostError, PermanentError
from lbdrivers.features import Feature, check
from lbdrivers.model.provider_data import ProviderData
from lbdrivers.model.resources import LoadBalancer
from lbdrivers_amphora import inspection, network_delta
from lbdrivers_amphora.decide import appliances, connections, datagrams, health, profiles
from lbdrivers_amphora.decide.datagrams import DatagramDriver
from lbdrivers_amphora.decide.plan import amphora_actions, renewal, tree_actions
from lbdrivers_amphora.decide.tls import merged, unknown, uses
from lbdrivers_amphora.decide.topology import AmphoraPlan
from lbdrivers_amphora.fenced import fenced
from lbdrivers_amphora.flows.work import Drivers
from lbdrivers_amphora.health.observe import observation as heard_observation
from lbdrivers_amphora.ledger import Ledger
from lbdrivers_amphora.records import Amphora, AmphoraStatus, Balancer, Replacement
from lbdrivers_amphora.run import Run
from lbdrivers_amphora.settings import read
from lbdrivers_amphora.warm_pool import WarmPool

#: Everything that it claims unless told to balance datagrams in another way.
FEATURES = connections.FEATURES | datagrams.FEATURES[DatagramDriver.NFTABLES]


class AmphoraProvider:
    """Implements ``lbdrivers.drivers.provider.Provider``, ``Planner`` and ``ProfileSchemas`` with amphorae."""

    contract = CONTRACT
    name = "amphora"

    def __init__(self, context: DriverContext) -> None:
        self._context = context
        self._settings = read(context.configuration)
        self._ledger = Ledger(context.records)
        self._drivers = Drivers(context.load, self._settings)
        # Who only looks has no lease, and needs no fence.
        self._looking = Run(context, self._settings, self._drivers, self._ledger, Unfenced(context.records))

    def features(self) -> frozenset[Feature]:
        """See the contract. Which engine balances datagrams is a matter of ``[haproxy_amphora] datagram_driver``."""
        return connections.FEATURES | datagrams.FEATURES[self._settings.datagrams]

    def apply(self, desired: LoadBalancer, applied: LoadBalancer | None) -> None:
        """See the contract. Secrets are fetched first: one that cannot be used is refused before anything
        is touched. Without ``applied``, and whenever networks or machines are concerned,
        everything is looked at; else HAProxy and keepalived alone."""
        check(self.name, self.features(), desired)
        with self._run(desired.id) as run:
            run.apply(desired, applied)

    def remove(self, load_balancer_id: str) -> None:
        """See the contract. Needs no secret and no tree."""
        with self._run(load_balancer_id) as run:
            run.remove(load_balancer_id)

    def failover(self, load_balancer_id: str) -> None:
        """See the contract. What is dead or missing is replaced at once; a healthy pair one after the
        other, the one without the VIP first, so that one always serves."""
        with self._run(load_balancer_id) as run:
            run.fail_over(load_balancer_id)

    def request_replacement(
        self, load_balancer_id: str, appliance_ids: frozenset[str], cause: ReplacementCause
    ) -> None:
        """See ``Replacer``."""
        known = {amphora.id for amphora in self._ledger.amphorae(load_balancer_id)}
        if strangers := appliance_ids - known:
            told, there = ", ".join(sorted(strangers)), ", ".join(sorted(known))
            raise PermanentError(f"the load balancer {load_balancer_id} has no amphora {told}; it has {there}")
        for one in sorted(appliance_ids):
            self._ledger.save_replacement(Replacement(amphora_id=one, load_balancer_id=load_balancer_id, cause=cause))

    def outdated(self, load_balancer_id: str) -> frozenset[str]:
        """See ``Replacer``."""
        work = self._looking.as_it_is(load_balancer_id)
        return frozenset(amphora.id for amphora in work.kept if inspection.outdated(work, amphora))

    def known(self) -> frozenset[str]:
        """See the contract."""
        return frozenset(balancer.id for balancer in self._ledger.balancers())

    def observe(self, load_balancer_id: str) -> Observation:
        """See the contract. The last totals of each amphora are remembered, so that they outlive it. Where
        heartbeats are sent, what they said last is told, and nobody is asked."""
        balancer = self._ledger.balancer(load_balancer_id)
        if balancer is None:
            return Observation(exists=False)
        amphorae = self._ledger.amphorae(load_balancer_id)
        if self._settings.heartbeats.controllers:
            return self._as_heard(balancer, amphorae)
        pairs = self._looking.reports(amphorae)
        answered = [report for _, report in pairs if report is not None]
        operating, proxied = {}, True
        if balancer.tree is not None:
            tree = LoadBalancer.model_validate_json(balancer.tree)
            operating, proxied = health.operating_statuses(tree, answered), datagrams.connections(tree)
        totals = [*balancer.retired.values()]
        for amphora, report in pairs:
            statistics = amphora.statistics
            if report is not None:
                statistics = {listener_id: value for listener_id, (_, value) in report.listeners.items()}
                self._ledger.save_statistics(amphora.id, statistics)
            totals.append(statistics)
        return Observation(
            exists=True,
            vip_addresses=balancer.vip_addresses,
            operating=operating,
            statistics=health.total_statistics(totals),
            appliances=(
                *(appliances.reported(amphora, report, proxied) for amphora, report in pairs),
                *(
                    appliances.unfinished(amphora)
                    for amphora in amphorae
                    if amphora.status is not AmphoraStatus.ALLOCATED
                ),
            ),
        )

    def plan(self, desired: LoadBalancer, applied: LoadBalancer | None) -> tuple[PlannedAction, ...]:
        """See ``Planner``. Fetches secrets, as ``apply`` would."""
        files = self._looking.secret_files(desired)
        balancer, _ = self._looking.held(desired, applied)
        if balancer is None:
            balancer = self._looking.admitted(desired)
        plan = self._looking.plan(balancer, commit=False)
        actions = list(amphora_actions(plan))
        if balancer.unsettled and not actions:
            actions.append(PlannedAction(_told(desired), "finish an interrupted update", Mildness.RELOAD))
        if applied is None or balancer.tree is None or not plan.keep:
            if not actions:
                actions.append(PlannedAction(_told(desired), "create", Mildness.REPLACE))
            return tuple(actions)
        amphora = plan.keep[0]
        # What was applied may have referred to what is not there any more; its content does not matter.
        tls = merged(unknown(uses(applied)), files)

        def bundle(tree: LoadBalancer) -> Bundle:
            return self._looking.work(balancer, tree, AmphoraPlan(plan.keep, (), ()), tls).bundle(amphora.id)

        actions += network_delta.planned(self._looking.work(balancer, desired, plan))
        facts = self._looking.facts(amphora)
        actions += tree_actions(applied, desired, bundle, facts, self._settings.datagrams)
        if files.contents and not actions:
            actions += self._renewals(amphora, bundle(desired), facts)
        return tuple(actions)

    def _renewals(self, amphora: Amphora, bundle: Bundle, facts: Facts) -> Iterator[PlannedAction]:
        """Whether references point to other content than the amphora has."""
        driver = self._drivers.amphora
        ((_, report),) = self._looking.reports((amphora,))
        if report is not None and isinstance(driver, Foreteller):
            yield from renewal(bundle, driver.revisions(bundle, facts), report.revisions)

    def profile_capabilities(self, kind: ProfileKind) -> Mapping[str, str]:
        """See ``ProfileSchemas``."""
        return profiles.profile_capabilities(kind)

    def validate_profile(self, kind: ProfileKind, data: ProviderData) -> None:
        """See ``ProfileSchemas``. Whether compute and network have what is named shows when it is used."""
        profiles.validate_profile(kind, data)

    def deviations(self, applied: LoadBalancer) -> tuple[Deviation, ...]:
        """See ``Inspector``. The tree is that of the record, which was written with what it describes."""
        return inspection.deviations(
            self._looking.as_it_is(applied.id), self._looking.reports, self._looking.secret_files
        )

    def orphans(self) -> tuple[Orphan, ...]:
        """See ``Inspector``."""
        return inspection.find_orphans(self._drivers, self._ledger)

    def remove_orphans(self) -> tuple[Orphan, ...]:
        """See ``Inspector``."""
        return inspection.remove_orphans(self._drivers, self._ledger)

    def remove_zombie(self, amphora_id: str) -> tuple[Orphan, ...]:
        """Remove what an amphora has left behind of which a record says that it was removed; what was removed.

        Law: found anew at this moment; what any record of today names stays.
        """
        return inspection.remove_left_by(self._drivers, self._ledger, (amphora_id,))

    def maintain(self, load_balancer_id: str) -> None:
        """See ``Maintainer``. An amphora that is not running is left to a failover."""
        with self._run(load_balancer_id) as run:
            run.maintain(load_balancer_id)

    def tend(self) -> None:
        """See ``Caretaker``."""
        self._ledger.forget_gone(self._context.now() - self._settings.memory_of_gone)
        WarmPool(self._context, self._settings, self._ledger, lambda: self._drivers).fill()

    # -- how it is done ----------------------------------------------------------------------

    @contextmanager
    def _run(self, load_balancer_id: str) -> Iterator[Run]:
        """A run, fenced: it calls no driver and writes no record once the run that calls has lost its lease.

        What the last call made too late, of an amphora or load balancer that is gone by then, goes as well.
        """
        fence = self._context.fence_of(load_balancer_id)
        drivers = Drivers(fenced(self._context.load, fence.check), self._settings)
        run = Run(self._context, self._settings, drivers, Ledger(fence.records), fence)
        try:
            yield run
        except LeaseLostError as lost:
            try:
                inspection.remove_left_by(self._drivers, self._ledger, run.concerned, load_balancer_id)
            except DriverError as error:
                lost.add_note(f"what came too late is not removed, see orphans: {error}")
            raise

    def _as_heard(self, balancer: Balancer, amphorae: Iterable[Amphora]) -> Observation:
        ledger = self._ledger
        heard, operating = ledger.heard(balancer.id), ledger.operating(balancer.id)
        return heard_observation(balancer, amphorae, heard, operating, ledger.listening(), self._context.now())


def _told(tree: LoadBalancer) -> str:
    return f"load balancer {tree.name or tree.id}"
