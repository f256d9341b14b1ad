"""The world around a load balancer in OVN: members and a client, guests on ports of the network driver's."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from examples.ovn_demo.guests import Namespace
from examples.ovn_demo.private_ovn import PrivateOvn
from lbdrivers.drivers.network import Network
from lbdrivers.model.infra import FixedAddress, Port, PortRequest, Subnet

MEMBER = Path(__file__).with_name("member.py")
#: Seconds until an answer counts as lost; it takes less than a millisecond.
PATIENCE = 1.0


class Talk:
    """A TCP connection to a member, that can be asked again and again."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._lines = connection.makefile("r")

    def ask(self) -> str:
        """The name of the member at the other end. :raises OSError: when the connection is broken."""
        self._connection.sendall(b"who\n")
        line = self._lines.readline()
        if not line:
            raise ConnectionResetError("the member has closed the connection")
        return line.split()[0]

    def close(self) -> None:
        """End it."""
        self._lines.close()
        self._connection.close()


class World:
    """Guests on a private OVN; a context manager that ends them.

    :param network: makes their ports.
    """

    def __init__(self, ovn: PrivateOvn, network: Network) -> None:
        self._ovn, self._network = ovn, network
        self._guests: dict[str, Namespace] = {}
        self._ports: dict[str, Port] = {}
        self._servers: dict[str, subprocess.Popen[Any]] = {}
        self._unused_port = 10000  # the kernel itself chooses from 32768 on

    def __enter__(self) -> World:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def guest(self, name: str, *places: tuple[str, str | None]) -> Namespace:
        """A guest with an address in each of these subnets, all of one network."""
        subnets = [self._network.subnet(subnet_id) for subnet_id, _ in places]
        fixed = tuple(FixedAddress(subnet_id, address) for subnet_id, address in places)
        port = self._network.ensure_port(PortRequest(f"guest-{name}", subnets[0].network_id, fixed))
        self._ports[name] = port
        return self.join(name, port, subnets)

    def join(self, name: str, port: Port, subnets: list[Subnet]) -> Namespace:
        """A guest on a port that somebody else has made, and removes."""
        self._guests[name] = self._ovn.guest(name, port, subnets)
        return self._guests[name]

    def addresses(self, name: str) -> tuple[str, ...]:
        """The guest's addresses."""
        return tuple(one.address for one in self._ports[name].fixed if one.address is not None)

    def serve(self, name: str, port: int) -> None:
        """Let the guest be a member that answers on the port, TCP and UDP."""
        command = [sys.executable, "-I", str(MEMBER), name, str(port)]
        process = self._guests[name].popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        assert process.stdout is not None
        if process.stdout.readline() != b"ready\n":
            raise RuntimeError(f"the member {name} does not serve")
        self._servers[name] = process

    def stop(self, name: str) -> None:
        """Kill the member's server; its guest stays."""
        process = self._servers.pop(name)
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()

    def connect(self, client: str, address: str, port: int) -> Talk:
        """A TCP connection from the guest. :raises OSError: when nobody answers."""

        def opened() -> socket.socket:
            return socket.create_connection((address, port), PATIENCE)

        return Talk(self._guests[client].call(opened))

    def tcp(self, client: str, address: str, port: int, count: int, patience: float = PATIENCE) -> Counter[str]:
        """Who answers so many new connections; "failed" counts those that nobody did.

        :param patience: seconds for each.
        """

        def one() -> str:
            try:
                with socket.create_connection((address, port), patience) as connection:
                    connection.sendall(b"who\n")
                    return connection.recv(100).decode().strip() or "failed"
            except OSError:
                return "failed"

        return self._asked(client, one, count)

    def udp(self, client: str, address: str, port: int, count: int) -> Counter[str]:
        """Who answers so many datagrams, each from a port that none came from before: of any other, Open vSwitch may
        still remember the member, be it dead by now."""
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        ports = iter(range(self._unused_port, self._unused_port + count))
        self._unused_port += count

        def one() -> str:
            with socket.socket(family, socket.SOCK_DGRAM) as asking:
                asking.settimeout(PATIENCE)
                asking.bind(("", next(ports)))
                try:
                    asking.connect((address, port))
                    asking.send(b"who")
                    return asking.recv(100).decode().strip()
                except OSError:
                    return "failed"

        return self._asked(client, one, count)

    def _asked(self, client: str, one: Any, count: int) -> Counter[str]:
        """Answers are "name source", or "failed"."""
        return self._guests[client].call(lambda: Counter(one() for _ in range(count)))

    def close(self) -> None:
        """End all servers and guests, and remove their ports."""
        for name in list(self._servers):
            self.stop(name)
        for guest in self._guests.values():
            guest.close()
        for port in self._ports.values():
            self._network.remove_port(port.name)
        self._guests.clear()
        self._ports.clear()


def names(answers: Counter[str]) -> Counter[str]:
    """How often each member answered, whoever it saw."""
    found: Counter[str] = Counter()
    for text, count in answers.items():
        found[text.split()[0]] += count
    return found
