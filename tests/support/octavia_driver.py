"""A session for the outward driver on a store of its own, with the memory provider; and octavia-lib calls."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

from oslo_config.cfg import ConfigOpts

from lbdrivers import registry, settings
from lbdrivers.memory.records import MemoryRecords
from lbdrivers.model.resources import LoadBalancer
from lbdrivers.octavia import positions
from lbdrivers.octavia.foreign import ForeignProvider
from lbdrivers.octavia.session import Session
from lbdrivers.octavia.settings import read

T = TypeVar("T")


def configured(folder: Path, **ours: float) -> ConfigOpts:
    """Configuration with state and sockets in the folder."""
    configuration = settings.load((), folder)
    read(configuration)  # registers the options
    for name in ("status", "stats", "get"):
        configuration.set_override(f"{name}_socket_path", str(folder / f"{name}.sock"), group="driver_agent")
    for name, value in ours.items():
        configuration.set_override(name, value, group="lbdrivers")
    return configuration


@dataclass
class Bench(Generic[T]):
    """Providers around a foreign driver that share records and a backend, as after restarts."""

    folder: Path
    backend: T
    driver: Callable[[], Any]
    timeout: float = 30.0
    records: MemoryRecords = field(default_factory=MemoryRecords)
    made: list[ForeignProvider] = field(default_factory=list)

    @classmethod
    @contextmanager
    def open(
        cls, folder: Path, backend: Callable[[dict[str, str]], T], driver: Callable[[T], Callable[[], Any]]
    ) -> Iterator[Bench[T]]:
        """A bench; its sockets are closed in the end."""
        sockets = {f"{name}_socket": str(folder / f"{name}.sock") for name in ("status", "stats", "get")}
        behind = backend(sockets)
        bench = cls(folder, behind, driver(behind))
        try:
            yield bench
        finally:
            for provider in bench.made:
                provider.close()

    def make(self) -> ForeignProvider:
        """A new provider, as after a restart."""
        configuration = configured(self.folder, octavia_status_timeout=self.timeout)
        context = registry.make_context(configuration, self.records)
        self.made.append(ForeignProvider(context, "foreign", self.driver))
        return self.made[-1]


@contextmanager
def session(folder: Path) -> Iterator[Session]:
    """A session whose state and sockets are in the folder."""
    opened = Session(configured(folder, octavia_report_interval=0.2))
    try:
        yield opened
    finally:
        opened.close()


def spoken(tree: LoadBalancer) -> LoadBalancer:
    """What of a tree octavia-lib's interface can say: no tags, no names of provider, flavor and zone, and
    no order of siblings but that of members and of policies, which are numbered from 1."""
    tree = positions.canonical(tree)
    listeners = [
        one.model_copy(
            update={
                "tags": (),
                "l7policies": tuple(
                    policy.model_copy(
                        update={
                            "tags": (),
                            "rules": tuple(
                                rule.model_copy(update={"tags": ()})
                                for rule in sorted(policy.rules, key=lambda rule: rule.id)
                            ),
                        }
                    )
                    for policy in one.l7policies
                ),
            }
        )
        for one in tree.listeners
    ]
    pools = [
        one.model_copy(
            update={
                "tags": (),
                "members": tuple(member.model_copy(update={"tags": ()}) for member in one.members),
                "healthmonitor": one.healthmonitor and one.healthmonitor.model_copy(update={"tags": ()}),
            }
        )
        for one in tree.pools
    ]
    return tree.model_copy(
        update={
            "tags": (),
            "provider": None,
            "flavor_id": None,
            "flavor_data": tree.flavor_data or None,
            "availability_zone": None,
            "availability_zone_data": tree.availability_zone_data or None,
            "listeners": tuple(sorted(listeners, key=lambda one: one.id)),
            "pools": tuple(sorted(pools, key=lambda one: one.id)),
        }
    )
