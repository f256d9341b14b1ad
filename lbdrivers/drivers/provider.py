"""The provider contract: what makes load balancers real.

Law of each verb stands in its docstring; ``lbdrivers.testing`` checks every one. All verbs are
idempotent and level-triggered: they look at what is wanted and at what is there, never at events.
Any of them may raise TemporaryError, PermanentError or UnsupportedError and nothing else.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from lbdrivers.drivers.profiles import ProfileKind
from lbdrivers.features import Feature, check
from lbdrivers.model.infra import Port
from lbdrivers.model.provider_data import ProviderData
from lbdrivers.model.resources import LoadBalancer
from lbdrivers.model.status import OperatingStatus


@dataclass(frozen=True)
class Statistics:
    """The five statistics of a listener or load balancer, and its requests; bytes as seen by the client.

    :param requests: of HTTP, of which one connection may carry many; 0 where none are spoken or counted.
    """

    active_connections: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    request_errors: int = 0
    total_connections: int = 0
    requests: int = 0

    def __add__(self, other: Statistics) -> Statistics:
        return Statistics(
            self.active_connections + other.active_connections,
            self.bytes_in + other.bytes_in,
            self.bytes_out + other.bytes_out,
            self.request_errors + other.request_errors,
            self.total_connections + other.total_connections,
            self.requests + other.requests,
        )


@dataclass(frozen=True)
class Appliance:
    """A machine that serves a load balancer, for people to look at.

    :param role: MASTER, BACKUP or STANDALONE as assigned at creation.
    :param status: the appliance's own status word (ALLOCATED, BOOTING, ERROR...).
    :param holds_vip: whether the VIP is on it right now; None when it could not be asked.
    :param remark: one line on anything unusual; empty when all is well.
    :param statistics: totals of all listeners on it since its creation.
    :param heard_at: when it last spoke by itself, and its statistics were measured, in seconds since the epoch;
        None where appliances are asked, or when it never did.
    """

    id: str
    role: str
    status: str
    address: str | None
    holds_vip: bool | None
    remark: str = ""
    statistics: Statistics = Statistics()
    heard_at: float | None = None


@dataclass(frozen=True)
class Observation:
    """What the backend itself says of one load balancer.

    :param exists: False when the backend holds nothing of that id.
    :param vip_addresses: the primary VIP, then the additional ones.
    :param operating: operating status by resource id, for the whole tree.
    :param statistics: totals since creation, by listener id.
    """

    exists: bool
    vip_addresses: tuple[str, ...] = ()
    operating: Mapping[str, OperatingStatus] = field(default_factory=dict)
    statistics: Mapping[str, Statistics] = field(default_factory=dict)
    appliances: tuple[Appliance, ...] = ()


class Mildness(enum.StrEnum):
    """How much a change disturbs a running data path, mildest first."""

    NOTHING = "nothing"
    RUNTIME = "runtime"
    RELOAD = "reload"
    RESTART = "restart"
    REPLACE = "replace"


@dataclass(frozen=True)
class PlannedAction:
    """One thing that an apply would do: to which resource or machine, what, how mildly."""

    subject: str
    action: str
    mildness: Mildness


class Provider(Protocol):
    """Makes load balancers real. See the module's law."""

    contract: int
    name: str

    def features(self) -> frozenset[Feature]:
        """What it can do. Constant for the life of the object."""
        ...

    def apply(self, desired: LoadBalancer, applied: LoadBalancer | None) -> None:
        """Make the backend equal ``desired``, whatever state it is in.

        :param applied: the tree of the last apply that succeeded, as a hint to do only what is
            needed; None when there was none. A wrong hint may cost time, never correctness.

        Law: twice does nothing the second time; a running data path is disturbed as mildly as
        possible; interrupted anywhere, the next apply completes it.
        """
        ...

    def remove(self, load_balancer_id: str) -> None:
        """Remove every trace of it. Law: removing what is absent is success."""
        ...

    def observe(self, load_balancer_id: str) -> Observation:
        """Read addresses, statuses and statistics from the backend itself, not from a cache.

        Law: changes nothing. What is absent gives ``Observation(exists=False)``. A part that does
        not answer is reported (OFFLINE, ERROR, a remark), it does not fail the call.
        """
        ...

    def known(self) -> frozenset[str]:
        """Ids of every load balancer of which the backend holds anything."""
        ...

    def failover(self, load_balancer_id: str) -> None:
        """Bring it back to full redundancy: replace what is dead, or what is there if nothing is.

        Law: addresses stay; replacement first, removal after; what works keeps serving.
        :raises PermanentError: when no such load balancer is known.
        """
        ...


@runtime_checkable
class Planner(Protocol):
    """Optional, beside Provider: says what an apply would do, without doing it."""

    def plan(self, desired: LoadBalancer, applied: LoadBalancer | None) -> tuple[PlannedAction, ...]:
        """The actions that ``apply`` would carry out now; empty when there are none."""
        ...


class Remedy(enum.StrEnum):
    """What puts a deviation right."""

    APPLY = "apply"
    FAILOVER = "failover"
    UPGRADE = "failover --outdated"
    MAINTAIN = "maintain"


@dataclass(frozen=True)
class Deviation:
    """One way in which what is there differs from what should be.

    :param subject: whom it concerns, as people call it: "amphora 1a2b3c4d MASTER".
    :param aspect: what differs: "machine", "haproxy.cfg", "port octavia-lb-vrrp-...".
    :param wanted: in a few words; likewise ``found``.
    """

    subject: str
    aspect: str
    wanted: str
    found: str
    remedy: Remedy


@dataclass(frozen=True)
class Orphan:
    """Something outside that has a name of the provider's form and belongs to no load balancer that it knows.

    :param kind: "machine", "port" or "load balancer".
    :param proof: the record that proves it the provider's own; empty when there is none, and then
        nobody but a person may remove it: another controller's things may have such names, too.
    """

    kind: str
    name: str
    proof: str = ""


@runtime_checkable
class Inspector(Protocol):
    """Optional, beside Provider: compares what is there with what should be. Law: looks, changes nothing, but for
    ``remove_orphans``."""

    def deviations(self, applied: LoadBalancer) -> tuple[Deviation, ...]:
        """In what the load balancer differs from the last tree that was applied; empty when in nothing.

        :param applied: that tree. A provider that keeps it in records of its own may look there instead.
        :raises PermanentError: when it keeps records, and there is none of such a load balancer.
        """
        ...

    def orphans(self) -> tuple[Orphan, ...]:
        """Everything of the provider's names that belongs to nothing, by kind and name. Whole load balancers that
        nobody wants are not among them: whoever has the store finds these by ``known``."""
        ...

    def remove_orphans(self) -> tuple[Orphan, ...]:
        """Remove those that are proved to be the provider's own, found anew at this moment; what was removed."""
        ...


class ReplacementCause(enum.StrEnum):
    """Why an appliance is replaced: it failed, an administrator wants it, or it is built from what is outdated."""

    FAILURE = "failure"
    ADMIN = "admin"
    UPGRADE = "upgrade"


@runtime_checkable
class Replacer(Protocol):
    """Optional, beside Provider: failovers of single appliances."""

    def request_replacement(
        self, load_balancer_id: str, appliance_ids: frozenset[str], cause: ReplacementCause
    ) -> None:
        """Note which appliances the next failover replaces, while the others stay.

        Law: committed when it returns; the note is gone with the appliance; twice is once.
        :raises PermanentError: when the load balancer has no such appliance.
        """
        ...

    def outdated(self, load_balancer_id: str) -> frozenset[str]:
        """Ids of the appliances that would be built otherwise today: from another image, another flavor."""
        ...


@runtime_checkable
class Maintainer(Protocol):
    """Optional, beside Provider: renews what ages."""

    def maintain(self, load_balancer_id: str) -> None:
        """Renew what nears its end or is outdated (certificates, the configuration of agents) without
        touching traffic. Law: nothing is due is success; unknown is success.
        """
        ...


@runtime_checkable
class Caretaker(Protocol):
    """Optional, beside Provider: looks after what belongs to no load balancer."""

    def tend(self) -> None:
        """Refill what is kept in stock, forget what is long gone. Law: nothing to do is success; somebody
        else at it is success.
        """
        ...


@runtime_checkable
class VipReserver(Protocol):
    """Optional, beside Provider: reserves the VIP before the load balancer is made, so that its owner
    can be told the address at once."""

    def reserve_vip(self, tree: LoadBalancer) -> Port:
        """The VIP's port, its addresses in the order of the tree: the primary one, then the additional ones.

        Law: twice gives the same port; ``apply`` uses it, ``remove`` removes it, ``known`` lists its
        load balancer.
        """
        ...


@runtime_checkable
class ProfileSchemas(Protocol):
    """Beside Provider, where it claims FLAVOR or AVAILABILITY_ZONE: what their data may say to it."""

    def profile_capabilities(self, kind: ProfileKind) -> Mapping[str, str]:
        """The keys that data may have, each with a description. Constant for the life of the object."""
        ...

    def validate_profile(self, kind: ProfileKind, data: ProviderData) -> None:
        """Refuse data that the provider cannot carry out.

        Law: changes nothing; no data are good; what is accepted here, ``apply`` carries out for a new
        load balancer, and what is refused here, it refuses before anything is touched.
        :raises UnsupportedError: it names each key that is unknown, or has a value that cannot be.
        """
        ...


def check_tree(name: str, provider: Provider, tree: LoadBalancer) -> None:
    """Refuse what the provider cannot do: features that it lacks, data of a flavor or zone that it does not take.

    :param name: what to call the provider.
    :raises UnsupportedError: see ``features.check`` and ``ProfileSchemas.validate_profile``.
    """
    check(name, provider.features(), tree)
    for kind, data in (
        (ProfileKind.FLAVOR, tree.flavor_data),
        (ProfileKind.AVAILABILITY_ZONE, tree.availability_zone_data),
    ):
        if data and isinstance(provider, ProfileSchemas):
            provider.validate_profile(kind, data)
