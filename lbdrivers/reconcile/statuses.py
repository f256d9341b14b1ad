"""The provisioning status of every object of a load balancer, out of its entry.

Law: pure. What differs between the applied and the desired tree is pending; the object that a failure
names is in ERROR and no other one; everything else is as it was asked for.
"""

from __future__ import annotations

from collections.abc import Mapping

from lbdrivers.model.changes import Created, Deleted, Ordered, Updated, diff
from lbdrivers.model.status import ProvisioningStatus
from lbdrivers.store.entry import Entry


def object_statuses(entry: Entry) -> Mapping[str, ProvisioningStatus]:
    """Provisioning status by id, for every object that is wanted or still has to go."""
    statuses = {resource.id: ProvisioningStatus.ACTIVE for _, resource in entry.desired.walk()}
    if entry.delete_wanted:
        return dict.fromkeys(statuses, ProvisioningStatus.PENDING_DELETE) | _named_by_failure(entry)
    for change in diff(entry.applied, entry.desired):
        match change:
            case Created(_, _, resource):
                statuses[resource.id] = ProvisioningStatus.PENDING_CREATE
            case Deleted(_, identity, _):
                statuses.setdefault(identity, ProvisioningStatus.PENDING_DELETE)
            case Updated(_, identity, _, _):
                statuses[identity] = ProvisioningStatus.PENDING_UPDATE
            case Ordered(_, parent_id, _):
                statuses[parent_id] = ProvisioningStatus.PENDING_UPDATE
    # A child's change is a change of what stands around it.
    statuses[entry.id] = entry.status
    return statuses | _named_by_failure(entry)


def _named_by_failure(entry: Entry) -> dict[str, ProvisioningStatus]:
    """The load balancer's own status is in the entry; a named object's is ERROR with it."""
    named = {entry.id: entry.status}
    if entry.status is ProvisioningStatus.ERROR and entry.cause is not None and entry.cause.object_id:
        named[entry.cause.object_id] = ProvisioningStatus.ERROR
    return named
