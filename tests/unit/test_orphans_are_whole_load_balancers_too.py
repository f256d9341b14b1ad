"""What a backend holds and nobody wants, whoever the provider is; never what is just being made or removed."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from oslo_config import cfg

from lbdrivers.drivers.context import DriverContext
from lbdrivers.drivers.provider import Orphan
from lbdrivers.memory.provider import MemoryProvider
from lbdrivers.memory.records import MemoryRecords
from lbdrivers.model.resources import LoadBalancer
from lbdrivers.reconcile.orphans import orphaned
from lbdrivers.testing.surroundings import identity

OURS, STRANGE = (LoadBalancer(id=identity(number), vip_subnet_id=identity(7)) for number in (1, 2))


class Inspecting(MemoryProvider):
    def orphans(self) -> tuple[Orphan, ...]:
        return (Orphan("port", "idle", "nobody uses it"), Orphan("load balancer plan", "x"))


@pytest.fixture
def provider() -> Inspecting:
    made = Inspecting(DriverContext(cfg.ConfigOpts(), MemoryRecords(), load=lambda _group, _name: None))
    for tree in (OURS, STRANGE):
        made.apply(tree, None)
    return made


def wanting(*ids: str, meanwhile: Callable[[], None] = lambda: None) -> Callable[[], frozenset[str]]:
    def wanted() -> frozenset[str]:
        meanwhile()
        return frozenset(ids)

    return wanted


def test_those_that_nobody_wants_are_told_without_proof_beside_the_provider_s_own(provider: Inspecting) -> None:
    found = orphaned(provider, wanting(OURS.id))
    assert found == (Orphan("load balancer", STRANGE.id), *sorted(provider.orphans(), key=lambda one: one.kind))


def test_one_that_is_removed_while_the_store_is_read_is_none(provider: Inspecting) -> None:
    found = orphaned(provider, wanting(OURS.id, meanwhile=lambda: provider.remove(STRANGE.id)))
    assert found == tuple(sorted(provider.orphans(), key=lambda one: one.kind))


def test_one_that_is_made_while_the_store_is_read_is_none(provider: Inspecting) -> None:
    provider.remove(STRANGE.id)
    found = orphaned(provider, wanting(OURS.id, STRANGE.id, meanwhile=lambda: provider.apply(STRANGE, None)))
    assert found == tuple(sorted(provider.orphans(), key=lambda one: one.kind))
