"""Changes carried out on a tree. Law: each costs O(1); what comes out is validated."""

from __future__ import annotations

from collections.abc import Iterable

from lbdrivers.model.changes.change import Change, Created, Deleted, Ordered, Updated
from lbdrivers.model.kinds import CHILDREN, AnyResource, Kind, children
from lbdrivers.model.resources import LoadBalancer


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
