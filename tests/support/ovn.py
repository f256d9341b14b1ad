"""What the tests of the OVN provider share: trees, a provider on a private OVN, and a look at what is left there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from examples.ovn_demo.private_ovn import PrivateOvn
from lbdrivers import settings
from lbdrivers.drivers.context import DriverContext
from lbdrivers.memory.records import MemoryRecords
from lbdrivers.model.resources import LoadBalancer
from lbdrivers.testing.surroundings import Surroundings
from lbdrivers_ovn.network.driver import OvnNetwork
from lbdrivers_ovn.provider import OvnProvider

PUBLIC, PUBLIC_SIX, PRIVATE, PRIVATE_SIX, STORAGE = (
    f"b1000000-0000-4000-8000-00000000000{number}" for number in range(1, 6)
)
PUBLIC_NETWORK, PRIVATE_NETWORK, STORAGE_NETWORK = (
    f"a1000000-0000-4000-8000-00000000000{number}" for number in range(1, 4)
)
#: Trees of the kit find their places in the packaged networks.
AROUND = Surroundings(
    vip_subnet_id=PUBLIC,
    additional_subnet_id=PUBLIC_SIX,
    member_subnet_ids=(PRIVATE, STORAGE),
    member_addresses=("10.212.32.10", "10.212.32.11", "10.212.48.7", "10.212.16.200"),
    references=(),
    authority_references=(),
    revocation_references=(),
)


@dataclass
class OvnCloud:
    """A private OVN, and provider objects on it.

    :param options: more lines of the section [ovn].
    """

    ovn: PrivateOvn
    options: str = ""
    records: MemoryRecords = field(default_factory=MemoryRecords)

    def context(self) -> DriverContext:
        """As a new process has it, but for the search for installed drivers, which takes longer than all else."""
        file = self.ovn.folder / "lbdrivers.conf"
        file.write_text(self.ovn.configuration() + self.options)
        made: list[OvnNetwork] = []

        def load(group: str, name: str) -> OvnNetwork:
            assert (group, name) == ("lbdrivers.networks", "ovn")
            if not made:
                made.append(OvnNetwork(context))
            return made[0]

        context = DriverContext(settings.load([file], state_path=self.ovn.folder / "state"), self.records, load)
        return context

    def provider(self) -> OvnProvider:
        """A new provider object."""
        return OvnProvider(self.context())

    def network(self) -> OvnNetwork:
        """A new network driver."""
        return OvnNetwork(self.context())

    def left(self) -> list[str]:
        """What the northbound database holds."""
        return list(self.ovn.contents())


@contextmanager
def ovn_cloud(*, switching: bool = False, networks: Path | None = None) -> Iterator[OvnCloud]:
    """A private OVN for as long as the block runs."""
    with PrivateOvn(switching=switching) as ovn:
        yield OvnCloud(ovn, f"networks_file = {networks}\n" if networks is not None else "")


def identity(number: int) -> str:
    """A UUID that reads well."""
    return f"00000000-0000-4000-8000-{number:012d}"


def member(number: int, address: str, port: int = 80, subnet_id: str | None = PRIVATE, **fields: Any) -> dict[str, Any]:
    return {"id": identity(number), "address": address, "protocol_port": port, "subnet_id": subnet_id, **fields}


def pool(number: int, members: list[dict[str, Any]], protocol: str = "TCP", **fields: Any) -> dict[str, Any]:
    common = {"id": identity(number), "protocol": protocol, "lb_algorithm": "SOURCE_IP_PORT", "members": members}
    return {**common, **fields}


def listener(
    number: int, port: int, pool_number: int | None = None, protocol: str = "TCP", **fields: Any
) -> dict[str, Any]:
    target = identity(pool_number) if pool_number is not None else None
    common = {"id": identity(number), "protocol": protocol, "protocol_port": port, "default_pool_id": target}
    return {**common, **fields}


def monitor(number: int, kind: str = "TCP", **fields: Any) -> dict[str, Any]:
    times = {"delay": 1, "timeout": 1, "max_retries": 1, "max_retries_down": 1}
    return {"id": identity(number), "type": kind, **times, **fields}


def tree(
    pools: list[dict[str, Any]] | None = None, listeners: list[dict[str, Any]] | None = None, **fields: Any
) -> LoadBalancer:
    """A load balancer with a VIP on the public network."""
    common = {"id": identity(1), "name": "web", "vip_subnet_id": PUBLIC}
    return LoadBalancer.model_validate({**common, "pools": pools or [], "listeners": listeners or [], **fields})


def web(*members: dict[str, Any], **fields: Any) -> LoadBalancer:
    """One TCP listener on port 80 and one pool with these members."""
    return tree([pool(10, list(members))], [listener(20, 80, 10)], **fields)
