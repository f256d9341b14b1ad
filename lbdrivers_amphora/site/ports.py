"""The site's ports: one small file each.

Law: which addresses a port gets is decided in ``lbdrivers.drivers.addresses``; here it is written down, under the
site's lock.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from lbdrivers.drivers.addresses import settle
from lbdrivers.errors import InvalidInput, Problem
from lbdrivers.model.infra import Port, PortRequest
from lbdrivers_amphora.site.files import private_folder, write_atomically
from lbdrivers_amphora.site.place import Site, file_name

_PORT = TypeAdapter(Port)


class PortBook:
    """The ports of a site. Its writing methods must be called under the site's lock."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def get(self, key: str) -> Port | None:
        """The port of that name or id, or None."""
        try:
            return self._read(self._path(key))
        except FileNotFoundError:
            return next((port for port in self.all() if port.id == key), None)

    def all(self) -> tuple[Port, ...]:
        """Every port, by name."""
        ports = []
        for path in sorted(self._site.ports.glob("[!.]*.json")):
            try:
                ports.append(self._read(path))
            except FileNotFoundError:  # removed since the listing
                continue
        return tuple(ports)

    def of(self, machine: str) -> tuple[Port, ...]:
        """The ports plugged into the machine, by name."""
        return tuple(port for port in self.all() if port.machine == machine)

    def ensure(self, request: PortRequest) -> Port:
        """Make the port be as requested. :raises PermanentError: see ``addresses.settle``."""
        known = self.all()
        port = settle(self._site.topology, request, known)
        if port not in known:
            self.write(port)
        return port

    def write(self, port: Port) -> None:
        """Write the port's file."""
        private_folder(self._site.ports)
        write_atomically(self._path(port.name), _PORT.dump_json(port, indent=1))

    def plugged(self, port: Port, machine: str | None) -> Port:
        """Write down into which machine the port is plugged; None for none."""
        changed = replace(port, machine=machine)
        if changed != port:
            self.write(changed)
        return changed

    def remove(self, name: str) -> None:
        """Forget the port; absent is success."""
        self._path(name).unlink(missing_ok=True)

    def _path(self, name: str) -> Path:
        return self._site.ports / f"{file_name(name)}.json"

    def _read(self, path: Path) -> Port:
        try:
            return _PORT.validate_python(json.loads(path.read_bytes()))
        except (ValueError, ValidationError) as error:
            problem = Problem(str(path), "", f"is not a port's file: {error}", "remove the file, or restore it")
            raise InvalidInput((problem,)) from error
