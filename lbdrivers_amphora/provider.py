"""The amphora provider: plans over records and machines, carried out by recipes.

Law: level-triggered. Every verb reads the records and the cloud, plans (pure), and runs a recipe;
what an earlier, interrupted run left is taken up, never made twice.
"""

from __future__ import annotations

import copy
import secrets
import string
import uuid
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace

from lbdrivers.drivers.amphora import ApplianceReport, Bundle, Facts, Foreteller, TlsFiles, Topology
from lbdrivers.drivers.compute import RequestChecker
from lbdrivers.drivers.context import CONTRACT, DriverContext, Fence, Unfenced
from lbdrivers.drivers.profiles import ProfileKind
from lbdrivers.drivers.provider import (
    Deviation,
    Mildness,
    Observation,
    Orphan,
    PlannedAction,
    ReplacementCause,
)
from lbdrivers.errors import DriverError, LeaseLostError, PermanentError, TemporaryError
from lbdrivers.features import Feature, check
from lbdrivers.model.infra import MachineStatus
from lbdrivers.model.provider_data import ProviderData
from lbdrivers.model.resources import LoadBalancer
from lbdrivers_amphora import inspection, network_delta
from lbdrivers_amphora.admission import Admission
from lbdrivers_amphora.decide import appliances, connections, datagrams, health, profiles
from lbdrivers_amphora.decide.addressing import same_networks
from lbdrivers_amphora.decide.admission import CREATE_PRIORITY, PRIORITIES
from lbdrivers_amphora.decide.datagrams import DatagramDriver
from lbdrivers_amphora.decide.plan import amphora_actions, renewal, tree_actions
from lbdrivers_amphora.decide.replacement import State, rounds
from lbdrivers_amphora.decide.tls import merged, unknown, uses
from lbdrivers_amphora.decide.topology import TOPOLOGIES, AmphoraPlan, plan_amphorae
from lbdrivers_amphora.fenced import fenced
from lbdrivers_amphora.flows import recipes
from lbdrivers_amphora.flows.compile import run
from lbdrivers_amphora.flows.work import Drivers, Work
from lbdrivers_amphora.health.observe import observation as heard_observation
from lbdrivers_amphora.keepalived.translate import PASSWORD_LENGTH
from lbdrivers_amphora.ledger import Ledger
from lbdrivers_amphora.records import Amphora, AmphoraStatus, Balancer, Replacement, tree_text
from lbdrivers_amphora.secret_files import secret_files
from lbdrivers_amphora.settings import read
from lbdrivers_amphora.warm_pool import WarmPool

#: Everything that it claims unless told to balance datagrams in another way.
FEATURES = connections.FEATURES | datagrams.FEATURES[DatagramDriver.NFTABLES]
# Characters that keepalived reads as they are.
_PASSWORD_CHARACTERS = string.ascii_letters + string.digits


class AmphoraProvider:
    """Implements ``lbdrivers.drivers.provider.Provider``, ``Planner`` and ``ProfileSchemas`` with amphorae."""

    contract = CONTRACT
    name = "amphora"

    def __init__(self, context: DriverContext) -> None:
        self._context = context
        self._settings = read(context.configuration)
        self._fence: Fence = Unfenced(context.records)
        self._ledger = Ledger(context.records)
        self._drivers = Drivers(context.load, self._settings)
        self._concerned = frozenset[str]()

    def features(self) -> frozenset[Feature]:
        """See the contract. Which engine balances datagrams is a matter of ``[haproxy_amphora] datagram_driver``."""
        return connections.FEATURES | datagrams.FEATURES[self._settings.datagrams]

    def apply(self, desired: LoadBalancer, applied: LoadBalancer | None) -> None:
        """See the contract. Secrets are fetched first: one that cannot be used is refused before anything
        is touched. Without ``applied``, and whenever networks or machines are concerned,
        everything is looked at; else HAProxy and keepalived alone."""
        check(self.name, self.features(), desired)
        with self._run(desired.id) as run:
            run._apply(desired, applied)

    def _apply(self, desired: LoadBalancer, applied: LoadBalancer | None) -> None:
        tls = self._secret_files(desired)
        balancer, held = self._held(desired, applied)
        if balancer is None:
            balancer = self._admitted(desired)
            self._ledger.save_balancer(balancer)
        balancer = self._with_password(balancer)
        plan = self._plan(balancer, tree=desired)
        if held is None:
            recipe = recipes.CREATE
        elif (
            applied is not None
            and not balancer.unsettled
            and not (plan.build or plan.remove)
            and same_networks(held, desired)
        ):
            recipe = recipes.CONFIGURE
        else:
            recipe = recipes.UPDATE
        work = self._work(balancer, desired, plan, tls)
        # What is built for a load balancer that serves already is as urgent as a failover.
        urgency = CREATE_PRIORITY if balancer.tree is None else PRIORITIES[ReplacementCause.FAILURE]
        run(recipe, replace(work, build_priority=urgency))

    def remove(self, load_balancer_id: str) -> None:
        """See the contract. Needs no secret and no tree."""
        with self._run(load_balancer_id) as run:
            run._remove(load_balancer_id)

    def _remove(self, load_balancer_id: str) -> None:
        balancer = self._ledger.balancer(load_balancer_id)
        if balancer is None:
            return
        going = self._ledger.amphorae(load_balancer_id)
        run(recipes.DELETE, self._work(balancer, None, AmphoraPlan((), (), going)))

    def failover(self, load_balancer_id: str) -> None:
        """See the contract. What is dead or missing is replaced at once; a healthy pair one after the
        other, the one without the VIP first, so that one always serves."""
        with self._run(load_balancer_id) as run:
            run._fail_over(load_balancer_id)

    def _fail_over(self, load_balancer_id: str) -> None:
        balancer = self._ledger.balancer(load_balancer_id)
        if balancer is None or balancer.tree is None:
            raise PermanentError(f"there is no load balancer {load_balancer_id} to fail over")
        tree = LoadBalancer.model_validate_json(balancer.tree)
        tls = self._secret_files(tree)
        heard = self._ledger.heard(load_balancer_id)
        # One whose agent answers and which is silent all the same is dead to its clients: see agent/beat.py.
        silent = {name for name, one in heard.items() if one.silent}
        reports = self._reports(self._ledger.amphorae(load_balancer_id))
        states = {one.id: State.DEAD if one.id in silent else _state(report) for one, report in reports}
        requested = {wish.amphora_id: wish.cause for wish in self._ledger.replacements(load_balancer_id)}
        for each in rounds(states, requested, len(TOPOLOGIES[balancer.topology])):
            if each.cause is not ReplacementCause.ADMIN:
                Admission(self._context, self._settings).start_failover(self._zones(each.amphorae))
            current = self._with_password(self._ledger.balancer(load_balancer_id) or balancer)
            work = self._work(current, tree, self._plan(current, each.amphorae, tree=tree), tls)
            run(recipes.FAILOVER, replace(work, build_priority=PRIORITIES[each.cause]))

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
        work = self._as_it_is(load_balancer_id)
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
        pairs = self._reports(amphorae)
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
        files = self._secret_files(desired)
        balancer, _ = self._held(desired, applied)
        if balancer is None:
            balancer = self._admitted(desired)
        plan = self._plan(balancer, commit=False)
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
            return self._work(balancer, tree, AmphoraPlan(plan.keep, (), ()), tls).bundle(amphora.id)

        actions += network_delta.planned(self._work(balancer, desired, plan))
        facts = self._facts(amphora)
        actions += tree_actions(applied, desired, bundle, facts, self._settings.datagrams)
        if files.contents and not actions:
            actions += self._renewals(amphora, bundle(desired), facts)
        return tuple(actions)

    def _renewals(self, amphora: Amphora, bundle: Bundle, facts: Facts) -> Iterator[PlannedAction]:
        """Whether references point to other content than the amphora has."""
        driver = self._drivers.amphora
        ((_, report),) = self._reports((amphora,))
        if report is not None and isinstance(driver, Foreteller):
            yield from renewal(bundle, driver.revisions(bundle, facts), report.revisions)

    def profile_capabilities(self, kind: ProfileKind) -> Mapping[str, str]:
        """See ``ProfileSchemas``."""
        return profiles.profile_capabilities(kind)

    def validate_profile(self, kind: ProfileKind, data: ProviderData) -> None:
        """See ``ProfileSchemas``. Whether compute and network have what is named shows when it is used."""
        profiles.validate_profile(kind, data)

    def deviations(self, load_balancer_id: str) -> tuple[Deviation, ...]:
        """See ``Inspector``."""
        return inspection.deviations(self._as_it_is(load_balancer_id), self._reports, self._secret_files)

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
            run._maintain(load_balancer_id)

    def _maintain(self, load_balancer_id: str) -> None:
        balancer = self._ledger.balancer(load_balancer_id)
        if balancer is None or balancer.tree is None:
            return
        work = self._as_it_is(load_balancer_id)
        machines = {one.id: self._drivers.compute.find(one.machine) for one in work.kept}
        running = [one for one in work.kept if (found := machines[one.id]) and found.status is MachineStatus.RUNNING]
        run(recipes.MAINTAIN, replace(work, kept=tuple(running)))

    def tend(self) -> None:
        """See ``Caretaker``."""
        self._ledger.forget_gone(self._context.now() - self._settings.memory_of_gone)
        WarmPool(self._context, self._settings, self._ledger, lambda: self._drivers).fill()

    # -- how it is done ----------------------------------------------------------------------

    @contextmanager
    def _run(self, load_balancer_id: str) -> Iterator[AmphoraProvider]:
        """This provider, fenced: it calls no driver and writes no record once the run that calls has lost its lease.

        What the last call made too late, of an amphora or load balancer that is gone by then, goes as well.
        """
        run = copy.copy(self)
        run._fence = self._context.fence_of(load_balancer_id)
        run._ledger = Ledger(run._fence.records)
        run._drivers = Drivers(fenced(self._context.load, run._fence.check), self._settings)
        try:
            yield run
        except LeaseLostError as lost:
            try:
                inspection.remove_left_by(self._drivers, self._ledger, run._concerned, load_balancer_id)
            except DriverError as error:
                lost.add_note(f"what came too late is not removed, see orphans: {error}")
            raise

    def _held(self, desired: LoadBalancer, hint: LoadBalancer | None) -> tuple[Balancer | None, LoadBalancer | None]:
        """The load balancer's record and the tree that was applied last, where they are there.

        :param hint: what may be that tree.
        :raises UnsupportedError: when its flavor or zone would have to change.
        """
        balancer = self._ledger.balancer(desired.id)
        if balancer is None:
            return None, None
        tree = None if balancer.tree is None else _tree_of(balancer.tree, hint)
        profiles.check_unchanged(balancer.topology, tree, desired)
        return balancer, tree

    def _admitted(self, desired: LoadBalancer) -> Balancer:
        """The record of a new load balancer, not written down yet.

        :raises UnsupportedError: when its flavor or zone cannot be had. :raises PermanentError: when there is
            no such network.
        """
        wishes = profiles.Wishes.of(desired)
        compute, network = self._drivers.compute, self._drivers.network
        if isinstance(compute, RequestChecker):
            compute.check_request(wishes.machine(desired.id))
        if wishes.zone.management_network is not None:
            network.network(wishes.zone.management_network)
        if wishes.zone.valid_vip_networks and (desired.vip_network_id or desired.vip_subnet_id):
            network_id = desired.vip_network_id or network.subnet(desired.vip_subnet_id or "").network_id
            profiles.check_vip_network(wishes, network.network(network_id))
        topology = wishes.flavor.loadbalancer_topology or self._settings.topology
        return Balancer(id=desired.id, name=desired.name, topology=topology)

    def _as_it_is(self, load_balancer_id: str) -> Work:
        """The load balancer with the tree that was applied last, and all its amphorae that serve.

        :raises PermanentError: when there is no such load balancer.
        """
        balancer = self._ledger.balancer(load_balancer_id)
        if balancer is None or balancer.tree is None:
            raise PermanentError(f"there is no load balancer {load_balancer_id}, or it was never complete")
        serving = inspection.serving(self._ledger.amphorae(load_balancer_id))
        tree = LoadBalancer.model_validate_json(balancer.tree)
        return self._work(balancer, tree, AmphoraPlan(serving, (), ()))

    def _as_heard(self, balancer: Balancer, amphorae: Iterable[Amphora]) -> Observation:
        ledger = self._ledger
        heard, operating = ledger.heard(balancer.id), ledger.operating(balancer.id)
        return heard_observation(balancer, amphorae, heard, operating, ledger.listening(), self._context.now())

    def _secret_files(self, tree: LoadBalancer) -> TlsFiles:
        return secret_files(tree, lambda: self._context.load("lbdrivers.secrets", self._settings.secret_store))

    def _work(
        self, balancer: Balancer, tree: LoadBalancer | None, plan: AmphoraPlan, tls: TlsFiles | None = None
    ) -> Work:
        built = tuple(amphora for _, amphora in plan.build if amphora is not None)
        self._concerned |= {amphora.id for amphora in (*built, *plan.keep, *plan.remove)}
        return Work(
            context=self._context,
            settings=self._settings,
            drivers=self._drivers,
            ledger=self._ledger,
            fence=self._fence,
            balancer=balancer,
            tree=tree,
            built=built,
            kept=plan.keep,
            removed=plan.remove,
            tls=tls or TlsFiles(),
        )

    def _plan(
        self,
        balancer: Balancer,
        replace: frozenset[str] = frozenset(),
        commit: bool = True,
        tree: LoadBalancer | None = None,
    ) -> AmphoraPlan:
        """Plan the amphorae; each empty slot gets its record, committed before anything is made.

        :param tree: with it, spares of the warm pool are taken where they fit.
        """
        pool = WarmPool(self._context, self._settings, self._ledger, lambda: self._drivers)
        amphorae = self._ledger.amphorae(balancer.id)
        machines = {}
        for amphora in amphorae:
            machine = self._drivers.compute.find(amphora.machine)
            if machine is not None:
                machines[amphora.id] = machine.status
        plan = plan_amphorae(balancer.topology, amphorae, machines, replace)
        if not commit:
            return plan
        build = []
        for slot, unfinished in plan.build:
            amphora = (
                unfinished
                or (tree and pool.take(balancer, slot, tree))
                or Amphora(
                    id=str(uuid.uuid4()),
                    load_balancer_id=balancer.id,
                    role=slot.role,
                    priority=slot.priority,
                    created_at=self._context.now(),
                )
            )
            self._ledger.save_amphora(amphora)
            build.append((slot, amphora))
        return AmphoraPlan(plan.keep, tuple(build), plan.remove)

    def _with_password(self, balancer: Balancer) -> Balancer:
        """With the password of VRRP version 2 where that is spoken: made once, committed before it is used."""
        if self._settings.timers.version != 2 or balancer.topology is Topology.SINGLE or balancer.vrrp_password:
            return balancer
        password = "".join(secrets.choice(_PASSWORD_CHARACTERS) for _ in range(PASSWORD_LENGTH))
        balancer = balancer.model_copy(update={"vrrp_password": password})
        self._ledger.save_balancer(balancer)
        return balancer

    def _reports(self, amphorae: Iterable[Amphora]) -> list[tuple[Amphora, ApplianceReport | None]]:
        """Ask all amphorae that serve at once; None for one that is dead or does not answer."""
        serving = [amphora for amphora in amphorae if amphora.status is AmphoraStatus.ALLOCATED]
        drivers = self._drivers

        def ask(amphora: Amphora) -> ApplianceReport | None:
            machine = drivers.compute.find(amphora.machine)
            if machine is None or machine.status is not MachineStatus.RUNNING:
                return None
            try:
                return drivers.amphora.report(machine, amphora.id)
            except DriverError:
                return None  # reported as an appliance that does not answer

        with ThreadPoolExecutor(max_workers=max(1, min(len(serving), self._settings.workers))) as pool:
            return list(zip(serving, pool.map(ask, serving), strict=True))

    def _zones(self, amphora_ids: Iterable[str]) -> frozenset[str]:
        """The fault domains of these amphorae, as far as anybody knows them."""
        machines = (self._drivers.compute.find(f"amphora-{one}") for one in amphora_ids)
        return frozenset(machine.zone or "" for machine in machines if machine is not None)

    def _facts(self, amphora: Amphora) -> Facts:
        machine = self._drivers.compute.find(amphora.machine)
        if machine is None:
            raise TemporaryError("an amphora's machine is missing", f"machine {amphora.machine}")
        return self._drivers.amphora.facts(machine, amphora.id)


def _tree_of(text: str, hint: LoadBalancer | None) -> LoadBalancer:
    """The tree of a record. Mostly the hint is it, and to write that down is quicker than to parse the text."""
    return hint if hint is not None and tree_text(hint) == text else LoadBalancer.model_validate_json(text)


def _told(tree: LoadBalancer) -> str:
    return f"load balancer {tree.name or tree.id}"


def _state(report: ApplianceReport | None) -> State:
    if report is None:
        return State.DEAD
    return State.HOLDS_VIP if report.holds_vip else State.STANDBY
