"""The amphora provider on memory drivers, with a virtual clock, faults, and a process that can die."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from oslo_config import cfg

from lbdrivers.drivers.context import DriverContext, Fence, Progress, Record, Records
from lbdrivers.memory.amphora import MemoryAmphoraDriver
from lbdrivers.memory.certificate import MemoryAuthority
from lbdrivers.memory.cloud import Cloud, StoredAppliance
from lbdrivers.memory.compute import MemoryCompute
from lbdrivers.memory.faults import Faults, Hook, nothing
from lbdrivers.memory.network import MemoryNetwork
from lbdrivers.memory.records import MemoryRecords
from lbdrivers.memory.secret_store import MemorySecretStore
from lbdrivers.model.infra import Machine, Port
from lbdrivers_amphora.ledger import Ledger
from lbdrivers_amphora.provider import AmphoraProvider
from lbdrivers_amphora.records import KIND_AMPHORA, KIND_BALANCER
from lbdrivers_amphora.settings import read

_DRIVERS: dict[str, Callable[[DriverContext, Faults], Any]] = {
    "lbdrivers.compute": MemoryCompute,
    "lbdrivers.networks": MemoryNetwork,
    "lbdrivers.amphora": MemoryAmphoraDriver,
    "lbdrivers.certificates": MemoryAuthority,
    "lbdrivers.secrets": MemorySecretStore,
}


def configuration(topology: str = "ACTIVE_STANDBY", workers: int = 8, vrrp_version: int = 3) -> cfg.ConfigOpts:
    """Options as if read from a file: every driver is the memory one."""
    made = cfg.ConfigOpts()
    made([], default_config_files=[], default_config_dirs=[])
    # Reading registers the options; overriding needs them registered.
    read(made)
    for name in ("compute_driver", "network_driver", "amphora_driver"):
        made.set_override(name, "memory", "controller_worker")
    made.set_override("cert_generator", "memory", "certificates")
    made.set_override("cert_manager", "memory", "certificates")
    made.set_override("loadbalancer_topology", topology, "controller_worker")
    made.set_override("max_workers", workers, "task_flow")
    made.set_override("vrrp_version", vrrp_version, "keepalived_vrrp")
    return made


class HookedRecords:
    """Records with a hook before and after each write."""

    def __init__(self, records: Records, before: Hook, after: Hook) -> None:
        self._records, self._before, self._after = records, before, after

    def get(self, kind: str, record_id: str) -> Record | None:
        return self._records.get(kind, record_id)

    def list(self, kind: str, owner: str | None = None) -> tuple[Record, ...]:
        return self._records.list(kind, owner)

    def put(self, record: Record) -> Record:
        self._before(f"put {record.kind}", (record,))
        written = self._records.put(record)
        self._after(f"put {record.kind}", (record,))
        return written

    def remove(self, kind: str, record_id: str) -> None:
        self._before(f"remove {kind}", (record_id,))
        self._records.remove(kind, record_id)
        self._after(f"remove {kind}", (record_id,))


class CheckedRecords:
    """Records each write of which asks first, with nothing in between, as those of the store are written in one
    transaction with the proof of the lease. One thread at a time."""

    def __init__(self, records: Records, check: Callable[[], None]) -> None:
        self._records, self._check = records, check
        self.get, self.list = records.get, records.list

    def put(self, record: Record) -> Record:
        self._check()
        return self._records.put(record)

    def remove(self, kind: str, record_id: str) -> None:
        self._check()
        self._records.remove(kind, record_id)


@dataclass(frozen=True)
class WorldFence:
    """The fence of a run whose records are the world's and not the store's."""

    records: Records
    check: Callable[[], None]


@dataclass
class World:
    """What outlives a process: the records, the memory cloud in them, and the time."""

    topology: str = "ACTIVE_STANDBY"
    records: MemoryRecords = field(default_factory=MemoryRecords)
    time: float = 1_700_000_000.0
    told: list[Progress] = field(default_factory=list)
    vrrp_version: int = 3
    options: Mapping[tuple[str, str], Any] = field(default_factory=dict)

    def provider(
        self,
        before: Hook = nothing,
        after: Hook = nothing,
        workers: int = 8,
        report: Callable[[Progress], None] | None = None,
        fence: Callable[[str], Fence | None] = lambda _identity: None,
    ) -> AmphoraProvider:
        """A provider as in a new process; the hooks stand around driver calls and record writes."""
        faults = Faults(before, after)
        hooked = HookedRecords(self.records, before, after)
        made: dict[str, Any] = {}
        settings = configuration(self.topology, workers, self.vrrp_version)
        for (section, option), value in self.options.items():
            settings.set_override(option, value, section)

        def load(group: str, name: str) -> Any:
            assert name == "memory"
            if group not in made:
                # The memory cloud is outside: its own writes are no boundaries of ours.
                made[group] = _DRIVERS[group](self._context(settings, self.records, load), faults)
            return made[group]

        def fenced(load_balancer_id: str) -> Fence | None:
            found = fence(load_balancer_id)
            if found is None:
                return None
            return WorldFence(HookedRecords(CheckedRecords(self.records, found.check), before, after), found.check)

        context = self._context(settings, hooked, load)
        return AmphoraProvider(replace(context, report=report or self.told.append, fence=fenced))

    def _context(self, settings: cfg.ConfigOpts, records: Records, load: Callable[[str, str], Any]) -> DriverContext:
        return DriverContext(settings, records, load, self.told.append, lambda: self.time, self._sleep)

    def context(self) -> DriverContext:
        """What a memory driver needs that a test uses by itself."""
        return self._context(configuration(), self.records, lambda _group, _name: None)

    def _sleep(self, seconds: float) -> None:
        self.time += seconds

    @property
    def cloud(self) -> Cloud:
        return Cloud(self.records)

    @property
    def ledger(self) -> Ledger:
        return Ledger(self.records)

    def machines(self) -> dict[str, Machine]:
        compute = MemoryCompute(self.context())
        found = {name: compute.find(name) for name in compute.known()}
        return {name: machine for name, machine in found.items() if machine is not None}

    def ports(self) -> dict[str, Port]:
        return {port.name: port for port in self.cloud.ports.all()}

    def silence(self, machine: str) -> None:
        """The machine goes on, and what answers there is somebody else's agent."""

        def stranger(old: StoredAppliance | None) -> StoredAppliance:
            assert old is not None
            return replace(old, amphora_id="nobody", load_balancer=None)

        self.cloud.appliances.change(machine, stranger)

    def kill(self, name: str) -> None:
        """A machine dies as by a power cut."""
        MemoryCompute(self.context()).kill(name)

    def left(self) -> list[str]:
        """Everything that belongs to a load balancer, one text each: machines, ports, addresses, records."""
        found = [f"machine {name}" for name in self.cloud.machines.ids()]
        found += [f"port {name}" for name in self.cloud.ports.ids()]
        found += [f"address {name}" for name in self.cloud.addresses.ids()]
        return found + [f"{kind} {one.id}" for kind in (KIND_AMPHORA, KIND_BALANCER) for one in self.records.list(kind)]
