"""Rows of the northbound database as values: what of them is ours to write.

Law: pure. A value holds the columns and keys that belong to the established layout; what else a row has is
somebody else's and is not here, so no difference of two values can ever touch it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

#: Both together balance by flow, the addresses alone by client (``selection_fields``).
BY_ADDRESS = frozenset({"ip_src", "ip_dst"})
BY_FLOW = BY_ADDRESS | {"tp_src", "tp_dst"}

#: external_ids of a Load_Balancer_Health_Check.
CHECK_MONITOR = "octavia:healthmonitor"
CHECK_POOL = "octavia:pool_id"
CHECK_VIP = "octavia:vip"
#: Of ours alone: a monitor that is switched off, kept so that nothing of it is forgotten.
CHECK_DISABLED = "lbdrivers:disabled"


@dataclass(frozen=True)
class HealthCheckRow:
    """A Load_Balancer_Health_Check.

    :param vip: "address:port" of the VIP whose members it has probed; empty for one that probes nothing.
    """

    vip: str
    options: Mapping[str, str]
    external_ids: Mapping[str, str]
    uuid: str = field(default="", compare=False)

    @property
    def key(self) -> tuple[str, str, str, str]:
        """What it stands for: of two states of a load balancer, checks with the same key are the same check."""
        ids = self.external_ids
        return ids.get(CHECK_POOL, ""), ids.get(CHECK_MONITOR, ""), ids.get(CHECK_VIP, ""), self.vip


@dataclass(frozen=True)
class Balance:
    """How the pools of one row balance: what a row of OVN can say once and for all its pools.

    :param protocol: tcp, udp or sctp; empty while nothing needs any.
    :param affinity_timeout: seconds for which a client stays with its member; None when it need not.
    """

    protocol: str = ""
    selection_fields: frozenset[str] = BY_FLOW
    affinity_timeout: int | None = None


@dataclass(frozen=True)
class LoadBalancerRow:
    """A Load_Balancer with its health checks, and where it is attached.

    :param external_ids: keys of the layout alone.
    :param switches: names of the logical switches that refer to it; ``routers`` likewise.
    """

    name: str
    balance: Balance
    vips: Mapping[str, str]
    external_ids: Mapping[str, str]
    ip_port_mappings: Mapping[str, str] = field(default_factory=dict)
    health_checks: tuple[HealthCheckRow, ...] = ()
    switches: frozenset[str] = frozenset()
    routers: frozenset[str] = frozenset()
    uuid: str = field(default="", compare=False)
