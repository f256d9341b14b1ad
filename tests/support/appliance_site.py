"""An appliance that is ready to be configured, as the tests of real agents begin: booted, reached, plugged."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from support.appliance import MAC, MEMBER_MAC, VIP, Appliance, driver
from support.authority import TestAuthority
from support.bundles import bundle, tree
from support.patience import eventually

from lbdrivers.drivers.amphora import (
    ApplianceReport,
    Bundle,
    Facts,
    Interface,
    InterfaceAddress,
    Peer,
    Role,
    Topology,
    Vip,
)
from lbdrivers.drivers.provider import Mildness
from lbdrivers.model.resources import Listener, Pool
from lbdrivers_amphora.client import RestAmphoraDriver

#: The appliance's own addresses on the VIP's and on the members' network.
OWN, OWN_MEMBER = "10.0.0.11", "10.1.0.11"
VIP6, MEMBER6 = "fd00::100", "fd01::1"
VIPS = (Vip(VIP, "10.0.0.0/24"),)
BOTH_VIPS = (*VIPS, Vip(VIP6, "fd00::/64"))

#: How it is plugged in: into the VIP's network; into that and the members', in both families.
FRONT = (Interface(MAC, 1500, (InterfaceAddress(OWN, "10.0.0.0/24"),), VIPS),)
BOTH_FAMILIES = (
    Interface(MAC, 1500, (InterfaceAddress(OWN, "10.0.0.0/24"), InterfaceAddress("fd00::11", "fd00::/64")), BOTH_VIPS),
    Interface(
        MEMBER_MAC, 1500, (InterfaceAddress(OWN_MEMBER, "10.1.0.0/24"), InterfaceAddress("fd01::11", "fd01::/64"))
    ),
)


@dataclass
class Site:
    """The appliance, and the driver that speaks to it.

    :param vips: addresses of the load balancer that it serves.
    """

    appliance: Appliance
    driver: RestAmphoraDriver
    vips: tuple[Vip, ...] = VIPS

    def facts(self) -> Facts:
        return self.driver.facts(self.appliance.machine, self.appliance.amphora_id)

    def report(self) -> ApplianceReport:
        return self.driver.report(self.appliance.machine, self.appliance.amphora_id)

    def plug(self, *interfaces: Interface) -> None:
        self.driver.plug(self.appliance.machine, self.appliance.amphora_id, interfaces)

    def bundle(self, *listeners: Listener, pools: tuple[Pool, ...] = (), **fields: Any) -> Bundle:
        """Everything that a lone appliance is told."""
        own = Peer(self.appliance.amphora_id, OWN, Role.STANDALONE, 100)
        made = bundle(tree(listeners, pools), Topology.SINGLE, self.vips, **fields)
        return replace(made, amphora_id=own.amphora_id, peers=(own,))

    def configure(self, *listeners: Listener, pools: tuple[Pool, ...] = ()) -> Mildness:
        return self.driver.configure(self.appliance.machine, self.bundle(*listeners, pools=pools))

    def add_ipv6(self) -> None:
        """IPv6 addresses of whoever lives beside the appliance, on both networks."""
        for words in ("addr add fd00::1/64 dev wire1 nodad", f"addr add {MEMBER6}/64 dev wire2 nodad"):
            assert self.appliance.run("ip", *words.split()) == ""


@contextmanager
def an_appliance(
    *interfaces: Interface,
    authority: TestAuthority | None = None,
    speaker: RestAmphoraDriver | None = None,
    limit: float = 20.0,
    **how: Any,
) -> Iterator[Site]:
    """One that answers, with these interfaces; what its agent said is printed when the tests fail to begin or end.

    :param speaker: driver to speak to it with; the usual one if there is none.
    :param limit: seconds that its agent may take to answer.
    :param how: the appliance is made with.
    """
    authority = authority or TestAuthority()
    appliance = Appliance(authority, **how)
    try:
        site = Site(appliance, speaker or driver(authority))
        eventually(site.facts, limit=limit)
        if interfaces:
            site.plug(*interfaces)
        yield site
    except BaseException:
        print(appliance.console)
        raise
    finally:
        appliance.close()
