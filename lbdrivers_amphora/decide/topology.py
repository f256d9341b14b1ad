"""Which amphorae a load balancer has: topologies as a table, and the plan for a set of amphorae.

Law: pure. A plan says which amphorae stay, which are built and which go; it never has two in one
slot, and what goes is removed only after what is built serves (the recipes keep that order).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from lbdrivers.drivers.amphora import Role, Topology
from lbdrivers.model.infra import MachineStatus
from lbdrivers_amphora.records import Amphora, AmphoraStatus


@dataclass(frozen=True)
class Slot:
    """One place for an amphora: its role and its VRRP priority (100 and 90, as in Octavia)."""

    role: Role
    priority: int


TOPOLOGIES: dict[Topology, tuple[Slot, ...]] = {
    Topology.SINGLE: (Slot(Role.STANDALONE, 100),),
    Topology.ACTIVE_STANDBY: (Slot(Role.MASTER, 100), Slot(Role.BACKUP, 90)),
}


@dataclass(frozen=True)
class AmphoraPlan:
    """What happens to a load balancer's amphorae.

    :param keep: those that serve and stay.
    :param build: slots that need an amphora, each with the half-built one that goes on, or None.
    :param remove: those that go.
    """

    keep: tuple[Amphora, ...]
    build: tuple[tuple[Slot, Amphora | None], ...]
    remove: tuple[Amphora, ...]


def plan_amphorae(
    topology: Topology,
    amphorae: Iterable[Amphora],
    machines: Mapping[str, MachineStatus],
    replace: frozenset[str] = frozenset(),
) -> AmphoraPlan:
    """Plan from the records and from what compute says of each amphora's machine.

    :param machines: status by amphora id; an amphora that is missing has no machine.
    :param replace: ids of amphorae that are to be replaced although their machine runs.
    """
    keep: dict[Role, Amphora] = {}
    unfinished: dict[Role, Amphora] = {}
    remove: list[Amphora] = []
    roles = {slot.role for slot in TOPOLOGIES[topology]}
    for amphora in sorted(amphorae, key=lambda a: (a.created_at, a.id)):
        serves = amphora.status is AmphoraStatus.ALLOCATED
        alive = machines.get(amphora.id) in (MachineStatus.RUNNING, MachineStatus.BUILDING)
        gone = amphora.status is AmphoraStatus.PENDING_DELETE or amphora.id in replace or amphora.role not in roles
        if gone or (serves and not alive):
            remove.append(amphora)
        elif serves and amphora.role not in keep:
            keep[amphora.role] = amphora
        elif not serves and amphora.role not in unfinished:
            unfinished[amphora.role] = amphora
        else:
            remove.append(amphora)
    build = []
    for slot in TOPOLOGIES[topology]:
        if slot.role in keep:
            if slot.role in unfinished:
                remove.append(unfinished[slot.role])
        else:
            build.append((slot, unfinished.get(slot.role)))
    return AmphoraPlan(tuple(keep.values()), tuple(build), tuple(remove))
