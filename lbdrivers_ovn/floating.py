"""Floating IPs, where NAT rows exist: of VIPs, and of the members behind them.

Law: pure. A VIP with a floating IP is reached through its router's gateway; a member whose own floating IP is
translated on its chassis would answer past that gateway. So members' translations are done at the gateway, too, for as
long as a load balancer needs it, and as before afterwards (ovn-octavia-provider's rule, which leaves that to Neutron).
"""

from __future__ import annotations

from collections.abc import Iterator

from lbdrivers_ovn.difference import ChangeKeys, Operation, SetColumn
from lbdrivers_ovn.topology import Translation

TABLE = "NAT"
#: external_ids of a translation at the gateway: for which load balancers, and what it was before.
USERS = "lbdrivers:centralised_for"
MAC = "lbdrivers:external_mac"
PORT = "lbdrivers:logical_port"


def centralised(
    translations: tuple[Translation, ...], load_balancer_id: str, members: frozenset[str]
) -> Iterator[Operation]:
    """What has to be written so that the members' translations are done where the load balancer needs them.

    :param members: addresses of its members, if it has a floating IP; else none.
    """
    for one in translations:
        users = {user for user in one.external_ids.get(USERS, "").split(",") if user}
        if one.logical_address in members:
            if one.external_mac:
                kept = {
                    MAC: one.external_mac,
                    PORT: one.logical_port,
                    USERS: ",".join(sorted(users | {load_balancer_id})),
                }
                yield SetColumn(TABLE, one.uuid, "external_mac", "")
                yield SetColumn(TABLE, one.uuid, "logical_port", "")
                yield ChangeKeys(TABLE, one.uuid, "external_ids", kept)
            elif users and load_balancer_id not in users:
                yield ChangeKeys(TABLE, one.uuid, "external_ids", {USERS: ",".join(sorted(users | {load_balancer_id}))})
        elif load_balancer_id in users:
            yield from _given_back(one, users - {load_balancer_id})


def _given_back(one: Translation, users: set[str]) -> Iterator[Operation]:
    if users:
        yield ChangeKeys(TABLE, one.uuid, "external_ids", {USERS: ",".join(sorted(users))})
        return
    yield ChangeKeys(TABLE, one.uuid, "external_ids", gone=frozenset({USERS, MAC, PORT}))
    if not one.external_mac:  # else somebody has made it anew meanwhile
        yield SetColumn(TABLE, one.uuid, "external_mac", one.external_ids.get(MAC, ""))
        yield SetColumn(TABLE, one.uuid, "logical_port", one.external_ids.get(PORT, ""))
