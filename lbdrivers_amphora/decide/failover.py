"""Which amphorae are failed over, and when nobody is: a pure function of who was heard when.

Law: blind is not dead. Silence is acted upon only by an observer that has itself listened for a whole
timeout, without its own loop having been late; and never when many fall silent at once: then a circuit
breaker is open, for their availability zone or for all, on by default, and says so. Amphorae speak in turn, so of
those that fell silent together the first is found silent almost an interval before the last: whoever is overdue by
then counts for the breaker, too. They come back in turn as well: a breaker closes after a whole timeout in which
no more than is usual were overdue.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

#: The breaker of all zones together.
EVERYWHERE = ""


@dataclass(frozen=True)
class Policy:
    """When silence is acted upon. Times in seconds.

    :param timeout: an amphora that is silent for longer is silent.
    :param interval: in which each of them should speak once.
    :param grace: how much longer one is waited for that was never heard: it may still be booting.
    :param retry: how long after a failover was asked for it is asked for again, if the amphora is still there.
    :param share: of a zone's amphorae, and of all: so many silent at one time open the breaker, ...
    :param least: ... if they are at least so many: a few machines of a small site may well die together.
    :param threshold: Octavia's failover_threshold: so many silent in all open the breaker, whatever the
        share; None: the share alone decides.
    :param dry_run: report what would be done, and do nothing.
    """

    timeout: float = 60.0
    interval: float = 10.0
    grace: float = 60.0
    retry: float = 300.0
    share: float = 0.2
    least: int = 5
    threshold: int | None = None
    dry_run: bool = False

    @property
    def overdue(self) -> float:
        """Seconds of silence after which somebody is overdue: at most an interval less than those that are silent.

        A quarter of an interval more is for heartbeats and looks that come late; nobody who misses no more than one
        heartbeat is overdue, however short the timeout is.
        """
        late = 1.25 * self.interval
        return min(self.timeout, max(late, self.timeout - late))


@dataclass(frozen=True)
class Subject:
    """One amphora, as it is known at one moment.

    :param silence: seconds since it was last heard; since it was first expected, when it never was.
    :param asked: seconds since its failover was last asked for, or None.
    :param busy: whether its load balancer is being worked on, so that nothing must be asked for now.
    """

    amphora_id: str
    load_balancer_id: str
    zone: str
    silence: float
    heard: bool = True
    asked: float | None = None
    busy: bool = False


@dataclass(frozen=True)
class Observer:
    """How far the one who listens can be believed.

    :param listening: seconds since it began, without a break, to listen and to see what others hear.
    """

    listening: float


@dataclass(frozen=True)
class Trip:
    """Too many were overdue. :param at: when that was so last, by the observer's clock; ``why`` says how many."""

    at: float
    why: str


@dataclass(frozen=True)
class Memory:
    """What a decision has to know of those before it.

    :param breakers: zone (``EVERYWHERE`` for all) -> when its breaker was last given a reason.
    :param nobody: when nobody at all was heard last.
    """

    breakers: Mapping[str, Trip] = field(default_factory=dict)
    nobody: Trip | None = None


@dataclass(frozen=True)
class Decision:
    """What follows.

    :param failovers: amphora ids whose failover is to be asked for now, longest silent first.
    :param silent: all that are silent, whatever is done about them.
    :param open: zone (``EVERYWHERE`` for all) -> why nothing is failed over there.
    :param blind: why the observer trusts itself in nothing; empty when it does.
    :param memory: for the next decision.
    """

    failovers: tuple[str, ...] = ()
    silent: tuple[str, ...] = ()
    open: Mapping[str, str] = field(default_factory=dict)
    blind: str = ""
    memory: Memory = field(default_factory=Memory)


def decide(
    policy: Policy,
    observer: Observer,
    subjects: Iterable[Subject],
    memory: Memory | None = None,
    now: float = 0.0,
    others: Mapping[str, int] | None = None,
) -> Decision:
    """What to do about who is silent.

    :param subjects: everybody, or those at least who may be overdue.
    :param memory: of the decision before; None: this is the first one.
    :param now: seconds, by a clock that never jumps.
    :param others: zone -> how many there are besides, all of whom have been heard within ``Policy.overdue``.
    """
    known = tuple(subjects)
    silent = sorted((one for one in known if is_silent(policy, one)), key=lambda one: (-one.silence, one.amphora_id))
    names = tuple(one.amphora_id for one in silent)
    memory = _fresh(policy, memory or Memory(), now)
    if silent:
        memory = _remembered(policy, memory, known, others or {}, now)
    if observer.listening < policy.timeout:
        why = f"has listened for {observer.listening:.0f} s of {policy.timeout:.0f} s"
        return Decision(silent=names, blind=why, memory=memory)
    if memory.nobody is not None:
        return Decision(silent=names, blind=memory.nobody.why, memory=memory)
    breakers = {zone: trip.why for zone, trip in memory.breakers.items()}
    if EVERYWHERE in breakers:
        return Decision(silent=names, open=breakers, memory=memory)
    due = tuple(one.amphora_id for one in silent if one.zone not in breakers and _is_due(policy, one))
    return Decision(() if policy.dry_run else due, names, breakers, memory=memory)


def _remembered(
    policy: Policy, fresh: Memory, subjects: Sequence[Subject], others: Mapping[str, int], now: float
) -> Memory:
    """The memory with what is to be seen now, when somebody is silent."""
    overdue = [one for one in subjects if is_overdue(policy, one)]
    tripped = {zone: Trip(now, why) for zone, why in open_breakers(policy, subjects, overdue, others).items()}
    # Whoever is being replaced already fell silent before the others.
    together = [one for one in subjects if one.asked is None]
    nobody = fresh.nobody
    if len(together) > 1 and not any(others.values()) and all(is_overdue(policy, one) for one in together):
        nobody = Trip(now, f"hears nobody at all: {len(together)} amphorae fell silent together")
    return Memory({**fresh.breakers, **tripped}, nobody)


def _fresh(policy: Policy, before: Memory, now: float) -> Memory:
    """What still counts: whoever has come back since had a whole timeout to speak."""

    def counts(trip: Trip | None) -> bool:
        return trip is not None and now - trip.at <= policy.timeout

    return Memory(
        {zone: trip for zone, trip in before.breakers.items() if counts(trip)},
        before.nobody if counts(before.nobody) else None,
    )


def is_silent(policy: Policy, subject: Subject) -> bool:
    """Whether the amphora should have been heard by now."""
    return subject.silence > policy.timeout + (0.0 if subject.heard else policy.grace)


def is_overdue(policy: Policy, subject: Subject) -> bool:
    """Whether it is silent, or fell silent with those that have just been found so."""
    return subject.silence > policy.overdue + (0.0 if subject.heard else policy.grace)


def _is_due(policy: Policy, subject: Subject) -> bool:
    return not subject.busy and (subject.asked is None or subject.asked >= policy.retry)


def open_breakers(
    policy: Policy, known: Iterable[Subject], overdue: Iterable[Subject], others: Mapping[str, int]
) -> dict[str, str]:
    """Zone -> why its breaker is open; ``EVERYWHERE`` for all zones. :param others: see :func:`decide`."""
    totals, counts = Counter(others), Counter(one.zone for one in overdue)
    totals.update(one.zone for one in known)
    found = {
        zone: f"{counts[zone]} of {total} amphorae are silent"
        for zone, total in totals.items()
        if zone != EVERYWHERE and _too_many(policy, counts[zone], total)
    }
    everybody, nobody_hears = totals.total(), counts.total()
    beyond = policy.threshold is not None and nobody_hears >= policy.threshold
    if beyond or _too_many(policy, nobody_hears, everybody):
        found[EVERYWHERE] = f"{nobody_hears} of {everybody} amphorae are silent"
    return found


def _too_many(policy: Policy, silent: int, total: int) -> bool:
    return silent >= policy.least and silent > policy.share * total
