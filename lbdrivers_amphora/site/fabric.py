"""The fabric: a box in which every network is a bridge, and the cables from it to machines.

Law: a cable is a veth pair. Its end here is named after the port and the very process 1 that it leads
to, so "a link of that name is here" means "plugged into that machine as it lives now", wherever the
machine has moved its own end; the remains of a dead machine have other names and vanish by themselves.
What changes cables takes the site's lock as an argument and shares it with the programs that it
starts, so nobody sees their work half done even if the caller is killed.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping

from lbdrivers.errors import TemporaryError
from lbdrivers.model.infra import Port
from lbdrivers_amphora.site import links
from lbdrivers_amphora.site.box import Box, Contents
from lbdrivers_amphora.site.files import GLANCE
from lbdrivers_amphora.site.place import Site


class Fabric:
    """The fabric of a site."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self.box = site.fabric

    def ensure(self, lock: int) -> int:
        """Make it run, with a bridge for every network. :returns: the number of its process 1."""
        pid = self.start()
        self._add_bridges(lock, pid)
        return pid

    def start(self, *, own_user_namespace: bool = False) -> int:
        """Make it run, without bridges yet. Called under the site's lock, or by one who has put a box
        into the site: either keeps it from being released.

        :param own_user_namespace: True where the caller has no privileges: the user namespace that
            comes with it is then the site's (see ``unprivileged``).
        """
        deadline = time.monotonic() + self._site.settings.boot_timeout
        while (pid := self.box.pid()) is None:
            lock = self.box.try_hold()
            if lock is not None:
                contents = Contents("fabric", own_user_namespace=own_user_namespace)
                return self.box.boot(lock, contents, lambda _born: None, deadline - time.monotonic())
            if time.monotonic() > deadline:  # somebody else is making it, or it is just ending
                raise TemporaryError(
                    "the local networks did not start", f"{self.box.lock} is held, but nothing answers"
                )
            time.sleep(GLANCE)
        return pid

    def vantage(self) -> str | None:
        """Path of the network namespace from which machines are reached, or None when there is none."""
        pid = self.box.pid()
        return f"/proc/{pid}/ns/net" if pid is not None else None

    def plugged(self, port: Port, machine: Box) -> bool:
        """Whether the port leads into the machine as it lives now."""
        fabric, pid = self.box.pid(), machine.pid()
        if fabric is None or pid is None:
            return False
        with contextlib.suppress(TemporaryError):
            return _outer(port, machine.instance(pid)) in links.names(fabric)
        return False

    def plug(
        self, lock: int, machine: Box, pid: int, ports: Mapping[str, Port], *, configure: frozenset[str] = frozenset()
    ) -> None:
        """Lay the cables that are missing from the bridges into the machine.

        :param pid: number of the machine's process 1, which may still be in the making.
        :param ports: name of the link inside the machine -> port.
        :param configure: links that get their addresses here; the agent configures the others.
        :raises TemporaryError: when the machine or the fabric ends meanwhile.
        """
        fabric = self.ensure(lock)
        instance = machine.instance(pid)
        present = links.names(fabric)
        missing = {inner: port for inner, port in ports.items() if _outer(port, instance) not in present}
        if not missing:
            return
        cables = [self._cable(port, instance, inner) for inner, port in missing.items()]
        ours = {inner: port for inner, port in missing.items() if inner in configure}
        with self.box.network(fabric) as here, machine.network(pid) as there:
            links.run(here, [f"{cable} netns /proc/self/fd/{there}" for cable in cables], (there, lock))
            links.run(there, [c for inner, port in ours.items() for c in self._addresses(inner, port)], (lock,))
            # Another machine may have had these addresses a moment ago. Both ends have to be settled before
            # anything is said: a link sends nothing until the kernel has seen to its carrier.
            links.run(here, [links.settle(_outer(port, instance)) for port in ours.values()], (lock,))
            told = [c for inner, port in ours.items() for c in (links.settle(inner), links.announce(inner, port.mac))]
            links.run(there, told, (lock,))

    def unplug(self, lock: int, port: Port) -> None:
        """Remove the port's cable, whichever machine it leads to; none is success.

        :raises TemporaryError: when a cable stays all the same.
        """
        fabric = self.box.pid()
        if fabric is None:
            return
        failure = None
        for name in self._cables(port, fabric):
            try:
                with self.box.network(fabric) as here:
                    links.run(here, [f"link delete {name}"], (lock,))
            except TemporaryError as error:  # it vanished with its machine just now, or not
                failure = error
        if failure is not None and self._cables(port, fabric):
            raise failure

    @staticmethod
    def _cables(port: Port, fabric: int) -> list[str]:
        return [name for name in links.names(fabric) if name.startswith(_outer(port, ""))]

    def _add_bridges(self, lock: int, pid: int) -> None:
        """Make the bridges of all networks that have none."""
        topology, present = self._site.topology, links.names(pid)
        commands: list[str] = []
        for network in topology.networks:
            if links.bridge_name(network.id) not in present:
                commands += links.add_bridge(network.id, network.mtu, self._controller_addresses(network.id))
        if commands:
            with self.box.network(pid) as here:
                links.run(here, commands, (lock,))

    def _controller_addresses(self, network_id: str) -> Iterator[str]:
        for subnet in self._site.topology.subnets_of(network_id):
            if subnet.controller_address:
                yield f"{subnet.controller_address}/{subnet.range.prefixlen}"

    def _cable(self, port: Port, instance: str, inner: str) -> str:
        mtu = self._site.topology.network(port.network_id).mtu
        return links.add_veth(_outer(port, instance), links.bridge_name(port.network_id), mtu, inner, port.mac)

    def _addresses(self, inner: str, port: Port) -> list[str]:
        subnets = [(self._site.topology.subnet(fixed.subnet_id), fixed.address) for fixed in port.fixed]
        addresses = [f"{address}/{subnet.range.prefixlen}" for subnet, address in subnets if address]
        return links.configure(inner, addresses)


def _outer(port: Port, instance: str) -> str:
    """Name of the cable's end in the fabric: v, 8 figures of the port, 6 of the machine's life."""
    return f"v{links.digest(port.name, 8)}{instance}"


def inner_name(port: Port) -> str:
    """Name that a link has inside a machine until the agent gives it another."""
    return f"p{links.digest(port.name, 12)}"
