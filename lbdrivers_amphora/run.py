"""One run at a load balancer: reads the records and the cloud, plans (pure), and carries a recipe out.

Law: level-triggered. What an earlier, interrupted run left is taken up, never made twice. It writes and acts through
the ledger, the drivers and the fence that it is given, and through nothing else.
"""

from __future__ import annotations

import secrets
import string
import uuid
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from lbdrivers.drivers.amphora import ApplianceReport, Facts, TlsFiles, Topology
from lbdrivers.drivers.compute import RequestChecker
from lbdrivers.drivers.context import DriverContext, Fence
from lbdrivers.drivers.provider import ReplacementCause
from lbdrivers.errors import PermanentError, TemporaryError
from lbdrivers.model.infra import MachineStatus
from lbdrivers.model.resources import LoadBalancer
from lbdrivers_amphora import inspection
from lbdrivers_amphora.admission import Admission
from lbdrivers_amphora.decide import profiles
from lbdrivers_amphora.decide.addressing import same_networks
from lbdrivers_amphora.decide.admission import CREATE_PRIORITY, PRIORITIES
from lbdrivers_amphora.decide.replacement import State, rounds
from lbdrivers_amphora.decide.topology import TOPOLOGIES, AmphoraPlan, plan_amphorae
from lbdrivers_amphora.flows import recipes
from lbdrivers_amphora.flows.compile import run as carry_out
from lbdrivers_amphora.flows.recipe import Recipe
from lbdrivers_amphora.flows.work import Drivers, Work
from lbdrivers_amphora.keepalived.translate import PASSWORD_LENGTH
from lbdrivers_amphora.ledger import Ledger
from lbdrivers_amphora.records import Amphora, AmphoraStatus, Balancer, tree_text
from lbdrivers_amphora.secret_files import secret_files
from lbdrivers_amphora.settings import AmphoraSettings
from lbdrivers_amphora.warm_pool import WarmPool

# Characters that keepalived reads as they are.
_PASSWORD_CHARACTERS = string.ascii_letters + string.digits


class Run:
    """What can be done for a load balancer, and what it takes to know before.

    :param fence: keeps the run out when its load balancer is another run's; ``ledger`` writes through it, and
        ``drivers`` ask it.
    """

    def __init__(
        self, context: DriverContext, settings: AmphoraSettings, drivers: Drivers, ledger: Ledger, fence: Fence
    ) -> None:
        self._context = context
        self._settings = settings
        self._drivers = drivers
        self._ledger = ledger
        self._fence = fence
        #: Ids of the amphorae that recipes were carried out for.
        self.concerned = frozenset[str]()

    # -- what it does ---------------------------------------------------------------------------

    def apply(self, desired: LoadBalancer, applied: LoadBalancer | None) -> None:
        """See ``Provider.apply``."""
        tls = self.secret_files(desired)
        balancer, held = self.held(desired, applied)
        if balancer is None:
            balancer = self.admitted(desired)
            self._ledger.save_balancer(balancer)
        balancer = self._with_password(balancer)
        plan = self.plan(balancer, tree=desired)
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
        work = self.work(balancer, desired, plan, tls)
        # What is built for a load balancer that serves already is as urgent as a failover.
        urgency = CREATE_PRIORITY if balancer.tree is None else PRIORITIES[ReplacementCause.FAILURE]
        self._carry_out(recipe, replace(work, build_priority=urgency))

    def remove(self, load_balancer_id: str) -> None:
        """See ``Provider.remove``."""
        balancer = self._ledger.balancer(load_balancer_id)
        if balancer is None:
            return
        going = self._ledger.amphorae(load_balancer_id)
        self._carry_out(recipes.DELETE, self.work(balancer, None, AmphoraPlan((), (), going)))

    def fail_over(self, load_balancer_id: str) -> None:
        """See ``Provider.failover``."""
        balancer = self._ledger.balancer(load_balancer_id)
        if balancer is None or balancer.tree is None:
            raise PermanentError(f"there is no load balancer {load_balancer_id} to fail over")
        tree = LoadBalancer.model_validate_json(balancer.tree)
        tls = self.secret_files(tree)
        heard = self._ledger.heard(load_balancer_id)
        # One whose agent answers and which is silent all the same is dead to its clients: see agent/beat.py.
        silent = {name for name, one in heard.items() if one.silent}
        reports = self.reports(self._ledger.amphorae(load_balancer_id))
        states = {one.id: State.DEAD if one.id in silent else _state(report) for one, report in reports}
        requested = {wish.amphora_id: wish.cause for wish in self._ledger.replacements(load_balancer_id)}
        for each in rounds(states, requested, len(TOPOLOGIES[balancer.topology])):
            if each.cause is not ReplacementCause.ADMIN:
                Admission(self._context, self._settings).start_failover(self._zones(each.amphorae))
            current = self._with_password(self._ledger.balancer(load_balancer_id) or balancer)
            work = self.work(current, tree, self.plan(current, each.amphorae, tree=tree), tls)
            self._carry_out(recipes.FAILOVER, replace(work, build_priority=PRIORITIES[each.cause]))

    def maintain(self, load_balancer_id: str) -> None:
        """See ``Maintainer``."""
        balancer = self._ledger.balancer(load_balancer_id)
        if balancer is None or balancer.tree is None:
            return
        work = self.as_it_is(load_balancer_id)
        machines = {one.id: self._drivers.compute.find(one.machine) for one in work.kept}
        running = [one for one in work.kept if (found := machines[one.id]) and found.status is MachineStatus.RUNNING]
        self._carry_out(recipes.MAINTAIN, replace(work, kept=tuple(running)))

    # -- what runs are made of ------------------------------------------------------------------

    def held(self, desired: LoadBalancer, hint: LoadBalancer | None) -> tuple[Balancer | None, LoadBalancer | None]:
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

    def admitted(self, desired: LoadBalancer) -> Balancer:
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

    def as_it_is(self, load_balancer_id: str) -> Work:
        """The load balancer with the tree that was applied last, and all its amphorae that serve.

        :raises PermanentError: when there is no such load balancer.
        """
        balancer = self._ledger.balancer(load_balancer_id)
        if balancer is None or balancer.tree is None:
            raise PermanentError(f"there is no load balancer {load_balancer_id}, or it was never complete")
        serving = inspection.serving(self._ledger.amphorae(load_balancer_id))
        tree = LoadBalancer.model_validate_json(balancer.tree)
        return self.work(balancer, tree, AmphoraPlan(serving, (), ()))

    def secret_files(self, tree: LoadBalancer) -> TlsFiles:
        """The certificate files that the tree needs, out of the secret store."""
        return secret_files(tree, lambda: self._context.load("lbdrivers.secrets", self._settings.secret_store))

    def work(
        self, balancer: Balancer, tree: LoadBalancer | None, plan: AmphoraPlan, tls: TlsFiles | None = None
    ) -> Work:
        """What recipes work on: the load balancer as it is to be, with the amphorae as planned."""
        built = tuple(amphora for _, amphora in plan.build if amphora is not None)
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

    def plan(
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

    def reports(self, amphorae: Iterable[Amphora]) -> list[tuple[Amphora, ApplianceReport | None]]:
        """Ask all amphorae that serve at once; None for one that is dead or does not answer."""
        serving = [amphora for amphora in amphorae if amphora.status is AmphoraStatus.ALLOCATED]
        drivers = self._drivers

        def ask(amphora: Amphora) -> ApplianceReport | None:
            machine = drivers.compute.find(amphora.machine)
            if machine is None or machine.status is not MachineStatus.RUNNING:
                return None
            try:
                return drivers.amphora.report(machine, amphora.id)
            except (TemporaryError, PermanentError):
                return None  # reported as an appliance that does not answer

        with ThreadPoolExecutor(max_workers=max(1, min(len(serving), self._settings.workers))) as pool:
            return list(zip(serving, pool.map(ask, serving), strict=True))

    def _zones(self, amphora_ids: Iterable[str]) -> frozenset[str]:
        """The fault domains of these amphorae, as far as anybody knows them."""
        machines = (self._drivers.compute.find(f"amphora-{one}") for one in amphora_ids)
        return frozenset(machine.zone or "" for machine in machines if machine is not None)

    def facts(self, amphora: Amphora) -> Facts:
        """What the amphora's agent says that it can do. :raises TemporaryError: when it cannot be asked."""
        machine = self._drivers.compute.find(amphora.machine)
        if machine is None:
            raise TemporaryError("an amphora's machine is missing", f"machine {amphora.machine}")
        return self._drivers.amphora.facts(machine, amphora.id)

    def _carry_out(self, recipe: Recipe, work: Work) -> None:
        self.concerned |= {amphora.id for amphora in (*work.built, *work.kept, *work.removed)}
        carry_out(recipe, work)


def _tree_of(text: str, hint: LoadBalancer | None) -> LoadBalancer:
    """The tree of a record. Mostly the hint is it, and to write that down is quicker than to parse the text."""
    return hint if hint is not None and tree_text(hint) == text else LoadBalancer.model_validate_json(text)


def _state(report: ApplianceReport | None) -> State:
    if report is None:
        return State.DEAD
    return State.HOLDS_VIP if report.holds_vip else State.STANDBY
