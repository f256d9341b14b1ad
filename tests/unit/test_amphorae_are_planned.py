"""Which amphorae stay, are built and go."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbdrivers.drivers.amphora import Role, Topology
from lbdrivers.model.infra import MachineStatus
from lbdrivers_amphora.decide.topology import TOPOLOGIES, plan_amphorae
from lbdrivers_amphora.records import Amphora, AmphoraStatus

RUNNING, STOPPED = MachineStatus.RUNNING, MachineStatus.STOPPED
PAIR = Topology.ACTIVE_STANDBY


def amphora(name: str, role: Role, status: AmphoraStatus = AmphoraStatus.ALLOCATED, created: float = 0.0) -> Amphora:
    return Amphora(id=name, load_balancer_id="lb", role=role, priority=100, status=status, created_at=created)


MASTER, BACKUP = amphora("m", Role.MASTER), amphora("b", Role.BACKUP)
BOTH = {"m": RUNNING, "b": RUNNING}


@pytest.mark.parametrize(
    ("amphorae", "machines", "replace", "keep", "build", "remove"),
    [
        pytest.param([], {}, set(), set(), ["MASTER", "BACKUP"], set(), id="nothing yet"),
        pytest.param([MASTER, BACKUP], BOTH, set(), {"m", "b"}, [], set(), id="whole"),
        pytest.param([MASTER, BACKUP], {**BOTH, "m": STOPPED}, set(), {"b"}, ["MASTER"], {"m"}, id="one dead"),
        pytest.param([MASTER, BACKUP], {"b": RUNNING}, set(), {"b"}, ["MASTER"], {"m"}, id="machine missing"),
        pytest.param([MASTER, BACKUP], {}, set(), set(), ["MASTER", "BACKUP"], {"m", "b"}, id="both dead"),
        pytest.param([MASTER, BACKUP], BOTH, {"b"}, {"m"}, ["BACKUP"], {"b"}, id="replaced on demand"),
        pytest.param(
            [amphora("h", Role.MASTER, AmphoraStatus.PENDING_CREATE), BACKUP],
            {"b": RUNNING},
            set(),
            {"b"},
            ["MASTER h"],
            set(),
            id="half built goes on",
        ),
        pytest.param(
            [MASTER, BACKUP, amphora("h", Role.MASTER, AmphoraStatus.PENDING_CREATE, 1)],
            {**BOTH, "h": RUNNING},
            set(),
            {"m", "b"},
            [],
            {"h"},
            id="half built but not needed any more",
        ),
        pytest.param(
            [amphora("m", Role.MASTER, AmphoraStatus.PENDING_DELETE), BACKUP],
            BOTH,
            set(),
            {"b"},
            ["MASTER"],
            {"m"},
            id="removal goes on",
        ),
        pytest.param(
            [MASTER, amphora("m2", Role.MASTER, created=1), BACKUP],
            {**BOTH, "m2": RUNNING},
            set(),
            {"m", "b"},
            [],
            {"m2"},
            id="never two in one slot",
        ),
    ],
)
def test_plan(amphorae, machines, replace, keep, build, remove) -> None:
    plan = plan_amphorae(PAIR, amphorae, machines, frozenset(replace))
    assert {a.id for a in plan.keep} == keep
    assert [
        f"{slot.role} {unfinished.id}" if unfinished else slot.role.value for slot, unfinished in plan.build
    ] == build
    assert {a.id for a in plan.remove} == remove


statuses = st.sampled_from(list(AmphoraStatus))


@given(
    st.sampled_from(list(Topology)),
    st.lists(st.tuples(st.sampled_from(list(Role)), statuses, st.sampled_from([None, *MachineStatus])), max_size=6),
)
def test_every_slot_is_filled_once_and_every_amphora_has_one_fate(topology, found) -> None:
    amphorae = [amphora(str(n), role, status, n) for n, (role, status, _) in enumerate(found)]
    machines = {str(n): machine for n, (_, _, machine) in enumerate(found) if machine is not None}
    plan = plan_amphorae(topology, amphorae, machines)
    filled = [a.role for a in plan.keep] + [slot.role for slot, _ in plan.build]
    assert sorted(filled) == sorted(slot.role for slot in TOPOLOGIES[topology])
    fates = [a.id for a in (*plan.keep, *plan.remove)] + [a.id for _, a in plan.build if a is not None]
    assert sorted(fates) == sorted(a.id for a in amphorae)
