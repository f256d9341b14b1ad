"""What the store says of one load balancer, as a frozen value, and what follows from it alone.

Law: pure. Nothing dict-like leaves the store.
"""

from __future__ import annotations

from dataclasses import dataclass

from lbdrivers.model.resources import LoadBalancer
from lbdrivers.model.status import ProvisioningStatus


@dataclass(frozen=True)
class Cause:
    """Why a load balancer is not as it should be.

    :param user: one sentence for its owner.
    :param operator: what an operator needs in addition.
    :param object_id: the resource that caused it, when one can be named.
    """

    user: str
    operator: str
    object_id: str | None = None


@dataclass(frozen=True)
class Lease:
    """Who works on it; ``expires`` in seconds since the epoch."""

    holder: str
    expires: float


@dataclass(frozen=True)
class Entry:
    """One load balancer: what is wanted, what was done, how it stands.

    :param generation: counts desired trees, from 1.
    :param applied: tree of the last apply that succeeded; None before the first.
    :param applied_generation: its generation; 0 before the first.
    :param cause: of the last failure; None while all goes well.
    :param attempts: failed runs in a row.
    :param next_attempt: when to try again, in seconds since the epoch; None when nothing waits.
    :param failovers_wanted: counts requests; those up to ``failovers_done`` are served.
    """

    id: str
    name: str
    provider: str
    generation: int
    desired: LoadBalancer
    applied_generation: int
    applied: LoadBalancer | None
    status: ProvisioningStatus
    cause: Cause | None
    attempts: int
    next_attempt: float | None
    delete_wanted: bool
    failovers_wanted: int
    failovers_done: int
    lease: Lease | None
    created_at: float
    updated_at: float

    @property
    def failover_wanted(self) -> bool:
        """Whether a requested failover has not been done yet."""
        return self.failovers_wanted > self.failovers_done

    @property
    def settled(self) -> bool:
        """Whether nothing is left to do."""
        return not (self.delete_wanted or self.failover_wanted or self.generation > self.applied_generation)


def pending_status(*, applied_generation: int, delete_wanted: bool) -> ProvisioningStatus:
    """The status while work waits or runs."""
    if delete_wanted:
        return ProvisioningStatus.PENDING_DELETE
    return ProvisioningStatus.PENDING_UPDATE if applied_generation else ProvisioningStatus.PENDING_CREATE
