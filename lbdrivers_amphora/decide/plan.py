"""What an apply would do, as values: for the dry run.

Law: pure; nothing is touched. Each change of the tree is weighed alone, by what it does to
HAProxy's configuration; what concerns machines comes first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from lbdrivers.drivers.amphora import Bundle, Facts
from lbdrivers.drivers.provider import Mildness, PlannedAction
from lbdrivers.model.changes import Change, apply_changes, diff, subject
from lbdrivers.model.resources import LoadBalancer
from lbdrivers_amphora.decide.topology import AmphoraPlan
from lbdrivers_amphora.haproxy.transition import transition
from lbdrivers_amphora.haproxy.translate import translate


def amphora_actions(plan: AmphoraPlan) -> Iterator[PlannedAction]:
    """What happens to machines."""
    for slot, unfinished in plan.build:
        action = "finish building" if unfinished is not None else "build"
        yield PlannedAction(f"amphora {slot.role}", action, Mildness.REPLACE)
    for amphora in plan.remove:
        yield PlannedAction(f"amphora {amphora.id}", "remove", Mildness.REPLACE)


def tree_actions(
    applied: LoadBalancer, desired: LoadBalancer, bundle: Callable[[LoadBalancer], Bundle], facts: Facts
) -> Iterator[PlannedAction]:
    """What happens to a running load balancer, change by change.

    :param bundle: gives the bundle of one amphora for a tree.
    """
    before = applied
    running = translate(bundle(before), facts)
    for change in diff(applied, desired):
        after = apply_changes(before, (change,))
        if after is None:
            raise ValueError("a desired tree cannot be nothing; removal is another verb")
        wanted = translate(bundle(after), facts)
        kind = Mildness(transition(running, wanted).kind)
        yield PlannedAction(subject(change), _verb(change), kind)
        before, running = after, wanted


def _verb(change: Change) -> str:
    return {"Created": "create", "Updated": "update", "Deleted": "delete"}[type(change).__name__]
