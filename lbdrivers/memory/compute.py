"""Machines that run at once and do nothing; see ``lbdrivers.drivers.compute`` for the laws."""

from __future__ import annotations

from dataclasses import replace

from lbdrivers.drivers.context import DriverContext
from lbdrivers.errors import PermanentError
from lbdrivers.memory.cloud import Cloud, StoredMachine, derived_id
from lbdrivers.memory.faults import Faults
from lbdrivers.model.infra import Machine, MachineRequest, MachineStatus, Port


class MemoryCompute:
    """Implements ``Compute`` and ``RequestChecker`` on the memory cloud."""

    contract = 1

    def __init__(self, context: DriverContext, faults: Faults | None = None) -> None:
        self.cloud = Cloud(context.records)
        self._faults = faults or Faults()

    def ensure(self, request: MachineRequest) -> Machine:
        """See ``Compute.ensure``."""
        with self._faults.around("ensure", request):
            for name in request.ports:
                self._port(name)
            found = self.cloud.machines.get(request.name)
            if found is not None and found.status is not MachineStatus.RUNNING:
                # A machine that is started again starts with nothing applied.
                self.cloud.appliances.remove(request.name)

            def running(old: StoredMachine | None) -> StoredMachine:
                if old is not None and old.status is MachineStatus.RUNNING:
                    return old
                identity = old.id if old is not None else derived_id("machine", request.name)
                kind = (request.zone, request.flavor, request.image)
                return StoredMachine(identity, request.name, MachineStatus.RUNNING, request.ports, *kind)

            machine = self.cloud.machines.change(request.name, running)
            for name in request.ports:
                self._plug(name, request.name)
        return self._machine(machine)

    def check_request(self, request: MachineRequest) -> None:
        """See ``RequestChecker.check_request``: it boots everything."""
        with self._faults.around("check_request", request):
            return

    def find(self, name: str) -> Machine | None:
        """See ``Compute.find``."""
        with self._faults.around("find", name):
            found = self.cloud.machines.get(name)
        return None if found is None else self._machine(found)

    def remove(self, name: str) -> None:
        """See ``Compute.remove``."""
        with self._faults.around("remove", name):
            for port in self.cloud.ports.all():
                if port.machine == name:
                    self._plug(port.name, None)
            self.cloud.appliances.remove(name)
            self.cloud.machines.remove(name)

    def attach(self, name: str, port: str) -> None:
        """See ``Compute.attach``."""
        with self._faults.around("attach", name, port):
            if self.cloud.machines.get(name) is None:
                raise PermanentError(f"there is no machine {name}")
            self._plug(port, name)

    def detach(self, name: str, port: str) -> None:
        """See ``Compute.detach``."""
        with self._faults.around("detach", name, port):
            found = self.cloud.ports.get(port)
            if found is not None and found.machine == name:
                self._plug(port, None)

    def known(self) -> frozenset[str]:
        """See ``Compute.known``."""
        with self._faults.around("known"):
            return self.cloud.machines.ids()

    def kill(self, name: str) -> None:
        """For tests: the machine dies where it stands."""

        def stopped(machine: StoredMachine | None) -> StoredMachine:
            if machine is None:
                raise PermanentError(f"there is no machine {name}")
            return replace(machine, status=MachineStatus.STOPPED)

        self.cloud.machines.change(name, stopped)

    def _port(self, name: str) -> Port:
        port = self.cloud.ports.get(name)
        if port is None:
            raise PermanentError(f"there is no port {name}")
        return port

    def _plug(self, name: str, machine: str | None) -> None:
        def plugged(port: Port | None) -> Port:
            if port is None:
                raise PermanentError(f"there is no port {name}")
            if machine is not None and port.machine not in (None, machine):
                raise PermanentError(f"the port {name} is plugged into the machine {port.machine}; detach it first")
            return replace(port, machine=machine)

        self.cloud.ports.change(name, plugged)

    def _machine(self, stored: StoredMachine) -> Machine:
        management = self.cloud.ports.get(stored.ports[0]) if stored.ports else None
        address = management.fixed[0].address if management is not None and management.fixed else None
        return Machine(id=stored.id, name=stored.name, status=stored.status, address=address, zone=stored.zone)
