"""octavia-lib's data models and our tree: each turned into the other.

Law: pure. ``Unset`` says nothing and changes nothing; ``None`` says "back to the default". Lists may
be Unset, None, or hold objects or plain dicts (what DriverLibrary gives); nested ones likewise. What
octavia-lib has no field for (tags, the provider's name) is not carried; secrets' contents, which the
API puts beside each reference, are dropped: drivers of ours resolve references themselves.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping
from typing import Any

from octavia_lib.api.drivers import data_models
from pydantic import BaseModel, ValidationError

from lbdrivers.drivers.profiles import ProfileKind
from lbdrivers.errors import UnsupportedError
from lbdrivers.model.kinds import CHILDREN, AnyResource, Kind
from lbdrivers.model.provider_data import ProviderData
from lbdrivers.model.resources import (
    HealthMonitor,
    L7Policy,
    L7Rule,
    Listener,
    LoadBalancer,
    Member,
    PolicyAction,
    Pool,
)

#: kind -> octavia-lib's class and ours.
CLASSES: Mapping[Kind, tuple[type[Any], type[AnyResource]]] = {
    Kind.LOAD_BALANCER: (data_models.LoadBalancer, LoadBalancer),
    Kind.LISTENER: (data_models.Listener, Listener),
    Kind.POOL: (data_models.Pool, Pool),
    Kind.MEMBER: (data_models.Member, Member),
    Kind.HEALTH_MONITOR: (data_models.HealthMonitor, HealthMonitor),
    Kind.L7POLICY: (data_models.L7Policy, L7Policy),
    Kind.L7RULE: (data_models.L7Rule, L7Rule),
}

#: kind -> the word for many, in reports and requests of octavia-lib. Children stand before parents,
#: which is the order in which reports are carried out (members ... load balancers).
PLURALS: Mapping[Kind, str] = {
    Kind.MEMBER: "members",
    Kind.HEALTH_MONITOR: "healthmonitors",
    Kind.POOL: "pools",
    Kind.L7RULE: "l7rules",
    Kind.L7POLICY: "l7policies",
    Kind.LISTENER: "listeners",
    Kind.LOAD_BALANCER: "loadbalancers",
}

#: Of our statistics, those that octavia-lib knows.
STATISTICS = ("active_connections", "bytes_in", "bytes_out", "request_errors", "total_connections")

#: octavia-lib's field -> ours: flavors and zones travel as what they stand for, without their names.
_PROFILES = {"flavor": "flavor_data", "availability_zone": "availability_zone_data"}

#: Of our fields, those that octavia-lib does not have under the same name.
_OURS_ALONE = frozenset({"id", "tags", "provider", "request_sriov", "flavor_id", "availability_zone"}) | set(
    _PROFILES.values()
)

#: Whether a member is reached directly -> the VNIC type of the port on its side.
_VNIC_TYPES = {False: "normal", True: "direct"}

#: Lists that the API leaves empty where there is nothing to say.
_NEVER_EMPTY = ("tls_versions", "alpn_protocols")

#: action -> the field that holds its target.
_TARGETS = {
    PolicyAction.REDIRECT_TO_POOL: "redirect_pool_id",
    PolicyAction.REDIRECT_TO_URL: "redirect_url",
    PolicyAction.REDIRECT_PREFIX: "redirect_prefix",
}


def is_unset(value: object) -> bool:
    """Whether octavia-lib says nothing about it."""
    return isinstance(value, data_models.UnsetType)


def identity_field(kind: Kind) -> str:
    """Name of the field that holds the id."""
    return f"{kind}_id"


def _fields_of(kind: Kind) -> tuple[str, ...]:
    """Names that both sides have for plain values; children and ids are apart."""
    _theirs, ours = CLASSES[kind]
    return tuple(name for name in ours.model_fields if name not in _OURS_ALONE and name not in CHILDREN[kind])


# -- ours -> theirs -------------------------------------------------------------------------------


def _plain(value: object) -> object:
    """The value as octavia-lib has it: words, lists and dicts."""
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, BaseModel):
        return {name: _plain(part) for name, part in value if part is not None}
    if isinstance(value, tuple):
        return [_plain(part) for part in value]
    return value


def plain_fields(kind: Kind, resource: AnyResource) -> dict[str, object]:
    """The resource's own fields under octavia-lib's names, without children and ids."""
    found = {name: _plain(getattr(resource, name)) for name in _fields_of(kind)}
    if isinstance(resource, Listener):
        found["insert_headers"] = dict(resource.insert_headers) or None
    if isinstance(resource, Member):
        found["vnic_type"] = _VNIC_TYPES[resource.request_sriov]
    return found


def _profile(data: ProviderData | None) -> dict[str, Any] | None:
    return None if data is None else data.plain()


class Objects:
    """The resources of one tree as octavia-lib's objects, with ids of parents and project.

    Every call gives new objects, so that a driver may change its own.
    """

    def __init__(self, tree: LoadBalancer) -> None:
        self._tree = tree
        self._pools = {pool.id: pool for pool in tree.pools}
        self._first_listener: dict[str, str] = {}
        for listener in tree.listeners:
            for pool_id in listener.pool_ids():
                self._first_listener.setdefault(pool_id, listener.id)

    def load_balancer(self) -> Any:
        """The whole tree."""
        tree = self._tree
        return data_models.LoadBalancer(
            **plain_fields(Kind.LOAD_BALANCER, tree),
            **{theirs: _profile(getattr(tree, ours)) for theirs, ours in _PROFILES.items()},
            loadbalancer_id=tree.id,
            listeners=[self.listener(one) for one in tree.listeners],
            pools=[self.pool(one) for one in tree.pools],
        )

    def listener(self, listener: Listener) -> Any:
        """A listener with its policies and its default pool."""
        pool = self._pools.get(listener.default_pool_id or "")
        return data_models.Listener(
            **plain_fields(Kind.LISTENER, listener),
            **self._common("listener", listener.id),
            loadbalancer_id=self._tree.id,
            default_pool=self.pool(pool) if pool is not None else None,
            l7policies=[self.policy(listener.id, one) for one in listener.l7policies],
        )

    def pool(self, pool: Pool) -> Any:
        """A pool with its members and its monitor."""
        monitor = pool.healthmonitor
        return data_models.Pool(
            **plain_fields(Kind.POOL, pool),
            **self._common("pool", pool.id),
            loadbalancer_id=self._tree.id,
            listener_id=self._first_listener.get(pool.id),
            members=[self.member(pool.id, one) for one in pool.members],
            healthmonitor=self.monitor(pool.id, monitor) if monitor is not None else None,
        )

    def member(self, pool_id: str, member: Member) -> Any:
        """A member."""
        fields = plain_fields(Kind.MEMBER, member)
        return data_models.Member(**fields, **self._common("member", member.id), pool_id=pool_id)

    def monitor(self, pool_id: str, monitor: HealthMonitor) -> Any:
        """A health monitor."""
        fields = plain_fields(Kind.HEALTH_MONITOR, monitor)
        return data_models.HealthMonitor(**fields, **self._common("healthmonitor", monitor.id), pool_id=pool_id)

    def policy(self, listener_id: str, policy: L7Policy) -> Any:
        """A policy with its rules."""
        return data_models.L7Policy(
            **plain_fields(Kind.L7POLICY, policy),
            **self._common("l7policy", policy.id),
            listener_id=listener_id,
            rules=[self.rule(policy.id, one) for one in policy.rules],
        )

    def rule(self, policy_id: str, rule: L7Rule) -> Any:
        """A rule."""
        fields = plain_fields(Kind.L7RULE, rule)
        return data_models.L7Rule(**fields, **self._common("l7rule", rule.id), l7policy_id=policy_id)

    def of(self, identity: str) -> Any:
        """The object of that id; None when the tree has none."""
        if identity == self._tree.id:
            return self.load_balancer()
        for pool in self._tree.pools:
            if (found := self._of_pool(pool, identity)) is not None:
                return found
        for listener in self._tree.listeners:
            if (found := self._of_listener(listener, identity)) is not None:
                return found
        return None

    def _of_pool(self, pool: Pool, identity: str) -> Any:
        if pool.id == identity:
            return self.pool(pool)
        if pool.healthmonitor is not None and pool.healthmonitor.id == identity:
            return self.monitor(pool.id, pool.healthmonitor)
        return next((self.member(pool.id, one) for one in pool.members if one.id == identity), None)

    def _of_listener(self, listener: Listener, identity: str) -> Any:
        if listener.id == identity:
            return self.listener(listener)
        for policy in listener.l7policies:
            if policy.id == identity:
                return self.policy(listener.id, policy)
            for rule in policy.rules:
                if rule.id == identity:
                    return self.rule(policy.id, rule)
        return None

    def _common(self, kind: str, identity: str) -> dict[str, str]:
        return {f"{kind}_id": identity, "project_id": self._tree.project_id}


def changed_object(kind: Kind, new: AnyResource, names: tuple[str, ...]) -> Any:
    """An object for an update: its id, the named fields of ``new``, and everything else Unset."""
    fields = plain_fields(kind, new)
    theirs, _ours = CLASSES[kind]
    return theirs(**{identity_field(kind): new.id}, **{name: fields[name] for name in names if name in fields})


# -- theirs -> ours -------------------------------------------------------------------------------


def given(thing: object) -> dict[str, Any]:
    """What an object or dict of octavia-lib says, Unset left out."""
    values = thing if isinstance(thing, dict) else vars(thing)
    return {name: value for name, value in values.items() if not is_unset(value)}


def _many(value: object) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else []


def _own_fields(kind: Kind, values: Mapping[str, Any]) -> dict[str, Any]:
    """Constructor arguments of our class; None gives way to our default, which is what it means."""
    found = {name: values[name] for name in _fields_of(kind) if values.get(name) is not None}
    for name in _NEVER_EMPTY:
        if not found.get(name):
            found.pop(name, None)
    found["id"] = values.get(identity_field(kind))
    if kind is Kind.MEMBER and values.get("vnic_type") is not None:
        found["request_sriov"] = values["vnic_type"] == _VNIC_TYPES[True]
    if kind is Kind.LOAD_BALANCER:
        found |= {ours: values[theirs] for theirs, ours in _PROFILES.items() if values.get(theirs)}
    if kind is Kind.LOAD_BALANCER and "additional_vips" in found:
        kept = ("subnet_id", "ip_address")
        found["additional_vips"] = [{name: given(vip).get(name) for name in kept} for vip in found["additional_vips"]]
    if kind is Kind.POOL and "session_persistence" in found:
        found["session_persistence"] = {k: v for k, v in given(found["session_persistence"]).items() if v is not None}
    return found


def _refuse_unknown(kind: Kind, values: Mapping[str, Any]) -> None:
    """What a tree has no place for must not be lost in silence."""
    if kind is Kind.MEMBER and values.get("vnic_type") not in (None, *_VNIC_TYPES.values()):
        raise UnsupportedError(f"the provider takes no members with the VNIC type {values['vnic_type']}")


def parse(kind: Kind, values: Mapping[str, Any]) -> AnyResource:
    """Our resource out of what an object says.

    :raises UnsupportedError: when it says what a tree cannot.
    """
    _refuse_unknown(kind, values)
    _theirs, ours = CLASSES[kind]
    fields = _own_fields(kind, values)
    for field, child_kind in CHILDREN[kind].items():
        value = values.get(field)
        if child_kind is Kind.HEALTH_MONITOR:
            fields[field] = parse(child_kind, given(value)) if value else None
        else:
            fields[field] = tuple(parse(child_kind, given(child)) for child in _many(value))
    if kind is Kind.L7POLICY:
        fields = fitting_targets(fields)
    if kind is Kind.LOAD_BALANCER:
        fields["pools"] += _pools_of_listeners(values, {pool.id for pool in fields["pools"]})
    return validated(ours, fields)


def _pools_of_listeners(values: Mapping[str, Any], known: set[str]) -> tuple[Pool, ...]:
    """Default pools that stand below a listener only."""
    found: dict[str, Pool] = {}
    for listener in _many(values.get("listeners")):
        pool = given(listener).get("default_pool")
        if pool:
            parsed = parse(Kind.POOL, given(pool))
            if isinstance(parsed, Pool) and parsed.id not in known:
                found[parsed.id] = parsed
    return tuple(found.values())


def identities(thing: object) -> dict[str, Kind]:
    """Ids of what a load balancer's object holds, with their kinds; nothing else of it is looked at."""
    return dict(_identities(Kind.LOAD_BALANCER, given(thing)))


def _identities(kind: Kind, values: Mapping[str, Any]) -> Iterator[tuple[str, Kind]]:
    identity = values.get(identity_field(kind))
    if isinstance(identity, str):
        yield identity, kind
    for field, child_kind in CHILDREN[kind].items():
        value = values.get(field)
        for child in _many(value) if child_kind is not Kind.HEALTH_MONITOR else [value] if value else []:
            yield from _identities(child_kind, given(child))


def fitting_targets(fields: dict[str, Any]) -> dict[str, Any]:
    """A policy's fields without targets of other actions than its own, which the API clears as well."""
    action = fields.get("action")
    kept = {name: value for name, value in fields.items() if name not in _TARGETS.values()}
    target = _TARGETS.get(PolicyAction(action)) if action in {one.value for one in PolicyAction} else None
    if target is not None:
        kept[target] = fields.get(target)
    if target in (None, "redirect_pool_id"):
        kept.pop("redirect_http_code", None)
    return kept


def provider_data(kind: ProfileKind, metadata: object) -> ProviderData:
    """What a flavor or zone stands for. :raises UnsupportedError: when it is no JSON."""
    try:
        return ProviderData.parse(metadata)
    except ValueError as error:
        raise UnsupportedError(f"the {kind} {error}") from error


def load_balancer(thing: object) -> LoadBalancer:
    """The tree of a whole load balancer. :raises UnsupportedError: see ``parse``."""
    tree = parse(Kind.LOAD_BALANCER, given(thing))
    assert isinstance(tree, LoadBalancer)
    return tree


def updated(kind: Kind, old: AnyResource, thing: object) -> AnyResource:
    """``old`` after what an update object says; None goes back to the default.

    :raises UnsupportedError: see ``parse``.
    """
    values = given(thing)
    _refuse_unknown(kind, values)
    _theirs, ours = CLASSES[kind]
    said = {name: value for name, value in values.items() if name in _fields_of(kind)}
    fields: dict[str, Any] = {name: value for name, value in old.__dict__.items() if name not in said}
    told = _own_fields(kind, said)
    del told["id"]
    persistence = told.get("session_persistence")
    if isinstance(old, Pool) and old.session_persistence is not None and persistence and "type" not in persistence:
        told["session_persistence"] = {"type": old.session_persistence.type, **persistence}
    fields |= told
    return validated(ours, fitting_targets(fields) if kind is Kind.L7POLICY else fields)


def validated(ours: type[AnyResource], fields: Mapping[str, Any]) -> AnyResource:
    """The resource. :raises UnsupportedError: it names the fields that our model does not take."""
    try:
        return ours.model_validate(dict(fields))
    except ValidationError as error:
        problems = "; ".join(
            ": ".join(part for part in (".".join(str(step) for step in one["loc"]), one["msg"]) if part)
            for one in error.errors(include_url=False, include_input=False)
        )
        raise UnsupportedError(f"the provider does not take this {ours.__name__}: {problems}") from error
