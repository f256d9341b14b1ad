"""The warm pool: the oldest fit ones stay, the rest goes, what is missing is built."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from lbdrivers.drivers.amphora import Role
from lbdrivers.model.infra import MachineStatus
from lbdrivers_amphora.decide.topology import AmphoraPlan
from lbdrivers_amphora.decide.warm_pool import SPARE, fit, plan_spares
from lbdrivers_amphora.records import Amphora, AmphoraStatus

READY, HALF, GOING = AmphoraStatus.READY, AmphoraStatus.PENDING_CREATE, AmphoraStatus.PENDING_DELETE
IMAGE, NOW = "image", 1000.0


def spare(name: str, status: AmphoraStatus = READY, age: float = 0.0, **fields: object) -> Amphora:
    values = {"image": IMAGE, "certificate_expires": NOW + 1} | fields
    return Amphora(
        id=name, load_balancer_id="", role=Role.STANDALONE, priority=0, status=status, created_at=NOW - age, **values
    )


def planned(size: int, *spares: Amphora, machines: Mapping[str, MachineStatus] | None = None) -> AmphoraPlan:
    running = {one.id: MachineStatus.RUNNING for one in spares}
    return plan_spares(size, spares, running if machines is None else machines, IMAGE, NOW)


def names(amphorae: tuple[Amphora, ...]) -> list[str]:
    return [one.id for one in amphorae]


def test_what_is_missing_is_built_and_what_is_half_built_goes_on() -> None:
    found = planned(3, spare("ready"), spare("half", HALF), machines={"ready": MachineStatus.RUNNING})
    assert names(found.keep) == ["ready"]
    assert [(slot, one and one.id) for slot, one in found.build] == [(SPARE, "half"), (SPARE, None)]
    assert found.remove == ()


def test_of_too_many_the_youngest_go_and_those_that_are_ready_stay_before_half_built_ones() -> None:
    found = planned(2, spare("young", age=1), spare("old", age=9), spare("half", HALF, age=20), spare("middle", age=5))
    assert names(found.keep) == ["old", "middle"]
    assert (found.build, names(found.remove)) == ((), ["young", "half"])


@pytest.mark.parametrize(
    "useless",
    [
        spare("x", image="older"),
        spare("x", certificate_expires=NOW),
        spare("x", GOING),
    ],
)
def test_what_nobody_could_use_is_replaced(useless: Amphora) -> None:
    found = planned(1, useless)
    assert (names(found.keep), names(found.remove)) == ([], ["x"])
    assert found.build == ((SPARE, None),)


@pytest.mark.parametrize("machines", [{}, {"x": MachineStatus.ERROR}])
def test_a_dead_one_is_replaced(machines: Mapping[str, MachineStatus]) -> None:
    assert names(planned(1, spare("x"), machines=machines).remove) == ["x"]


def test_without_a_pool_everything_goes() -> None:
    found = planned(0, spare("a"), spare("b", HALF))
    assert (found.keep, found.build, names(found.remove)) == ((), (), ["a", "b"])


def test_the_oldest_fit_one_is_taken_first() -> None:
    spares = (
        spare("young", age=1),
        spare("old", age=9, certificate_expires=None),
        spare("half", HALF, age=20),
        spare("outdated", age=30, image=None),
    )
    assert names(fit(spares, IMAGE, NOW)) == ["old", "young"]
