"""Finds and loads drivers: the one file that knows stevedore and entry points.

Law: a driver that fails to import, speaks another contract version or cannot be made is reported by
name and cause, and takes nothing else down.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from stevedore import NamedExtensionManager

from lbdrivers.drivers.context import CONTRACT, DriverContext, Fence, Progress, Record, Records
from lbdrivers.errors import DriverError, PermanentError

if TYPE_CHECKING:
    from oslo_config.cfg import ConfigOpts

#: entry-point group -> what people call its drivers.
GROUPS: Mapping[str, str] = {
    "lbdrivers.providers": "provider",
    "lbdrivers.compute": "compute driver",
    "lbdrivers.networks": "network driver",
    "lbdrivers.certificates": "certificate driver",
    "lbdrivers.secrets": "secret store",
    "lbdrivers.amphora": "amphora driver",
    "lbdrivers.statistics": "statistics sink",
}
PROVIDERS = "lbdrivers.providers"
#: Callables ``f(state_path, command_line)`` that run before a command acts and before any thread exists.
START = "lbdrivers.start"
#: Callables ``f(DaemonContext)`` that work until they are told to stop, see ``reconcile.daemon``.
DAEMONS = "lbdrivers.daemons"
#: Named by the entry-point group of somebody else's providers, each a callable ``adapt(name, driver)``
#: that gives a factory like one of ours.
ADAPTERS = "lbdrivers.adapters"


@dataclass(frozen=True)
class DriverInfo:
    """One installed driver.

    :param distribution: the package that brings it, with its version in ``version``.
    :param contract: the contract version that it was written for; None when it could not be read.
    :param features: names of what a provider can do; empty for others.
    :param error: why it cannot be used; empty when it can.
    """

    group: str
    name: str
    distribution: str
    version: str
    contract: int | None = None
    features: tuple[str, ...] = ()
    error: str = ""


def load(group: str, name: str, context: DriverContext) -> Any:
    """A new driver of that name.

    :raises PermanentError: when there is none (it lists what is there), when it fails to import, or
        when it speaks another contract version. What the driver's own constructor raises passes.
    """
    return _factory(group, name)(context)


def daemon(name: str) -> Any:
    """The daemon of that name. :raises PermanentError: when there is none, or it fails to import."""
    return _load_point(DAEMONS, name)


def installed(configuration: ConfigOpts | None = None) -> tuple[DriverInfo, ...]:
    """Every driver of every group, by group and name, broken ones with their error.

    :param configuration: with it, providers are made to ask for their features; constructors touch
        nothing outside, and no records are there for them.
    """
    context = make_context(configuration, _NoRecords()) if configuration is not None else None
    ours = ((group, point.name, point) for group in GROUPS for point in _points(group))
    adapted = ((PROVIDERS, name, point) for name, (_adapter, point) in _foreign().items())
    return tuple(_examine(*which, context) for which in (*ours, *adapted))


def make_context(
    configuration: ConfigOpts,
    records: Records,
    report: Callable[[Progress], None] = lambda _progress: None,
    fence: Callable[[str], Fence | None] | None = None,
) -> DriverContext:
    """A context whose ``load`` gives one instance per group and name, from any thread."""
    made: dict[tuple[str, str], Any] = {}
    being_made: list[tuple[str, str]] = []
    lock = threading.RLock()  # drivers load others in their constructors

    def load_once(group: str, name: str) -> Any:
        key = (group, name)
        with lock:
            if key in made:
                return made[key]
            if key in being_made:
                chain = " -> ".join(f"{step_group}:{step}" for step_group, step in (*being_made, key))
                raise PermanentError("drivers load each other in a circle", chain)
            being_made.append(key)
            try:
                made[key] = load(group, name, context)
            finally:
                being_made.pop()
            return made[key]

    context = DriverContext(configuration, records, load_once, report, fence=fence)
    return context


def run_start_hooks(state_path: Path, command_line: list[str]) -> None:
    """Call everything in the group ``lbdrivers.start``, by name.

    :param command_line: what would start this very command again: a hook may do so in another
        environment (``exec``), for example in a user namespace for who is not root.
    :raises PermanentError: when one fails to import. What it raises itself passes.
    """
    for point in _points(START):
        _load_point(START, point.name)(state_path, command_line)


def _points(group: str) -> tuple[EntryPoint, ...]:
    """Entry points of the group, by name, each once even if its distribution is on the path twice."""
    return tuple(sorted(set(entry_points(group=group)), key=lambda point: (point.name, point.value)))


def _load_point(group: str, name: str) -> Any:
    """What the entry point refers to. :raises PermanentError: when it is absent, ambiguous or broken."""
    failures: list[BaseException] = []

    def failed(_manager: object, _point: object, error: BaseException) -> None:
        failures.append(error)

    noun = GROUPS.get(group, group)
    try:
        manager: NamedExtensionManager[Any] = NamedExtensionManager(
            group, [name], on_load_failure_callback=failed, on_missing_entrypoints_callback=None
        )
    except AssertionError as error:  # the only failure that stevedore does not hand to the callback
        failures.append(error)
    else:
        found = {extension.entry_point_target: extension.plugin for extension in manager.extensions}
        if len(found) == 1:
            return next(iter(found.values()))
        if found:
            raise PermanentError(f"several {noun}s are named {name!r}: {', '.join(sorted(found))}; uninstall one")
    if failures:
        cause = f"{type(failures[0]).__name__}: {failures[0]}"
        raise PermanentError(f"the {noun} {name!r} cannot be loaded: {cause}") from failures[0]
    foreign = _foreign() if group == PROVIDERS else ()
    names = ", ".join(dict.fromkeys((*(point.name for point in _points(group)), *foreign))) or "none"
    raise PermanentError(f"there is no {noun} {name!r}; installed: {names}")


def _factory(group: str, name: str) -> Callable[[DriverContext], Any]:
    factory = _unchecked_factory(group, name)
    _check_contract(group, name, factory)
    return factory


def _unchecked_factory(group: str, name: str) -> Callable[[DriverContext], Any]:
    """What makes the driver, somebody else's providers adapted."""
    ours = {point.name for point in _points(group)}
    found = _foreign().get(name) if group == PROVIDERS and name not in ours else None
    factory: Callable[[DriverContext], Any]
    if found is None:
        factory = _load_point(group, name)
    else:
        adapter, point = found
        factory = _load_point(ADAPTERS, adapter.name)(name, _load_point(point.group, point.name))
    return factory


def _foreign() -> dict[str, tuple[EntryPoint, EntryPoint]]:
    """Name -> adapter and entry point, of providers in others' groups: as they are called there, with
    the group's first word before it where that name is taken. Ours are in those groups for the others' sake."""
    ours = {point.name for point in _points(PROVIDERS)}
    found: dict[str, tuple[EntryPoint, EntryPoint]] = {}
    for adapter in _points(ADAPTERS):
        for point in _points(adapter.name):
            if point.module.partition(".")[0] != __name__.partition(".")[0]:
                name = f"{adapter.name.partition('.')[0]}_{point.name}" if point.name in ours else point.name
                found.setdefault(name, (adapter, point))
    return found


def _check_contract(group: str, name: str, factory: object) -> None:
    contract = getattr(factory, "contract", None)
    if contract != CONTRACT:
        stated = f"states the contract version {contract}" if contract is not None else "states no contract version"
        raise PermanentError(f"the {GROUPS[group]} {name!r} {stated}; this library speaks version {CONTRACT}")


def _examine(group: str, name: str, point: EntryPoint, context: DriverContext | None) -> DriverInfo:
    """One line of ``installed``: whatever is wrong with the driver ends in ``error``."""
    distribution = point.dist
    contract: int | None = None
    features: tuple[str, ...] = ()
    error = ""
    try:
        factory = _unchecked_factory(group, name)
        stated = getattr(factory, "contract", None)
        contract = stated if isinstance(stated, int) else None
        _check_contract(group, name, factory)
        if group == PROVIDERS and context is not None:
            features = tuple(sorted(factory(context).features()))
    except DriverError as failure:
        error = failure.user
    except Exception as failure:  # noqa: BLE001 a foreign driver's bug must not hide the other drivers
        error = f"{type(failure).__name__}: {failure}"
    return DriverInfo(
        group,
        name,
        distribution.name if distribution else "",
        distribution.version if distribution else "",
        contract,
        features,
        error,
    )


class _NoRecords:
    """Records for drivers that are only looked at: nothing is there and nothing may be written."""

    def get(self, kind: str, record_id: str) -> Record | None:
        """Nothing."""

    def put(self, record: Record) -> NoReturn:
        """:raises PermanentError: always."""
        raise PermanentError(f"a {record.kind} record is written where drivers are only listed")

    def remove(self, kind: str, record_id: str) -> None:
        """Absent is success."""

    def list(self, kind: str, owner: str | None = None) -> tuple[Record, ...]:  # noqa: ARG002 the protocol's signature
        """None."""
        return ()
