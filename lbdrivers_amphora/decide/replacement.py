"""Replacement: which amphorae a failover replaces, and in which rounds.

Law: pure. Of two that work, one always serves: the one without the VIP is replaced first, the other in a round
of its own. What is dead is replaced at once, and before anything that works.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from lbdrivers.drivers.provider import ReplacementCause


class State(enum.StrEnum):
    """How an amphora that should serve is doing."""

    DEAD = "DEAD"
    STANDBY = "STANDBY"
    HOLDS_VIP = "HOLDS_VIP"


@dataclass(frozen=True)
class Round:
    """Amphorae that are replaced together; empty: only what is missing is built.

    :param cause: decides how urgent it is.
    """

    amphorae: frozenset[str]
    cause: ReplacementCause


def rounds(states: Mapping[str, State], requested: Mapping[str, ReplacementCause], slots: int) -> tuple[Round, ...]:
    """What a failover does.

    :param states: of every amphora that should serve, by id.
    :param requested: those whose replacement was asked for; when it was for none, all are meant, unless
        something is dead or missing: then that.
    :param slots: how many there should be.
    """
    dead = frozenset(one for one, state in states.items() if state is State.DEAD)
    broken = bool(dead) or len(states) < slots
    chosen = {one: cause for one, cause in requested.items() if one in states and one not in dead}
    if not chosen and not broken:
        chosen = dict.fromkeys(states, ReplacementCause.ADMIN)
    first = (Round(dead, _most_urgent(requested.get(one, ReplacementCause.FAILURE) for one in dead)),) if broken else ()
    order = sorted(chosen, key=lambda one: (states[one] is State.HOLDS_VIP, one))
    return (*first, *(Round(frozenset({one}), chosen[one]) for one in order))


def _most_urgent(causes: Iterable[ReplacementCause]) -> ReplacementCause:
    """What is dead is a failure, unless all of it was asked for."""
    found = set(causes)
    return found.pop() if len(found) == 1 else ReplacementCause.FAILURE
