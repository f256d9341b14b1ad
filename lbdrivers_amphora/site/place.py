"""The site: one folder, its lock, its networks, and what keeps it alive.

Law: whatever changes ports, links or the set of machines does so under the site's lock; slow things
(booting) happen outside it. When the last machine, guest and port are gone, the site vanishes whole.
"""

from __future__ import annotations

import contextlib
import functools
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from oslo_config import cfg

from lbdrivers.drivers import topology
from lbdrivers.errors import PermanentError
from lbdrivers_amphora.site import settings
from lbdrivers_amphora.site.box import Box
from lbdrivers_amphora.site.files import locked
from lbdrivers_amphora.site.settings import SiteSettings

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


def file_name(name: str) -> str:
    """The name of a machine or port, fit to be a file's. :raises PermanentError: when it is not."""
    if not _NAME.fullmatch(name):
        text = f"the name {name!r} cannot be used on this host; letters, digits, '.', '_' and '-', at most 128"
        raise PermanentError(text)
    return name


class Site:
    """Where everything of one site lies. Making one touches nothing."""

    def __init__(self, values: SiteSettings) -> None:
        self.settings = values
        self.path = values.path
        self.machines = self.path / "machines"
        self.guests = self.path / "guests"
        self.ports = self.path / "ports"
        self.fabric = Box(self.path / "fabric")

    @classmethod
    def of(cls, configuration: cfg.ConfigOpts) -> Site:
        """The site that the configuration names. :raises InvalidInput: on a bad value."""
        return cls(settings.read(configuration))

    @functools.cached_property
    def topology(self) -> topology.Topology:
        """Its networks. :raises InvalidInput: when their file is wrong."""
        return topology.load(self.settings.networks_file, "[local] networks_file")

    def machine(self, name: str) -> Box:
        """The box of the machine of that name."""
        return Box(self.machines / file_name(name))

    def guest(self, name: str) -> Box:
        """The box of the guest of that name."""
        return Box(self.guests / file_name(name))

    def holder(self, name: str) -> Box:
        """The box of a machine or guest, by what a port says that it is plugged into."""
        guest = self.guest(name)
        return guest if guest.folder.is_dir() else self.machine(name)

    def boxes(self) -> Iterator[Box]:
        """Every machine and guest, dead ones too."""
        for folder in (self.machines, self.guests):
            for name in _entries(folder):
                yield Box(folder / name)

    @contextlib.contextmanager
    def locked(self) -> Iterator[int]:
        """Hold the site's lock; gives the open file that holds it."""
        with locked(self.path / "lock") as lock:
            yield lock

    def hidden(self) -> Path | None:
        """What appliances must not see: the controller's state, unless they run from there."""
        state = self.settings.state_path.resolve()
        code = (Path(sys.prefix), Path(sys.base_prefix), Path(__file__))
        return None if any(path.resolve().is_relative_to(state) for path in code) else state

    def release_if_unused(self) -> None:
        """End the fabric and remove the site's folders, if it holds no machine, guest or port."""
        if not self.path.is_dir():
            return
        with self.locked():
            if any(self.boxes()) or _entries(self.ports):
                return
            self.fabric.delete()
            for folder in (self.machines, self.guests, self.ports):
                shutil.rmtree(folder, ignore_errors=True)
            (self.path / "lock").unlink()
            with contextlib.suppress(OSError):  # somebody begins anew, or keeps files of their own there
                self.path.rmdir()


def _entries(folder: Path) -> list[str]:
    with contextlib.suppress(FileNotFoundError):
        return sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))
    return []
