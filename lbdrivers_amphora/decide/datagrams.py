"""Which engine balances datagrams, what it can do, and what it is to be told.

Law: pure. The claim follows from the setting alone, as features are constant; which engine an appliance
uses also from its facts. Where the setting wants IPVS and the kernel has none, nftables does what it
can, and the rest is refused by name.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field

from lbdrivers.drivers.amphora import Bundle, Facts
from lbdrivers.drivers.provider import Mildness
from lbdrivers.errors import UnsupportedError
from lbdrivers.features import Feature
from lbdrivers.model.resources import LoadBalancer
from lbdrivers_amphora.keepalived import lvs_render, lvs_translate
from lbdrivers_amphora.nftables import document, translate
from lbdrivers_amphora.nftables.ir import Configuration

#: The revision of what nftables is told, among those that an appliance reports.
REVISION = "datagrams.json"
_CAPABILITY = {"nftables": "nftables", "keepalived_lvs": "ipvs"}


class DatagramDriver(enum.StrEnum):
    """The setting ``[haproxy_amphora] datagram_driver``."""

    NFTABLES = "nftables"
    KEEPALIVED_LVS = "keepalived_lvs"


_BOTH = frozenset(
    {
        Feature.LISTENER_UDP,
        Feature.DATAGRAM_ROUND_ROBIN,
        Feature.DATAGRAM_SOURCE_IP,
        Feature.DATAGRAM_SOURCE_IP_PORT,
        Feature.MONITOR_UDP_CONNECT,
        Feature.MONITOR_ACROSS_PROTOCOLS,
        Feature.PERSISTENCE_GRANULARITY,
    }
)
#: What a provider with that setting claims.
FEATURES: Mapping[DatagramDriver, frozenset[Feature]] = {
    DatagramDriver.NFTABLES: _BOTH,
    DatagramDriver.KEEPALIVED_LVS: _BOTH
    | {Feature.LISTENER_SCTP, Feature.MONITOR_SCTP, Feature.DATAGRAM_LEAST_CONNECTIONS},
}


@dataclass(frozen=True)
class Datagrams:
    """What one appliance is told.

    :param configuration: for nftables; None when it has nothing to balance.
    :param files: for keepalived and IPVS, by listener id.
    """

    configuration: Configuration | None = None
    files: Mapping[str, bytes] = field(default_factory=dict)

    @property
    def texts(self) -> dict[str, bytes]:
        """By the names under which an appliance reports their revisions."""
        found = {file_name(listener_id): text for listener_id, text in self.files.items()}
        return found if self.configuration is None else found | {REVISION: document.render(self.configuration)}


def file_name(listener_id: str) -> str:
    """keepalived's file of a listener."""
    return f"octavia-keepalivedlvs-{listener_id}.conf"


def listener_of(name: str) -> str | None:
    """The listener of a file of that name; None when it is another file."""
    head, tail = "octavia-keepalivedlvs-", ".conf"
    return name[len(head) : -len(tail)] if name.startswith(head) and name.endswith(tail) else None


def of_datagrams(name: str) -> bool:
    """Whether a reported revision is one of datagrams."""
    return name == REVISION or listener_of(name) is not None


def wanted(bundle: Bundle, facts: Facts, driver: DatagramDriver) -> Datagrams:
    """What the appliance has to be told.

    :raises UnsupportedError: names the listener or pool that no engine of the appliance can serve.
    :raises ValueError: when a value cannot be written as configuration.
    """
    listeners = [one for one in bundle.load_balancer.listeners if one.protocol in lvs_translate.PROTOCOLS]
    if not listeners:
        return Datagrams()
    if driver is DatagramDriver.KEEPALIVED_LVS and _CAPABILITY[driver] in facts.capabilities:
        return Datagrams(
            files={one.id: lvs_render.render(lvs_translate.translate(bundle, facts, one)).encode() for one in listeners}
        )
    configuration = translate.translate(bundle)
    if not configuration.services:
        return Datagrams()
    if _CAPABILITY[DatagramDriver.NFTABLES] not in facts.capabilities:
        raise UnsupportedError(
            f"the amphora {bundle.amphora_id} cannot balance datagrams: its agent reports neither nftables nor IPVS; "
            "build its image with nft, conntrack and a kernel that has nf_tables, or IPVS",
            object_id=listeners[0].id,
        )
    return Datagrams(configuration)


def mildness(running: Datagrams, then: Datagrams) -> Mildness:
    """How much a change disturbs. Rules change without moving a flow; keepalived starts anew."""
    before, after = running.texts, then.texts
    changed = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
    if not changed:
        return Mildness.NOTHING
    return Mildness.RUNTIME if changed == {REVISION} else Mildness.RESTART


def connections(tree: LoadBalancer) -> bool:
    """Whether the tree needs HAProxy at all."""
    served = (one for one in tree.listeners if one.protocol not in lvs_translate.PROTOCOLS)
    return tree.admin_state_up and any(one.admin_state_up for one in served)
