"""The commands: each asks the session, and says the answer in both forms.

Law: a command is a few lines; what it says is drawn by ``lbdrivers.drawing`` and put into keys by
``answers``. A load balancer that is not as wanted in the end is a failure, with its cause.
"""

from __future__ import annotations

import functools
import time
from argparse import Namespace
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from lbdrivers import drawing, registry
from lbdrivers.cli import answers, upkeep
from lbdrivers.cli.actions import Action, planned
from lbdrivers.cli.output import Output
from lbdrivers.cli.session import Session, now, read_document
from lbdrivers.document import parse
from lbdrivers.errors import PermanentError
from lbdrivers.model.resources import LoadBalancer
from lbdrivers.model.status import ProvisioningStatus
from lbdrivers.store.entry import Entry


def apply(session: Session, output: Output, arguments: Namespace) -> int:
    """Make what the file describes, and show it."""
    tree = _document(arguments)
    began = time.monotonic()
    before = session.store.get(tree.id)
    actions = _actions(session, tree, before)
    if before is not None and before.settled and before.desired == tree and not actions:
        if arguments.repair and (found := upkeep.deviations(session, before)):
            with output.steps.shown():
                after = upkeep.mend(session, before, found, arguments.timeout)
            run = _Run(arguments.file, changed=True, began=began, actions=upkeep.actions(found))
            return _report(session, output, after, run)
        return _report(session, output, before, _Run(arguments.file, changed=False, began=began, actions=()))
    with output.steps.shown():
        after = _carry_out(session, tree, before, arguments.timeout)
    return _report(session, output, after, _Run(arguments.file, changed=True, began=began, actions=actions))


@dataclass(frozen=True)
class _Run:
    """What an apply did. ``began`` is a reading of the monotonic clock."""

    file: str
    changed: bool
    began: float
    actions: tuple[Action, ...]


def _carry_out(session: Session, tree: LoadBalancer, before: Entry | None, timeout: float) -> Entry:
    session.engine.submit(tree)
    if before is not None and before.settled and before.desired == tree:
        session.engine.repair(tree.id)  # nothing new is wanted, but what runs is something else
    after = session.settle(tree.id, timeout)
    if after is None:
        raise PermanentError(f"the load balancer {tree.id} was deleted meanwhile")
    return after


def _report(session: Session, output: Output, entry: Entry, done: _Run) -> int:
    seconds = time.monotonic() - done.began
    observation, excuse = session.observe(entry)
    steps = output.steps.finished
    output.answer(
        answers.applied(entry, observation, changed=done.changed, seconds=seconds, actions=done.actions, steps=steps)
    )
    if not done.changed:
        output.say(f"nothing to change: {entry.name or entry.id} is as {done.file} describes it")
    output.say(drawing.load_balancer(entry, observation, now()))
    if entry.status is not ProvisioningStatus.ACTIVE:
        return _unfinished(output, entry)
    if excuse:
        output.complain(f"it could not be looked at: {excuse}")
    if places := drawing.urls(entry.desired, answers.vip_addresses(entry.desired, observation)):
        output.say(f"reach it at {', '.join(places)}")
    if done.changed:
        output.say(f"done in {drawing.duration(seconds)}")
    return 0


def plan(session: Session, output: Output, arguments: Namespace) -> int:
    """Say what apply would do."""
    tree = _document(arguments)
    actions = _actions(session, tree, session.store.get(tree.id))
    output.answer(answers.planned(tree, actions))
    if actions:
        output.say(drawing.plan((action.subject, action.action, action.mildness) for action in actions))
    else:
        output.say(f"nothing to change: {tree.name or tree.id} is as {arguments.file} describes it")
    return 0


def list_(session: Session, output: Output, _arguments: Namespace) -> int:
    """List the load balancers."""
    entries = session.store.list()
    observations = session.observe_all(entries)
    output.answer(answers.listing(entries, observations))
    if entries:
        output.say(drawing.load_balancers(entries, observations))
    else:
        output.say("no load balancer yet; make one with: lbdrivers apply FILE")
    return 0


def show(session: Session, output: Output, arguments: Namespace) -> int:
    """Draw one load balancer."""
    entry = session.entry(arguments.subject)
    observation, excuse = session.observe(entry)
    output.answer(answers.show(entry, observation))
    output.say(drawing.load_balancer(entry, observation, now()))
    if excuse:
        output.complain(f"it could not be looked at: {excuse}")
    return 0


def stats(session: Session, output: Output, arguments: Namespace) -> int:
    """The statistics."""
    entry = session.entry(arguments.subject)
    measured = session.provider(entry.provider).observe(entry.id).statistics
    output.answer(answers.statistics(entry, measured))
    output.say(drawing.statistics(entry.desired, measured))
    return 0


def top(session: Session, output: Output, arguments: Namespace) -> int:
    """Watch all of them."""
    from lbdrivers.cli.top.screen import top as watch

    return watch(session, output, arguments)


def failover(session: Session, output: Output, arguments: Namespace) -> int:
    """Bring one load balancer back to full redundancy."""
    entry = session.entry(arguments.subject)
    chosen, cause = upkeep.chosen_appliances(session, entry, arguments)
    if arguments.outdated and not chosen:
        output.answer(answers.finished(entry, entry, 0.0))
        output.say(f"nothing to replace: {entry.name or entry.id} has no outdated appliance")
        return 0
    wish = functools.partial(session.engine.failover, appliances=chosen, cause=cause)
    entry, after, took = _settled(session, output, arguments, wish)
    if after is None:
        raise PermanentError(f"the load balancer {entry.id} was deleted meanwhile")
    output.say(drawing.load_balancer(after, session.observe(after)[0], now()))
    if after.status is not ProvisioningStatus.ACTIVE:
        return _unfinished(output, after)
    output.say(f"failed over in {took}")
    return 0


def delete(session: Session, output: Output, arguments: Namespace) -> int:
    """Remove one load balancer."""
    entry, after, took = _settled(session, output, arguments, session.engine.delete)
    if after is not None:
        return _unfinished(output, after)
    output.say(f"deleted {entry.name or entry.id} in {took}")
    return 0


def _settled(
    session: Session, output: Output, arguments: Namespace, wish: Callable[[str], None]
) -> tuple[Entry, Entry | None, str]:
    """The subject before and after the wish came true, or the time was up; and how long that took."""
    entry = session.entry(arguments.subject)
    began = time.monotonic()
    with output.steps.shown():
        wish(entry.id)
        after = session.settle(entry.id, arguments.timeout)
    seconds = time.monotonic() - began
    output.answer(answers.finished(entry, after, seconds))
    return entry, after, drawing.duration(seconds)


def worker(session: Session, output: Output, arguments: Namespace) -> int:
    """Work until a signal says stop."""
    from lbdrivers.cli.worker import work

    return work(session, output, arguments.metrics)


def daemon(session: Session, output: Output, arguments: Namespace) -> int:
    """Let the daemon of the command's name work until a signal says stop."""
    from lbdrivers.cli.daemon import serve

    return serve(session, output, arguments.command, arguments.metrics)


def drivers(session: Session, output: Output, _arguments: Namespace) -> int:
    """List the installed drivers. Broken ones are listed, too: that is no failure of this command."""
    infos = registry.installed(session.configuration)
    output.answer(answers.drivers(infos))
    output.say(drawing.drivers(infos))
    return 0


def networks(session: Session, output: Output, arguments: Namespace) -> int:
    """List the networks of a network driver that can tell."""
    driver = session.context.load("lbdrivers.networks", arguments.driver)
    tell = getattr(driver, "networks", None)
    if tell is None:
        raise PermanentError(f"the network driver {arguments.driver!r} cannot list networks; ask the cloud itself")
    found = tuple(tell())
    output.answer(answers.networks(found))
    output.say(drawing.networks(found))
    return 0


def conformance(session: Session, output: Output, arguments: Namespace) -> int:
    """Run the kit's laws on one provider."""
    try:
        from lbdrivers.cli.conformance import examine
    except ModuleNotFoundError as error:
        if error.name not in ("hypothesis", "cryptography"):
            raise
        raise PermanentError(
            f"the conformance kit needs {error.name}, which is not installed: pip install 'lbdrivers[testing]'"
        ) from error
    return examine(session, output, arguments)


TABLE: Mapping[str, Callable[[Session, Output, Namespace], int]] = {
    "apply": apply,
    "plan": plan,
    "list": list_,
    "show": show,
    "observe": upkeep.observe,
    "stats": stats,
    "top": top,
    "failover": failover,
    "delete": delete,
    "maintain": upkeep.maintain,
    "orphans": upkeep.orphans,
    "worker": worker,
    "health-manager": daemon,
    "housekeeping": daemon,
    "ovn-agent": daemon,
    "drivers": drivers,
    "networks": networks,
    "conformance": conformance,
}


def _document(arguments: Namespace) -> LoadBalancer:
    name = "standard input" if arguments.file == "-" else arguments.file
    return parse(read_document(arguments.file), name)


def _actions(session: Session, tree: LoadBalancer, entry: Entry | None) -> tuple[Action, ...]:
    """What an apply would do; what cannot, or must not, be done is refused here."""
    provider = session.provider(session.engine.check(tree))
    return planned(provider, tree, entry.applied if entry is not None else None)


def _unfinished(output: Output, entry: Entry) -> int:
    """Tell why it is not as wanted."""
    if entry.cause is not None:
        output.complain(entry.cause.user, entry.cause.operator)
    else:
        output.complain(f"{entry.name or entry.id} is still {entry.status}; run the same command again to go on")
    return 1
