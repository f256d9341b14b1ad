"""What Octavia waits to hear of a load balancer: kept in a record until it was reported.

Law: level-triggered. The record says what was touched; what is reported of it follows from how the load
balancer stands then, so that a report may come late, twice, or once for many requests, but never not
at all: whatever the API has set to PENDING and we forget stays immutable for ever.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from lbdrivers.drivers.context import Conflict, Record, Records
from lbdrivers.model.kinds import Kind
from lbdrivers.model.resources import LoadBalancer
from lbdrivers.model.status import OperatingStatus, ProvisioningStatus
from lbdrivers.octavia.models import PLURALS
from lbdrivers.store.entry import Entry

KIND = "octavia-pending"


@dataclass(frozen=True)
class Pending:
    """What the API marked as pending.

    :param direct: ids that requests created, changed or deleted, with their kinds.
    :param parents: ids around them, which the API marked as well.
    :param created: of ``direct``, one for each request that created something: Octavia's status socket
        knows it once the request is committed, and loses in silence what is reported before.
    :param deleting: whether the load balancer itself is to go.
    :param failure: text of the failure that was reported already; "" for none.
    """

    direct: Mapping[str, Kind] = field(default_factory=dict)
    parents: Mapping[str, Kind] = field(default_factory=dict)
    created: Mapping[str, Kind] = field(default_factory=dict)
    deleting: bool = False
    failure: str = ""

    def __or__(self, newer: Pending) -> Pending:
        """Both together; what failed before is worth a new report."""
        return Pending(
            {**self.direct, **newer.direct},
            {**self.parents, **newer.parents},
            {**self.created, **newer.created},
            self.deleting or newer.deleting,
        )

    def __bool__(self) -> bool:
        return bool(self.direct)


def note(records: Records, load_balancer_id: str, pending: Pending) -> None:
    """Add to what is waited for."""
    while True:
        record = records.get(KIND, load_balancer_id)
        merged = parse(record) | pending if record is not None else pending
        version = record.version if record is not None else 0
        try:
            records.put(Record(KIND, load_balancer_id, _data(merged), version=version))
        except Conflict:
            continue
        return


def replace(records: Records, read: Record, pending: Pending) -> bool:
    """Write what is still waited for; False when more came since the record was read."""
    try:
        records.put(Record(KIND, read.id, _data(pending), version=read.version))
    except Conflict:
        return False
    return True


def parse(record: Record) -> Pending:
    """What the record says."""
    data = record.data
    sets = {name: {one: Kind(kind) for one, kind in data[name].items()} for name in ("direct", "parents", "created")}
    return Pending(**sets, deleting=bool(data["deleting"]), failure=str(data["failure"]))


def _data(pending: Pending) -> dict[str, object]:
    return {
        "direct": dict(pending.direct),
        "parents": dict(pending.parents),
        "created": dict(pending.created),
        "deleting": pending.deleting,
        "failure": pending.failure,
    }


# -- what is to be said ---------------------------------------------------------------------------


def statuses(pending: Pending, entry: Entry | None) -> Mapping[str, tuple[Kind, ProvisioningStatus]] | None:
    """Provisioning status to report by id; None while it is too early to tell.

    :param entry: how the load balancer stands; None when it is gone.
    """
    if entry is None:
        # Gone behind Octavia's back if nobody asked for it.
        word = ProvisioningStatus.DELETED if pending.deleting else ProvisioningStatus.ERROR
        return {one: (kind, word) for one, kind in {**pending.parents, **pending.direct}.items()}
    if entry.settled:
        return dict(_done(pending, entry.desired))
    if entry.status is ProvisioningStatus.ERROR and entry.cause is not None and pending.failure != entry.cause.user:
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
