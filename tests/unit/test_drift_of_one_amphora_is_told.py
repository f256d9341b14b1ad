"""What one amphora, or the port of the VIPs, has otherwise than it should, each with the verb that mends it."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from lbdrivers.drivers.amphora import ApplianceReport, DaemonState
from lbdrivers.drivers.provider import Deviation, Remedy
from lbdrivers.model.infra import FixedAddress, MachineStatus, Port
from lbdrivers_amphora.decide import datagrams
from lbdrivers_amphora.decide.drift import Found, Wanted, amphora_deviations, missing, vip_deviations

RUNNING, STOPPED = DaemonState.RUNNING, DaemonState.STOPPED
DATAGRAMS = datagrams.REVISION


def found(
    revisions: Mapping[str, str], haproxy: DaemonState = RUNNING, ports: Mapping[str, Port] | None = None
) -> Found:
    report = ApplianceReport("a", haproxy, STOPPED, holds_vip=True, listeners={}, pools={}, revisions=revisions)
    return Found(MachineStatus.RUNNING, report, ports or {})


def told(wanted: Wanted, is_there: Found) -> list[tuple[str, str, str, Remedy]]:
    deviations = amphora_deviations(wanted, is_there, now=0.0, renewal=1.0)
    return [(one.aspect, one.wanted, one.found, one.remedy) for one in deviations]


def test_rules_for_datagrams_that_nobody_wants_are_told() -> None:
    wanted = Wanted("amphora", "machine", revisions={"haproxy.cfg": "1" * 32})
    is_there = found({"haproxy.cfg": "1" * 32, DATAGRAMS: "2" * 32})
    assert told(wanted, is_there) == [(DATAGRAMS, "none", "revision 22222222", Remedy.APPLY)]


def test_files_that_nobody_can_foretell_are_not_judged() -> None:
    assert told(Wanted("amphora", "machine"), found({"haproxy.cfg": "1", DATAGRAMS: "2"}, STOPPED)) == []


def test_what_a_stopped_daemon_would_read_is_told_by_its_being_stopped() -> None:
    wanted = Wanted("amphora", "machine", revisions={"haproxy.cfg": "1" * 32})
    assert told(wanted, found({}, STOPPED)) == [("HAProxy", "RUNNING", "STOPPED", Remedy.APPLY)]


def port(name: str, machine: str | None = None, *addresses: str) -> Port:
    fixed = tuple(FixedAddress("subnet", address) for address in addresses)
    return Port(f"id of {name}", name, "network", "02:00:00:00:00:01", fixed, machine=machine)


VIPS = ("192.0.2.1", "192.0.2.2")


@pytest.mark.parametrize(
    ("there", "deviations"),
    [
        (port("vip", None, *VIPS), []),
        (port("vip", None, *reversed(VIPS)), []),
        (None, [Deviation("web", "port vip", "192.0.2.1, 192.0.2.2", "none", Remedy.APPLY)]),
        (
            port("vip", None, "192.0.2.1"),
            [Deviation("web", "port vip", "192.0.2.1, 192.0.2.2", "192.0.2.1", Remedy.APPLY)],
        ),
        (port("vip", "machine", *VIPS), [Deviation("web", "port vip", "unplugged", "in machine", Remedy.APPLY)]),
    ],
)
def test_the_port_of_the_vips_has_their_addresses_and_is_in_no_machine(
    there: Port | None, deviations: list[Deviation]
) -> None:
    assert list(vip_deviations("web", "vip", VIPS, there)) == deviations


def test_a_role_that_nobody_has_needs_a_failover() -> None:
    (deviation,) = missing("web", ("MASTER", "BACKUP"), ("MASTER",))
    assert (deviation.aspect, deviation.remedy) == ("amphora BACKUP", Remedy.FAILOVER)
