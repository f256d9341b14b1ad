"""The laws of the compute contract (``lbdrivers.drivers.compute``), one function each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from lbdrivers.drivers.compute import Compute, RequestChecker
from lbdrivers.drivers.network import Network
from lbdrivers.model.infra import FixedAddress, Machine, MachineRequest, MachineStatus, Port, PortRequest
from lbdrivers.testing.check import Check, Patience, expect, fail, refused
from lbdrivers.testing.surroundings import new_id

_DEAD = (MachineStatus.STOPPED, MachineStatus.ERROR)


@dataclass(frozen=True)
class ComputeFixture:
    """A compute driver under test.

    :param make: a new driver object on the same backend, each time; as after a restart.
    :param network: the network driver whose ports it plugs.
    :param management_subnet_id: where machines get their first port.
    :param member_subnet_id: another subnet, on another network.
    :param request: what to boot, given a machine's name and the names of its first ports.
    :param kill: makes the machine of that name die as by a power cut.
    :param unbootable: as ``request``, but of a kind that the driver cannot boot; None when it boots all.
    """

    make: Callable[[], Compute]
    network: Callable[[], Network]
    management_subnet_id: str
    member_subnet_id: str
    kill: Callable[[str], None]
    request: Callable[[str, tuple[str, ...]], MachineRequest] = MachineRequest
    unbootable: Callable[[str, tuple[str, ...]], MachineRequest] | None = None
    patience: Patience = field(default_factory=Patience)

    def find(self, name: str) -> Machine | None:
        """The machine as a new driver object finds it."""
        return self.patience.settled("find", lambda: self.make().find(name))

    def port(self, name: str) -> Port:
        """The port as it is. :raises AssertionError: when it is gone."""
        found = self.patience.settled("port", lambda: self.network().port(name))
        if found is None:
            fail(f"the port {name} is gone")
        return found

    @contextmanager
    def plain_port(self, name: str, subnet_id: str) -> Iterator[str]:
        """An unplugged port for as long as the block runs; its name."""
        network = self.network()
        network_id = network.subnet(subnet_id).network_id
        request = PortRequest(name, network_id, (FixedAddress(subnet_id),))
        self.patience.settled("ensure_port", lambda: network.ensure_port(request))
        try:
            yield name
        finally:
            self.patience.settled("remove_port", lambda: self.network().remove_port(name))

    @contextmanager
    def running(self) -> Iterator[MachineRequest]:
        """A running machine for as long as the block runs; what was asked for."""
        name = f"amphora-{new_id()}"
        with self.plain_port(f"{name}-mgmt", self.management_subnet_id) as port:
            request = self.request(name, (port,))
            try:
                self.boot(request)
                yield request
            finally:
                self.patience.settled("remove", lambda: self.make().remove(name))

    def boot(self, request: MachineRequest) -> Machine:
        """Ensure the machine, and wait until it runs."""
        machine = self.patience.settled("ensure", lambda: self.make().ensure(request))
        expect(machine.name == request.name, f"ensure gave the machine {machine.name} instead of {request.name}")

        def runs() -> bool:
            found = self.make().find(request.name)
            return found is not None and found.status is MachineStatus.RUNNING and found.address is not None

        self.patience.becomes(f"the machine {request.name} runs and has an address", runs)
        return machine


def check_the_absent_is_no_error(fixture: ComputeFixture) -> None:
    """What is absent is found as None, is not known; removing it and unplugging from it are success."""
    compute, name = fixture.make(), f"amphora-{new_id()}"
    for _ in range(2):
        expect(fixture.find(name) is None, "find gives a machine that nobody made")
        expect(name not in compute.known(), "known() lists a machine that nobody made")
        fixture.patience.settled("remove", lambda: compute.remove(name))
        fixture.patience.settled("detach", lambda: compute.detach(name, "no-such-port"))


def check_ensure_makes_it_once(fixture: ComputeFixture) -> None:
    """A machine that exists is returned as it is: the same id, however often and by whichever object."""
    with fixture.running() as request:
        ids = {fixture.boot(request).id for _ in range(2)}
        found = fixture.find(request.name)
        expect(found is not None and ids == {found.id}, "ensure made a second machine of the same name")
        expect(request.name in fixture.make().known(), "known() does not list a machine that runs")


def check_the_address_is_the_first_ports(fixture: ComputeFixture) -> None:
    """A machine's first port is plugged from the start, and its address is the management address."""
    with fixture.running() as request:
        port, found = fixture.port(request.ports[0]), fixture.find(request.name)
        expect(port.machine == request.name, "the first port is not plugged into the machine")
        wanted = port.address_in(fixture.management_subnet_id)
        expect(found is not None and found.address == wanted, f"the machine's address is not {wanted}")


def check_ports_are_plugged_and_unplugged(fixture: ComputeFixture) -> None:
    """attach plugs a port and detach unplugs it; doing either again is success."""
    with (
        fixture.running() as request,
        fixture.plain_port(f"{request.name}-member", fixture.member_subnet_id) as port,
    ):
        compute = fixture.make()
        for _ in range(2):
            fixture.patience.settled("attach", lambda: compute.attach(request.name, port))
            expect(fixture.port(port).machine == request.name, "attach did not plug the port")
        for _ in range(2):
            fixture.patience.settled("detach", lambda: compute.detach(request.name, port))
            expect(fixture.port(port).machine is None, "detach did not unplug the port")


def check_a_dead_machine_is_started_again(fixture: ComputeFixture) -> None:
    """A dead machine is found with its status, stays known, and ensure starts it again with its ports."""
    with fixture.running() as request:
        fixture.kill(request.name)

        def is_found_dead() -> bool:
            found = fixture.make().find(request.name)
            return found is not None and found.status in _DEAD

        fixture.patience.becomes("a dead machine is found as STOPPED or ERROR", is_found_dead)
        expect(request.name in fixture.make().known(), "known() does not list a dead machine")
        fixture.boot(request)
        expect(fixture.port(request.ports[0]).machine == request.name, "its port is not plugged after the new start")


def check_remove_leaves_the_ports(fixture: ComputeFixture) -> None:
    """remove takes the machine away, dead ones too; its ports survive, unplugged."""
    with (
        fixture.running() as request,
        fixture.plain_port(f"{request.name}-member", fixture.member_subnet_id) as port,
    ):
        compute = fixture.make()
        fixture.patience.settled("attach", lambda: compute.attach(request.name, port))
        fixture.kill(request.name)
        for _ in range(2):
            fixture.patience.settled("remove", lambda: compute.remove(request.name))
            expect(fixture.find(request.name) is None, "find still gives what was removed")
            expect(request.name not in fixture.make().known(), "known() still lists what was removed")
        for name in (port, *request.ports):
            expect(fixture.port(name).machine is None, f"the port {name} of a removed machine is still plugged")


def check_machines_are_apart(fixture: ComputeFixture) -> None:
    """Two machines have ids and addresses of their own; removing one leaves the other running."""
    with fixture.running() as one:
        with fixture.running() as other:
            first, second = fixture.find(one.name), fixture.find(other.name)
            if first is None or second is None:
                fail("one of two machines is not found")
            expect(first.id != second.id, "two machines have one id")
            expect(first.address != second.address, "two machines have one address")
        found = fixture.find(one.name)
        expect(found is not None and found.status is MachineStatus.RUNNING, "removing one machine ended another")


def check_what_cannot_boot_is_refused_first(fixture: ComputeFixture) -> None:
    """check_request takes what boots and makes nothing of it; what it refuses, ensure refuses, too."""
    compute = fixture.make()
    if not isinstance(compute, RequestChecker):
        return
    name = f"amphora-{new_id()}"
    with fixture.plain_port(f"{name}-mgmt", fixture.management_subnet_id) as port:
        try:
            compute.check_request(fixture.request(name, (port,)))
            if fixture.unbootable is not None:
                request = fixture.unbootable(name, (port,))
                refused("check_request of what cannot boot", lambda: compute.check_request(request))
                refused("ensure of what cannot boot", lambda: fixture.make().ensure(request))
            expect(fixture.find(name) is None, "check_request, or a refused ensure, has made a machine")
        finally:
            fixture.patience.settled("remove", lambda: fixture.make().remove(name))


CHECKS: tuple[Check[ComputeFixture], ...] = (
    Check(check_the_absent_is_no_error),
    Check(check_ensure_makes_it_once),
    Check(check_the_address_is_the_first_ports),
    Check(check_ports_are_plugged_and_unplugged),
    Check(check_a_dead_machine_is_started_again),
    Check(check_remove_leaves_the_ports),
    Check(check_machines_are_apart),
    Check(check_what_cannot_boot_is_refused_first),
)
