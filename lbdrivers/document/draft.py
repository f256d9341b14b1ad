"""Plain values to drafts: each resource of the document with its model, its fields and its place.

Law: a draft knows where it stands in the document, whatever happens to it later, so that every
problem can be named in the document's own terms. Unknown fields are found here; values are judged
by the model alone (``check``).
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel

from lbdrivers.document.source import Path, Source, scalar, show_path
from lbdrivers.errors import Problem
from lbdrivers.model.resources import (
    AdditionalVip,
    HealthMonitor,
    L7Policy,
    L7Rule,
    Listener,
    LoadBalancer,
    Member,
    Pool,
    SessionPersistence,
)

#: field -> model of what stands in it; lists and single objects apart.
LISTS: Mapping[type[BaseModel], Mapping[str, type[BaseModel]]] = {
    LoadBalancer: {"pools": Pool, "listeners": Listener, "additional_vips": AdditionalVip},
    Listener: {"l7policies": L7Policy},
    L7Policy: {"rules": L7Rule},
    Pool: {"members": Member},
}
OBJECTS: Mapping[type[BaseModel], Mapping[str, type[BaseModel]]] = {
    Pool: {"healthmonitor": HealthMonitor, "session_persistence": SessionPersistence},
    Listener: {"default_pool": Pool},
    L7Policy: {"redirect_pool": Pool},
}
#: A nested pool and the field that holds its id once it is moved to the load balancer's pools.
NESTED_POOLS: Mapping[type[BaseModel], tuple[str, str]] = {
    Listener: ("default_pool", "default_pool_id"),
    L7Policy: ("redirect_pool", "redirect_pool_id"),
}
NOUNS: Mapping[type[BaseModel], str] = {
    LoadBalancer: "load balancer",
    Listener: "listener",
    Pool: "pool",
    Member: "member",
    HealthMonitor: "health monitor",
    L7Policy: "policy",
    L7Rule: "rule",
    SessionPersistence: "session persistence",
    AdditionalVip: "VIP",
}

# What the v2 API answers with, or wants where resources are created one by one.
_ANSWERS = frozenset(
    {"provisioning_status", "operating_status", "created_at", "updated_at", "vip_vnic_type", "vnic_type", "port_id"}
)
_IMPLIED = frozenset({"loadbalancer_id", "loadbalancers", "listener_id", "pool_id", "healthmonitor_id"})
# Children belong to their load balancer's project, whatever they say (v2 API).
_PROJECT = frozenset({"project_id", "tenant_id"})


@dataclass
class Draft:
    """A resource that is not checked yet.

    :param path: where it stands in the document.
    :param fields: plain values by field of the model.
    :param spelled: field of the model -> key in the document, where they differ.
    :param lists: child drafts by field; :param objects: the same for single ones.
    :param derived: whether its id was made here.
    :param broken: whether a problem is known that would make the model complain of its consequences.
    """

    model: type[BaseModel]
    path: Path
    fields: dict[str, Any] = field(default_factory=dict)
    spelled: dict[str, str] = field(default_factory=dict)
    lists: dict[str, list[Draft]] = field(default_factory=dict)
    objects: dict[str, Draft] = field(default_factory=dict)
    derived: bool = False
    broken: bool = False

    def derive(self, identity: str) -> None:
        """Take this id unless the document gave one."""
        if "id" not in self.fields:
            self.fields["id"] = identity
            self.derived = True

    @property
    def noun(self) -> str:
        """What people call it."""
        return NOUNS[self.model]

    def text(self, name: str) -> str:
        """The field as text, or "" when it is absent or no text."""
        value = self.fields.get(name)
        return value if isinstance(value, str) else ""

    def place(self, name: str) -> Path:
        """Where the field stands in the document."""
        return (*self.path, self.spelled.get(name, name))


def shorten(value: object) -> str:
    """A value from the document as one short line."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, list | tuple):
        return "a list"
    text = ascii(value) if isinstance(value, str) and not value.isprintable() else str(value)
    if isinstance(value, str) and not isinstance(scalar(value), str):
        text = f'"{value}"'  # "80" is text, 80 is none
    return text if len(text) <= 60 else text[:57] + "..."


class Problems:
    """Collects what is wrong with one document, with the line of each."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self._found: dict[Problem, int] = {}

    @property
    def found(self) -> tuple[Problem, ...]:
        """Each problem once, in the order of the document's lines."""
        return tuple(sorted(self._found, key=self._found.__getitem__))

    def add(self, path: Path, message: str, remedy: str = "", value: str = "") -> None:
        """Note one problem at a place of the document."""
        problem = Problem(show_path(path), value, message, remedy, self.source.location(path))
        self._found.setdefault(problem, self.source.line(path))


def draft(model: type[BaseModel], value: Any, path: Path, problems: Problems) -> Draft | None:
    """The resource in ``value`` with all that is nested in it; None (and a problem) when it is no mapping."""
    if not isinstance(value, dict):
        noun = NOUNS[model]
        problems.add(path, f"is not a {noun}", f"write the fields of the {noun} as a mapping", shorten(value))
        return None
    made = Draft(model, path)
    lists, objects = LISTS.get(model, {}), OBJECTS.get(model, {})
    for key, content in value.items():
        place = (*path, key)
        if key in lists:
            if content is not None:
                made.lists[key] = _draft_list(lists[key], content, place, problems)
        elif key in objects:
            if content is not None and (child := draft(objects[key], content, place, problems)) is not None:
                made.objects[key] = child
        elif model is not LoadBalancer and key in _PROJECT:
            continue
        else:
            _field(made, key, content, problems)
    return made


def _draft_list(model: type[BaseModel], content: Any, path: Path, problems: Problems) -> list[Draft]:
    if not isinstance(content, list):
        noun = NOUNS[model]
        problems.add(path, "is not a list", f"start each {noun} with a dash (-)", shorten(content))
        return []
    children = (draft(model, item, (*path, index), problems) for index, item in enumerate(content))
    return [child for child in children if child is not None]


def _field(made: Draft, key: str, content: Any, problems: Problems) -> None:
    """Take over one plain field under the model's name for it, or say why not."""
    place = (*made.path, key)
    name = "project_id" if key == "tenant_id" and made.model is LoadBalancer else key
    if name not in made.model.model_fields:
        _unknown(made.model, key, place, problems)
        return
    if name in made.fields and made.fields[name] != content:
        problems.add(
            place, "contradicts its alias", "write project_id only; tenant_id is its old name", shorten(content)
        )
        return
    if name != key:
        made.spelled[name] = key
    if content is not None:
        made.fields[name] = content
    elif name == "admin_state_up":
        made.fields[name] = False  # v2 API: null is "down" here, and "not given" everywhere else


def _unknown(model: type[BaseModel], key: str, place: Path, problems: Problems) -> None:
    noun = NOUNS[model]
    if key in _ANSWERS:
        problems.add(place, f"is an answer of the API, not a part of a {noun}'s definition", "remove it")
    elif key in _IMPLIED:
        problems.add(place, "follows from where the resource stands", "remove it")
    else:
        known = [*model.model_fields, *OBJECTS.get(model, {}), *(("tenant_id",) if model is LoadBalancer else ())]
        problems.add(place, f"is not a field of a {noun}", did_you_mean(key, known))


def did_you_mean(word: str, known: list[str]) -> str:
    """A remedy: the known word that looks like it, or all of them when they are few."""
    by_fold = {name.casefold().replace("-", "_"): name for name in known}
    close = difflib.get_close_matches(word.casefold().replace("-", "_").replace(" ", "_"), by_fold, n=1, cutoff=0.6)
    if close:
        return f"did you mean {by_fold[close[0]]}?"
    return f"choose from {', '.join(sorted(known))}"


def walk(root: Draft, visit: Callable[[Draft], None]) -> None:
    """Visit every draft, parents first, in the order of the document's fields."""
    visit(root)
    for children in root.lists.values():
        for child in children:
            walk(child, visit)
    for child in root.objects.values():
        walk(child, visit)
