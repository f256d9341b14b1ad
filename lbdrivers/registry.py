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

from lbdrivers.drivers.context import CONTRACT, DriverContext, Progress, Record, Records
from lbdrivers.errors import DriverError, PermanentError

if TYPE_CHECKING:
    from oslo_config.cfg import ConfigOpts

#: entry-point group -> what people call its drivers.
GROUPS: Mapping[str, str] = {
    "lbdrivers.providers": "provider",
    "lbdrivers.compute": "compute driver",
    "lbdrivers.networks": "network driver",
    "lbdrivers.certificates": "certificate driver",
    "lbdrivers.amphora": "amphora driver",
}
PROVIDERS = "lbdrivers.providers"
#: Callables ``f(state_path, command_line)`` that run before a command acts and before any thread exists.
START = "lbdrivers.start"


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


def installed(configuration: ConfigOpts | None = None) -> tuple[DriverInfo, ...]:
    """Every driver of every group, by group and name, broken ones with their error.

    :param configuration: with it, providers are made to ask for their features; constructors touch
        nothing outside, and no records are there for them.
    """
    context = make_context(configuration, _NoRecords()) if configuration is not None else None
    return tuple(_examine(point, context) for group in GROUPS for point in _points(group))


def make_context(
    configuration: ConfigOpts, records: Records, report: Callable[[Progress], None] = lambda _progress: None
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

    context = DriverContext(configuration=configuration, records=records, load=load_once, report=report)
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
    names = ", ".join(dict.fromkeys(point.name for point in _points(group))) or "none"
    raise PermanentError(f"there is no {noun} {name!r}; installed: {names}")


def _factory(group: str, name: str) -> Callable[[DriverContext], Any]:
    factory: Callable[[DriverContext], Any] = _load_point(group, name)
    _check_contract(group, name, factory)
    return factory


def _check_contract(group: str, name: str, factory: object) -> None:
    contract = getattr(factory, "contract", None)
    if contract != CONTRACT:
        stated = f"states the contract version {contract}" if contract is not None else "states no contract version"
        raise PermanentError(f"the {GROUPS[group]} {name!r} {stated}; this library speaks version {CONTRACT}")


def _examine(point: EntryPoint, context: DriverContext | None) -> DriverInfo:
    """One line of ``installed``: whatever is wrong with the driver ends in ``error``."""
    distribution = point.dist
    contract: int | None = None
    features: tuple[str, ...] = ()
    error = ""
    try:
        factory = _load_point(point.group, point.name)
        stated = getattr(factory, "contract", None)
        contract = stated if isinstance(stated, int) else None
        _check_contract(point.group, point.name, factory)
        if point.group == PROVIDERS and context is not None:
            features = tuple(sorted(factory(context).features()))
    except DriverError as failure:
        error = failure.user
    except Exception as failure:  # noqa: BLE001 a foreign driver's bug must not hide the other drivers
        error = f"{type(failure).__name__}: {failure}"
    return DriverInfo(
        point.group,
        point.name,
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
