"""Which changes of status are worth telling: those that last.

Law: pure. What changes back before the time is up was never told; what flaps without an end is told by
nobody's message but the first. The store knows every change at once: damping is for people alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from lbdrivers.model.status import OperatingStatus


@dataclass(frozen=True)
class Damper:
    """What was told, and what waits to be.

    :param told: last status that was told, by object id.
    :param waiting: object id -> its status, and since when it has it (seconds of any steady clock).
    """

    told: Mapping[str, OperatingStatus | None] = field(default_factory=dict)
    waiting: Mapping[str, tuple[OperatingStatus, float]] = field(default_factory=dict)

    def note(self, changed: Mapping[str, tuple[OperatingStatus | None, OperatingStatus]], now: float) -> Damper:
        """After these changes: object id -> (before, after)."""
        if not changed:
            return self
        told, waiting = dict(self.told), dict(self.waiting)
        for name, (before, after) in changed.items():
            told.setdefault(name, before)
            waiting[name] = (after, now)
        return Damper(told, waiting)

    def due(
        self, now: float, seconds: float
    ) -> tuple[Damper, dict[str, tuple[OperatingStatus | None, OperatingStatus]]]:
        """What has lasted for so long and is to be told now, as (told before, now) by object id.

        What waits for nothing any more is forgotten, so that memory holds only what is on the move.
        """
        news: dict[str, tuple[OperatingStatus | None, OperatingStatus]] = {}
        told, waiting = dict(self.told), dict(self.waiting)
        for name, (status, since) in self.waiting.items():
            if now - since >= seconds:
                if told[name] is not status:
                    news[name] = (told[name], status)
                del waiting[name], told[name]
        return Damper(told, waiting), news
