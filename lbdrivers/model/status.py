"""Provisioning and operating statuses: the words, the legal transitions, and the roll-up.

Law: everything that decides a status lives here, as tables. What is not in a table is illegal.
Terms are those of the v2 API.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable


class ProvisioningStatus(enum.StrEnum):
    """Whether what runs is what was asked for."""

    PENDING_CREATE = "PENDING_CREATE"
    PENDING_UPDATE = "PENDING_UPDATE"
    PENDING_DELETE = "PENDING_DELETE"
    ACTIVE = "ACTIVE"
    ERROR = "ERROR"
    DELETED = "DELETED"


class OperatingStatus(enum.StrEnum):
    """Whether it works."""

    ONLINE = "ONLINE"
    OFFLINE = "OFFLINE"
    DEGRADED = "DEGRADED"
    ERROR = "ERROR"
    DRAINING = "DRAINING"
    NO_MONITOR = "NO_MONITOR"


_P = ProvisioningStatus

#: status -> statuses that may follow. A failed change keeps its cause and its next attempt, so
#: ERROR leads back to every PENDING state; nothing leads out of DELETED.
PROVISIONING_TRANSITIONS: dict[ProvisioningStatus, frozenset[ProvisioningStatus]] = {
    _P.PENDING_CREATE: frozenset({_P.ACTIVE, _P.ERROR, _P.PENDING_UPDATE, _P.PENDING_DELETE}),
    _P.PENDING_UPDATE: frozenset({_P.ACTIVE, _P.ERROR, _P.PENDING_DELETE}),
    _P.PENDING_DELETE: frozenset({_P.DELETED, _P.ERROR}),
    _P.ACTIVE: frozenset({_P.PENDING_UPDATE, _P.PENDING_DELETE}),
    _P.ERROR: frozenset({_P.PENDING_CREATE, _P.PENDING_UPDATE, _P.PENDING_DELETE}),
    _P.DELETED: frozenset(),
}


def may_follow(old: ProvisioningStatus, new: ProvisioningStatus) -> bool:
    """Whether ``new`` is legal after ``old``; staying is always legal."""
    return old is new or new in PROVISIONING_TRANSITIONS[old]


_O = OperatingStatus
#: worst first: how much a child's status weighs when its parent's is computed.
_SEVERITY = (_O.ERROR, _O.DEGRADED, _O.OFFLINE, _O.DRAINING, _O.NO_MONITOR, _O.ONLINE)


def worst(statuses: Iterable[OperatingStatus]) -> OperatingStatus | None:
    """The gravest of several statuses; None for none."""
    return min(statuses, key=_SEVERITY.index, default=None)
