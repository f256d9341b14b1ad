"""The contract of statistics sinks: where measured statistics go besides the store.

Law: a sink gets totals, not deltas, so that twice the same does no harm and one that was away misses nothing
that counts. It must not block for long; what it raises is told and costs nobody else anything.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from lbdrivers.drivers.provider import Statistics


@dataclass(frozen=True)
class ListenerStatistics:
    """What one appliance has counted for one listener since the appliance's creation.

    :param at: when it was heard, in seconds since the epoch.
    """

    load_balancer_id: str
    appliance_id: str
    listener_id: str
    totals: Statistics
    at: float


class StatisticsSink(Protocol):
    """Takes statistics."""

    contract: int

    def take(self, measured: tuple[ListenerStatistics, ...]) -> None:
        """These are new since the last call."""
        ...
