"""The warm pool: how many booted amphorae wait for a load balancer, and which of them are fit to be taken.

Law: pure. One that is dead, outdated or one too many goes; what is missing is built, what is half-built goes on.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from lbdrivers.drivers.amphora import Role
from lbdrivers.model.infra import MachineStatus
from lbdrivers_amphora.decide.topology import AmphoraPlan, Slot
from lbdrivers_amphora.records import Amphora, AmphoraStatus

#: A spare's place until it is taken.
SPARE = Slot(Role.STANDALONE, 0)


def plan_spares(
    size: int,
    spares: Iterable[Amphora],
    machines: Mapping[str, MachineStatus],
    image: str | None,
    valid_until: float,
) -> AmphoraPlan:
    """What to do so that ``size`` fit ones are there.

    :param spares: the oldest are taken first, so the youngest of too many go.
    :param machines: status by amphora id; missing: there is none.
    :param image: that spares are booted from now.
    :param valid_until: until when a spare's certificate must be valid at least (epoch seconds).
    """
    keep: list[Amphora] = []
    unfinished: list[Amphora] = []
    remove: list[Amphora] = []
    for spare in sorted(spares, key=lambda one: (one.status is not AmphoraStatus.READY, one.created_at, one.id)):
        ready = spare.status is AmphoraStatus.READY
        alive = machines.get(spare.id) is MachineStatus.RUNNING
        useless = ready and not (alive and _fits(spare, image, valid_until))
        enough = len(keep) + len(unfinished) >= size
        if spare.status is AmphoraStatus.PENDING_DELETE or enough or useless:
            remove.append(spare)
        else:
            (keep if ready else unfinished).append(spare)
    missing = size - len(keep) - len(unfinished)
    build: list[tuple[Slot, Amphora | None]] = [(SPARE, spare) for spare in unfinished]
    return AmphoraPlan(tuple(keep), (*build, *([(SPARE, None)] * missing)), tuple(remove))


def fit(spares: Iterable[Amphora], image: str | None, valid_until: float) -> tuple[Amphora, ...]:
    """Those that may be taken, the oldest first."""
    ready = (one for one in spares if one.status is AmphoraStatus.READY and _fits(one, image, valid_until))
    return tuple(sorted(ready, key=lambda one: (one.created_at, one.id)))


def _fits(spare: Amphora, image: str | None, valid_until: float) -> bool:
    return spare.image == image and (spare.certificate_expires is None or spare.certificate_expires > valid_until)
