"""Admission: who may build now, and when the next failover may begin, when many want to.

Law: pure; the clock is an argument. Builds are admitted by priority (the lower, the sooner), then by who asked
first; one that is not heard of any more loses its place, so that the dead keep nobody waiting. Failovers
are spaced: each is given the earliest moment that keeps its distance from the one before, in all and in its
fault domain.
"""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import BaseModel, ConfigDict

from lbdrivers.drivers.provider import ReplacementCause

#: Of a build for a new load balancer (Octavia's figures; the lower goes first).
CREATE_PRIORITY = 40
#: Of a build for a failover.
PRIORITIES = {ReplacementCause.FAILURE: 20, ReplacementCause.ADMIN: 80, ReplacementCause.UPGRADE: 80}


class Build(BaseModel):
    """One amphora that wants to be built, or is.

    :param until: when its place lapses unless it is heard of again (epoch seconds).
    """

    model_config = ConfigDict(frozen=True)

    amphora_id: str
    priority: int
    asked_at: float
    until: float
    admitted: bool = False


Queue = tuple[Build, ...]


def ask(queue: Queue, amphora_id: str, priority: int, now: float, limit: int, patience: float, hold: float) -> Queue:
    """The queue after somebody asked, for the first time or again; ``is_admitted`` tells the answer.

    :param limit: how many are built at once.
    :param patience: seconds within which one who waits asks again; ``hold``: within which one is built.
    """
    living = [build for build in queue if build.until > now and build.amphora_id != amphora_id]
    before = next((build for build in queue if build.amphora_id == amphora_id), None)
    if before is not None and before.admitted and before.until > now:
        return (*living, before.model_copy(update={"until": now + hold}))
    asked_at = now if before is None else before.asked_at
    own = Build(amphora_id=amphora_id, priority=priority, asked_at=asked_at, until=now + patience)
    free = limit - sum(build.admitted for build in living)
    ahead = sum(_rank(build) < _rank(own) for build in living if not build.admitted)
    if ahead < free:
        own = own.model_copy(update={"admitted": True, "until": now + hold})
    return (*living, own)


def is_admitted(queue: Queue, amphora_id: str) -> bool:
    """Whether it may be built now."""
    return any(build.admitted for build in queue if build.amphora_id == amphora_id)


def leave(queue: Queue, amphora_id: str) -> Queue:
    """The queue without it."""
    return tuple(build for build in queue if build.amphora_id != amphora_id)


def _rank(build: Build) -> tuple[int, float, str]:
    return build.priority, build.asked_at, build.amphora_id


class Starts(BaseModel):
    """When the last failovers began, or will: of all, and by fault domain (epoch seconds)."""

    model_config = ConfigDict(frozen=True)

    last: float = 0.0
    by_domain: dict[str, float] = {}


def next_start(starts: Starts, domains: Iterable[str], now: float, rate: float, domain_rate: float) -> float:
    """The earliest moment at which a failover in these fault domains may begin.

    :param rate: failovers per second in all, ``domain_rate`` in one domain; 0 sets no limit.
    """
    moment = now if rate <= 0 else max(now, starts.last + 1 / rate)
    if domain_rate > 0:
        moment = max([moment, *(starts.by_domain.get(domain, 0.0) + 1 / domain_rate for domain in domains)])
    return moment


def started(starts: Starts, domains: Iterable[str], moment: float, now: float, domain_rate: float) -> Starts:
    """After one was given its moment. Domains whose distance is long kept are forgotten."""
    distance = 1 / domain_rate if domain_rate > 0 else 0.0
    kept = {domain: last for domain, last in starts.by_domain.items() if last + distance > now}
    return Starts(last=max(starts.last, moment), by_domain=kept | dict.fromkeys(domains, moment))
