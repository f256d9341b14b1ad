"""What the provider plans for a running pair: machines and resources, each with how mildly it is done."""

from __future__ import annotations

import pytest
from support import bundles
from support.memory_cloud import World

from lbdrivers.drivers.provider import Mildness
from lbdrivers.errors import TemporaryError
from lbdrivers.memory.network import MemoryNetwork
from lbdrivers.model.infra import Subnet
from lbdrivers.model.resources import Listener, LoadBalancer, Member
from lbdrivers.testing.examples import rebuilt


def tree(*members: Member, listeners: tuple[Listener, ...] = ()) -> LoadBalancer:
    pool = bundles.pool(members=members)
    return bundles.tree((bundles.listener(default_pool_id=pool.id), *listeners), (pool,), name="web")


ONE, TWO = bundles.member("one", "192.0.2.1"), bundles.member("two", "192.0.2.2")
PAIR = tree(ONE)


@pytest.fixture
def world() -> World:
    made = World()
    made.provider().apply(PAIR, None)
    return made


def planned(
    world: World, desired: LoadBalancer, applied: LoadBalancer | None = PAIR
) -> list[tuple[str, str, Mildness]]:
    before = world.records.list("amphora"), world.machines(), world.ports()
    actions = world.provider().plan(desired, applied)
    assert (world.records.list("amphora"), world.machines(), world.ports()) == before, "planning changed something"
    return [(one.subject, one.action, one.mildness) for one in actions]


def test_nothing_to_do_is_no_action(world: World) -> None:
    assert planned(world, PAIR) == []


def test_a_member_is_added_at_run_time(world: World) -> None:
    assert planned(world, tree(ONE, TWO)) == [("member two", "create", Mildness.RUNTIME)]


HERE, BESIDE, THERE = (bundles.ident(f"subnet {name}") for name in ("here", "beside", "there"))


def networks_planned(world: World, before: LoadBalancer, after: LoadBalancer) -> list[tuple[str, str]]:
    """What is plugged and unplugged, of the master alone; both amphorae must get the same."""
    found = [
        (s, a) for s, a, how in planned(world, after, before) if s.startswith("amphora") and how is Mildness.RUNTIME
    ]
    of_master = [a for s, a in found if s.endswith("MASTER")]
    assert of_master == [a for s, a in found if s.endswith("BACKUP")]
    return of_master


def on(*subnets: str) -> LoadBalancer:
    return tree(*(bundles.member(f"on {one}", f"192.0.2.{n + 10}", subnet_id=one) for n, one in enumerate(subnets)))


def test_networks_of_members_are_plugged_and_unplugged(world: World) -> None:
    network = MemoryNetwork(world.context())
    near, far = bundles.ident("network near"), bundles.ident("network far")
    for subnet, place, cidr in (
        (HERE, near, "10.1.0.0/24"),
        (BESIDE, near, "10.1.1.0/24"),
        (THERE, far, "10.2.0.0/24"),
    ):
        network.define(Subnet(subnet, place, cidr))
    names = {one: network.network(one).name for one in (near, far)}
    steps = [
        (PAIR, on(HERE), [f"plug into network {names[near]} (10.1.0.0/24)"]),
        (on(HERE), on(HERE, BESIDE), [f"add subnet 10.1.1.0/24 on network {names[near]}"]),
        (
            on(HERE, BESIDE),
            on(BESIDE, THERE),
            [
                f"plug into network {names[far]} (10.2.0.0/24)",
                f"remove subnet 10.1.0.0/24 from network {names[near]}",
            ],
        ),
        (on(BESIDE, THERE), PAIR, [f"unplug from network {names[far]}", f"unplug from network {names[near]}"]),
    ]
    for before, after, actions in steps:
        assert sorted(networks_planned(world, before, after)) == sorted(actions)
        world.provider().apply(after, before)
        assert networks_planned(world, after, after) == []


def test_a_weight_is_changed_at_run_time(world: World) -> None:
    heavier = tree(rebuilt(ONE, weight=7))
    assert planned(world, heavier) == [("member one", "update weight 1 -> 7", Mildness.RUNTIME)]


def test_a_listener_is_added_by_a_reload(world: World) -> None:
    more = tree(ONE, listeners=(bundles.listener("other", 81),))
    assert planned(world, more) == [("listener other", "create", Mildness.RELOAD)]


def test_each_change_is_weighed_alone(world: World) -> None:
    both = tree(ONE, TWO, listeners=(bundles.listener("other", 81),))
    assert {(subject, mildness) for subject, _, mildness in planned(world, both)} == {
        ("listener other", Mildness.RELOAD),
        ("member two", Mildness.RUNTIME),
    }


@pytest.mark.parametrize("role", ["MASTER", "BACKUP"])
def test_a_dead_machine_is_replaced(world: World, role: str) -> None:
    dead = next(one for one in world.ledger.amphorae(PAIR.id) if one.role == role)
    world.kill(dead.machine)
    assert planned(world, PAIR) == [
        (f"amphora {role}", "build", Mildness.REPLACE),
        (f"amphora {dead.id}", "remove", Mildness.REPLACE),
    ]


def test_a_pair_that_died_whole_is_replaced_and_nothing_else_is_said(world: World) -> None:
    for name in world.machines():
        world.kill(name)
    assert {mildness for _, _, mildness in planned(world, tree(ONE, TWO))} == {Mildness.REPLACE}


def test_what_is_not_there_is_built() -> None:
    assert planned(World(), PAIR, None) == [
        ("amphora MASTER", "build", Mildness.REPLACE),
        ("amphora BACKUP", "build", Mildness.REPLACE),
    ]


def test_an_interrupted_update_is_to_be_finished(world: World) -> None:
    elsewhere = tree(ONE, bundles.member("two", "192.0.2.2", subnet_id=bundles.ident("elsewhere")))

    def hook(verb: str, _arguments: tuple[object, ...]) -> None:
        if verb == "plug":
            raise TemporaryError("busy")

    with pytest.raises(TemporaryError):
        world.provider(hook).apply(elsewhere, PAIR)
    finish, *others = planned(world, PAIR)
    assert finish == ("load balancer web", "finish an interrupted update", Mildness.RELOAD)
    assert {action.partition(" network ")[0] for _, action, _ in others} == {"unplug from"}
    world.provider().apply(PAIR, PAIR)
    assert planned(world, PAIR) == []
