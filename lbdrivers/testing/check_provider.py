"""The laws of the provider contract (``lbdrivers.drivers.provider``), one function each.

A test file for a provider::

    FIXTURE = ProviderFixture(make=lambda: MyProvider(context), around=Surroundings(vip_subnet_id=...))

    @pytest.mark.parametrize("check", check_provider.checks_for(FEATURES), ids=str)
    def test_law(check): check(FIXTURE)
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import pairwise

from hypothesis import HealthCheck, Phase, Verbosity, given, settings

from lbdrivers.drivers.profiles import ProfileKind
from lbdrivers.drivers.provider import Inspector, Observation, Planner, ProfileSchemas, Provider
from lbdrivers.errors import PermanentError
from lbdrivers.features import Feature, check, required
from lbdrivers.model.changes import diff
from lbdrivers.model.provider_data import ProviderData
from lbdrivers.model.resources import LoadBalancer, Member
from lbdrivers.testing.check import Check, Patience, expect, fail, refused
from lbdrivers.testing.edits import histories
from lbdrivers.testing.examples import example, rebuilt, small_tree
from lbdrivers.testing.surroundings import ANYWHERE, Surroundings, new_id


@dataclass(frozen=True)
class ProviderFixture:
    """A provider under test.

    :param make: a new provider object on the same backend, each time; as after a restart.
    :param around: what trees may refer to.
    :param histories: how many random histories of edits are tried; each makes a load balancer.
    """

    make: Callable[[], Provider]
    around: Surroundings = ANYWHERE
    patience: Patience = field(default_factory=Patience)
    histories: int = 20

    def tree(self, name: str = "kit") -> LoadBalancer:
        """A small tree within the provider's features, with new ids."""
        return small_tree(self.make().features(), self.around, name)

    def apply(self, provider: Provider, desired: LoadBalancer, applied: LoadBalancer | None) -> None:
        """Apply, as patiently as the engine."""
        self.patience.settled("apply", lambda: provider.apply(desired, applied))

    def observe(self, load_balancer_id: str, provider: Provider | None = None) -> Observation:
        """What is there now."""
        seen_by = provider or self.make()
        return self.patience.settled("observe", lambda: seen_by.observe(load_balancer_id))

    def remove(self, load_balancer_id: str) -> None:
        """Remove, as patiently as the engine."""
        self.patience.settled("remove", lambda: self.make().remove(load_balancer_id))

    @contextmanager
    def applied(self, tree: LoadBalancer) -> Iterator[Provider]:
        """The tree applied, for as long as the block runs, and the provider that did it."""
        provider = self.make()
        try:
            self.apply(provider, tree, None)
            yield provider
        finally:
            self.remove(tree.id)


def expect_whole(fixture: ProviderFixture, tree: LoadBalancer, when: str) -> Observation:
    """The backend must show exactly the resources of the tree."""
    seen = fixture.observe(tree.id)
    expect(seen.exists, f"{when}: observe says that the load balancer does not exist")
    wanted = {resource.id: f"{kind} {resource.id}" for kind, resource in tree.walk()}
    missing = sorted(text for identity, text in wanted.items() if identity not in seen.operating)
    expect(not missing, f"{when}: no operating status of {', '.join(missing)}")
    foreign = sorted(set(seen.operating) - set(wanted))
    expect(not foreign, f"{when}: statuses of what is not in the tree: {', '.join(foreign)}")
    count = 1 + len(tree.additional_vips)
    expect(len(seen.vip_addresses) == count, f"{when}: {len(seen.vip_addresses)} VIP addresses instead of {count}")
    if tree.vip_address is not None:
        expect(seen.vip_addresses[0] == tree.vip_address, f"{when}: the VIP is not {tree.vip_address}")
    expect(tree.id in fixture.patience.settled("known", fixture.make().known), f"{when}: known() does not list it")
    return seen


def lasting(seen: Observation) -> tuple[object, ...]:
    """What of an observation must not change by itself; traffic and elections go on meanwhile."""
    appliances = tuple(sorted((one.id, one.role) for one in seen.appliances))
    return seen.exists, seen.vip_addresses, frozenset(seen.operating), appliances


def check_features_are_constant(fixture: ProviderFixture) -> None:
    """features() is constant, names a listener and an algorithm at least, and only known features."""
    provider = fixture.make()
    first = provider.features()
    expect(all(isinstance(one, Feature) for one in first), "features() has members that are no Feature")
    expect(provider.features() == first == fixture.make().features(), "features() differs from call to call")
    fixture.tree()


def check_the_absent_is_no_error(fixture: ProviderFixture) -> None:
    """What is absent is observed as absent, is not known, and its removal is success, twice."""
    absent, provider = new_id(), fixture.make()
    for _ in range(2):
        expect(not fixture.observe(absent, provider).exists, "observe says that an unknown load balancer exists")
        expect(absent not in fixture.patience.settled("known", provider.known), "known() lists an unknown one")
        fixture.remove(absent)


def check_apply_makes_all_of_it(fixture: ProviderFixture) -> None:
    """After apply the backend shows every resource of the tree, and nothing else."""
    tree = fixture.tree()
    with fixture.applied(tree):
        expect_whole(fixture, tree, "after apply")


def check_apply_twice_changes_nothing(fixture: ProviderFixture) -> None:
    """Applying what is applied changes nothing, with the hint and without it."""
    tree = fixture.tree()
    with fixture.applied(tree) as provider:
        before = lasting(fixture.observe(tree.id))
        for applied in (tree, None):
            if isinstance(provider, Planner):
                planned = [f"{one.action} {one.subject}" for one in provider.plan(tree, tree)]
                expect(not planned, f"what is applied should need nothing, but planned is: {', '.join(planned)}")
            fixture.apply(provider, tree, applied)
            expect(lasting(fixture.observe(tree.id)) == before, "applying the same tree again changed something")


def check_what_is_applied_has_not_drifted(fixture: ProviderFixture) -> None:
    """Of a provider that inspects: what was applied differs in nothing, looking for what drifted or belongs to nothing
    does it no harm, and what is gone does not pass for what was applied."""
    tree = fixture.tree()
    with fixture.applied(tree) as provider:
        if not isinstance(provider, Inspector):
            return
        before = lasting(fixture.observe(tree.id))
        told = [f"{one.subject}, {one.aspect}: {one.found}" for one in provider.deviations(tree)]
        expect(not told, f"what was applied is said to have drifted: {'; '.join(told)}")
        removed = provider.remove_orphans()
        left = sorted({one.name for one in provider.orphans()} & {one.name for one in removed})
        expect(not left, f"orphans that were removed are still there: {', '.join(left)}")
        expect(lasting(fixture.observe(tree.id)) == before, "looking for drift and orphans changed the load balancer")
        fixture.remove(tree.id)
        with suppress(PermanentError):
            expect(bool(provider.deviations(tree)), "a load balancer that is gone is said to be as it was applied")


def check_edits_are_followed(fixture: ProviderFixture) -> None:
    """Whatever is added appears, whatever is taken out goes, and what was taken out stays gone."""
    tree = fixture.tree()
    with fixture.applied(tree) as provider:
        applied = tree
        for when, desired in _edited(tree, fixture.around):
            fixture.apply(provider, desired, applied)
            expect_whole(fixture, desired, when)
            applied = desired


def _edited(tree: LoadBalancer, around: Surroundings) -> Iterator[tuple[str, LoadBalancer]]:
    pool, listener = tree.pools[0], tree.listeners[0]
    first = pool.members[0]
    added = Member(id=new_id(), address=first.address, protocol_port=8081, subnet_id=first.subnet_id)
    yield "after a member was added", rebuilt(tree, pools=(rebuilt(pool, members=(*pool.members, added)),))
    without = rebuilt(pool, members=(*pool.members[1:], added))
    yield "after a member was taken out", rebuilt(tree, pools=(without,))
    disabled = rebuilt(without, members=tuple(rebuilt(one, admin_state_up=False) for one in without.members))
    yield "after the members were disabled", rebuilt(tree, pools=(disabled,))
    moved = rebuilt(listener, protocol_port=around.ports[-1])
    yield "after the listener was moved to another port", rebuilt(tree, pools=(without,), listeners=(moved,))
    second = rebuilt(listener, id=new_id(), protocol_port=around.ports[0])
    yield "after a listener was added", rebuilt(tree, pools=(without,), listeners=(moved, second))
    yield "after a listener was taken out", rebuilt(tree, pools=(without,), listeners=(second,))
    alone = rebuilt(second, default_pool_id=None)
    yield "after the pool was taken out", rebuilt(tree, pools=(), listeners=(alone,))
    yield "after everything was taken out", rebuilt(tree, pools=(), listeners=())
    yield "after all came back", tree


def check_a_wrong_hint_costs_nothing_but_time(fixture: ProviderFixture) -> None:
    """``applied`` is a hint: with a wrong one, or none, apply still ends at ``desired``."""
    tree = fixture.tree()
    pool = tree.pools[0]
    fewer = rebuilt(tree, pools=(rebuilt(pool, members=pool.members[:1]),))
    empty = rebuilt(tree, pools=(), listeners=())
    with fixture.applied(tree) as provider:
        for hint, desired in ((empty, fewer), (fewer, tree), (tree, empty), (None, tree), (fewer, fewer)):
            fixture.apply(provider, desired, hint)
            expect_whole(fixture, desired, "after an apply with a wrong hint")


def check_a_new_object_goes_on(fixture: ProviderFixture) -> None:
    """Nothing is kept in the object alone: a new one, as after a restart, finds and changes everything."""
    tree = fixture.tree()
    with fixture.applied(tree):
        before = lasting(fixture.observe(tree.id, fixture.make()))
        fixture.apply(fixture.make(), tree, tree)
        expect(lasting(fixture.observe(tree.id, fixture.make())) == before, "a new object changed what was applied")
        edited = rebuilt(tree, name="edited", listeners=(rebuilt(tree.listeners[0], name="edited"),))
        fixture.apply(fixture.make(), edited, tree)
        expect_whole(fixture, edited, "after an apply by a new object")


def check_observe_changes_nothing(fixture: ProviderFixture) -> None:
    """observe and known only look."""
    tree = fixture.tree()
    with fixture.applied(tree) as provider:
        first = lasting(fixture.observe(tree.id, provider))
        fixture.patience.settled("known", provider.known)
        expect(lasting(fixture.observe(tree.id, provider)) == first, "looking twice shows two different things")


def check_remove_leaves_nothing(fixture: ProviderFixture) -> None:
    """After remove nothing is known or shown; removing again is success; it can be made anew."""
    tree = fixture.tree()
    with fixture.applied(tree):
        for _ in range(2):
            fixture.remove(tree.id)
            expect(not fixture.observe(tree.id).exists, "observe still shows what was removed")
            expect(tree.id not in fixture.patience.settled("known", fixture.make().known), "known() still lists it")
        fixture.apply(fixture.make(), tree, None)
        expect_whole(fixture, tree, "after it was removed and made anew")


def check_addresses_stay(fixture: ProviderFixture) -> None:
    """The VIP's addresses are the same for as long as the load balancer lives."""
    tree = fixture.tree()
    with fixture.applied(tree) as provider:
        before = fixture.observe(tree.id).vip_addresses
        bare = rebuilt(tree, pools=(), listeners=(), name="bare")
        for applied, desired in ((tree, bare), (bare, tree), (None, tree)):
            fixture.apply(provider, desired, applied)
            expect(fixture.observe(tree.id).vip_addresses == before, "an apply changed the VIP's address")


def check_load_balancers_are_apart(fixture: ProviderFixture) -> None:
    """Two load balancers have addresses of their own; removing one leaves the other as it is."""
    one, other = fixture.tree("one"), fixture.tree("other")
    with fixture.applied(one):
        before = lasting(expect_whole(fixture, one, "with one load balancer"))
        with fixture.applied(other):
            second = expect_whole(fixture, other, "with two load balancers")
            shared = set(fixture.observe(one.id).vip_addresses) & set(second.vip_addresses)
            expect(not shared, f"two load balancers on one subnet share the address {', '.join(shared)}")
        expect(lasting(fixture.observe(one.id)) == before, "removing one load balancer changed the other one")


def check_statistics_are_per_listener(fixture: ProviderFixture) -> None:
    """Every enabled listener has statistics; nothing else has; totals never go back."""
    tree = fixture.tree()
    with fixture.applied(tree):
        wanted = {listener.id for listener in tree.listeners}
        first = fixture.observe(tree.id).statistics
        expect(set(first) == wanted, f"statistics of {sorted(first)} instead of {sorted(wanted)}")
        second = fixture.observe(tree.id).statistics
        back = [one for one in wanted if second[one].total_connections < first[one].total_connections]
        expect(not back, "the total number of connections went back")


def check_failover_keeps_everything(fixture: ProviderFixture) -> None:
    """After a failover addresses and resources are what they were, and appliances are new ones."""
    tree = fixture.tree()
    with fixture.applied(tree) as provider:
        before = fixture.observe(tree.id)
        fixture.patience.settled("failover", lambda: provider.failover(tree.id))
        after = expect_whole(fixture, tree, "after a failover")
        expect(after.vip_addresses == before.vip_addresses, "a failover changed the VIP's addresses")
        expect(len(after.appliances) == len(before.appliances), "a failover changed the number of appliances")
        kept = {one.id for one in before.appliances} & {one.id for one in after.appliances}
        expect(not kept, f"nothing was dead, so all should have been replaced; kept: {', '.join(sorted(kept))}")
        fixture.apply(provider, tree, tree)
        expect_whole(fixture, tree, "after a failover and an apply")


def check_failover_of_the_unknown_is_refused(fixture: ProviderFixture) -> None:
    """A failover of what is not there is a PermanentError."""
    provider = fixture.make()
    refused("a failover of an unknown load balancer", lambda: provider.failover(new_id()))


def check_flavors_are_judged(fixture: ProviderFixture) -> None:
    """Every key of a flavor's data is described; an unknown one is refused by name, before anything is touched."""
    _judged(fixture, ProfileKind.FLAVOR, "flavor_data")


def check_availability_zones_are_judged(fixture: ProviderFixture) -> None:
    """Every key of a zone's data is described; an unknown one is refused by name, before anything is touched."""
    _judged(fixture, ProfileKind.AVAILABILITY_ZONE, "availability_zone_data")


def _judged(fixture: ProviderFixture, kind: ProfileKind, field: str) -> None:
    provider, unknown = fixture.make(), ProviderData({"no_such_key": True})
    if not isinstance(provider, ProfileSchemas):
        fail(f"data of a {kind} are claimed, but there is no ProfileSchemas")
    dumb = [key for key, text in provider.profile_capabilities(kind).items() if not text.strip()]
    expect(not dumb, f"keys of a {kind} without a description: {', '.join(dumb)}")
    provider.validate_profile(kind, ProviderData({}))
    told = refused(f"a {kind} with an unknown key", lambda: provider.validate_profile(kind, unknown))
    expect("no_such_key" in told.user, f"the refusal does not name the unknown key of a {kind}: {told.user}")
    tree = rebuilt(fixture.tree(), **{field: unknown})
    try:
        refused(f"a load balancer whose {kind} has an unknown key", lambda: provider.apply(tree, None))
        left = tree.id in fixture.patience.settled("known", fixture.make().known)
        expect(not left, f"a load balancer was refused for its {kind}, but known() lists it")
    finally:
        fixture.remove(tree.id)


def check_histories_end_at_the_last_tree(fixture: ProviderFixture) -> None:
    """However a load balancer got where it is, the backend shows exactly its last tree."""

    @settings(
        max_examples=fixture.histories,
        deadline=None,
        database=None,
        # Not shrunk: on a real backend every attempt at a smaller example takes seconds.
        phases=(Phase.generate,),
        suppress_health_check=list(HealthCheck),
        verbosity=Verbosity.quiet,  # the text of whole trees helps nobody; see _told
    )
    @given(histories(fixture.make().features(), fixture.around))
    def follow(history: tuple[LoadBalancer, ...]) -> None:
        load_balancer_id = history[0].id
        applied: LoadBalancer | None = None
        try:
            for tree in history:
                fixture.apply(fixture.make(), tree, applied)
                applied = tree
            expect_whole(fixture, history[-1], f"after a history of edits ({_told(history)})")
        finally:
            fixture.remove(load_balancer_id)

    follow()


def _told(history: tuple[LoadBalancer, ...]) -> str:
    """A history as the changes that it consists of."""
    steps = []
    for old, new in pairwise((None, *history)):
        counts = Counter(f"{type(change).__name__.lower()} {change.kind}" for change in diff(old, new))
        steps.append(", ".join(f"{count} {what}" for what, count in counts.items()) or "nothing")
    return "; then ".join(steps)


def check_feature(fixture: ProviderFixture, feature: Feature) -> bool:
    """A claimed feature: a tree that needs it is accepted, made and shown.

    :returns: False when no tree can show it in these surroundings.
    """
    features = fixture.make().features()
    tree = example(feature, features, fixture.around)
    if tree is None:
        return False
    missing = required(tree) - features
    if missing:
        fail(f"{feature} is claimed, but cannot be used without {', '.join(sorted(missing))}, which is not")
    check("kit", features, tree)
    try:
        with fixture.applied(tree) as provider:
            expect_whole(fixture, tree, f"with {feature}")
            fixture.apply(provider, tree, tree)
    except PermanentError as error:
        fail(f"{feature} is claimed, but a tree that needs it is refused: {error.operator}", error)
    return True


def check_refusal(fixture: ProviderFixture, feature: Feature) -> bool:
    """A feature that is not claimed: a tree that needs it is refused, and nothing of it is there afterwards.

    :returns: False when no tree can show it in these surroundings.
    """
    provider = fixture.make()
    try:
        tree = example(feature, provider.features(), fixture.around)
    except ValueError:  # what the small tree is made of and this feature do not go together
        return False
    if tree is None:
        return False
    try:
        refused(f"{feature} is not claimed, and a tree that needs it", lambda: provider.apply(tree, None))
        left = tree.id in fixture.patience.settled("known", fixture.make().known)
        expect(not left, f"a tree that needs {feature} was refused, but known() lists it")
    finally:
        fixture.remove(tree.id)
    return True


CHECKS: tuple[Check[ProviderFixture], ...] = (
    Check(check_features_are_constant),
    Check(check_the_absent_is_no_error),
    Check(check_apply_makes_all_of_it),
    Check(check_apply_twice_changes_nothing),
    Check(check_what_is_applied_has_not_drifted),
    Check(check_edits_are_followed),
    Check(check_a_wrong_hint_costs_nothing_but_time),
    Check(check_a_new_object_goes_on),
    Check(check_observe_changes_nothing),
    Check(check_remove_leaves_nothing),
    Check(check_addresses_stay),
    Check(check_load_balancers_are_apart),
    Check(
        check_statistics_are_per_listener,
        needs=frozenset({Feature.STATISTICS}),
        proves=frozenset({Feature.STATISTICS}),
    ),
    Check(check_failover_keeps_everything, needs=frozenset({Feature.FAILOVER}), proves=frozenset({Feature.FAILOVER})),
    Check(check_failover_of_the_unknown_is_refused, needs=frozenset({Feature.FAILOVER})),
    Check(check_flavors_are_judged, needs=frozenset({Feature.FLAVOR})),
    Check(check_availability_zones_are_judged, needs=frozenset({Feature.AVAILABILITY_ZONE})),
    Check(check_histories_end_at_the_last_tree),
)


def checks_for(features: frozenset[Feature]) -> tuple[Check[ProviderFixture], ...]:
    """The laws that a provider with these features has to keep: ``CHECKS`` but for those that need another."""
    return tuple(check for check in CHECKS if check.needs <= features)
