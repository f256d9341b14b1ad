"""What leads from one tree to another, in an order in which every intermediate tree is valid."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from operator import attrgetter
from typing import NamedTuple

from pydantic import ValidationError

from lbdrivers.model.changes.change import Change, Created, Deleted, FieldChange, Ordered, Updated
from lbdrivers.model.kinds import CHILDREN, CREATE_ONLY, AnyResource, Kind, children
from lbdrivers.model.resources import Listener, LoadBalancer, Pool

#: kind -> what reads those fields; made once, because it runs for every member.
_BIRTH = {kind: attrgetter(*fields) for kind, fields in CREATE_ONLY.items() if fields}


#: Fields of a load balancer that bind what is in it, those together that are judged together.
_BINDING = (
    frozenset({"vip_address", "vip_subnet_id", "vip_network_id", "vip_port_id", "additional_vips"}),
    frozenset({"vip_sg_ids"}),
    frozenset({"flavor_id", "flavor_data"}),
)


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


def _is_valid(tree: LoadBalancer, fields: Mapping[str, object]) -> bool:
    try:
        LoadBalancer.model_validate({**tree.__dict__, **fields})
    except ValidationError:
        return False
    return True


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
        first, then = self._own_changes()
        yield from self._own(first)
        for pool in self.new.pools:
            yield from self._arranged(Kind.POOL, self.new.id, pool)
        for listener in self.new.listeners:
            yield from self._arranged(Kind.LISTENER, self.new.id, listener)
        yield from self._leftovers()
        yield from self._own(then)
        for identity, place in self.after.items():
            if CHILDREN[place.kind] and identity in self.kept:
                yield from self._ordered(identity)

    def _own_changes(self) -> tuple[list[FieldChange], list[FieldChange]]:
        """The load balancer's own fields that change before what is in it, and those that change after.

        What forbids something to its children waits until they do without it.
        """
        changes = _field_changes(Kind.LOAD_BALANCER, self.old, self.new)
        first = [one for one in changes if not any(one.name in group for group in _BINDING)]
        then: list[FieldChange] = []
        for group in _BINDING:
            changed = [one for one in changes if one.name in group]
            together = {one.name: one.new for one in (*first, *changed)}
            if not changed or _is_valid(self.old, together):
                first += changed
                continue
            then += changed
            if "vip_address" in group and self.old.vip_address is not None:
                # Nothing is demanded of anybody's family while a VIP is unknown.
                first.append(FieldChange("vip_address", self.old.vip_address, None))
                then = [one for one in then if one.name != "vip_address"]
                then.append(FieldChange("vip_address", None, self.new.vip_address))
        return first, [one for one in then if one.old != one.new]

    def _own(self, fields: list[FieldChange]) -> Iterator[Updated]:
        if fields:
            yield Updated(Kind.LOAD_BALANCER, self.new.id, None, tuple(fields))

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

    def _updated(self, kind: Kind, old: AnyResource, new: AnyResource, parent_id: str | None) -> Iterator[Updated]:
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
