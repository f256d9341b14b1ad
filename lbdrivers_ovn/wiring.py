"""How the northbound database connects switches and routers, kept at hand.

Law: what is kept is forgotten as soon as the replica tells that a row which it was read from has changed; so it is
always what a fresh look would give. Used in the connection's thread alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from lbdrivers_ovn.database import Row, Work, concerns
from lbdrivers_ovn.topology import Interface, Topology, Translation

#: table -> columns whose change may connect things otherwise; None: any.
_CONNECTING = {
    "Logical_Switch": ("name", "ports"),
    "Logical_Router": ("name", "ports", "nat"),
    "Logical_Router_Port": None,
    "NAT": None,
}
#: external_ids of a switch that is a provider network's.
_PROVIDER_NETWORK = "neutron:provnet-physical-network"


class Wiring:
    """Interfaces and floating IPs of the whole database, by switch and by router."""

    def __init__(self) -> None:
        self._interfaces: tuple[Interface, ...] | None = None
        self._translations: tuple[Translation, ...] = ()

    def heard(self, _event: str, table: str, row: Row, old: Row | None) -> None:
        """A row was inserted, changed or deleted."""
        if table == "Logical_Switch_Port":
            if row.type == "router":
                self._interfaces = None
        elif table in _CONNECTING and concerns(_CONNECTING[table], old):
            self._interfaces = None

    def around(self, work: Work, switches: frozenset[str], addresses: frozenset[str]) -> Topology:
        """What is around these switches.

        :param addresses: whose ports are looked for on them.
        """
        interfaces, translations = self._read(work)
        routers = {one.router for one in interfaces if one.switch in switches}
        near = tuple(one for one in interfaces if one.router in routers)
        found = {
            name: row
            for name in sorted(switches | {one.switch for one in near})
            for row in work.find("Logical_Switch", name)[:1]
        }
        asked = [found[name] for name in sorted(switches & found.keys())] if addresses else []
        return Topology(
            switches=frozenset(found),
            provider_switches=frozenset(name for name, row in found.items() if _PROVIDER_NETWORK in row.external_ids),
            interfaces=near,
            translations=tuple(one for one in translations if one.router in routers),
            ports=dict(_ports(asked, addresses)),
        )

    def translations(self, work: Work) -> tuple[Translation, ...]:
        """Every floating IP."""
        return self._read(work)[1]

    def _read(self, work: Work) -> tuple[tuple[Interface, ...], tuple[Translation, ...]]:
        if self._interfaces is None:
            self._interfaces, self._translations = tuple(_interfaces(work)), tuple(_translations(work))
        return self._interfaces, self._translations


def _interfaces(work: Work) -> Iterator[Interface]:
    owners = {port.name: (router.name, port) for router in work.rows("Logical_Router") for port in router.ports}
    for switch in work.rows("Logical_Switch"):
        for port in switch.ports:
            if port.type == "router" and (found := owners.get(port.options.get("router-port", ""))):
                router, end = found
                outward = bool(end.gateway_chassis or end.ha_chassis_group)
                yield Interface(router, switch.name, tuple(end.networks), outward)


def _translations(work: Work) -> Iterator[Translation]:
    for router in work.rows("Logical_Router"):
        for row in router.nat:
            if row.type == "dnat_and_snat":
                yield Translation(
                    uuid=str(row.uuid),
                    router=router.name,
                    external_address=row.external_ip,
                    logical_address=row.logical_ip,
                    external_mac="".join(row.external_mac),
                    logical_port="".join(row.logical_port),
                    external_ids=row.external_ids,
                )


def _ports(switches: Iterable[Row], addresses: frozenset[str]) -> Iterator[tuple[str, str]]:
    """Address -> port, of those that are looked for."""
    for switch in switches:
        for port in switch.ports:
            if port.type in ("router", "localport", "localnet"):
                continue
            for text in port.addresses:
                for address in text.split()[1:]:
                    if address in addresses:
                        yield address, port.name
