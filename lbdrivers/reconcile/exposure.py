"""What a daemon lets others see of itself: metrics and health, whoever asks for them.

Law: values are made when somebody looks, never kept up to date for nobody. Nothing here opens a socket.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Metric:
    """One metric in Prometheus' terms.

    :param name: without the suffix that counters get.
    :param counter: whether it only ever grows; else it is a gauge.
    :param values: (label values in the order of ``labels``, value).
    """

    name: str
    text: str
    values: Iterable[tuple[tuple[str, ...], float]]
    labels: tuple[str, ...] = ()
    counter: bool = False


@dataclass(frozen=True)
class Health:
    """How a daemon is. ``details`` is JSON-able."""

    healthy: bool = True
    details: Mapping[str, object] = field(default_factory=dict)


@dataclass
class Exposure:
    """What one daemon shows; set by the daemon, read by whoever serves it."""

    metrics: list[Callable[[], Iterable[Metric]]] = field(default_factory=list)
    health: Callable[[], Health] = Health
