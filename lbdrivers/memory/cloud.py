"""The cloud that the memory drivers share: shelves of typed values, kept in driver-private records.

Law: every write is compare-and-set; a value is encoded and decoded by pydantic from its own type, so
that nothing but the dataclasses says what is stored. The records have no owner: a cloud outlives the
load balancers in it.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from pydantic import TypeAdapter

from lbdrivers.drivers.amphora import Interface, Role
from lbdrivers.drivers.context import Conflict, Record, Records
from lbdrivers.model.infra import MachineStatus, Port, Subnet
from lbdrivers.model.resources import LoadBalancer

_NAMESPACE = uuid.UUID("7c0e7e0e-9f5e-5d0b-8f5a-6d656d6f7279")

T = TypeVar("T")


def derived_id(*parts: str) -> str:
    """A UUID that follows from the parts alone."""
    return str(uuid.uuid5(_NAMESPACE, "/".join(parts)))


@dataclass(frozen=True)
class StoredMachine:
    """A machine. ``ports``: names of the ports it was made with, the management port first."""

    id: str
    name: str
    status: MachineStatus
    ports: tuple[str, ...]
    zone: str | None = None
    flavor: str | None = None
    image: str | None = None


@dataclass(frozen=True)
class StoredSubnet:
    """A subnet. ``on_demand``: nobody defined it; it takes its shape from its first use."""

    subnet: Subnet
    on_demand: bool


@dataclass(frozen=True)
class StoredAppliance:
    """What runs in a machine.

    :param load_balancer: None until it is configured.
    :param digest: of the whole bundle, to see whether the same comes again.
    :param priority: VRRP's; the highest living one of a load balancer holds the VIP.
    :param certificates: how often the agent got a new certificate.
    :param agent_configuration: the last that the agent was given while it ran.
    """

    machine: str
    amphora_id: str
    interfaces: tuple[Interface, ...] = ()
    load_balancer: LoadBalancer | None = None
    digest: str = ""
    role: Role = Role.STANDALONE
    priority: int = 0
    reloads: int = 0
    certificates: int = 0
    agent_configuration: str = ""


@dataclass(frozen=True)
class StoredLoadBalancer:
    """What the memory provider makes of a tree.

    :param replacements: how often its appliance was replaced.
    """

    tree: LoadBalancer
    addresses: tuple[str, ...]
    replacements: int = 0


@dataclass(frozen=True)
class StoredSecret:
    """What a reference points to: PEM texts by part; a plain secret has the part "secret" alone."""

    parts: dict[str, str]


# Made once: building the schema of one costs milliseconds.
_MACHINE = TypeAdapter(StoredMachine)
_PORT = TypeAdapter(Port)
_SUBNET = TypeAdapter(StoredSubnet)
_ADDRESS = TypeAdapter(str)
_APPLIANCE = TypeAdapter(StoredAppliance)
_LOAD_BALANCER = TypeAdapter(StoredLoadBalancer)
_SECRET = TypeAdapter(StoredSecret)


class Shelf(Generic[T]):
    """Values of one type by id."""

    def __init__(self, records: Records, kind: str, adapter: TypeAdapter[T]) -> None:
        self._records = records
        self._kind = f"memory-cloud-{kind}"
        self._adapter = adapter
        # The last record of each id with its value: one that was not written since is not decoded again.
        self._seen: dict[str, tuple[Record, T]] = {}

    def get(self, identity: str) -> T | None:
        """The value, or None."""
        record = self._records.get(self._kind, identity)
        return None if record is None else self._decoded(record)

    def all(self) -> tuple[T, ...]:
        """Every value, by id."""
        return tuple(self._decoded(record) for record in self._records.list(self._kind))

    def items(self) -> tuple[tuple[str, T], ...]:
        """Every id with its value."""
        return tuple((record.id, self._decoded(record)) for record in self._records.list(self._kind))

    def ids(self) -> frozenset[str]:
        """Every id."""
        return frozenset(record.id for record in self._records.list(self._kind))

    def change(self, identity: str, step: Callable[[T | None], T]) -> T:
        """Replace the value by ``step(value)``; again with a newer one if somebody was faster."""
        while True:
            record = self._records.get(self._kind, identity)
            old = None if record is None else self._decoded(record)
            new = step(old)
            if new == old:
                return new
            data = {"value": self._adapter.dump_python(new, mode="json")}
            version = 0 if record is None else record.version
            try:
                self._seen[identity] = (self._records.put(Record(self._kind, identity, data, version=version)), new)
            except Conflict:
                continue
            return new

    def remove(self, identity: str) -> None:
        """Forget the value; absent is success."""
        self._seen.pop(identity, None)
        self._records.remove(self._kind, identity)

    def _decoded(self, record: Record) -> T:
        seen = self._seen.get(record.id)
        if seen is not None and seen[0] is record:
            return seen[1]
        data: Any = record.data
        value = self._adapter.validate_python(data["value"])
        self._seen[record.id] = (record, value)
        return value


class Cloud:
    """Everything that the memory drivers know."""

    def __init__(self, records: Records) -> None:
        self.machines = Shelf(records, "machine", _MACHINE)
        self.ports = Shelf(records, "port", _PORT)
        self.subnets = Shelf(records, "subnet", _SUBNET)
        #: "<subnet>/<address>" -> name of the port that has it; claimed before the port is written.
        self.addresses = Shelf(records, "address", _ADDRESS)
        self.appliances = Shelf(records, "appliance", _APPLIANCE)
        self.load_balancers = Shelf(records, "load-balancer", _LOAD_BALANCER)
        self.secrets = Shelf(records, "secret", _SECRET)
