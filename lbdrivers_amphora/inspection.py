"""Inspection: what is there beside what should be, and what is there that nobody knows.

Law: asks everybody and decides nothing (``decide/drift.py`` and ``decide/orphans.py`` do); changes nothing but
what ``remove_orphans`` removes. What cannot be asked now is told as a deviation or left out; it fails nobody.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime

from lbdrivers.drivers.amphora import ApplianceReport, Foreteller, TlsFiles
from lbdrivers.drivers.provider import Deviation, Orphan, Remedy
from lbdrivers.errors import DriverError
from lbdrivers.model.infra import Machine
from lbdrivers.model.resources import LoadBalancer
from lbdrivers_amphora.decide import drift, orphans
from lbdrivers_amphora.decide.topology import TOPOLOGIES
from lbdrivers_amphora.flows.work import Drivers, Work
from lbdrivers_amphora.ledger import Ledger
from lbdrivers_amphora.records import Amphora, AmphoraStatus

#: Asks amphorae for their reports; None for one that does not answer.
Reporter = Callable[[Iterable[Amphora]], list[tuple[Amphora, ApplianceReport | None]]]


def deviations(work: Work, reports: Reporter, secrets: Callable[[LoadBalancer], TlsFiles]) -> tuple[Deviation, ...]:
    """In what the load balancer of the work differs from its tree. The work keeps every amphora that serves.

    :param secrets: fetches the files that the tree refers to; without them, no files are compared.
    """
    found = [*_of_load_balancer(work)]
    readable = True
    try:
        work.tls = secrets(work.desired)
    except DriverError as error:
        readable = False
        found.append(Deviation(work.label(""), "secrets", "readable", str(error), Remedy.APPLY))
    ports = {port.name: port for port in work.drivers.network.ports()}
    for amphora, report in reports(work.kept):
        machine = work.drivers.compute.find(amphora.machine)
        expires = (report.certificate_expires if report else None) or amphora.certificate_expires
        state = drift.Found(None if machine is None else machine.status, report, ports, expires)
        label = work.label(amphora.id)
        found += outdated(work, amphora)
        try:
            wanted = _wanted(work, amphora, machine if report is not None and readable else None)
        except DriverError as error:
            found.append(Deviation(label, "configuration", "can be told", str(error), Remedy.APPLY))
            wanted = drift.Wanted(label, amphora.machine)
        renewal = work.settings.certificate_renewal
        found += drift.amphora_deviations(wanted, state, work.context.now(), renewal)
    return tuple(found)


def outdated(work: Work, amphora: Amphora) -> tuple[Deviation, ...]:
    """In what the amphora would be booted otherwise now."""
    request = work.machine_request(amphora)
    kinds = {"image": (request.image, amphora.image), "flavor": (request.flavor, amphora.flavor)}
    return tuple(
        Deviation(work.label(amphora.id), aspect, wanted or "the default", found or "the default", Remedy.UPGRADE)
        for aspect, (wanted, found) in kinds.items()
        if wanted != found
    )


def _of_load_balancer(work: Work) -> Iterator[Deviation]:
    balancer, label = work.balancer, work.label("")
    yield from drift.vip_deviations(
        label, balancer.vip_port, balancer.vip_addresses, work.drivers.network.port(balancer.vip_port)
    )
    roles = [slot.role for slot in TOPOLOGIES[balancer.topology]]
    yield from drift.missing(label, roles, [amphora.role for amphora in work.kept])
    if balancer.unsettled:
        yield Deviation(label, "last run", "ended", "interrupted", Remedy.APPLY)


def _wanted(work: Work, amphora: Amphora, machine: Machine | None) -> drift.Wanted:
    """:param machine: None when nobody can tell its files: its agent is silent, or secrets are out of reach."""
    revisions = None
    driver = work.drivers.amphora
    if machine is not None and isinstance(driver, Foreteller):
        revisions = driver.revisions(work.bundle(amphora.id), driver.facts(machine, amphora.id))
    management = (amphora.management_port,) if work.settings.management_networks else ()
    traffic = tuple(work.port_name(amphora, nic) for nic in work.nics())
    return drift.Wanted(
        work.label(amphora.id), amphora.machine, (*management, *traffic), amphora.member_port(""), revisions
    )


def find_orphans(drivers: Drivers, ledger: Ledger) -> tuple[Orphan, ...]:
    """Everything of our names that no record of today names."""
    machines = drivers.compute.known()
    ports = [port.name for port in drivers.network.ports()]
    return orphans.orphans(machines, ports, _known(ledger))


def remove_orphans(drivers: Drivers, ledger: Ledger) -> tuple[Orphan, ...]:
    """Remove those of which a record says that they were ours and should be gone; machines first, as they
    hold ports."""
    return _remove(drivers, find_orphans(drivers, ledger))


def remove_left_by(
    drivers: Drivers, ledger: Ledger, amphora_ids: Iterable[str], load_balancer_id: str = ""
) -> tuple[Orphan, ...]:
    """The same for what these amphorae alone have left behind, and the load balancer, if one is named."""
    found = find_orphans(drivers, ledger)
    ours = [orphan for one in amphora_ids for orphan in orphans.left_by(one, found)]
    return _remove(drivers, [*ours, *orphans.left_by_balancer(load_balancer_id, found)])


def _remove(drivers: Drivers, found: Iterable[Orphan]) -> tuple[Orphan, ...]:
    proven = [orphan for orphan in found if orphan.proof]
    for orphan in proven:
        if orphan.kind == "machine":
            drivers.compute.remove(orphan.name)
    for orphan in proven:
        if orphan.kind == "port":
            _remove_port(drivers, orphan.name)
    return tuple(proven)


def _remove_port(drivers: Drivers, name: str) -> None:
    port = drivers.network.port(name)
    if port is not None and port.machine is not None:
        drivers.compute.detach(port.machine, name)
    drivers.network.remove_port(name)


def _known(ledger: Ledger) -> orphans.Known:
    balancers = frozenset(balancer.id for balancer in ledger.balancers())
    amphorae = ledger.all_amphorae()
    forsaken = {one.id: f"its load balancer {one.load_balancer_id} is gone" for one in amphorae}
    # Those without a load balancer wait in the warm pool.
    living = frozenset(one.id for one in amphorae if one.load_balancer_id in balancers | {""})
    return orphans.Known(
        amphorae=living,
        balancers=balancers,
        gone={one: text for one, text in forsaken.items() if one not in living}
        | {gone.id: f"removed {_clock(gone.since)}" for gone in ledger.gone()},
    )


def _clock(moment: float) -> str:
    return datetime.fromtimestamp(moment, tz=UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def serving(amphorae: Iterable[Amphora]) -> tuple[Amphora, ...]:
    """Those that serve."""
    return tuple(amphora for amphora in amphorae if amphora.status is AmphoraStatus.ALLOCATED)
