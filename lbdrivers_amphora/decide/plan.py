"""What an apply would do, as values: for the dry run.

Law: pure; nothing is touched. Each change of the tree is weighed alone, by what it does to
HAProxy's configuration and to datagrams; what concerns machines comes first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from lbdrivers.drivers.amphora import Bundle, Facts
from lbdrivers.drivers.provider import Mildness, PlannedAction
from lbdrivers.model.changes import Change, Created, Deleted, Ordered, apply_changes, diff
from lbdrivers.model.resources import L7Rule, LoadBalancer, Member, Resource
from lbdrivers_amphora.decide import datagrams
from lbdrivers_amphora.decide.datagrams import DatagramDriver
from lbdrivers_amphora.decide.topology import AmphoraPlan
from lbdrivers_amphora.haproxy.process import Process
from lbdrivers_amphora.haproxy.transition import transition
from lbdrivers_amphora.haproxy.translate import translate

#: Stands for one that answers; how mild a change is does not depend on what it says.
_SOME_PROCESS = Process(connection_limit=1)


def amphora_actions(plan: AmphoraPlan) -> Iterator[PlannedAction]:
    """What happens to machines."""
    for slot, unfinished in plan.build:
        action = "finish building" if unfinished is not None else "build"
        yield PlannedAction(f"amphora {slot.role}", action, Mildness.REPLACE)
    for amphora in plan.remove:
        yield PlannedAction(f"amphora {amphora.id}", "remove", Mildness.REPLACE)


def tree_actions(
    applied: LoadBalancer,
    desired: LoadBalancer,
    bundle: Callable[[LoadBalancer], Bundle],
    facts: Facts,
    driver: DatagramDriver,
) -> Iterator[PlannedAction]:
    """What happens to a running load balancer, change by change.

    :param bundle: gives the bundle of one amphora for a tree.
    """
    before = applied
    running, passed = translate(bundle(before), facts), datagrams.wanted(bundle(before), facts, driver)
    labels = {resource.id: f"{kind} {_name(resource)}" for tree in (applied, desired) for kind, resource in tree.walk()}
    for change in diff(applied, desired):
        after = apply_changes(before, (change,))
        if after is None:
            raise ValueError("a desired tree cannot be nothing; removal is another verb")
        wanted, then_passed = translate(bundle(after), facts), datagrams.wanted(bundle(after), facts, driver)
        kinds = (Mildness(transition(running, wanted, _SOME_PROCESS).kind), datagrams.mildness(passed, then_passed))
        yield PlannedAction(labels[_subject(change)], _action(change), max(kinds, key=tuple(Mildness).index))
        before, running, passed = after, wanted, then_passed


def _subject(change: Change) -> str:
    match change:
        case Created(resource=resource):
            return resource.id
        case Ordered(parent_id=parent_id):
            return parent_id
        case _:
            return change.id


def _action(change: Change) -> str:
    match change:
        case Created():
            return "create"
        case Deleted():
            return "delete"
        case Ordered(kind=kind):
            return f"reorder its {kind}s"
        case _:
            return "update " + ", ".join(f"{field.name} {field.old} -> {field.new}" for field in change.fields)


def _name(resource: Resource | L7Rule) -> str:
    if isinstance(resource, Member):
        return resource.name or f"{resource.address}:{resource.protocol_port}"
    return getattr(resource, "name", "") or resource.id
