"""What an apply would do: the provider's own plan where it has one, else the difference of the trees.

Law: asks, never does.
"""

from __future__ import annotations

from dataclasses import dataclass

from lbdrivers.drivers.provider import Mildness, Planner, Provider
from lbdrivers.errors import TemporaryError
from lbdrivers.model.changes import Change, Created, Deleted, Kind, Ordered, Updated, diff
from lbdrivers.model.resources import Listener, LoadBalancer, Member

_NOUNS = {
    Kind.LOAD_BALANCER: "load balancer",
    Kind.HEALTH_MONITOR: "health monitor",
    Kind.L7POLICY: "policy",
    Kind.L7RULE: "rule",
}


@dataclass(frozen=True)
class Action:
    """One thing that would be done. ``mildness`` is None when the provider does not say."""

    subject: str
    action: str
    mildness: Mildness | None

    def as_json(self) -> dict[str, str | None]:
        """As plain values."""
        return {"subject": self.subject, "action": self.action, "mildness": self.mildness}


def planned(provider: Provider, desired: LoadBalancer, applied: LoadBalancer | None) -> tuple[Action, ...]:
    """What ``apply`` would do now, in order; empty when everything is as it is wanted."""
    if isinstance(provider, Planner):
        try:
            actions = provider.plan(desired, applied)
        except TemporaryError:  # something does not answer now, and the trees still differ as they do
            return differences(desired, applied)
        return tuple(Action(action.subject, action.action, action.mildness) for action in actions)
    return differences(desired, applied)


def differences(desired: LoadBalancer, applied: LoadBalancer | None) -> tuple[Action, ...]:
    """The changes between two trees in words."""
    names = {
        resource.id: _label(kind, resource) for tree in (applied, desired) if tree for kind, resource in tree.walk()
    }
    return tuple(_action(change, names) for change in diff(applied, desired))


def _action(change: Change, names: dict[str, str]) -> Action:
    if isinstance(change, Created):
        return Action(names[change.resource.id], "create", None)
    if isinstance(change, Deleted):
        return Action(names[change.id], "delete", None)
    if isinstance(change, Ordered):
        return Action(names[change.parent_id], f"reorder its {_NOUNS.get(change.kind, change.kind.value)}s", None)
    return Action(names[change.id], f"change {_fields(change)}", None)


def _fields(change: Updated) -> str:
    return ", ".join(f"{field.name}: {_short(field.old)} -> {_short(field.new)}" for field in change.fields)


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 40 else text[:37] + "..."


def _label(kind: str, resource: object) -> str:
    noun = _NOUNS.get(Kind(kind), kind)
    name = getattr(resource, "name", "")
    if not name and isinstance(resource, Member):
        name = f"{resource.address} port {resource.protocol_port}"
    if not name and isinstance(resource, Listener):
        name = f"{resource.protocol}:{resource.protocol_port}"
    return f"{noun} {name or getattr(resource, 'id', '')}"
