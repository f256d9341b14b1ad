"""What trees of the kit refer to and must find in the backend under test.

Law: plain values; whoever tests a backend fills them in, no check assumes any of them.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


def identity(number: int) -> str:
    """A UUID out of a number."""
    return str(uuid.UUID(int=number))


def new_id() -> str:
    """A UUID that nobody has."""
    return str(uuid.uuid4())


@dataclass(frozen=True)
class Surroundings:
    """Ids, addresses and references to use in trees.

    :param identities: ids to choose from; few of them make two trees collide, None draws fresh ones.
    :param additional_subnet_id: another subnet of the VIP's network, or None.
    :param references: references to certificates with their keys that the backend can resolve; likewise
        ``authority_references`` to authorities, and ``revocation_references`` to the revocation lists of these,
        in the same order.
    :param flavors: data of flavors that the backend takes.
    :param availability_zones: data of zones that it takes.
    :param qos_policy_id: and the one after it: one that the backend knows, or None.
    """

    identities: tuple[str, ...] | None = None
    vip_subnet_id: str = identity(1)
    additional_subnet_id: str | None = identity(2)
    member_subnet_ids: tuple[str, ...] = (identity(3),)
    references: tuple[str, ...] = ("memory:www.example.com", "memory:www.example.org")
    authority_references: tuple[str, ...] = ("memory:authority/clients",)
    revocation_references: tuple[str, ...] = ("memory:crl/clients",)
    member_addresses: tuple[str, ...] = ("192.0.2.10", "192.0.2.11", "198.51.100.7", "2001:db8::7")
    ports: tuple[int, ...] = (80, 81, 443, 8080)
    flavors: tuple[Mapping[str, Any], ...] = ()
    availability_zones: tuple[Mapping[str, Any], ...] = ()
    qos_policy_id: str | None = None
    security_group_id: str | None = None


#: For a backend that takes any id, such as the memory cloud.
ANYWHERE = Surroundings()
