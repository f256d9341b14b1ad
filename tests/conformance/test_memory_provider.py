"""The memory provider keeps every law of the provider contract, on records in memory and in a database."""

from __future__ import annotations

from pathlib import Path

import pytest
from oslo_config import cfg

from lbdrivers.drivers.context import DriverContext, Records
from lbdrivers.features import ALL, Feature
from lbdrivers.memory.provider import MemoryProvider
from lbdrivers.memory.records import MemoryRecords
from lbdrivers.store.store import Store
from lbdrivers.testing.check import Check
from lbdrivers.testing.check_provider import CHECKS, ProviderFixture
from lbdrivers.testing.report import Finding, Verdict, examine
from lbdrivers.testing.surroundings import Surroundings, identity

AROUND = Surroundings(
    flavors=({"appliances": 2, "allow_member_sriov": True},),
    availability_zones=({"compute_zone": "here"},),
    qos_policy_id=identity(6),
    security_group_id=identity(7),
)


def fixture_on(records: Records, around: Surroundings = AROUND) -> ProviderFixture:
    context = DriverContext(cfg.ConfigOpts(), records, load=lambda _group, _name: None)
    return ProviderFixture(make=lambda: MemoryProvider(context), around=around)


@pytest.mark.parametrize("check", CHECKS, ids=str)
def test_law_on_records_in_memory(check: Check[ProviderFixture]) -> None:
    check(fixture_on(MemoryRecords()))


def test_every_feature_is_proved_on_a_database(tmp_path: Path) -> None:
    told: list[Finding] = []
    report = examine(fixture_on(Store(f"sqlite:///{tmp_path / 'store.sqlite'}").records), told.append)
    assert report.conforms, [one for one in told if one.verdict is Verdict.BROKEN]
    assert report.claimed == report.proved == ALL
    assert told == [*report.laws, *report.features]


def test_what_cannot_be_shown_is_said() -> None:
    report = examine(fixture_on(MemoryRecords(), Surroundings()))
    profiles = {Feature.FLAVOR, Feature.AVAILABILITY_ZONE, Feature.MEMBER_SRIOV}
    silent = profiles | {Feature.VIP_QOS, Feature.VIP_SECURITY_GROUPS}
    assert report.conforms
    assert report.claimed - report.proved == silent
