"""Any driver written for Octavia, as a provider of ours.

Laws: the driver is asked as Octavia asks it: a new object for each request, one request at a time, the
next one when everything touched has been reported; sockets are there before it is asked. What it was
told is on record before and after each call; a call that was broken off is made again.
"""

from __future__ import annotations

import atexit
import builtins
import dataclasses
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from octavia_lib.api.drivers import exceptions

from lbdrivers.drivers.context import CONTRACT, DriverContext
from lbdrivers.drivers.profiles import ProfileKind
from lbdrivers.drivers.provider import Observation, Statistics, check_tree
from lbdrivers.errors import PermanentError, TemporaryError, UnsupportedError
from lbdrivers.features import ALL, Feature
from lbdrivers.model.kinds import Kind
from lbdrivers.model.provider_data import ProviderData
from lbdrivers.model.resources import LoadBalancer
from lbdrivers.model.status import ProvisioningStatus
from lbdrivers.octavia import callbacks, models, settings
from lbdrivers.octavia.callbacks import Call
from lbdrivers.octavia.desk import Balancer, Desk, Standing, initial, with_vip
from lbdrivers.octavia.sockets import AgentSocket, is_served

#: Seconds between two looks at the reports, and between two at whether the sockets are served.
_LOOK = 0.02
_LOOK_AT_SOCKETS = 1.0

#: kind of data -> the driver's methods that describe and judge them.
_PROFILES = {
    ProfileKind.FLAVOR: ("get_supported_flavor_metadata", "validate_flavor"),
    ProfileKind.AVAILABILITY_ZONE: ("get_supported_availability_zone_metadata", "validate_availability_zone"),
}

_NOT_OFFERED = (exceptions.NotImplementedError, builtins.NotImplementedError)
_PENDING = frozenset(
    {ProvisioningStatus.PENDING_CREATE, ProvisioningStatus.PENDING_UPDATE, ProvisioningStatus.PENDING_DELETE}
)


def adapt(name: str, driver: Callable[[], Any]) -> Callable[[DriverContext], ForeignProvider]:
    """What makes providers of an octavia-lib driver; for the group ``lbdrivers.adapters``."""
    return _Factory(name, driver)


@dataclasses.dataclass(frozen=True)
class _Factory:
    """A driver's class with its name."""

    name: str
    driver: Callable[[], Any]
    contract: int = CONTRACT

    def __call__(self, context: DriverContext) -> ForeignProvider:
        return ForeignProvider(context, self.name, self.driver)


class ForeignProvider:
    """Implements ``Provider`` and ``ProfileSchemas`` with an octavia-lib driver.

    :param driver: makes a driver; called for each request, as Octavia does.
    """

    contract = CONTRACT

    def __init__(self, context: DriverContext, name: str, driver: Callable[[], Any]) -> None:
        self.name = name
        self._context = context
        self._driver = driver
        self._settings = settings.read(context.configuration)
        self.desk = Desk(context.records)
        self._sockets: list[AgentSocket] = []

    def close(self) -> None:
        """Serve the sockets no longer."""
        while self._sockets:
            self._sockets.pop().close()
        atexit.unregister(self.close)

    # -- the contract -----------------------------------------------------------------------------

    def features(self) -> frozenset[Feature]:
        """See ``Provider.features``. A driver cannot be asked; what it refuses, it refuses when called."""
        return ALL

    def profile_capabilities(self, kind: ProfileKind) -> Mapping[str, str]:
        """See ``ProfileSchemas.profile_capabilities``. :raises UnsupportedError: when the driver takes none."""
        describe, _judge = _PROFILES[kind]
        with self._translated():
            return {str(key): str(text) for key, text in getattr(self._made(), describe)().items()}

    def validate_profile(self, kind: ProfileKind, data: ProviderData) -> None:
        """See ``ProfileSchemas.validate_profile``."""
        _describe, judge = _PROFILES[kind]
        if data:
            with self._translated():
                getattr(self._made(), judge)(data.plain())

    def apply(self, desired: LoadBalancer, applied: LoadBalancer | None) -> None:  # noqa: ARG002 what the driver was told is on record
        """See ``Provider.apply``."""
        held = self.desk.balancer(desired.id) or Balancer()
        if held.told is None:
            check_tree(self.name, self, desired)
        calls = callbacks.between(held.told, desired)
        if not calls and held.told is not None:
            return
        self._serve()
        if held.told is None and not held.vip:
            held = self._with_vip_port(desired)
        for call in calls:
            held = self._performed(desired.id, held, call)

    def remove(self, load_balancer_id: str) -> None:
        """See ``Provider.remove``."""
        held = self.desk.balancer(load_balancer_id)
        if held is None:
            return
        tree = held.shown
        if tree is not None:
            self._serve()
            with suppress(_Absent):  # gone already
                self._performed(load_balancer_id, held, callbacks.removal(tree))
        self.desk.forget(load_balancer_id)

    def observe(self, load_balancer_id: str) -> Observation:
        """See ``Provider.observe``: what the driver has reported."""
        held = self.desk.balancer(load_balancer_id)
        tree = held.told if held is not None else None
        if held is None or tree is None:
            return Observation(exists=False)
        standing = self.desk.standing(load_balancer_id)
        operating = {one: standing.operating.get(one, word) for one, word in initial(tree).items()}
        statistics = {one.id: standing.statistics.get(one.id, Statistics()) for one in tree.listeners}
        return Observation(True, _addresses(tree, held.vip), operating, statistics)

    def known(self) -> frozenset[str]:
        """See ``Provider.known``."""
        return self.desk.ids()

    def failover(self, load_balancer_id: str) -> None:
        """See ``Provider.failover``."""
        held = self.desk.balancer(load_balancer_id)
        tree = held.told if held is not None else None
        if held is None or tree is None:
            raise PermanentError(f"there is no load balancer {load_balancer_id}")
        self._serve()
        touched = {load_balancer_id: Kind.LOAD_BALANCER}
        call = Call("loadbalancer_failover", (load_balancer_id,), tree, tree, touched, {})
        self._performed(load_balancer_id, held, call)

    # -- asking the driver ------------------------------------------------------------------------

    def _with_vip_port(self, tree: LoadBalancer) -> Balancer:
        """Everything begins with the VIP's port: the driver's own, else what the tree says."""
        held = Balancer(asked=tree)
        self.desk.keep(tree.id, held)
        said = models.plain_fields(Kind.LOAD_BALANCER, tree)
        vip = {name: value for name, value in said.items() if name.startswith("vip_") and value}
        try:
            with self._translated():
                given, others = self._made().create_vip_port(tree.id, tree.project_id, vip, said["additional_vips"])
        except _NotOffered:
            if tree.vip_address is None or any(one.ip_address is None for one in tree.additional_vips):
                self.desk.forget(tree.id)
                raise UnsupportedError(
                    f"the provider {self.name} chooses no addresses; name vip_address, "
                    "and ip_address of each additional VIP"
                ) from None
            given, others = vip, said["additional_vips"]
        except (TemporaryError, PermanentError):
            self.desk.forget(tree.id)
            raise
        held = dataclasses.replace(held, vip={**given, "additional_vips": others})
        self.desk.keep(tree.id, held)
        return held

    def _performed(self, identity: str, held: Balancer, call: Call) -> Balancer:
        """The load balancer after the call, and after everything touched was reported."""
        asked = dataclasses.replace(held, asked=call.meanwhile)
        self.desk.keep(identity, asked)
        self._mark(identity, call)
        try:
            with self._translated():
                getattr(self._made(), call.method)(*(with_vip(one, held.vip) for one in call.arguments))
        except _NotOffered as error:
            self._take_back(identity, held, call)
            if not call.singly:
                raise UnsupportedError(error.user, error.operator) from error
            for single in call.singly:
                held = self._performed(identity, held, single)
            return self._kept(identity, dataclasses.replace(held, told=call.after, asked=None))
        except (PermanentError, TemporaryError):
            self._take_back(identity, held, call)
            raise
        self._await(identity, call)
        return self._kept(identity, dataclasses.replace(held, told=call.after, asked=None))

    def _kept(self, identity: str, held: Balancer) -> Balancer:
        if held.told is not None:
            self.desk.keep(identity, held)
        return held

    def _made(self) -> Any:
        settings.configure_foreign(self._settings.config_files)
        driver = self._driver()
        driver.name = self.name
        return driver

    def _mark(self, identity: str, call: Call) -> None:
        """Everything around is pending, as in the API."""
        after = {one.id for _, one in call.after.walk()} if call.after is not None else set()
        before = self.desk.standing(identity).provisioning
        words = dict.fromkeys(call.parents, ProvisioningStatus.PENDING_UPDATE)
        for one in call.touched:
            known = before.get(one) not in (None, ProvisioningStatus.DELETED)
            kept = ProvisioningStatus.PENDING_UPDATE if known else ProvisioningStatus.PENDING_CREATE
            words[one] = kept if one in after else ProvisioningStatus.PENDING_DELETE
        self.desk.change(identity, lambda old: dataclasses.replace(old, provisioning={**old.provisioning, **words}))

    def _take_back(self, identity: str, held: Balancer, call: Call) -> None:
        """As the API takes a request back that the driver refused."""
        if held.told is None:
            # Kept for the sake of the VIP's port, if that is the driver's.
            if held.vip.get("vip_port_id"):
                self.desk.keep(identity, held)
            else:
                self.desk.forget(identity)
            return
        words = dict.fromkeys([*call.parents, *call.touched], ProvisioningStatus.ACTIVE)
        self.desk.keep(identity, dataclasses.replace(held, asked=None))
        self.desk.change(identity, lambda old: dataclasses.replace(old, provisioning={**old.provisioning, **words}))

    def _await(self, identity: str, call: Call) -> None:
        """Wait until nothing is pending any more.

        :raises PermanentError: when something is in ERROR then. :raises TemporaryError: after the timeout.
        """
        waited = self._settings.status_timeout
        deadline = self._context.now() + waited
        next_look = self._context.now() + _LOOK_AT_SOCKETS
        subjects = {**call.parents, **call.touched}
        while True:
            words = self.desk.standing(identity).provisioning
            pending = [one for one in subjects if words.get(one) in _PENDING]
            if not pending:
                break
            now = self._context.now()
            if now >= deadline:
                names = ", ".join(f"{subjects[one]} {one}" for one in pending[:5])
                raise TemporaryError(
                    f"the provider {self.name} has not reported what became of {call.method} within {waited:g} s",
                    f"no status of {len(pending)} objects ({names}) has come through {self._settings.sockets.status}",
                )
            if now >= next_look:
                self._serve()
                next_look = now + _LOOK_AT_SOCKETS
            self._context.sleep(_LOOK)
        failed = [one for one in subjects if words.get(one) is ProvisioningStatus.ERROR]
        if failed:
            names = ", ".join(f"{subjects[one]} {one}" for one in failed)
            raise PermanentError(
                f"the provider {self.name} reports that {call.method} failed: {names}", object_id=failed[-1]
            )
        gone = {one for one in subjects if words.get(one) is ProvisioningStatus.DELETED}
        self.desk.change(identity, lambda old: _without(old, gone))

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Whatever a driver raises, as an error of ours."""
        try:
            yield
        except _NOT_OFFERED as error:
            raise _NotOffered(_user(error), _operator(error)) from error
        except exceptions.UnsupportedOptionError as error:
            raise UnsupportedError(_user(error), _operator(error)) from error
        except exceptions.NotFound as error:
            raise _Absent(_user(error), _operator(error)) from error
        except exceptions.Conflict as error:
            raise PermanentError(_user(error), _operator(error)) from error
        except Exception as error:  # a foreign driver may raise anything; Octavia takes it, too
            raise TemporaryError(
                f"the provider {self.name} reports an error: {_user(error)}", _operator(error)
            ) from error

    # -- the sockets ------------------------------------------------------------------------------

    def _serve(self) -> None:
        """Have the sockets served: by us, unless somebody does already."""
        if self._sockets and all(one.is_found() for one in self._sockets):
            return
        self.close()
        paths = self._settings.sockets
        handlers = {paths.status: self.desk.status, paths.stats: self.desk.statistics, paths.get: self.desk.get}
        if all(is_served(path) for path in handlers):
            return
        try:
            for path, handle in handlers.items():
                self._sockets.append(AgentSocket(path, handle))
        except TemporaryError:
            self.close()
            if not all(is_served(path) for path in handlers):  # somebody was faster otherwise
                raise
        else:
            atexit.register(self.close)


class _NotOffered(UnsupportedError):
    """The driver does not have this method."""


class _Absent(PermanentError):
    """The driver does not find what it is asked to change."""


def _user(error: Exception) -> str:
    return str(getattr(error, "user_fault_string", "") or error or type(error).__name__)


def _operator(error: Exception) -> str:
    """What it says; where drivers pack it into "an unknown error", what it came from says, too."""
    cause = error.__cause__ or error.__context__
    told = [_words(one) for one in (error, cause) if one is not None]
    return "; because of: ".join(dict.fromkeys(told))


def _words(error: BaseException) -> str:
    return str(getattr(error, "operator_fault_string", "") or f"{type(error).__name__}: {error}").rstrip(".")


def _without(old: Standing, gone: set[str]) -> Standing:
    return Standing(
        {one: word for one, word in old.provisioning.items() if one not in gone},
        {one: word for one, word in old.operating.items() if one not in gone},
        {one: values for one, values in old.statistics.items() if one not in gone},
    )


def _addresses(tree: LoadBalancer, vip: Mapping[str, Any]) -> tuple[str, ...]:
    primary = vip.get("vip_address") or tree.vip_address
    others = [given["ip_address"] for given in vip.get("additional_vips", ()) if given.get("ip_address")]
    return tuple(str(address) for address in (primary, *others) if address)
