"""Our provider as Octavia sees it, wrapped as one of ours: callbacks one way, the agent's reports the other way.

Between the two ends is octavia-lib alone: its driver interface, its DriverLibrary, the agent's sockets.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from support.octavia_driver import Bench, session, spoken

from lbdrivers.features import ALL
from lbdrivers.octavia.provider_agent import with_session
from lbdrivers.octavia.provider_driver import MemoryDriver
from lbdrivers.octavia.session import Session
from lbdrivers.testing import check_provider
from lbdrivers.testing.check import Check
from lbdrivers.testing.check_provider import ProviderFixture
from lbdrivers.testing.examples import rebuilt, small_tree
from lbdrivers.testing.surroundings import ANYWHERE

AROUND = replace(
    ANYWHERE,
    additional_subnet_id=None,
    flavors=({"appliances": 2, "allow_member_sriov": True},),
    availability_zones=({"compute_zone": "here"},),
)
#: Without random histories: they may ask for what no VIP of the other end's choice can serve.
LAWS = [law for law in check_provider.CHECKS if law.name != "check_histories_end_at_the_last_tree"]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench[Session]]:
    """Octavia's side and ours, the agent running in between."""
    ours = tmp_path / "ours"
    ours.mkdir()
    exit_event = threading.Event()
    with (
        session(tmp_path) as inner,
        Bench.open(tmp_path, lambda _sockets: inner, lambda _s: lambda: MemoryDriver(inner)) as made,
    ):
        made.make()._serve()
        agent = threading.Thread(target=with_session, args=(inner, exit_event))
        agent.start()
        try:
            yield made
        finally:
            exit_event.set()
            agent.join()


@pytest.mark.long
@pytest.mark.parametrize("check", LAWS, ids=str)
def test_law(bench: Bench[Session], check: Check[ProviderFixture]) -> None:
    check(ProviderFixture(make=bench.make, around=AROUND))


def test_edits_are_followed(bench: Bench[Session]) -> None:
    check_provider.check_edits_are_followed(ProviderFixture(make=bench.make, around=AROUND))


def test_a_tree_arrives_is_reported_and_goes(bench: Bench[Session]) -> None:
    provider, wanted = bench.make(), small_tree(ALL, AROUND)
    provider.apply(wanted, None)
    entry = bench.backend.store.get(wanted.id)
    assert entry is not None
    assert entry.settled
    assert spoken(entry.desired) == spoken(rebuilt(wanted, **vip(entry.desired)))
    provider.remove(wanted.id)
    assert bench.backend.store.get(wanted.id) is None


def vip(tree: object) -> dict[str, object]:
    return {name: getattr(tree, name) for name in ("vip_address", "vip_network_id", "vip_port_id")}
