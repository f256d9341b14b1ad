"""What the amphora provider remembers: typed values and their record kinds.

Law: a record is committed before what it describes is made, and forgotten after it is gone.
Names of machines and ports follow from ids alone, so that after a crash they are found again.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict, Field

from lbdrivers.drivers.amphora import Role, Topology
from lbdrivers.drivers.provider import ReplacementCause, Statistics
from lbdrivers.model.resources import LoadBalancer

KIND_BALANCER = "amphora-balancer"
KIND_AMPHORA = "amphora"
KIND_GONE = "amphora-gone"
KIND_REPLACEMENT = "amphora-replacement"


class AmphoraStatus(enum.StrEnum):
    """The life of an amphora, in the v2 API's words. READY: booted, and no load balancer's yet."""

    READY = "READY"
    PENDING_CREATE = "PENDING_CREATE"
    ALLOCATED = "ALLOCATED"
    PENDING_DELETE = "PENDING_DELETE"


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Amphora(_Record):
    """One appliance of a load balancer. ``created_at`` and ``certificate_expires`` are epoch seconds.

    :param certificate_expires: end of the agent's certificate; None when it is not known.
    :param agent_revision: SHA-256 of the configuration that the agent was given; empty when not known.
    :param told_heartbeats: fingerprint of the form and key of heartbeats that it was given; empty when not known.
    :param image: what its machine was booted from, ``flavor`` as what; None: the compute driver's default.
    :param statistics: last totals seen, by listener id; they survive the appliance.
    """

    id: str
    load_balancer_id: str
    role: Role
    priority: int
    status: AmphoraStatus = AmphoraStatus.PENDING_CREATE
    created_at: float = 0.0
    vrrp_address: str | None = None
    management_address: str | None = None
    certificate_expires: float | None = None
    agent_revision: str = ""
    told_heartbeats: str = ""
    image: str | None = None
    flavor: str | None = None
    statistics: Mapping[str, Statistics] = {}

    @property
    def machine(self) -> str:
        """Name of its machine."""
        return f"amphora-{self.id}"

    @property
    def management_port(self) -> str:
        """Name of its port on the management network."""
        return f"octavia-lb-mgmt-{self.id}"

    @property
    def vrrp_port(self) -> str:
        """Name of its port on the VIP's network."""
        return f"octavia-lb-vrrp-{self.id}"

    def member_port(self, network_id: str) -> str:
        """Name of its port on a network of members."""
        return f"octavia-lb-member-{self.id}-{network_id}"


class Gone(_Record):
    """An amphora or load balancer that was removed at ``since`` (epoch seconds): what turns up under its
    name later, as from a cloud that does late what it was asked for, is ours and should not be there."""

    id: str
    since: float


class Replacement(_Record):
    """The wish that an amphora be replaced by the next failover. It goes with the amphora."""

    amphora_id: str
    load_balancer_id: str
    cause: ReplacementCause


class Balancer(_Record):
    """What belongs to the load balancer as a whole.

    :param tree: the last tree that was applied completely, as JSON; None before the first.
    :param unsettled: an update that touches machines or networks has begun and not ended, so they
        may be those of another tree than ``tree``.
    :param retired: totals of amphorae that are gone, by amphora id and listener id.
    :param vrrp_password: what the amphorae tell each other in VRRP version 2; made once, so that one
        that is replaced is understood by the one that stays. None under version 3, which has none.
    """

    id: str
    name: str
    topology: Topology
    tree: str | None = None
    unsettled: bool = False
    vip_addresses: tuple[str, ...] = ()
    retired: Mapping[str, Mapping[str, Statistics]] = {}
    vrrp_password: str | None = Field(default=None, repr=False)

    @property
    def vip_port(self) -> str:
        """Name of the port that reserves the VIP; it is never plugged."""
        return f"octavia-lb-{self.id}"


def tree_text(tree: LoadBalancer) -> str:
    """A tree as ``Balancer.tree`` has it."""
    return tree.model_dump_json(exclude_defaults=True)
