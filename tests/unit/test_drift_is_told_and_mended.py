"""What drifts is told with the verb that mends it, and that verb mends it; only proven orphans are removed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from support import bundles
from support.memory_cloud import World

from lbdrivers.drivers.provider import Inspector, Maintainer, Orphan, Remedy
from lbdrivers.errors import PermanentError
from lbdrivers.memory.cloud import StoredAppliance
from lbdrivers.memory.compute import MemoryCompute
from lbdrivers.memory.network import MemoryNetwork
from lbdrivers.model.infra import MachineRequest, PortRequest
from lbdrivers_amphora.provider import AmphoraProvider
from lbdrivers_amphora.records import Amphora, AmphoraStatus

ELSEWHERE = bundles.ident("subnet elsewhere")
MEMBERS = (bundles.member("one", "192.0.2.1", subnet_id=ELSEWHERE),)
POOL = bundles.pool(members=MEMBERS)
TREE = bundles.tree((bundles.listener(default_pool_id=POOL.id),), (POOL,), name="web")
DAY = 86400.0


def running(topology: str = "ACTIVE_STANDBY") -> World:
    world = World(topology)
    world.provider().apply(TREE, None)
    return world


def master(world: World) -> Amphora:
    return next(one for one in world.ledger.amphorae(TREE.id) if one.role in ("MASTER", "STANDALONE"))


def change_appliance(world: World, change: Callable[[StoredAppliance], StoredAppliance]) -> None:
    def step(old: StoredAppliance | None) -> StoredAppliance:
        assert old is not None
        return change(old)

    world.cloud.appliances.change(master(world).machine, step)


def dies(world: World) -> None:
    world.kill(master(world).machine)


def vanishes(world: World) -> None:
    compute(world).remove(master(world).machine)


def falls_silent(world: World) -> None:
    change_appliance(world, lambda old: replace(old, amphora_id="nobody"))


def forgets(world: World) -> None:
    """Somebody else has changed its files."""
    change_appliance(world, lambda old: replace(old, digest="0" * 64))


def stops(world: World) -> None:
    """Its daemons have been stopped."""
    change_appliance(world, lambda old: replace(old, load_balancer=None, digest=""))


def loses_a_port(world: World) -> None:
    one = next(name for name in world.ports() if name.startswith(master(world).member_port("")))
    compute(world).detach(master(world).machine, one)
    network(world).remove_port(one)


def is_unplugged(world: World) -> None:
    compute(world).detach(master(world).machine, master(world).vrrp_port)


def has_a_port_too_many(world: World) -> None:
    name = master(world).member_port(bundles.ident("network of nobody"))
    network(world).ensure_port(PortRequest(name, bundles.ident("network of nobody"), ()))
    compute(world).attach(master(world).machine, name)


def loses_the_vip_port(world: World) -> None:
    network(world).remove_port(f"octavia-lb-{TREE.id}")


def grows_old(world: World) -> None:
    world.time += 20 * DAY


def compute(world: World) -> MemoryCompute:
    return MemoryCompute(world.context())


def network(world: World) -> MemoryNetwork:
    return MemoryNetwork(world.context())


MEND: dict[Remedy, Callable[[AmphoraProvider], None]] = {
    Remedy.APPLY: lambda provider: provider.apply(TREE, None),
    Remedy.FAILOVER: lambda provider: provider.failover(TREE.id),
    Remedy.MAINTAIN: lambda provider: provider.maintain(TREE.id),
}


@pytest.mark.parametrize(
    ("harm", "aspect", "remedy"),
    [
        (dies, "machine", Remedy.FAILOVER),
        (vanishes, "machine", Remedy.FAILOVER),
        (falls_silent, "agent", Remedy.FAILOVER),
        (forgets, "haproxy.cfg", Remedy.APPLY),
        (stops, "HAProxy", Remedy.APPLY),
        (loses_a_port, "port octavia-lb-member-", Remedy.APPLY),
        (is_unplugged, "port octavia-lb-vrrp-", Remedy.APPLY),
        (has_a_port_too_many, "port octavia-lb-member-", Remedy.APPLY),
        (loses_the_vip_port, f"port octavia-lb-{TREE.id}", Remedy.APPLY),
        (grows_old, "certificate", Remedy.MAINTAIN),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
@pytest.mark.parametrize("topology", ["SINGLE", "ACTIVE_STANDBY"])
def test_harm_is_told_and_its_remedy_mends_it(
    topology: str, harm: Callable[[World], None], aspect: str, remedy: Remedy
) -> None:
    world = running(topology)
    vips = world.provider().observe(TREE.id).vip_addresses
    assert world.provider().deviations(TREE) == ()
    harm(world)
    found = world.provider().deviations(TREE)
    assert any(one.aspect.startswith(aspect) and one.remedy is remedy for one in found), found
    MEND[remedy](world.provider())
    assert world.provider().deviations(TREE) == ()
    assert world.provider().observe(TREE.id).vip_addresses == vips


def test_looking_changes_nothing() -> None:
    world = running()
    has_a_port_too_many(world)
    before = (world.machines(), world.ports(), world.cloud.appliances.all(), world.ledger.amphorae(TREE.id))
    world.provider().deviations(TREE)
    world.provider().orphans()
    assert (world.machines(), world.ports(), world.cloud.appliances.all(), world.ledger.amphorae(TREE.id)) == before


def test_an_unknown_load_balancer_is_refused_by_name() -> None:
    with pytest.raises(PermanentError, match=TREE.id):
        World().provider().deviations(TREE)


def test_certificates_are_renewed_when_they_near_their_end_and_not_before() -> None:
    world = running()

    def renewed() -> list[int]:
        world.provider().maintain(TREE.id)
        return [one.certificates for one in world.cloud.appliances.all()]

    reloads = [one.reloads for one in world.cloud.appliances.all()]
    assert renewed() == [0, 0]
    world.time += 17 * DAY  # of 30; due 14 before the end
    assert renewed() == [1, 1]
    assert renewed() == [1, 1]
    assert [one.reloads for one in world.cloud.appliances.all()] == reloads
    assert world.provider().plan(TREE, TREE) == ()


def test_a_dead_amphora_keeps_no_certificate_from_being_renewed() -> None:
    world = running()
    dies(world)
    world.time += 20 * DAY
    world.provider().maintain(TREE.id)
    assert sorted(one.certificates for one in world.cloud.appliances.all()) == [0, 1]


def test_maintaining_what_is_unknown_or_unfinished_is_success() -> None:
    World().provider().maintain(TREE.id)
    assert isinstance(World().provider(), Inspector)
    assert isinstance(World().provider(), Maintainer)


# --- orphans

STRANGE = bundles.ident("an amphora of somebody else")


def make_machine(world: World, amphora_id: str) -> list[Orphan]:
    """A machine and a port of our names, whoever made them."""
    port, name = f"octavia-lb-mgmt-{amphora_id}", f"amphora-{amphora_id}"
    network(world).ensure_port(PortRequest(port, bundles.ident("network"), ()))
    compute(world).ensure(MachineRequest(name, (port,)))
    return [Orphan("machine", name), Orphan("port", port)]


def test_what_serves_is_no_orphan_nor_is_what_is_being_built() -> None:
    world = running()
    assert world.provider().orphans() == ()
    make_machine(world, STRANGE)
    begun = {"id": STRANGE, "status": AmphoraStatus.PENDING_CREATE}
    world.ledger.save_amphora(master(world).model_copy(update=begun))
    assert world.provider().orphans() == ()


def test_without_a_record_it_is_told_and_left() -> None:
    world = running()
    made = make_machine(world, STRANGE)
    compute_names = world.machines().keys()
    assert list(world.provider().orphans()) == made
    assert world.provider().remove_orphans() == ()
    assert world.machines().keys() == compute_names


def test_what_turns_up_after_its_removal_is_proved_ours_and_removed() -> None:
    """As from a cloud that makes a machine long after it was asked to, and after the load balancer went."""
    world = running()
    one = master(world).id
    world.provider().remove(TREE.id)
    made = make_machine(world, one)
    network(world).ensure_port(PortRequest(f"octavia-lb-{TREE.id}", bundles.ident("network"), (), bound=False))
    found = world.provider().orphans()
    assert [(found.kind, found.name) for found in found] == [
        ("machine", made[0].name),
        ("port", f"octavia-lb-{TREE.id}"),
        ("port", made[1].name),
    ]
    assert all(one.proof.startswith("removed 20") for one in found)
    make_machine(world, STRANGE)
    assert world.provider().remove_orphans() == found
    assert [one.name for one in world.provider().orphans()] == [f"amphora-{STRANGE}", f"octavia-lb-mgmt-{STRANGE}"]


def test_a_record_whose_load_balancer_is_gone_proves_it_too() -> None:
    world = running()
    made = make_machine(world, STRANGE)
    gone = {"id": STRANGE, "load_balancer_id": bundles.ident("gone")}
    world.ledger.save_amphora(master(world).model_copy(update=gone))
    assert [one.name for one in world.provider().remove_orphans()] == [one.name for one in made]


def test_names_of_other_forms_are_nobodys_business() -> None:
    world = World()
    for name in ("amphora-web", f"octavia-lb-{STRANGE}-copy", f"octavia-health-{STRANGE}"):
        network(world).ensure_port(PortRequest(name, bundles.ident("network"), ()))
        compute(world).ensure(MachineRequest(name, (name,)))
    assert world.provider().orphans() == ()


def test_the_gone_are_forgotten_in_time() -> None:
    world = running()
    one = master(world).id
    world.provider().failover(TREE.id)
    world.time += 8 * DAY
    world.provider().tend()
    make_machine(world, one)
    assert {found.proof for found in world.provider().orphans()} == {""}
