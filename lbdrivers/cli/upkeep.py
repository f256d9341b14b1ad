"""The commands that look after what runs: observe, maintain, orphans, and the mending of drift.

Law: what is found is told first, and mended by the verbs that everything else uses.
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterable

from lbdrivers import drawing
from lbdrivers.cli import answers
from lbdrivers.cli.actions import Action
from lbdrivers.cli.output import Output
from lbdrivers.cli.session import Session
from lbdrivers.drivers.provider import (
    Caretaker,
    Deviation,
    Inspector,
    Orphan,
    Provider,
    Remedy,
    ReplacementCause,
    Replacer,
)
from lbdrivers.errors import InvalidInput, PermanentError, Problem, UnsupportedError
from lbdrivers.reconcile.orphans import orphaned
from lbdrivers.reconcile.outcome import Done
from lbdrivers.store.entry import Entry


def observe(session: Session, output: Output, arguments: Namespace) -> int:
    """Say in what one load balancer differs from what was applied."""
    entry = session.entry(arguments.subject)
    found = deviations(session, entry)
    output.answer(answers.observed(entry, found))
    if not found:
        output.say(f"{entry.name or entry.id} is as it was applied")
        return 0
    output.say(drawing.deviations(found))
    output.complain(f"{entry.name or entry.id} has drifted; mend it with: lbdrivers apply --repair FILE")
    return 1


def deviations(session: Session, entry: Entry) -> tuple[Deviation, ...]:
    """:raises UnsupportedError: when its provider cannot tell."""
    provider = session.provider(entry.provider)
    if not isinstance(provider, Inspector):
        raise UnsupportedError(f"the provider {entry.provider} cannot compare what runs with what should")
    return provider.deviations(entry.applied or entry.desired)


def actions(found: Iterable[Deviation]) -> tuple[Action, ...]:
    """What is done about them."""
    return tuple(Action(f"{one.subject}, {one.aspect}", f"{one.found} -> {one.wanted}", None) for one in found)


def mend(session: Session, entry: Entry, found: tuple[Deviation, ...], timeout: float) -> Entry:
    """Put right what deviates; the entry then. A failover looks at everything else, too.

    :param timeout: seconds to wait for each verb.
    :raises PermanentError: when it was deleted meanwhile.
    """
    remedies = {one.remedy for one in found}
    engine = session.engine
    if Remedy.FAILOVER in remedies:
        engine.failover(entry.id)
    elif Remedy.APPLY in remedies:
        engine.repair(entry.id)
    after = session.settle(entry.id, timeout)
    if after is None:
        raise PermanentError(f"the load balancer {entry.id} was deleted meanwhile")
    if Remedy.MAINTAIN in remedies and after.settled:
        outcome = engine.maintain(entry.id)
        if not isinstance(outcome, Done):
            raise PermanentError(outcome.cause.user, outcome.cause.operator)
    return after


def chosen_appliances(session: Session, entry: Entry, arguments: Namespace) -> tuple[frozenset[str], ReplacementCause]:
    """Which appliances a failover is asked for, and why; none means that the provider chooses.

    :raises InvalidInput: when the beginning of an id is not that of exactly one.
    :raises UnsupportedError: when its provider cannot tell which are outdated.
    """
    provider = session.provider(entry.provider)
    if arguments.outdated:
        if not isinstance(provider, Replacer):
            raise UnsupportedError(f"the provider {entry.provider} cannot tell which appliances are outdated")
        return provider.outdated(entry.id), ReplacementCause.UPGRADE
    if not arguments.amphora:
        return frozenset(), ReplacementCause.ADMIN
    known = [appliance.id for appliance in provider.observe(entry.id).appliances]
    found = [[one for one in known if one.startswith(begin)] for begin in arguments.amphora]
    for begin, ids in zip(arguments.amphora, found, strict=True):
        if len(ids) != 1:
            remedy = f"there are: {', '.join(known)}"
            raise InvalidInput((Problem("--amphora", begin, "is not the beginning of exactly one id", remedy),))
    return frozenset(ids[0] for ids in found), ReplacementCause.ADMIN


def maintain(session: Session, output: Output, _arguments: Namespace) -> int:
    """Renew what ages; what cannot be renewed now keeps nobody else waiting."""
    outcomes: dict[str, str] = {}
    with output.steps.shown():
        for provider in _providers(session):
            if isinstance(provider, Caretaker):
                provider.tend()
        for entry in session.store.list():
            outcome = session.engine.maintain(entry.id)
            outcomes[entry.id] = "" if isinstance(outcome, Done) else outcome.cause.operator
    output.answer(answers.maintained(outcomes))
    failed = {one: cause for one, cause in outcomes.items() if cause}
    output.say(f"{len(outcomes) - len(failed)} of {len(outcomes)} load balancers are maintained")
    for identity, cause in failed.items():
        output.complain(f"{identity}: {cause}")
    return 1 if failed else 0


def orphans(session: Session, output: Output, arguments: Namespace) -> int:
    """List what belongs to nothing, and remove it where that is proved and asked for."""
    found: list[Orphan] = []
    removed: list[Orphan] = []
    named = arguments.provider
    for provider in _providers(session) if named is None else [session.provider(named)]:
        found += orphaned(provider, lambda: frozenset(session.store.standings()))
        if arguments.remove and isinstance(provider, Inspector):
            removed += provider.remove_orphans()
    output.answer(answers.orphans(found, removed))
    if not found:
        output.say("no orphans")
        return 0
    output.say(drawing.orphans(found))
    if arguments.remove:
        output.say(f"removed {len(removed)} of {len(found)}")
    return 0


def _providers(session: Session) -> list[Provider]:
    """Every one that serves a load balancer, and the default one."""
    names = {entry.provider for entry in session.store.list()} | {session.settings.default_provider}
    return [session.provider(one) for one in sorted(names)]
