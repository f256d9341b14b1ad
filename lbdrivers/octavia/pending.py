"""What Octavia waits to hear of a load balancer: kept in records until it was reported.

Law: level-triggered. The record says what was touched; what is reported of it follows from how the load
balancer stands then, so that a report may come late, twice, or once for many requests, but never not
at all: whatever the API has set to PENDING and we forget stays immutable for ever.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from lbdrivers.drivers.context import Conflict, Record, Records
from lbdrivers.model.kinds import Kind
from lbdrivers.model.resources import LoadBalancer
from lbdrivers.model.status import OperatingStatus, ProvisioningStatus
from lbdrivers.octavia.models import PLURALS
from lbdrivers.store.entry import Entry

#: One record for each request, so that removing what was reported cannot lose what came meanwhile.
_KIND = "octavia-pending"
#: One record for each load balancer that Octavia has.
_KNOWN = "octavia-known"


@dataclass(frozen=True)
class Pending:
    """What the API marked as pending.

    :param direct: ids that requests created, changed or deleted, with their kinds.
    :param parents: ids around them, which the API marked as well.
    :param created: of ``direct``, one for each request that created something: Octavia's status socket
        knows it once the request is committed, and loses in silence what is reported before.
    :param deleting: whether the load balancer itself is to go.
    :param notes: ids of the records that say so.
    """

    direct: Mapping[str, Kind] = field(default_factory=dict)
    parents: Mapping[str, Kind] = field(default_factory=dict)
    created: Mapping[str, Kind] = field(default_factory=dict)
    deleting: bool = False
    notes: tuple[str, ...] = ()

    def __or__(self, other: Pending) -> Pending:
        """Both together."""
        return Pending(
            {**self.direct, **other.direct},
            {**self.parents, **other.parents},
            {**self.created, **other.created},
            self.deleting or other.deleting,
            self.notes + other.notes,
        )


def note(records: Records, load_balancer_id: str, pending: Pending) -> None:
    """Remember what a request touched."""
    with suppress(Conflict):  # known already
        records.put(Record(_KNOWN, load_balancer_id, {}))
    data = {
        "load_balancer": load_balancer_id,
        "direct": dict(pending.direct),
        "parents": dict(pending.parents),
        "created": dict(pending.created),
        "deleting": pending.deleting,
    }
    records.put(Record(_KIND, str(uuid.uuid4()), data))


def waiting(records: Records) -> Mapping[str, Pending]:
    """Everything that is waited for, by load balancer."""
    found: dict[str, Pending] = {}
    for record in records.list(_KIND):
        owner = record.data["load_balancer"]
        found[owner] = found.get(owner, Pending()) | _parsed(record)
    return found


def forget(records: Records, pending: Pending) -> None:
    """It was reported."""
    for identity in pending.notes:
        records.remove(_KIND, identity)


def known(records: Records) -> frozenset[str]:
    """Ids of the load balancers that Octavia has."""
    return frozenset(record.id for record in records.list(_KNOWN))


def gone(records: Records, load_balancer_id: str) -> None:
    """Octavia has it no more."""
    records.remove(_KNOWN, load_balancer_id)


def _parsed(record: Record) -> Pending:
    names = ("direct", "parents", "created")
    sets = {name: {one: Kind(kind) for one, kind in record.data[name].items()} for name in names}
    return Pending(**sets, deleting=bool(record.data["deleting"]), notes=(record.id,))


# -- what is to be said ---------------------------------------------------------------------------


def statuses(pending: Pending, entry: Entry | None) -> Mapping[str, tuple[Kind, ProvisioningStatus]] | None:
    """Provisioning status to report by id; None while it is too early to tell.

    :param entry: how the load balancer stands; None when it is gone.
    :returns: for a failure, too; the engine goes on trying, and what comes of that is worth a new report.
    """
    if entry is None:
        # Gone behind Octavia's back if nobody asked for it.
        word = ProvisioningStatus.DELETED if pending.deleting else ProvisioningStatus.ERROR
        return {one: (kind, word) for one, kind in {**pending.parents, **pending.direct}.items()}
    if entry.settled:
        return dict(_done(pending, entry.desired))
    if entry.status is ProvisioningStatus.ERROR:
        return dict(_failed(pending))
    return None


def _done(pending: Pending, tree: LoadBalancer) -> Mapping[str, tuple[Kind, ProvisioningStatus]]:
    held = {one.id for _, one in tree.walk()}
    found: dict[str, tuple[Kind, ProvisioningStatus]] = {}
    for identity, kind in {**pending.parents, **pending.direct}.items():
        word = ProvisioningStatus.ACTIVE if identity in held else ProvisioningStatus.DELETED
        if word is ProvisioningStatus.ACTIVE or identity in pending.direct:
            found[identity] = (kind, word)
    return found


def _failed(pending: Pending) -> Mapping[str, tuple[Kind, ProvisioningStatus]]:
    """ERROR for what was asked for; what stands around it can be used again, to put it right."""
    active, error = ProvisioningStatus.ACTIVE, ProvisioningStatus.ERROR
    found = {one: (kind, active) for one, kind in pending.parents.items()}
    found |= {one: (kind, error) for one, kind in pending.direct.items()}
    return found


def message(
    found: Mapping[str, tuple[Kind, ProvisioningStatus]], operating: Mapping[str, OperatingStatus]
) -> dict[str, list[dict[str, str]]]:
    """The report as octavia-lib sends it, children before parents."""
    lists: dict[str, list[dict[str, str]]] = {}
    for kind, plural in PLURALS.items():
        records = [
            {"id": one, "provisioning_status": word.value, **_operating(one, word, operating)}
            for one, (of, word) in found.items()
            if of is kind
        ]
        if records:
            lists[plural] = records
    return lists


def _operating(identity: str, word: ProvisioningStatus, operating: Mapping[str, OperatingStatus]) -> dict[str, str]:
    if word is ProvisioningStatus.DELETED:
        return {"operating_status": OperatingStatus.OFFLINE.value}
    status = operating.get(identity)
    return {"operating_status": status.value} if status is not None else {}
