"""What a callback of octavia-lib makes of a tree.

Law: pure, and every edit may come twice. The caller knows best: what stands in the way of something
new (another id at the same address, port or place, left over from a request that the API took back
after we had heard of it) goes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from lbdrivers.errors import PermanentError, UnsupportedError
from lbdrivers.model.kinds import CHILDREN, AnyResource, Kind, children
from lbdrivers.model.resources import L7Policy, Listener, LoadBalancer, Member, Pool
from lbdrivers.octavia import models, positions

#: kind -> the kind around it.
PARENT_KIND: Mapping[Kind, Kind] = {child: parent for parent, held in CHILDREN.items() for child in held.values()}


def inside(kind: Kind, resource: AnyResource) -> Iterator[tuple[Kind, AnyResource]]:
    """The resource and everything in it, parents before children."""
    yield kind, resource
    for child_kind, child in children(resource, kind):
        yield from inside(child_kind, child)


def find(tree: LoadBalancer, identity: str) -> tuple[Kind, AnyResource] | None:
    """The resource of that id with its kind."""
    return next((found for found in inside(Kind.LOAD_BALANCER, tree) if found[1].id == identity), None)


def parent_of(tree: LoadBalancer, identity: str) -> AnyResource | None:
    """What stands around the resource of that id; None for the load balancer and the unknown."""
    for kind, resource in inside(Kind.LOAD_BALANCER, tree):
        if any(child.id == identity for _, child in children(resource, kind)):
            return resource
    return None


def _rebuilt(resource: AnyResource, **fields: object) -> AnyResource:
    return models.validated(type(resource), {**resource.__dict__, **fields})


def _replaced(tree: LoadBalancer, kind: Kind, new: AnyResource) -> LoadBalancer:
    """The tree with ``new`` instead of the resource of its id."""
    while not isinstance(new, LoadBalancer):
        parent = parent_of(tree, new.id)
        assert parent is not None  # whoever asks has found it there
        new = _with_child(parent, kind, new)
        kind = PARENT_KIND[kind]
    return new


def _with_child(parent: AnyResource, kind: Kind, child: AnyResource) -> AnyResource:
    """The parent with the child in the place of the one of its id, or last."""
    if kind is Kind.HEALTH_MONITOR:
        return _rebuilt(parent, healthmonitor=child)
    if isinstance(parent, Listener) and isinstance(child, L7Policy):
        return _rebuilt(parent, l7policies=positions.placed(parent.l7policies, child))
    field = _field_of(kind)
    kept = [one for one in getattr(parent, field) if one.id == child.id or not _clash(one, child)]
    if any(one.id == child.id for one in kept):
        return _rebuilt(parent, **{field: tuple(child if one.id == child.id else one for one in kept)})
    return _rebuilt(parent, **{field: (*kept, child)})


def _field_of(kind: Kind) -> str:
    """Name of the parent's field that holds resources of the kind."""
    return next(name for name, held in CHILDREN[PARENT_KIND[kind]].items() if held is kind)


def with_policy(tree: LoadBalancer, listener_id: str, policy: L7Policy) -> LoadBalancer:
    """The tree with the policy in its position, the others moved apart."""
    listener = _found(tree, Kind.LISTENER, listener_id)
    if listener is None:
        raise PermanentError(f"the listener {listener_id} is unknown", object_id=policy.id)
    return _replaced(tree, Kind.LISTENER, _with_child(listener, Kind.L7POLICY, policy))


def _clash(one: AnyResource, other: AnyResource) -> bool:
    """Whether two siblings cannot be side by side."""
    if isinstance(one, Member) and isinstance(other, Member):
        return (one.address, one.protocol_port) == (other.address, other.protocol_port)
    if isinstance(one, Listener) and isinstance(other, Listener):
        ports = ((one.protocol.transport, one.protocol_port), (other.protocol.transport, other.protocol_port))
        return ports[0] == ports[1]
    return False


def created(tree: LoadBalancer, kind: Kind, thing: object) -> LoadBalancer:
    """The tree with what the object says below the parent that it names.

    :raises PermanentError: when that parent is unknown. :raises UnsupportedError: see ``models.parse``.
    """
    values = models.given(thing)
    resource = models.parse(kind, values)
    parent = _parent(tree, kind, values)
    if kind is Kind.LISTENER:
        tree = _with_default_pool(tree, values)
        parent = tree
    result = _replaced(tree, PARENT_KIND[kind], _with_child(parent, kind, resource))
    listener = _found(result, Kind.LISTENER, values.get("listener_id")) if kind is Kind.POOL else None
    if isinstance(listener, Listener) and listener.default_pool_id is None:
        # A pool that is made for a listener becomes its default pool; nothing else says so.
        result = _replaced(result, Kind.LISTENER, _rebuilt(listener, default_pool_id=resource.id))
    return result


def _with_default_pool(tree: LoadBalancer, values: Mapping[str, Any]) -> LoadBalancer:
    """A listener may bring its default pool along."""
    pool = values.get("default_pool")
    if not pool or find(tree, models.given(pool).get("pool_id", "")) is not None:
        return tree
    result = _with_child(tree, Kind.POOL, models.parse(Kind.POOL, models.given(pool)))
    assert isinstance(result, LoadBalancer)
    return result


def _parent(tree: LoadBalancer, kind: Kind, values: Mapping[str, Any]) -> AnyResource:
    parent_kind = PARENT_KIND[kind]
    identity = values.get(models.identity_field(parent_kind))
    parent = tree if parent_kind is Kind.LOAD_BALANCER else _found(tree, parent_kind, identity)
    if parent is None:
        raise PermanentError(f"the {parent_kind} {identity} is unknown", object_id=values.get(f"{kind}_id"))
    return parent


def _found(tree: LoadBalancer, kind: Kind, identity: object) -> AnyResource | None:
    found = find(tree, str(identity))
    return found[1] if found is not None and found[0] is kind else None


def updated(tree: LoadBalancer, kind: Kind, thing: object) -> LoadBalancer:
    """The tree after an update object; Unset changes nothing, None goes back to the default.

    :raises PermanentError: when there is no such object. :raises UnsupportedError: see ``models.parse``.
    """
    identity = models.given(thing).get(models.identity_field(kind))
    old = _found(tree, kind, identity)
    if old is None:
        raise PermanentError(f"the {kind} {identity} is unknown", object_id=str(identity))
    return _replaced(tree, kind, models.updated(kind, old, thing))


def deleted(tree: LoadBalancer, kind: Kind, identity: str) -> LoadBalancer:
    """The tree without that object and what is inside; absent is success."""
    if kind is Kind.LOAD_BALANCER or _found(tree, kind, identity) is None:
        return tree
    parent = parent_of(tree, identity)
    assert parent is not None
    if kind is Kind.HEALTH_MONITOR:
        return _replaced(tree, Kind.POOL, _rebuilt(parent, healthmonitor=None))
    if kind is Kind.POOL:
        listeners = tuple(_detached(listener, identity) for listener in tree.listeners)
        pools = tuple(pool for pool in tree.pools if pool.id != identity)
        result = _rebuilt(tree, listeners=listeners, pools=pools)
        assert isinstance(result, LoadBalancer)
        return result
    field = _field_of(kind)
    kept = tuple(one for one in getattr(parent, field) if one.id != identity)
    if kind is Kind.L7POLICY:
        kept = positions.renumbered(positions.in_order(kept))
    return _replaced(tree, PARENT_KIND[kind], _rebuilt(parent, **{field: kept}))


def _detached(listener: Listener, pool_id: str) -> Listener:
    """The listener without a default pool that goes; the API does the same to its own rows."""
    if listener.default_pool_id != pool_id:
        return listener
    return listener.model_copy(update={"default_pool_id": None})


def with_members(tree: LoadBalancer, pool_id: str, things: Iterable[object]) -> LoadBalancer:
    """The tree with exactly these members in the pool; fields that are Unset stay as they are.

    :raises PermanentError: when there is no such pool. :raises UnsupportedError: see ``models.parse``.
    """
    pool = _found(tree, Kind.POOL, pool_id)
    if not isinstance(pool, Pool):
        raise PermanentError(f"the pool {pool_id} is unknown", object_id=pool_id)
    known = {member.id: member for member in pool.members}
    members = tuple(_member(known, thing) for thing in things)
    return _replaced(tree, Kind.POOL, _rebuilt(pool, members=members))


def _member(known: Mapping[str, Member], thing: object) -> AnyResource:
    identity = models.given(thing).get("member_id")
    if not isinstance(identity, str):
        raise UnsupportedError("a member without an id cannot be told from the others")
    old = known.get(identity)
    return models.parse(Kind.MEMBER, models.given(thing)) if old is None else models.updated(Kind.MEMBER, old, thing)
