"""What changed between two trees, as values, and the same changes carried out on a tree.

Laws (property-tested): ``apply_changes(old, diff(old, new)) == new``, the order of children
included; ``diff(x, x)`` is empty; every prefix of a diff leaves a valid tree; both take O(n).

Every resource appears by a Created of its own, without children; a Deleted takes along what is
inside. A field that the v2 API lets one set at creation only (``CREATE_ONLY``) is changed by Deleted
and Created: there is no request that could say it otherwise. What serves traffic is kept for as
long as it can be: a new pool stands before a listener is turned to it, a new member before the old
one goes.
"""

from __future__ import annotations

from lbdrivers.model.changes.apply import apply_changes
from lbdrivers.model.changes.change import Change, Created, Deleted, FieldChange, Ordered, Updated, touched
from lbdrivers.model.changes.diff import diff
from lbdrivers.model.kinds import Kind

__all__ = [
    "Change",
    "Created",
    "Deleted",
    "FieldChange",
    "Kind",
    "Ordered",
    "Updated",
    "apply_changes",
    "diff",
    "touched",
]
