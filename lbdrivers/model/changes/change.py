"""What a change is: one resource created, updated or deleted, or children put in order."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from lbdrivers.model.kinds import AnyResource, Kind


@dataclass(frozen=True, slots=True)
class FieldChange:
    """One field's value before and after."""

    name: str
    old: object
    new: object


@dataclass(frozen=True, slots=True)
class Created:
    """A resource appears, last among its siblings. ``resource`` is without children: theirs follow.

    :param parent_id: None for the load balancer.
    """

    kind: Kind
    parent_id: str | None
    resource: AnyResource


@dataclass(frozen=True, slots=True)
class Updated:
    """Fields of a resource change, all at once."""

    kind: Kind
    id: str
    parent_id: str | None
    fields: tuple[FieldChange, ...]


@dataclass(frozen=True, slots=True)
class Deleted:
    """A resource goes, with everything inside it."""

    kind: Kind
    id: str
    parent_id: str | None


@dataclass(frozen=True, slots=True)
class Ordered:
    """The children of that kind are put into this order; a backend without an order ignores it."""

    kind: Kind
    parent_id: str
    ids: tuple[str, ...]


Change: TypeAlias = Created | Updated | Deleted | Ordered


def touched(changes: Iterable[Change]) -> Mapping[str, Kind]:
    """Ids of the resources that the changes create, update or delete, with their kinds."""
    found: dict[str, Kind] = {}
    for change in changes:
        match change:
            case Created(kind, _, resource):
                found[resource.id] = kind
            case Updated(kind, identity, _, _) | Deleted(kind, identity, _):
                found[identity] = kind
            case Ordered():
                pass
    return found
