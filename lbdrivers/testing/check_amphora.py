"""The laws of the amphora contract (``lbdrivers.drivers.amphora``), one function each."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace

from lbdrivers.drivers.amphora import (
    AmphoraDriver,
    ApplianceReport,
    Bundle,
    DaemonState,
    Foreteller,
    Interface,
    Peer,
    Role,
    Topology,
    Vip,
)
from lbdrivers.drivers.provider import Mildness
from lbdrivers.errors import TemporaryError
from lbdrivers.features import ALL
from lbdrivers.model.infra import Machine
from lbdrivers.model.resources import LoadBalancer, Member
from lbdrivers.model.secret import Secret
from lbdrivers.testing.check import Check, Patience, expect, fail
from lbdrivers.testing.examples import rebuilt, small_tree
from lbdrivers.testing.surroundings import ANYWHERE, Surroundings, new_id

_MILDEST_FIRST = tuple(Mildness)


@dataclass(frozen=True)
class Booted:
    """A running machine whose agent answers, with its ports plugged and nothing configured.

    :param interfaces: what is plugged, the VIP's interface first.
    :param vip: the VIP that it shall hold.
    :param vrrp_address: its own address on the VIP's network.
    :param new_certificate: makes a new server certificate for the agent.
    :param agent_configuration: makes another configuration of the agent itself.
    """

    machine: Machine
    amphora_id: str
    interfaces: tuple[Interface, ...]
    vip: Vip
    vrrp_address: str
    new_certificate: Callable[[], Secret]
    agent_configuration: Callable[[], Secret]

    def bundle(self, tree: LoadBalancer) -> Bundle:
        """The whole configuration of this appliance, alone."""
        own = Peer(self.amphora_id, self.vrrp_address, Role.STANDALONE, 100)
        return Bundle(tree, self.amphora_id, Topology.SINGLE, (own,), (self.vip,))


@dataclass(frozen=True)
class AmphoraFixture:
    """An amphora driver under test.

    :param make: a new driver object, each time; as after a restart.
    :param boot: an appliance for as long as the block runs.
    :param kill: makes the machine die as by a power cut.
    """

    make: Callable[[], AmphoraDriver]
    boot: Callable[[], AbstractContextManager[Booted]]
    kill: Callable[[Machine], None]
    around: Surroundings = ANYWHERE
    patience: Patience = field(default_factory=Patience)

    def tree(self) -> LoadBalancer:
        """A small tree with a HTTP listener."""
        return small_tree(ALL, self.around)

    def configure(self, booted: Booted, tree: LoadBalancer) -> Mildness:
        """Plug and configure, as patiently as a recipe."""
        driver = self.make()
        self.patience.settled("plug", lambda: driver.plug(booted.machine, booted.amphora_id, booted.interfaces))
        return self.patience.settled("configure", lambda: driver.configure(booted.machine, booted.bundle(tree)))

    def report(self, booted: Booted) -> ApplianceReport:
        """What the appliance measures."""
        return self.patience.settled("report", lambda: self.make().report(booted.machine, booted.amphora_id))


def expect_serving(fixture: AmphoraFixture, booted: Booted, tree: LoadBalancer, when: str) -> None:
    """The appliance must come to report exactly what the tree has it serve."""
    listeners = {one.id for one in tree.listeners if one.admin_state_up}
    pools = {
        f"{pool_id}:{listener.id}": {member.id for member in tree.pool(pool_id).members}
        for listener in tree.listeners
        for pool_id in listener.pool_ids()
        if listener.admin_state_up
    }

    def serves() -> bool:
        seen = fixture.report(booted)
        found = {key: set(state.members) for key, state in seen.pools.items()}
        return seen.haproxy is DaemonState.RUNNING and set(seen.listeners) == listeners and found == pools

    fixture.patience.becomes(f"{when}: the report has exactly the tree's listeners, pools and members", serves)


def check_facts_are_told(fixture: AmphoraFixture) -> None:
    """A booted appliance tells what it is, and the same each time."""
    with fixture.boot() as booted:
        driver = fixture.make()
        facts = fixture.patience.settled("facts", lambda: driver.facts(booted.machine, booted.amphora_id))
        expect(facts == driver.facts(booted.machine, booted.amphora_id), "facts differ from call to call")
        expect(bool(facts.haproxy_version and facts.api_version), "facts lack the versions")


def check_configure_twice_does_nothing(fixture: AmphoraFixture) -> None:
    """What is configured already is answered with NOTHING, by a new driver object too."""
    with fixture.boot() as booted:
        tree = fixture.tree()
        first = fixture.configure(booted, tree)
        expect(first is not Mildness.NOTHING, "the first configuration was answered with NOTHING")
        expect_serving(fixture, booted, tree, "after the first configuration")
        for _ in range(2):
            again = fixture.configure(booted, tree)
            expect(again is Mildness.NOTHING, f"the same configuration again took a {again}")


def check_changes_are_mild(fixture: AmphoraFixture) -> None:
    """Members come and go by a reload at most, and so do listeners; a restart cuts connections."""
    with fixture.boot() as booted:
        tree = fixture.tree()
        fixture.configure(booted, tree)
        pool = tree.pools[0]
        added = Member(id=new_id(), address=pool.members[0].address, protocol_port=8081)
        more = rebuilt(tree, pools=(rebuilt(pool, members=(*pool.members, added)),))
        moved = rebuilt(more, listeners=(rebuilt(tree.listeners[0], protocol_port=fixture.around.ports[-1]),))
        for when, desired in (("a member added", more), ("a listener moved", moved), ("all taken back", tree)):
            mildness = fixture.configure(booted, desired)
            mild = _MILDEST_FIRST.index(mildness) <= _MILDEST_FIRST.index(Mildness.RELOAD)
            expect(mild and mildness is not Mildness.NOTHING, f"{when}: took a {mildness}")
            expect_serving(fixture, booted, desired, when)


def check_the_vip_is_held(fixture: AmphoraFixture) -> None:
    """A configured appliance that is alone comes to hold the VIP."""
    with fixture.boot() as booted:
        fixture.configure(booted, fixture.tree())
        fixture.patience.becomes("a lone appliance holds the VIP", lambda: fixture.report(booted).holds_vip)


def check_everything_can_be_taken_out(fixture: AmphoraFixture) -> None:
    """A tree without listeners and pools leaves nothing to report, and what was there can come back."""
    with fixture.boot() as booted:
        tree = fixture.tree()
        fixture.configure(booted, tree)
        fixture.configure(booted, rebuilt(tree, listeners=(), pools=()))

        def is_empty() -> bool:
            seen = fixture.report(booted)
            return not seen.listeners and not seen.pools

        fixture.patience.becomes("an empty tree leaves nothing to report", is_empty)
        fixture.configure(booted, tree)
        expect_serving(fixture, booted, tree, "after it came back")


def check_a_port_that_is_not_there_is_waited_for(fixture: AmphoraFixture) -> None:
    """An interface whose port has not arrived is a TemporaryError; plugging what is plugged is success."""
    with fixture.boot() as booted:
        driver = fixture.make()
        for _ in range(2):
            fixture.patience.settled("plug", lambda: driver.plug(booted.machine, booted.amphora_id, booted.interfaces))
        absent = replace(booted.interfaces[0], mac="fa:16:3e:00:00:00", vips=())
        _expect_temporary(
            "plugging an absent port",
            lambda: driver.plug(booted.machine, booted.amphora_id, (*booted.interfaces, absent)),
        )


def check_a_new_certificate_disturbs_nothing(fixture: AmphoraFixture) -> None:
    """A new agent certificate leaves the configuration as it is, and the agent answers with it."""
    with fixture.boot() as booted:
        tree, driver = fixture.tree(), fixture.make()
        fixture.configure(booted, tree)
        before = fixture.report(booted).haproxy_pids
        pem = booted.new_certificate()
        fixture.patience.settled(
            "rotate_certificate", lambda: driver.rotate_certificate(booted.machine, booted.amphora_id, pem)
        )
        expect(fixture.report(booted).haproxy_pids == before, "a new agent certificate restarted HAProxy")
        expect(fixture.configure(booted, tree) is Mildness.NOTHING, "a new agent certificate lost the configuration")


def check_a_new_agent_configuration_disturbs_nothing(fixture: AmphoraFixture) -> None:
    """Another configuration of the agent, given once or twice, leaves what it has configured as it is."""
    with fixture.boot() as booted:
        tree, driver = fixture.tree(), fixture.make()
        fixture.configure(booted, tree)
        before, config = fixture.report(booted).haproxy_pids, booted.agent_configuration()
        for _ in range(2):
            fixture.patience.settled(
                "reconfigure", lambda: driver.reconfigure(booted.machine, booted.amphora_id, config)
            )
        expect(fixture.report(booted).haproxy_pids == before, "another agent configuration restarted HAProxy")
        expect(fixture.configure(booted, tree) is Mildness.NOTHING, "another agent configuration lost what was applied")


def check_revisions_are_foretold(fixture: AmphoraFixture) -> None:
    """A driver that foretells revisions foretells those that a report shows then."""
    with fixture.boot() as booted:
        tree, driver = fixture.tree(), fixture.make()
        if not isinstance(driver, Foreteller):
            return
        facts = fixture.patience.settled("facts", lambda: driver.facts(booted.machine, booted.amphora_id))
        foretold = driver.revisions(booted.bundle(tree), facts)
        expect(bool(foretold), "nothing is foretold of a tree that serves")
        fixture.configure(booted, tree)
        seen = fixture.report(booted).revisions
        wrong = {name: seen.get(name) for name, revision in foretold.items() if seen.get(name) != revision}
        expect(not wrong, f"the report shows {wrong}, not {dict(foretold)}")


def check_the_dead_do_not_answer(fixture: AmphoraFixture) -> None:
    """Whatever is asked of a dead machine is a TemporaryError: it may be started again."""
    with fixture.boot() as booted:
        tree, driver = fixture.tree(), fixture.make()
        fixture.configure(booted, tree)
        fixture.kill(booted.machine)
        _expect_temporary("facts of a dead machine", lambda: driver.facts(booted.machine, booted.amphora_id))
        _expect_temporary("a report of a dead machine", lambda: driver.report(booted.machine, booted.amphora_id))
        other = rebuilt(tree, listeners=())
        _expect_temporary("configuring a dead machine", lambda: driver.configure(booted.machine, booted.bundle(other)))


def _expect_temporary(what: str, action: Callable[[], object]) -> None:
    try:
        action()
    except TemporaryError:
        return
    except Exception as error:  # noqa: BLE001 whatever it is, the contract names another
        fail(f"{what} raised {type(error).__name__} instead of a TemporaryError: {error}", error)
    fail(f"{what} was answered")


CHECKS: tuple[Check[AmphoraFixture], ...] = (
    Check(check_facts_are_told),
    Check(check_configure_twice_does_nothing),
    Check(check_changes_are_mild),
    Check(check_the_vip_is_held),
    Check(check_everything_can_be_taken_out),
    Check(check_a_port_that_is_not_there_is_waited_for),
    Check(check_a_new_certificate_disturbs_nothing),
    Check(check_a_new_agent_configuration_disturbs_nothing),
    Check(check_revisions_are_foretold),
    Check(check_the_dead_do_not_answer),
)
