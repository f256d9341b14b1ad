"""What a health manager says of what it decides, to people.

Law: pure. What is said is what has changed since it was said last.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from lbdrivers_amphora.decide.failover import Decision
from lbdrivers_amphora.heartbeat_keys import Way


@dataclass(frozen=True)
class Word:
    """One line. ``trouble``: whether something is wrong, or else is news only."""

    text: str
    trouble: bool = True


def of_decision(before: Decision, now: Decision, *, dry_run: bool) -> Iterator[Word]:
    """What is new of who is silent, and of what keeps the health manager from acting."""
    if now.blind and now.silent and now.blind != before.blind:
        yield Word(f"no failover: this health manager {now.blind}")
    for zone, why in now.open.items():
        if zone not in before.open:
            yield Word(f"no failover {f'in zone {zone}' if zone else 'anywhere'}: {why}; breaker open")
    for zone in before.open.keys() - now.open.keys():
        yield Word(f"breaker closed {f'in zone {zone}' if zone else 'everywhere'}", trouble=False)
    fresh = set(now.silent) - set(before.silent)
    if dry_run and fresh and not now.blind:
        yield Word(f"silent, and failed over but for dry_run: {', '.join(sorted(fresh))}")


def of_ways(before: Mapping[Way, int], now: Mapping[Way, int], *, changing_over: bool) -> Iterator[Word]:
    """What is new of who was told to speak in which way.

    :param changing_over: whether the previous way is understood, too.
    """
    other, earlier = now.get(Way.OTHER, 0), now.get(Way.PREVIOUS, 0)
    if other > before.get(Way.OTHER, 0):
        yield Word(
            f"{other} amphorae were told a heartbeat form or key that this health manager does not have: it does not "
            "hear them, and fails none of them over; start it again with the configuration of those that told them"
        )
    if changing_over and (not before or earlier != before.get(Way.PREVIOUS, 0)):
        left = f"{earlier} amphorae may still speak" if earlier else "no amphora needs to speak any more"
        yield Word(f"{left} in the previous heartbeat form or key", trouble=False)


def of_zombies(
    before: Collection[str], now: Collection[str], gone: Collection[str], *, removed: bool
) -> Iterator[Word]:
    """What is new of amphorae that speak although no record names them.

    :param gone: those of which a record says that they were removed; :param removed: whether they are removed again.
    """
    for name in sorted(set(now) - set(before)):
        if name not in gone:
            remedy = "it may be another controller's; if it is not, remove its machine by hand"
            yield Word(f"amphora {name} speaks with a key of ours, and no record names it: {remedy}")
        elif removed:
            yield Word(f"amphora {name} speaks although it was removed: what is left of it is removed")
        else:
            yield Word(f"amphora {name} speaks although it was removed; remove it: lbdrivers orphans --remove")
