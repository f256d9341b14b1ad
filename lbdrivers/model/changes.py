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

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from operator import attrgetter
from typing import NamedTuple, TypeAlias

from lbdrivers.model.kinds import CHILDREN, CREATE_ONLY, AnyResource, Kind, children
from lbdrivers.model.resources import Listener, LoadBalancer, Pool

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

#: kind -> what reads those fields; made once, because it runs for every member.
_BIRTH = {kind: attrgetter(*fields) for kind, fields in CREATE_ONLY.items() if fields}


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


class _Place(NamedTuple):
    """Where a resource stands."""

    kind: Kind
    parent_id: str | None
    resource: AnyResource


def _index(tree: LoadBalancer) -> dict[str, _Place]:
    """Every resource by id, parents before children."""
    found = {tree.id: _Place(Kind.LOAD_BALANCER, None, tree)}
    for pool in tree.pools:
        found[pool.id] = _Place(Kind.POOL, tree.id, pool)
        if pool.healthmonitor is not None:
            found[pool.healthmonitor.id] = _Place(Kind.HEALTH_MONITOR, pool.id, pool.healthmonitor)
        for member in pool.members:
            found[member.id] = _Place(Kind.MEMBER, pool.id, member)
    for listener in tree.listeners:
        found[listener.id] = _Place(Kind.LISTENER, tree.id, listener)
        for policy in listener.l7policies:
            found[policy.id] = _Place(Kind.L7POLICY, listener.id, policy)
            for rule in policy.rules:
                found[rule.id] = _Place(Kind.L7RULE, policy.id, rule)
    return found


def _same_from_birth(was: _Place, now: _Place) -> bool:
    values = _BIRTH.get(now.kind)
    return values is None or bool(values(was.resource) == values(now.resource))


def _bare(kind: Kind, resource: AnyResource) -> AnyResource:
    """The resource without its children."""
    empty: dict[str, object] = {}
    for field in CHILDREN[kind]:
        value = getattr(resource, field)
        if value:
            empty[field] = () if isinstance(value, tuple) else None
    return resource.model_copy(update=empty) if empty else resource


def _created_below(kind: Kind, parent_id: str | None, resource: AnyResource) -> Iterator[Created]:
    yield Created(kind, parent_id, _bare(kind, resource))
    for child_kind, child in children(resource, kind):
        yield from _created_below(child_kind, resource.id, child)


def _field_changes(kind: Kind, old: AnyResource, new: AnyResource) -> tuple[FieldChange, ...]:
    if old is new:
        return ()
    before, after = old.__dict__, new.__dict__
    return tuple(
        FieldChange(name, before[name], value)
        for name, value in after.items()
        if name not in CHILDREN[kind] and before[name] != value
    )


class _Comparison:
    """Two trees of one load balancer, and what of the old one can be kept."""

    def __init__(self, old: LoadBalancer, new: LoadBalancer) -> None:
        self.old = old
        self.new = new
        self.before = _index(old)
        self.after = _index(new)
        self.kept = self._kept()
        #: Pools that must go before what is created, because their id comes back as something else.
        self.blocking = frozenset(pool.id for pool in old.pools if pool.id not in self.kept and pool.id in self.after)
        self._give_up_policies_to_blocking_pools()

    def _kept(self) -> set[str]:
        kept: set[str] = set()
        for identity, place in self.after.items():
            was = self.before.get(identity)
            if was is None or was.kind is not place.kind or was.parent_id != place.parent_id:
                continue
            if place.parent_id is not None and place.parent_id not in kept:
                continue
            if was.resource is place.resource or _same_from_birth(was, place):
                kept.add(identity)
        return kept

    def _give_up_policies_to_blocking_pools(self) -> None:
        """A redirect cannot be without its pool, so the policy goes and comes back."""
        for listener in self.old.listeners:
            for policy in listener.l7policies:
                if policy.redirect_pool_id in self.blocking:
                    self.kept -= {policy.id, *(rule.id for rule in policy.rules)}

    def changes(self) -> Iterator[Change]:
        yield from self._listeners_freed()
        yield from self._pools_freed()
        yield from self._updated(Kind.LOAD_BALANCER, self.old, self.new)
        for pool in self.new.pools:
            yield from self._arranged(Kind.POOL, self.new.id, pool)
        for listener in self.new.listeners:
            yield from self._arranged(Kind.LISTENER, self.new.id, listener)
        yield from self._leftovers()
        for identity, place in self.after.items():
            if CHILDREN[place.kind] and identity in self.kept:
                yield from self._ordered(identity)

    def _listeners_freed(self) -> Iterator[Change]:
        """Everything that goes on the listeners' side, and references to blocking pools."""
        for listener in self.old.listeners:
            if listener.id not in self.kept:
                yield Deleted(Kind.LISTENER, listener.id, self.old.id)
                continue
            for policy in listener.l7policies:
                if policy.id not in self.kept:
                    yield Deleted(Kind.L7POLICY, policy.id, listener.id)
                    continue
                yield from (
                    Deleted(Kind.L7RULE, rule.id, policy.id) for rule in policy.rules if rule.id not in self.kept
                )
            if listener.default_pool_id in self.blocking:
                detached = FieldChange("default_pool_id", listener.default_pool_id, None)
                yield Updated(Kind.LISTENER, listener.id, self.old.id, (detached,))

    def _pools_freed(self) -> Iterator[Deleted]:
        """What goes on the pools' side because something new needs its id, its address or its place."""
        for pool in self.old.pools:
            if pool.id in self.blocking:
                yield Deleted(Kind.POOL, pool.id, self.old.id)
                continue
            monitor = pool.healthmonitor
            if monitor is not None and monitor.id not in self.kept and self._is_in_the_way(pool, monitor.id):
                yield Deleted(Kind.HEALTH_MONITOR, monitor.id, pool.id)
            wanted = self._wanted_addresses(pool.id)
            for member in pool.members:
                if member.id in self.kept:
                    continue
                if member.id in self.after or (member.address, member.protocol_port) in wanted:
                    yield Deleted(Kind.MEMBER, member.id, pool.id)

    def _is_in_the_way(self, pool: Pool, monitor_id: str) -> bool:
        return pool.id in self.kept or monitor_id in self.after

    def _wanted_addresses(self, pool_id: str) -> frozenset[tuple[str, int]]:
        """Addresses of the members that a kept pool gets."""
        pool = self.after[pool_id].resource if pool_id in self.kept else None
        if not isinstance(pool, Pool):
            return frozenset()
        return frozenset((m.address, m.protocol_port) for m in pool.members if m.id not in self.kept)

    def _arranged(self, kind: Kind, parent_id: str, resource: AnyResource) -> Iterator[Change]:
        """The resource updated or created, then its children."""
        if resource.id in self.kept:
            yield from self._updated(kind, self.before[resource.id].resource, resource, parent_id)
            for child_kind, child in children(resource, kind):
                if not self._is_untouched_leaf(child_kind, child):
                    yield from self._arranged(child_kind, resource.id, child)
        else:
            yield from _created_below(kind, parent_id, resource)

    def _is_untouched_leaf(self, kind: Kind, resource: AnyResource) -> bool:
        """Whether nothing can have changed there; the answer for nearly all of many members."""
        if CHILDREN[kind] or resource.id not in self.kept:
            return False
        was = self.before[resource.id].resource
        return was is resource or was.__dict__ == resource.__dict__

    def _updated(
        self, kind: Kind, old: AnyResource, new: AnyResource, parent_id: str | None = None
    ) -> Iterator[Updated]:
        if isinstance(old, Listener) and old.default_pool_id in self.blocking:
            old = old.model_copy(update={"default_pool_id": None})
        fields = _field_changes(kind, old, new)
        if fields:
            yield Updated(kind, new.id, parent_id, fields)

    def _leftovers(self) -> Iterator[Deleted]:
        """What nothing new had to wait for."""
        for pool in self.old.pools:
            if pool.id in self.blocking:
                continue
            if pool.id not in self.kept:
                yield Deleted(Kind.POOL, pool.id, self.old.id)
                continue
            wanted = self._wanted_addresses(pool.id)
            for member in pool.members:
                if member.id not in self.after and (member.address, member.protocol_port) not in wanted:
                    yield Deleted(Kind.MEMBER, member.id, pool.id)

    def _ordered(self, parent_id: str) -> Iterator[Ordered]:
        was, now = self.before[parent_id], self.after[parent_id]
        if was.resource is now.resource:
            return
        for field, kind in CHILDREN[now.kind].items():
            value = getattr(now.resource, field)
            if not isinstance(value, tuple):
                continue
            wanted = [child.id for child in value]
            natural = [child.id for child in getattr(was.resource, field) if child.id in self.kept]
            natural += [identity for identity in wanted if identity not in self.kept]
            if natural != wanted:
                yield Ordered(kind, parent_id, tuple(wanted))


def diff(old: LoadBalancer | None, new: LoadBalancer | None) -> tuple[Change, ...]:
    """What leads from ``old`` to ``new``, in an order in which every intermediate tree is valid.

    None stands for "no load balancer". Trees of different ids have nothing in common.
    """
    if old is new:
        return ()
    if old is not None and new is not None and old.id == new.id:
        return tuple(_Comparison(old, new).changes())
    gone = () if old is None else (Deleted(Kind.LOAD_BALANCER, old.id, None),)
    made = () if new is None else tuple(_created_below(Kind.LOAD_BALANCER, None, new))
    return gone + made


class _Node:
    """A resource while changes are carried out on it."""

    __slots__ = ("branches", "fields", "kind", "parent", "resource", "touched")

    def __init__(self, kind: Kind, resource: AnyResource, parent: _Node | None) -> None:
        self.kind = kind
        self.resource = resource
        self.parent = parent
        self.fields: dict[str, object] = {}
        self.branches: dict[Kind, dict[str, _Node]] = {child: {} for child in CHILDREN[kind].values()}
        self.touched = False

    def touch(self) -> None:
        node: _Node | None = self
        while node is not None and not node.touched:
            node.touched = True
            node = node.parent

    def frozen(self) -> AnyResource:
        """The value; constructed, hence validated, where anything changed."""
        if not self.touched:
            return self.resource
        values = {**self.resource.__dict__, **self.fields}
        for field, kind in CHILDREN[self.kind].items():
            found = tuple(node.frozen() for node in self.branches[kind].values())
            values[field] = found if kind is not Kind.HEALTH_MONITOR else next(iter(found), None)
        return type(self.resource).model_validate(values)


class _Workbench:
    """A tree taken apart, so that a change costs O(1)."""

    def __init__(self, tree: LoadBalancer | None) -> None:
        self._nodes: dict[str, _Node] = {}
        self._root: _Node | None = None
        if tree is not None:
            self._root = self._take_apart(Kind.LOAD_BALANCER, tree, None)

    def _take_apart(self, kind: Kind, resource: AnyResource, parent: _Node | None) -> _Node:
        node = _Node(kind, resource, parent)
        self._nodes[resource.id] = node
        for child_kind, child in children(resource, kind):
            node.branches[child_kind][child.id] = self._take_apart(child_kind, child, node)
        return node

    def result(self) -> LoadBalancer | None:
        tree = self._root.frozen() if self._root is not None else None
        assert tree is None or isinstance(tree, LoadBalancer)
        return tree

    def perform(self, change: Change) -> None:
        match change:
            case Created(kind, parent_id, resource):
                self._create(kind, parent_id, resource)
            case Updated(_, identity, _, fields):
                node = self._node(identity)
                node.fields.update((field.name, field.new) for field in fields)
                node.touch()
            case Deleted(kind, identity, _):
                self._delete(kind, identity)
            case Ordered(kind, parent_id, ids):
                parent = self._node(parent_id)
                parent.branches[kind] = {identity: parent.branches[kind][identity] for identity in ids}
                parent.touch()

    def _node(self, identity: str) -> _Node:
        node = self._nodes.get(identity)
        if node is None:
            raise ValueError(f"the tree has nothing of the id {identity}; the changes belong to another tree")
        return node

    def _create(self, kind: Kind, parent_id: str | None, resource: AnyResource) -> None:
        if resource.id in self._nodes:
            raise ValueError(f"the tree has the id {resource.id} already; the changes belong to another tree")
        if parent_id is None:
            self._root = self._take_apart(kind, resource, None)
            return
        parent = self._node(parent_id)
        if kind is Kind.HEALTH_MONITOR and parent.branches[kind]:
            raise ValueError(f"the pool {parent_id} has a health monitor already")
        parent.branches[kind][resource.id] = self._take_apart(kind, resource, parent)
        parent.touch()

    def _delete(self, kind: Kind, identity: str) -> None:
        node = self._node(identity)
        if node.parent is None:
            self._root = None
        else:
            del node.parent.branches[kind][identity]
            node.parent.touch()
        self._forget(node)

    def _forget(self, node: _Node) -> None:
        del self._nodes[node.resource.id]
        for branch in node.branches.values():
            for child in branch.values():
                self._forget(child)


def apply_changes(old: LoadBalancer | None, changes: Iterable[Change]) -> LoadBalancer | None:
    """The tree after the changes.

    :raises ValueError: when they do not belong to this tree, or leave an invalid one.
    """
    bench = _Workbench(old)
    for change in changes:
        bench.perform(change)
    return bench.result()


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
