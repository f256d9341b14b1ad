"""What leads from one tree to another, as calls of octavia-lib's ProviderDriver.

Law: pure. Carried out in order they end at the wanted tree, and every tree between is valid; a whole
tree is one ``loadbalancer_create``; members that change together are one ``member_batch_update`` with
the complete list. What the interface has no word for (tags, the order of siblings) is left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from lbdrivers.errors import PermanentError
from lbdrivers.model.changes import Change, Created, Deleted, Ordered, Updated, apply_changes, diff
from lbdrivers.model.kinds import AnyResource, Kind
from lbdrivers.model.resources import L7Policy, Listener, LoadBalancer, Pool
from lbdrivers.octavia import edits, models, positions

#: kind -> how octavia-lib's methods call it.
_WORDS = {
    Kind.LOAD_BALANCER: "loadbalancer",
    Kind.LISTENER: "listener",
    Kind.POOL: "pool",
    Kind.MEMBER: "member",
    Kind.HEALTH_MONITOR: "health_monitor",
    Kind.L7POLICY: "l7policy",
    Kind.L7RULE: "l7rule",
}

#: What the v2 API lets one change of a load balancer, and what our side alone knows of.
_CHANGEABLE = frozenset({"name", "description", "admin_state_up", "vip_qos_policy_id", "vip_sg_ids"})
_UNSPOKEN = frozenset({"tags", "provider", "flavor_id", "availability_zone"})

_FARTHEST = 2147483647


@dataclass(frozen=True)
class Call:
    """One call.

    :param meanwhile: the tree that a driver sees that asks back while the call is on.
    :param after: the tree when it is done; None when the load balancer is gone.
    :param touched: ids that it creates, updates or deletes, with their kinds.
    :param parents: what else the API marks as pending meanwhile.
    :param singly: the same as several calls, for drivers that do not offer this one.
    """

    method: str
    arguments: tuple[Any, ...]
    meanwhile: LoadBalancer
    after: LoadBalancer | None
    touched: Mapping[str, Kind]
    parents: Mapping[str, Kind]
    singly: tuple[Call, ...] = ()


def between(old: LoadBalancer | None, new: LoadBalancer) -> tuple[Call, ...]:
    """The calls from ``old`` (None: nothing is there) to ``new``.

    :raises PermanentError: when the interface has no call for a change.
    """
    new = positions.canonical(new)
    if old is None:
        touched = {one.id: Kind(kind) for kind, one in new.walk()}
        return (Call("loadbalancer_create", (models.Objects(new).load_balancer(),), new, new, touched, {}),)
    return tuple(_Way(positions.canonical(old), new).calls())


def removal(tree: LoadBalancer) -> Call:
    """The call that takes the load balancer away, with all that is in it."""
    touched = {one.id: Kind(kind) for kind, one in tree.walk()}
    cascade = len(touched) > 1
    return Call("loadbalancer_delete", (models.Objects(tree).load_balancer(), cascade), tree, None, touched, {})


def around(tree: LoadBalancer | None, identity: str) -> dict[str, Kind]:
    """What the API marks as pending when the object of that id changes."""
    if tree is None:
        return {}
    found: dict[str, Kind] = {}
    one, subject = identity, edits.find(tree, identity)
    if subject is None:
        return {}
    while (parent := edits.parent_of(tree, one)) is not None:
        placed = edits.find(tree, parent.id)
        assert placed is not None
        found[parent.id] = placed[0]
        one = parent.id
    pools = {one for one, kind in {identity: subject[0], **found}.items() if kind is Kind.POOL}
    if pools:
        found |= {listener.id: Kind.LISTENER for listener in tree.listeners if pools & set(listener.pool_ids())}
    return found


class _Way:
    """From one tree to another of the same load balancer. ``_told``: the tree as the driver knows it."""

    def __init__(self, old: LoadBalancer, new: LoadBalancer) -> None:
        self._told = old
        self._new = new
        self._changes = diff(_with_restless_policies(old, new), new)
        self._batched = _pools_of_many(self._changes)
        self._sent: set[str] = set()

    def calls(self) -> Iterator[Call]:
        for change in self._changes:
            if change.kind is Kind.MEMBER:
                yield from self._of_members(change)
            elif not isinstance(change, Ordered):
                yield from self._single(change)

    def _of_members(self, change: Change) -> Iterator[Call]:
        pool_id = change.parent_id
        assert pool_id is not None
        several = self._batched.get(pool_id)
        # A member that comes back elsewhere under its id must be seen to go.
        comes_back = isinstance(change, Deleted) and edits.find(self._new, change.id) is not None
        if several is None or comes_back:
            if not isinstance(change, Ordered):
                yield from self._single(change)
            return
        # One that goes to make room is missing from the list, which comes with the first that stays.
        early = isinstance(change, Deleted) and not all(isinstance(one, Deleted) for one in several)
        if pool_id not in self._sent and not early:
            self._sent.add(pool_id)
            yield self._batch(pool_id, several)

    def _batch(self, pool_id: str, changes: list[Change]) -> Call:
        before = self._told
        held, wanted = before.pool(pool_id), self._new.pool(pool_id)
        known = {member.id: member for member in held.members}
        rest = [one for one in changes if not (isinstance(one, Deleted) and one.id not in known)]
        singly = tuple(call for one in rest if not isinstance(one, Ordered) for call in self._single(one))
        filled = held.model_copy(update={"members": wanted.members})
        self._told = before.model_copy(update={"pools": _instead(before, filled)})
        objects = models.Objects(self._told)
        same = {member.id for member in wanted.members if known.get(member.id) == member}
        touched = {one.id: Kind.MEMBER for one in (*held.members, *wanted.members) if one.id not in same}
        members = [objects.member(pool_id, member) for member in wanted.members]
        parents = {pool_id: Kind.POOL} | around(self._told, pool_id)
        gone = tuple(one for one in held.members if edits.find(self._told, one.id) is None)
        both = held.model_copy(update={"members": (*wanted.members, *gone)})
        meanwhile = self._told.model_copy(update={"pools": _instead(self._told, both)})
        return Call("member_batch_update", (pool_id, members), meanwhile, self._told, touched, parents, singly)

    def _single(self, change: Created | Updated | Deleted) -> Iterator[Call]:
        before, after = self._told, _after(self._told, change)
        self._told = after
        word = _WORDS[change.kind]
        if isinstance(change, Created):
            identity = change.resource.id
            made = models.Objects(after).of(identity)
            yield Call(f"{word}_create", (made,), after, after, {identity: change.kind}, around(after, identity))
            return
        old = models.Objects(before).of(change.id)
        parents = around(before, change.id)
        if isinstance(change, Deleted):
            yield Call(f"{word}_delete", (old,), before, after, _with_inside(before, change.id), parents)
            return
        names = tuple(field.name for field in change.fields)
        names = _changeable(names) if change.kind is Kind.LOAD_BALANCER else names
        found = edits.find(after, change.id)
        assert found is not None
        new = models.changed_object(change.kind, found[1], names)
        if set(names) - _UNSPOKEN:
            parents |= around(after, change.id)
            yield Call(f"{word}_update", (old, new), after, after, {change.id: change.kind}, parents)


def _instead(tree: LoadBalancer, new: Pool) -> tuple[Pool, ...]:
    return tuple(new if pool.id == new.id else pool for pool in tree.pools)


def _after(tree: LoadBalancer, change: Created | Updated | Deleted) -> LoadBalancer:
    """The tree after one change, policies numbered as the API does it."""
    if change.kind is not Kind.L7POLICY:
        result = apply_changes(tree, (change,))
        assert result is not None
        return result
    if isinstance(change, Deleted):
        return edits.deleted(tree, change.kind, change.id)
    assert change.parent_id is not None
    policy = change.resource if isinstance(change, Created) else _changed_policy(tree, change)
    assert isinstance(policy, L7Policy)
    return edits.with_policy(tree, change.parent_id, policy)


def _changed_policy(tree: LoadBalancer, change: Updated) -> AnyResource:
    found = edits.find(tree, change.id)
    assert found is not None
    values = {**found[1].__dict__, **{field.name: field.new for field in change.fields}}
    return models.validated(L7Policy, values)


def _changeable(fields: tuple[str, ...]) -> tuple[str, ...]:
    """Fields of the load balancer that an update can carry."""
    fixed = [name for name in fields if name not in _CHANGEABLE | _UNSPOKEN]
    if fixed:
        raise PermanentError(
            f"{', '.join(fixed)} of a load balancer cannot change through this provider; create it anew for that"
        )
    return tuple(name for name in fields if name in _CHANGEABLE)


def _with_inside(tree: LoadBalancer, identity: str) -> dict[str, Kind]:
    """The object of that id and everything inside, with their kinds."""
    found = edits.find(tree, identity)
    assert found is not None
    return {resource.id: kind for kind, resource in edits.inside(*found)}


def _pools_of_many(changes: tuple[Change, ...]) -> dict[str, list[Change]]:
    """Changes of members by pool, where they are more than one, or an order."""
    found: dict[str, list[Change]] = {}
    for change in changes:
        if change.kind is Kind.MEMBER and change.parent_id is not None:
            found.setdefault(change.parent_id, []).append(change)
    return {pool: several for pool, several in found.items() if len(several) > 1 or isinstance(several[0], Ordered)}


def _with_restless_policies(old: LoadBalancer, new: LoadBalancer) -> LoadBalancer:
    """``old`` with policies far away where any of a listener's moves: so each is told its position, in
    order, and it does not matter how the driver moves the others meanwhile."""
    wanted = {listener.id: _order(listener) for listener in new.listeners}
    listeners = tuple(
        listener
        if wanted.get(listener.id) in (None, _order(listener))
        else listener.model_copy(
            update={
                "l7policies": tuple(policy.model_copy(update={"position": _FARTHEST}) for policy in listener.l7policies)
            }
        )
        for listener in old.listeners
    )
    return old.model_copy(update={"listeners": listeners})


def _order(listener: Listener) -> list[str]:
    return [policy.id for policy in listener.l7policies]
