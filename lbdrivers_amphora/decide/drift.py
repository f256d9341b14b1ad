"""Drift: in what a load balancer's appliances differ from what was applied.

Law: pure; the clock is an argument. Each deviation names the verb that mends it: a machine that is
gone or an agent that is silent needs a failover, a certificate that nears its end maintenance,
everything else another apply.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from lbdrivers.drivers.amphora import ApplianceReport, DaemonState
from lbdrivers.drivers.provider import Deviation, Remedy
from lbdrivers.model.infra import MachineStatus, Port
from lbdrivers_amphora.decide.datagrams import of_datagrams

#: Revision of a file -> the daemon that must run when it is wanted.
_DAEMONS = {"haproxy.cfg": "HAProxy", "keepalived.conf": "keepalived"}
_DAY = 86400.0


@dataclass(frozen=True)
class Wanted:
    """What one amphora should be.

    :param label: as people call it.
    :param ports: names of all its ports.
    :param prefix: beginning of the names of all ports that can be its own for members; None: not known.
    :param revisions: file name -> MD5; None when nobody can tell them.
    """

    label: str
    machine: str
    ports: tuple[str, ...] = ()
    prefix: str | None = None
    revisions: Mapping[str, str] | None = None


@dataclass(frozen=True)
class Found:
    """What one amphora is.

    :param machine: None when there is none.
    :param report: None when it does not answer.
    :param certificate_expires: as the agent shows it, else as it was issued; None when neither is known.
    :param ports: every port that there is, by name.
    """

    machine: MachineStatus | None
    report: ApplianceReport | None
    ports: Mapping[str, Port]
    certificate_expires: float | None = None


def amphora_deviations(wanted: Wanted, found: Found, now: float, renewal: float) -> Iterator[Deviation]:
    """All of one amphora, the gravest first.

    :param renewal: seconds before its end at which a certificate is due to be renewed.
    """
    if found.machine is not MachineStatus.RUNNING:
        state = "none" if found.machine is None else found.machine.value
        yield Deviation(wanted.label, "machine", "RUNNING", state, Remedy.FAILOVER)
    elif found.report is None:
        yield Deviation(wanted.label, "agent", "answers", "silent", Remedy.FAILOVER)
    else:
        yield from _daemons(wanted, found.report)
        yield from _files(wanted, found.report)
        yield from _certificate(wanted.label, found.certificate_expires, now, renewal)
    yield from _ports(wanted, found)


def _daemons(wanted: Wanted, report: ApplianceReport) -> Iterator[Deviation]:
    if wanted.revisions is None:
        return
    states = {"haproxy.cfg": report.haproxy, "keepalived.conf": report.keepalived}
    for file, daemon in _DAEMONS.items():
        state = DaemonState.RUNNING if file in wanted.revisions else DaemonState.STOPPED
        if states[file] is not state:
            yield Deviation(wanted.label, daemon, state.value, states[file].value, Remedy.APPLY)


def _files(wanted: Wanted, report: ApplianceReport) -> Iterator[Deviation]:
    """Files of daemons that run: what a stopped one would read is told by its being stopped. Those of datagrams
    are reported while the kernel does what they say, and unwanted ones would be heard of by nobody else."""
    running = {"haproxy.cfg": report.haproxy, "keepalived.conf": report.keepalived}
    foretold = wanted.revisions or {}
    for file, revision in sorted(report.revisions.items()):
        if wanted.revisions is not None and file not in foretold and of_datagrams(file):
            yield Deviation(wanted.label, file, "none", f"revision {revision[:8]}", Remedy.APPLY)
    for file, revision in sorted(foretold.items()):
        state = DaemonState.RUNNING if of_datagrams(file) else running.get(file, report.haproxy)
        actual = report.revisions.get(file)
        if state is DaemonState.RUNNING and actual != revision:
            shown = "none" if actual is None else f"revision {actual[:8]}"
            yield Deviation(wanted.label, file, f"revision {revision[:8]}", shown, Remedy.APPLY)


def _certificate(label: str, expires: float | None, now: float, renewal: float) -> Iterator[Deviation]:
    if expires is None or expires - now > renewal:
        return
    left = (expires - now) / _DAY
    shown = f"ends in {left:.1f} days" if left > 0 else "has ended"
    yield Deviation(label, "certificate", f"at least {renewal / _DAY:.1f} days", shown, Remedy.MAINTAIN)


def _ports(wanted: Wanted, found: Found) -> Iterator[Deviation]:
    for name in wanted.ports:
        port = found.ports.get(name)
        if port is None:
            yield Deviation(wanted.label, f"port {name}", f"in {wanted.machine}", "none", Remedy.APPLY)
        elif port.machine != wanted.machine and found.machine is not None:
            where = f"in {port.machine}" if port.machine else "unplugged"
            yield Deviation(wanted.label, f"port {name}", f"in {wanted.machine}", where, Remedy.APPLY)
    for name in sorted(found.ports):
        if wanted.prefix is not None and name.startswith(wanted.prefix) and name not in wanted.ports:
            yield Deviation(wanted.label, f"port {name}", "none", "there", Remedy.APPLY)


def vip_deviations(label: str, name: str, addresses: tuple[str, ...], port: Port | None) -> Iterator[Deviation]:
    """Of the port that reserves the VIPs.

    :param addresses: that the load balancer has been given.
    """
    told = ", ".join(addresses)
    if port is None:
        yield Deviation(label, f"port {name}", told, "none", Remedy.APPLY)
        return
    held = {fixed.address for fixed in port.fixed}
    if held != set(addresses):
        yield Deviation(label, f"port {name}", told, ", ".join(sorted(a or "" for a in held)), Remedy.APPLY)
    if port.machine is not None:
        yield Deviation(label, f"port {name}", "unplugged", f"in {port.machine}", Remedy.APPLY)


def missing(label: str, roles: Iterable[str], found: Iterable[str]) -> Iterator[Deviation]:
    """One for each role that no amphora has."""
    there = set(found)
    for role in roles:
        if role not in there:
            yield Deviation(label, f"amphora {role}", "one", "none", Remedy.FAILOVER)
