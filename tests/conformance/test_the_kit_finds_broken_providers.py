"""The check of the checks: each provider here breaks one law, and the kit says so."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from oslo_config import cfg

from lbdrivers.drivers.context import DriverContext
from lbdrivers.drivers.profiles import ProfileKind
from lbdrivers.drivers.provider import Deviation, Observation, Orphan, Remedy
from lbdrivers.errors import PermanentError, TemporaryError
from lbdrivers.features import Feature
from lbdrivers.memory.cloud import StoredLoadBalancer
from lbdrivers.memory.provider import MemoryProvider
from lbdrivers.memory.records import MemoryRecords
from lbdrivers.model.changes import Deleted, Kind, apply_changes, diff
from lbdrivers.model.provider_data import ProviderData
from lbdrivers.model.resources import LoadBalancer
from lbdrivers.testing import check_provider
from lbdrivers.testing.check import Patience
from lbdrivers.testing.check_provider import ProviderFixture
from lbdrivers.testing.examples import rebuilt
from lbdrivers.testing.report import Verdict, examine

Law = Callable[[ProviderFixture], None]


class ForgetsToDelete(MemoryProvider):
    """Says that it removed a load balancer, and keeps it."""

    def remove(self, load_balancer_id: str) -> None:
        return


class RefusesToDeleteTwice(MemoryProvider):
    def remove(self, load_balancer_id: str) -> None:
        if load_balancer_id not in self.known():
            raise PermanentError("not found")
        super().remove(load_balancer_id)


class IsNotIdempotent(MemoryProvider):
    """Replaces the appliance at every apply."""

    def apply(self, desired: LoadBalancer, applied: LoadBalancer | None) -> None:
        super().apply(desired, applied)
        self.failover(desired.id)


class LosesAStatus(MemoryProvider):
    """Shows no status of members."""

    def observe(self, load_balancer_id: str) -> Observation:
        seen = super().observe(load_balancer_id)
        held = self.cloud.load_balancers.get(load_balancer_id)
        members = {one.id for pool in (held.tree.pools if held else ()) for one in pool.members}
        return replace(seen, operating={key: value for key, value in seen.operating.items() if key not in members})


class ResurrectsAMember(MemoryProvider):
    """Members that were taken out are never taken out."""

    def apply(self, desired: LoadBalancer, applied: LoadBalancer | None) -> None:
        held = self.cloud.load_balancers.get(desired.id)
        if held is not None:
            kept = {pool.id: pool.members for pool in held.tree.pools}
            pools = tuple(
                rebuilt(pool, members=tuple({m.id: m for m in (*pool.members, *kept.get(pool.id, ()))}.values()))
                for pool in desired.pools
            )
            desired = rebuilt(desired, pools=pools)
        super().apply(desired, applied)


class TrustsItsHint(MemoryProvider):
    """Carries out what changed since ``applied``, whatever is really there."""

    def apply(self, desired: LoadBalancer, applied: LoadBalancer | None) -> None:
        held = self.cloud.load_balancers.get(desired.id)
        if held is None or applied is None:
            super().apply(desired, applied)
            return
        changes = [one for one in diff(applied, desired) if isinstance(one, Deleted) and one.kind is Kind.MEMBER]
        there = {resource.id for _, resource in held.tree.walk()}
        tree = apply_changes(held.tree, [one for one in changes if one.id in there])
        if tree is not None and applied != desired:
            self.cloud.load_balancers.change(desired.id, lambda old: replace(old or held, tree=tree))


class RemembersInItsObject(MemoryProvider):
    """Keeps what it holds in the object: lost with a restart."""

    def __init__(self, context: DriverContext) -> None:
        super().__init__(DriverContext(context.configuration, MemoryRecords(), context.load))


class MovesTheVip(MemoryProvider):
    def apply(self, desired: LoadBalancer, applied: LoadBalancer | None) -> None:
        held = self.cloud.load_balancers.get(desired.id)
        if held is not None and not desired.listeners:

            def moved(old: StoredLoadBalancer | None) -> StoredLoadBalancer:
                return replace(old or held, tree=desired, addresses=("203.0.113.99",))

            self.cloud.load_balancers.change(desired.id, moved)
            return
        super().apply(desired, applied)


class SharesTheVip(MemoryProvider):
    def observe(self, load_balancer_id: str) -> Observation:
        seen = super().observe(load_balancer_id)
        return replace(seen, vip_addresses=("203.0.113.5",)) if seen.exists else seen


class RemovesTooMuch(MemoryProvider):
    def remove(self, load_balancer_id: str) -> None:
        for known in self.known():
            super().remove(known)


class ChangesByLooking(MemoryProvider):
    def observe(self, load_balancer_id: str) -> Observation:
        seen = super().observe(load_balancer_id)
        if seen.exists:
            self.failover(load_balancer_id)
        return seen


class SeesDriftEverywhere(MemoryProvider):
    def deviations(self, applied: LoadBalancer) -> tuple[Deviation, ...]:
        return (Deviation("load balancer", "weather", "fair", "rain", Remedy.APPLY),)


class SeesNoDrift(MemoryProvider):
    """Not even where nothing is left."""

    def deviations(self, applied: LoadBalancer) -> tuple[Deviation, ...]:
        return ()


class TakesTheLivingForOrphans(MemoryProvider):
    def remove_orphans(self) -> tuple[Orphan, ...]:
        for known in self.known():
            self.remove(known)
        return ()


class FailsOverIntoNothing(MemoryProvider):
    def failover(self, load_balancer_id: str) -> None:
        if load_balancer_id not in self.known():
            raise PermanentError("unknown")


class FailsOverTheUnknown(MemoryProvider):
    def failover(self, load_balancer_id: str) -> None:
        if load_balancer_id in self.known():
            super().failover(load_balancer_id)


class RaisesAnything(MemoryProvider):
    def observe(self, load_balancer_id: str) -> Observation:
        raise KeyError(load_balancer_id)


class NeverReady(MemoryProvider):
    def apply(self, desired: LoadBalancer, applied: LoadBalancer | None) -> None:
        raise TemporaryError("still booting")


class ChangesItsFeatures(MemoryProvider):
    count = 0

    def features(self) -> frozenset[Feature]:
        ChangesItsFeatures.count += 1
        found = super().features()
        return found if ChangesItsFeatures.count % 2 else found - {Feature.L7}


class CountsBackwards(MemoryProvider):
    def observe(self, load_balancer_id: str) -> Observation:
        return replace(super().observe(load_balancer_id), statistics={})


class ForgetsListenersOfHistories(MemoryProvider):
    """Fails only where a listener has policies: found by histories, by no simple example."""

    def observe(self, load_balancer_id: str) -> Observation:
        seen = super().observe(load_balancer_id)
        held = self.cloud.load_balancers.get(load_balancer_id)
        hidden = {one.id for one in (held.tree.listeners if held else ()) if one.l7policies}
        return replace(seen, operating={key: value for key, value in seen.operating.items() if key not in hidden})


class TakesAnyFlavor(MemoryProvider):
    """Ignores what it does not know."""

    def validate_profile(self, kind: ProfileKind, data: ProviderData) -> None:
        if kind is not ProfileKind.FLAVOR:
            super().validate_profile(kind, data)


class ReservesBeforeItLooksAtTheZone(MemoryProvider):
    """Refuses an unknown key, but has touched something by then."""

    def apply(self, desired: LoadBalancer, applied: LoadBalancer | None) -> None:
        self.reserve_vip(desired)
        super().apply(desired, applied)


BROKEN: list[tuple[type[MemoryProvider], Law]] = [
    (ForgetsToDelete, check_provider.check_remove_leaves_nothing),
    (RefusesToDeleteTwice, check_provider.check_the_absent_is_no_error),
    (IsNotIdempotent, check_provider.check_apply_twice_changes_nothing),
    (LosesAStatus, check_provider.check_apply_makes_all_of_it),
    (ResurrectsAMember, check_provider.check_edits_are_followed),
    (TrustsItsHint, check_provider.check_a_wrong_hint_costs_nothing_but_time),
    (RemembersInItsObject, check_provider.check_a_new_object_goes_on),
    (MovesTheVip, check_provider.check_addresses_stay),
    (SharesTheVip, check_provider.check_load_balancers_are_apart),
    (RemovesTooMuch, check_provider.check_load_balancers_are_apart),
    (ChangesByLooking, check_provider.check_observe_changes_nothing),
    (SeesDriftEverywhere, check_provider.check_what_is_applied_has_not_drifted),
    (SeesNoDrift, check_provider.check_what_is_applied_has_not_drifted),
    (TakesTheLivingForOrphans, check_provider.check_what_is_applied_has_not_drifted),
    (FailsOverIntoNothing, check_provider.check_failover_keeps_everything),
    (FailsOverTheUnknown, check_provider.check_failover_of_the_unknown_is_refused),
    (RaisesAnything, check_provider.check_the_absent_is_no_error),
    (NeverReady, check_provider.check_apply_makes_all_of_it),
    (ChangesItsFeatures, check_provider.check_features_are_constant),
    (CountsBackwards, check_provider.check_statistics_are_per_listener),
    (TakesAnyFlavor, check_provider.check_flavors_are_judged),
    (ReservesBeforeItLooksAtTheZone, check_provider.check_availability_zones_are_judged),
    (ForgetsListenersOfHistories, check_provider.check_histories_end_at_the_last_tree),
]


def fixture_of(broken: type[MemoryProvider]) -> ProviderFixture:
    context = DriverContext(cfg.ConfigOpts(), MemoryRecords(), load=lambda _group, _name: None)
    return ProviderFixture(
        make=lambda: broken(context), patience=Patience(0.0, sleep=lambda _seconds: None), histories=100
    )


@pytest.mark.parametrize(("broken", "law"), BROKEN, ids=lambda one: one.__name__)
def test_a_broken_provider_is_found(broken: type[MemoryProvider], law: Law) -> None:
    with pytest.raises((AssertionError, PermanentError)):
        law(fixture_of(broken))


def test_every_law_is_broken_by_somebody() -> None:
    """A check that nothing fails proves nothing."""
    assert {law for _, law in BROKEN} == {check.function for check in check_provider.CHECKS}


def test_the_report_names_what_is_broken() -> None:
    report = examine(replace(fixture_of(ResurrectsAMember), histories=5))
    assert not report.conforms
    broken = {one.subject: one.text for one in report.laws if one.verdict is Verdict.BROKEN}
    assert "after a member was taken out: statuses of what is not in the tree" in broken["check_edits_are_followed"]
