"""Drafts to the canonical tree: ids, pools in one place, policies in order, defaults of the v2 API.

Law: what comes out says explicitly what the document said implicitly; nothing is judged here
except what only makes sense in the document's own form (references by name, repeated names).
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable

from lbdrivers.document.draft import NESTED_POOLS, Draft, Problems, did_you_mean, shorten, walk
from lbdrivers.document.identity import child_id, load_balancer_id, member_key
from lbdrivers.document.source import show_path
from lbdrivers.model.resources import PolicyAction

_LAST = 2147483647
_TARGETS = {
    "redirect_pool_id": PolicyAction.REDIRECT_TO_POOL,
    "redirect_url": PolicyAction.REDIRECT_TO_URL,
    "redirect_prefix": PolicyAction.REDIRECT_PREFIX,
}


def normalise(root: Draft, problems: Problems) -> None:
    """Bring the load balancer's draft into canonical form, in place."""
    _identify_load_balancer(root, problems)
    listeners = root.lists.setdefault("listeners", [])
    _identify(listeners, root, "listener", problems, _listener_key)
    for listener in listeners:
        policies = listener.lists.get("l7policies", [])
        _order(policies)
        _identify(policies, listener, "l7policy", problems, lambda policy: ("position", str(policy.fields["position"])))
        for policy in policies:
            for index, rule in enumerate(policy.lists.get("rules", [])):
                rule.derive(child_id(policy.text("id"), "l7rule", str(index)))
    pools = _gather_pools(root, problems)
    _resolve(root, pools, problems)
    for pool in pools:
        _finish_pool(pool, problems)
    for listener in listeners:
        for policy in listener.lists.get("l7policies", []):
            _settle_action(policy, problems)


def canonical(identity: str) -> str:
    """The one spelling of a UUID; text that is none stays as it is."""
    try:
        return str(uuid.UUID(identity))
    except ValueError:
        return identity


# --- identities ------------------------------------------------------------------------------


def _identify_load_balancer(root: Draft, problems: Problems) -> None:
    if "id" not in root.fields:
        if not root.text("name"):
            problems.add(
                root.path,
                "the load balancer has neither a name nor an id",
                "give it a name, so that applying the file again means the same load balancer",
            )
        root.derive(load_balancer_id(root.text("project_id"), root.text("name")))


def _identify(
    siblings: Iterable[Draft], parent: Draft, kind: str, problems: Problems, key: Callable[[Draft], tuple[str, ...]]
) -> None:
    """Give ids to the siblings that have none, from their names, or from ``key`` where they have none."""
    named: dict[str, Draft] = {}
    for child in siblings:
        if "id" in child.fields:
            continue
        name = child.text("name")
        if name and name in named:
            problems.add(
                child.place("name"),
                f"is the name of another {child.noun}, {show_path(named[name].path)}",
                "give each a name of its own, or an id",
                shorten(name),
            )
        named.setdefault(name, child)
        child.derive(child_id(parent.text("id"), kind, *(("name", name) if name else key(child))))


def _listener_key(listener: Draft) -> tuple[str, ...]:
    protocol = listener.text("protocol")
    transport = protocol if protocol in ("UDP", "SCTP") else "TCP"
    return ("port", transport, str(listener.fields.get("protocol_port")))


# --- policies --------------------------------------------------------------------------------


def _order(policies: list[Draft]) -> None:
    """Sort by position (those without one stay last, in the document's order) and number from 1."""

    def wanted(policy: Draft) -> int:
        position = policy.fields.get("position", _LAST)
        return position if isinstance(position, int) and not isinstance(position, bool) else _LAST

    policies.sort(key=wanted)
    for number, policy in enumerate(policies, start=1):
        given = policy.fields.get("position", 1)
        if isinstance(given, int) and not isinstance(given, bool) and 1 <= given <= _LAST:
            policy.fields["position"] = number  # what is no position stays, for the model to refuse


def _settle_action(policy: Draft, problems: Problems) -> None:
    """The v2 API's rules: a target implies the action, REJECT drops targets."""
    fields = policy.fields
    if fields.get("action") == PolicyAction.REJECT:
        for name in (*_TARGETS, "redirect_http_code"):
            fields.pop(name, None)
        return
    given = [name for name in _TARGETS if name in fields]
    if len(given) > 1:
        named = " and ".join(policy.spelled.get(name, name) for name in given)
        problems.add(policy.path, f"redirects to several targets: {named}", "keep one of them")
        for name in given[1:]:
            del fields[name]
    if given:
        fields["action"] = _TARGETS[given[0]].value
    if fields.get("action") == PolicyAction.REDIRECT_TO_POOL:
        fields.pop("redirect_http_code", None)


# --- pools -----------------------------------------------------------------------------------


def _is_reference(pool: Draft) -> bool:
    return not pool.lists and not pool.objects and set(pool.fields) <= {"id", "name"}


def _gather_pools(root: Draft, problems: Problems) -> list[Draft]:
    """Move nested definitions to the load balancer's pools; a reference stays where it is for ``_resolve``."""
    pools = root.lists.setdefault("pools", [])
    owners: dict[int, tuple[str, ...]] = {}
    for index, pool in enumerate(pools):
        owners[id(pool)] = ("index", str(index))
    moved: list[tuple[Draft, str, Draft]] = []

    def collect(owner: Draft) -> None:
        for field, _ in filter(None, (NESTED_POOLS.get(owner.model),)):
            pool = owner.objects.get(field)
            if pool is not None and not _is_reference(pool):
                owners[id(pool)] = (field, owner.text("id"))
                pools.append(pool)
                moved.append((owner, field, pool))

    for listener in root.lists["listeners"]:
        walk(listener, collect)
    _identify(pools, root, "pool", problems, lambda pool: owners[id(pool)])
    for owner, field, pool in moved:
        del owner.objects[field]
        _refer(owner, pool, problems)
    return pools


def _refer(owner: Draft, pool: Draft, problems: Problems) -> None:
    """Write the pool's id into the owner's id field; both forms at once must mean the same pool."""
    nested, field = NESTED_POOLS[owner.model]
    given = owner.text(field)
    if given and canonical(given) != canonical(pool.text("id")):
        problems.add((*owner.path, field), f"names another pool than {nested}", f"keep {nested} or {field}", given)
    owner.fields[field] = pool.fields["id"]
    owner.spelled[field] = nested


def _resolve(root: Draft, pools: list[Draft], problems: Problems) -> None:
    """Replace references by name or id with the pool's id."""

    def visit(owner: Draft) -> None:
        if (nesting := NESTED_POOLS.get(owner.model)) is None:
            return
        reference = owner.objects.pop(nesting[0], None)
        if reference is None:
            return
        if (pool := _find(reference, pools, problems)) is not None:
            _refer(owner, pool, problems)
        else:
            owner.broken = True

    for listener in root.lists["listeners"]:
        walk(listener, visit)


def _find(reference: Draft, pools: list[Draft], problems: Problems) -> Draft | None:
    identity, name = reference.fields.get("id"), reference.text("name")
    if identity is None and not name:
        problems.add(reference.path, "is an empty pool", "define it here, or name a pool: {name: ...}")
        return None
    matching = [
        pool
        for pool in pools
        if (identity is None or canonical(pool.text("id")) == canonical(str(identity)))
        and (not name or pool.text("name") == name)
    ]
    if len(matching) == 1:
        return matching[0]
    field, value = ("name", name) if name else ("id", str(identity))
    if matching:
        problems.add(
            reference.place(field), "is the name of several pools", "refer to the pool by its id", shorten(name)
        )
    else:
        names = [pool.text("name") for pool in pools if pool.text("name")]
        remedy = did_you_mean(value, names) if names else "define the pool in loadbalancer.pools or here"
        problems.add(reference.place(field), "is not a pool of this document", remedy, shorten(value))
    return None


def _finish_pool(pool: Draft, problems: Problems) -> None:
    """Ids of members and monitor; members that stand twice."""
    seen: dict[tuple[str, str], Draft] = {}
    for member in list(pool.lists.get("members", [])):
        key = member_key(member.fields.get("address"), member.fields.get("protocol_port"))
        member.derive(child_id(pool.text("id"), "member", *key))
        if key in seen and {"address", "protocol_port"} <= set(member.fields):
            first = show_path(seen[key].path)
            problems.add(member.path, f"has the address and port of {first}", "remove one", f"{key[0]} port {key[1]}")
            pool.lists["members"].remove(member)
        seen.setdefault(key, member)
    if (monitor := pool.objects.get("healthmonitor")) is not None:
        monitor.derive(child_id(pool.text("id"), "healthmonitor"))
