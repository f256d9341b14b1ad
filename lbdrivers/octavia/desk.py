"""The driver agent's answers: statuses and statistics taken down, objects shown, for foreign drivers.

Law: everything is in driver-private records, so that whoever serves the sockets serves every process
on the same store. As at Octavia: reports are carried out children before parents; a report on what is
not there is no error; one that is malformed stops the rest, and the answer names it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

from pydantic import TypeAdapter

from lbdrivers.drivers.context import Conflict, Record, Records
from lbdrivers.drivers.provider import Statistics
from lbdrivers.errors import DriverError
from lbdrivers.model.kinds import Kind
from lbdrivers.model.resources import LoadBalancer
from lbdrivers.model.status import OperatingStatus, ProvisioningStatus
from lbdrivers.octavia import models
from lbdrivers.octavia.sockets import Refused

#: Kinds of the two records of a load balancer: what it is, and how it stands.
_BALANCER = "octavia-foreign"
_STANDING = "octavia-foreign-status"
_OK = {"status_code": 200}


@dataclass(frozen=True)
class Balancer:
    """A load balancer as its foreign driver knows it.

    :param told: what the driver has done and reported; None before the first time.
    :param asked: what it is being asked for; None when no request is on.
    :param vip: what ``create_vip_port`` gave, under octavia-lib's names.
    """

    told: LoadBalancer | None = None
    asked: LoadBalancer | None = None
    vip: Mapping[str, Any] = field(default_factory=dict)

    @property
    def shown(self) -> LoadBalancer | None:
        """What a driver sees that asks back."""
        return self.asked or self.told

    def object_of(self, identity: str) -> Any:
        """An object of octavia-lib; None when there is none."""
        tree = self.shown
        return None if tree is None else with_vip(models.Objects(tree).of(identity), self.vip)


def with_vip(thing: Any, vip: Mapping[str, Any]) -> Any:
    """A load balancer's object with what is known of its VIP; any other one as it is."""
    for name, value in vip.items():
        if hasattr(thing, name):
            setattr(thing, name, value)
    return thing


@dataclass(frozen=True)
class Standing:
    """How the parts of a load balancer stand, by id."""

    provisioning: Mapping[str, ProvisioningStatus] = field(default_factory=dict)
    operating: Mapping[str, OperatingStatus] = field(default_factory=dict)
    statistics: Mapping[str, Statistics] = field(default_factory=dict)


_BALANCERS = TypeAdapter(Balancer)
_STANDINGS = TypeAdapter(Standing)


class _Bad(ValueError):
    """A part of a report that cannot be carried out."""

    def __init__(self, message: str, kind: str, identity: object) -> None:
        super().__init__(message)
        self.kind = kind
        self.identity = identity


class Desk:
    """Load balancers of foreign drivers, and the three sockets' answers."""

    def __init__(self, records: Records) -> None:
        self._records = records

    # -- what we know -----------------------------------------------------------------------------

    def ids(self) -> frozenset[str]:
        """Every load balancer."""
        return frozenset(record.id for record in self._records.list(_BALANCER))

    def balancer(self, identity: str) -> Balancer | None:
        """The load balancer of that id, or None."""
        record = self._records.get(_BALANCER, identity)
        return None if record is None else _BALANCERS.validate_python(record.data)

    def keep(self, identity: str, balancer: Balancer) -> None:
        """Write it down; one run at a time works on a load balancer."""
        record = self._records.get(_BALANCER, identity)
        data = _BALANCERS.dump_python(balancer, mode="json")
        version = record.version if record is not None else 0
        self._records.put(Record(_BALANCER, identity, data, version=version))

    def forget(self, identity: str) -> None:
        """Forget a load balancer; absent is success."""
        self._records.remove(_STANDING, identity)
        self._records.remove(_BALANCER, identity)

    def standing(self, identity: str) -> Standing:
        """How its parts stand."""
        record = self._records.get(_STANDING, identity)
        return Standing() if record is None else _STANDINGS.validate_python(record.data)

    def change(self, identity: str, step: Callable[[Standing], Standing]) -> None:
        """Replace how it stands; again with a newer one if somebody was faster."""
        while True:
            record = self._records.get(_STANDING, identity)
            old = Standing() if record is None else _STANDINGS.validate_python(record.data)
            data = _STANDINGS.dump_python(step(old), mode="json")
            try:
                self._records.put(Record(_STANDING, identity, data, version=record.version if record else 0))
            except Conflict:
                continue
            return

    # -- what drivers ask and tell ----------------------------------------------------------------

    def status(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        """The status socket."""
        return self._carried_out(_statuses(request), ("status_object", "status_object_id"))

    def statistics(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        """The stats socket."""
        return self._carried_out(_statistics(request), ("stats_object", "stats_object_id"))

    def get(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        """The get socket: the object with null for what is unset; nothing when it is not there."""
        identity, plural = request.get("id"), request.get("object")
        if not isinstance(identity, str) or not isinstance(plural, str):
            raise Refused("a get request needs an object and an id")
        for owner in _owners(self._texts(), identity):
            balancer = self.balancer(owner)
            thing = balancer.object_of(identity) if balancer is not None else None
            standing = self.standing(owner).provisioning.get(identity)
            if thing is not None and _is(thing, plural) and standing is not ProvisioningStatus.DELETED:
                found: Mapping[str, Any] = thing.to_dict(recurse=True, render_unsets=True)
                return found
        return {}

    def _carried_out(self, parts: Iterator[tuple[str, Standing]], names: tuple[str, str]) -> Mapping[str, Any]:
        news: dict[str, Standing] = {}
        answer: Mapping[str, Any] = _OK
        try:
            texts = self._texts()
            for identity, part in parts:
                for owner in _owners(texts, identity):
                    news[owner] = _joined(news.get(owner, Standing()), part)
        except _Bad as error:
            answer = {"status_code": 500, "fault_string": str(error), names[0]: error.kind, names[1]: error.identity}
        except DriverError as error:
            return _not_now(error)
        try:
            for owner, part in news.items():
                self.change(owner, lambda old, part=part: _joined(old, part))  # type: ignore[misc]  # mypy infers no lambda with a default
        except DriverError as error:
            return _not_now(error)
        return answer

    def _texts(self) -> tuple[tuple[str, str], ...]:
        """Every load balancer's record as text: looked into before a tree is parsed, which takes longer."""
        return tuple((record.id, json.dumps(record.data)) for record in self._records.list(_BALANCER))


def _not_now(error: DriverError) -> Mapping[str, Any]:
    """An answer at once: without one, DriverLibrary waits for half a minute, and its driver with it."""
    return {"status_code": 500, "fault_string": error.operator}


def _owners(texts: tuple[tuple[str, str], ...], identity: str) -> tuple[str, ...]:
    """Load balancers whose record speaks of the id."""
    return tuple(owner for owner, text in texts if identity in text)


def _joined(old: Standing, new: Standing) -> Standing:
    return Standing(
        {**old.provisioning, **new.provisioning},
        {**old.operating, **new.operating},
        {**old.statistics, **new.statistics},
    )


def _is(thing: object, plural: str) -> bool:
    return any(models.PLURALS[kind] == plural and isinstance(thing, models.CLASSES[kind][0]) for kind in Kind)


def _records_of(request: Mapping[str, Any], plural: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    listed = request.get(plural, [])
    if not isinstance(listed, list):
        raise _Bad(f"{plural} is not a list", plural, None)
    for record in listed:
        identity = record.get("id") if isinstance(record, dict) else None
        if not isinstance(identity, str):
            raise _Bad(f"one of the {plural} has no id", plural, None)
        yield identity, record


def _statuses(request: Mapping[str, Any]) -> Iterator[tuple[str, Standing]]:
    for plural in models.PLURALS.values():
        for identity, record in _records_of(request, plural):
            try:
                provisioning = record.get("provisioning_status")
                operating = record.get("operating_status")
                yield (
                    identity,
                    Standing(
                        {} if provisioning is None else {identity: ProvisioningStatus(provisioning)},
                        {} if operating is None else {identity: OperatingStatus(operating)},
                    ),
                )
            except ValueError as error:
                _bad(error, plural, identity)


def _statistics(request: Mapping[str, Any]) -> Iterator[tuple[str, Standing]]:
    names = models.STATISTICS
    for identity, record in _records_of(request, "listeners"):
        given = {name: record.get(name) for name in names}
        values = {name: value for name, value in given.items() if isinstance(value, int) and value >= 0}
        if missing := [name for name in names if name not in values]:
            raise _Bad(f"{', '.join(missing)} must be numbers from 0", "listeners", identity)
        yield identity, Standing(statistics={identity: Statistics(**values)})


def _bad(error: ValueError, plural: str, identity: str) -> NoReturn:
    raise _Bad(str(error), plural, identity) from error


def initial(tree: LoadBalancer) -> Mapping[str, OperatingStatus]:
    """Operating statuses before any report: those that the v2 API starts with."""
    statuses: dict[str, OperatingStatus] = {}
    for kind, one in tree.walk():
        works = kind in (Kind.HEALTH_MONITOR, Kind.L7POLICY, Kind.L7RULE) and one.admin_state_up
        statuses[one.id] = OperatingStatus.ONLINE if works else OperatingStatus.OFFLINE
    for pool in tree.pools:
        if pool.healthmonitor is None:
            statuses |= {member.id: OperatingStatus.NO_MONITOR for member in pool.members}
    return statuses
