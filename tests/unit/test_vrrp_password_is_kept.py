"""VRRP version 2 has one password for each load balancer: made once, told to each amphora, shown to nobody."""

from __future__ import annotations

from support import bundles
from support.memory_cloud import World

from lbdrivers.drivers.amphora import Bundle
from lbdrivers_amphora.keepalived.quote import quote

TREE = bundles.tree((bundles.listener(),))


class Told:
    """The passwords that amphorae were told, in order."""

    def __init__(self, world: World) -> None:
        self.passwords: list[str | None] = []
        self.provider = world.provider(self._hook)

    def _hook(self, called: str, arguments: tuple[object, ...]) -> None:
        if called == "configure":
            bundle = arguments[1]
            assert isinstance(bundle, Bundle)
            secret = bundle.vrrp_password
            self.passwords.append(None if secret is None else secret.reveal().decode())


def test_both_amphorae_and_their_successors_have_the_same() -> None:
    world = World(vrrp_version=2)
    first = Told(world)
    first.provider.apply(TREE, None)
    (password,) = set(first.passwords)
    assert password is not None
    assert len(quote(password)) == 8
    later = Told(world)
    later.provider.failover(TREE.id)
    later.provider.apply(TREE, TREE)
    assert set(later.passwords) == {password}
    balancer = world.ledger.balancer(TREE.id)
    assert password not in repr(balancer)
    assert password not in repr(world.told)


def test_each_load_balancer_has_its_own() -> None:
    world = World(vrrp_version=2)
    told = Told(world)
    told.provider.apply(TREE, None)
    told.provider.apply(TREE.model_copy(update={"id": bundles.ident("other")}), None)
    assert len(set(told.passwords)) == 2


def test_a_load_balancer_that_turns_to_version_2_gets_one() -> None:
    world = World()
    before = Told(world)
    before.provider.apply(TREE, None)
    world.vrrp_version = 2
    after = Told(world)
    after.provider.apply(TREE, TREE)
    assert set(before.passwords) == {None}
    assert None not in after.passwords
    assert len(set(after.passwords)) == 1


def test_who_speaks_to_nobody_has_none() -> None:
    told = Told(World(topology="SINGLE", vrrp_version=2))
    told.provider.apply(TREE, None)
    assert told.passwords == [None]
