"""What the health manager writes down: who was heard, and the operating statuses.

Law: pure; ``read`` of what ``data`` gives is the same value. Each is a record of its ``KIND`` under ``key``; its
``owner`` is a load balancer, with which it goes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol, Self

from lbdrivers.drivers.provider import Statistics
from lbdrivers.model.status import OperatingStatus
from lbdrivers_amphora.decide.counting import Counted
from lbdrivers_amphora.wire.report import Totals


class Finding(Protocol):
    """One thing to be written down."""

    KIND: ClassVar[str]

    @property
    def key(self) -> str:
        """Id of the record."""
        ...

    @property
    def owner(self) -> str:
        """Id of the load balancer that it belongs to, or nothing."""
        ...

    def data(self) -> dict[str, Any]:
        """JSON-able content."""
        ...

    @classmethod
    def read(cls, key: str, owner: str, data: Mapping[str, Any]) -> Self:
        """The value again."""
        ...


@dataclass(frozen=True)
class Heard:
    """The newest heartbeat of an amphora.

    :param at: seconds since the epoch, by the clock of who heard it.
    :param holds_vip: None when it did not say.
    :param silent: whether it has been found silent since.
    """

    KIND: ClassVar[str] = "amphora-heard"
    amphora_id: str
    load_balancer_id: str
    at: float
    epoch: int = 0
    sequence: int = -1
    holds_vip: bool | None = None
    silent: bool = False
    counted: Mapping[str, Counted] = field(default_factory=dict)

    @property
    def statistics(self) -> dict[str, Statistics]:
        """Totals by listener."""
        return {name: one.statistics for name, one in self.counted.items()}

    @property
    def key(self) -> str:
        return self.amphora_id

    @property
    def owner(self) -> str:
        return self.load_balancer_id

    def data(self) -> dict[str, Any]:
        return {
            "at": self.at,
            "epoch": self.epoch,
            "sequence": self.sequence,
            "vip": self.holds_vip,
            "silent": self.silent,
            "counted": {name: _numbers(one) for name, one in self.counted.items()},
        }

    @classmethod
    def read(cls, key: str, owner: str, data: Mapping[str, Any]) -> Self:
        return cls(
            key,
            owner,
            data["at"],
            data["epoch"],
            data["sequence"],
            data["vip"],
            data["silent"],
            {name: _counted(numbers) for name, numbers in data["counted"].items()},
        )


def _numbers(one: Counted) -> list[int]:
    return [
        number
        for totals in (one.base, one.last)
        for number in (
            totals.active_connections,
            totals.bytes_in,
            totals.bytes_out,
            totals.request_errors,
            totals.total_connections,
            totals.requests,
        )
    ]


def _counted(numbers: Sequence[int]) -> Counted:
    """What was written; until requests were counted, too, that was one number less in each half."""
    half = len(numbers) // 2
    return Counted(Totals(*numbers[:half]), Totals(*numbers[half:]))


@dataclass(frozen=True)
class Operating:
    """The operating statuses of a load balancer, by object id."""

    KIND: ClassVar[str] = "amphora-operating"
    load_balancer_id: str
    statuses: Mapping[str, OperatingStatus]

    @property
    def key(self) -> str:
        return self.load_balancer_id

    @property
    def owner(self) -> str:
        return self.load_balancer_id

    def data(self) -> dict[str, Any]:
        return {name: status.value for name, status in self.statuses.items()}

    @classmethod
    def read(cls, key: str, owner: str, data: Mapping[str, Any]) -> Self:
        del owner
        return cls(key, {name: OperatingStatus(word) for name, word in data.items()})


@dataclass(frozen=True)
class Listening:
    """A health manager that listens; ``at`` is when it last said so, in seconds since the epoch.

    :param trouble: what keeps it from its work; empty when nothing does.
    :param counts: datagrams since it began, by what became of them.
    """

    KIND: ClassVar[str] = "health-manager"
    name: str
    at: float
    trouble: str = ""
    counts: Mapping[str, int] = field(default_factory=dict)

    @property
    def key(self) -> str:
        return self.name

    @property
    def owner(self) -> str:
        return ""

    def data(self) -> dict[str, Any]:
        return {"at": self.at, "trouble": self.trouble, "counts": dict(self.counts)}

    @classmethod
    def read(cls, key: str, owner: str, data: Mapping[str, Any]) -> Self:
        del owner
        return cls(key, data["at"], data["trouble"], data["counts"])
