"""What the tests of the embedded site share: a site of their own, and a look at what is left of it."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lbdrivers import settings
from lbdrivers.drivers.context import DriverContext, Record
from lbdrivers.model.infra import FixedAddress, MachineRequest, Port, PortRequest
from lbdrivers.model.secret import Secret
from lbdrivers_amphora.compute.local import LocalCompute
from lbdrivers_amphora.network.local import LocalNetwork
from lbdrivers_amphora.site.guests import Guest, known_guests

#: Stands in for the agent: something that runs until it is ended.
SLEEPER = ("/bin/sleep", "100000")


class NoRecords:
    """The local drivers keep no records in the store; whoever asks for one fails loudly."""

    def get(self, kind: str, record_id: str) -> Record | None:
        raise AssertionError(kind)

    def put(self, record: Record) -> Record:
        raise AssertionError(record)

    def remove(self, kind: str, record_id: str) -> None:
        raise AssertionError(kind)

    def list(self, kind: str, owner: str | None = None) -> tuple[Record, ...]:
        raise AssertionError(kind)


def no_driver(group: str, name: str) -> Any:
    raise AssertionError(f"{group} {name}")


class LocalSite:
    """Drivers on one state folder."""

    def __init__(self, state: Path, command: tuple[str, ...] = SLEEPER, configuration: tuple[Path, ...] = ()) -> None:
        self.state = state
        self.context = DriverContext(settings.load(configuration, state_path=state), NoRecords(), no_driver)
        self.network = LocalNetwork(self.context)
        self.compute = LocalCompute(self.context, command)
        self.site = self.network.site

    def port(self, name: str, network: str = "management", address: str | None = None) -> Port:
        return self.network.ensure_port(PortRequest(name, network, (FixedAddress(f"{network}-subnet", address),)))

    def request(self, name: str, files: dict[str, bytes] | None = None) -> MachineRequest:
        """A machine with one management port, which is made if it is not there."""
        self.port(f"management-{name}")
        secrets = {path: Secret(content) for path, content in (files or {}).items()}
        return MachineRequest(name, (f"management-{name}",), secrets)

    def processes(self, folder: str = "") -> list[int]:
        """Processes 1 of this site's boxes (their command line names their folder), no zombies."""
        found = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                words = path.read_bytes().decode(errors="replace").split("\0")
            except OSError:
                continue
            if "python" in words[0] and any(word.startswith(f"{self.site.path}/{folder}") for word in words):
                found.append(int(path.parent.name))
        return found

    def inside(self, name: str, *argv: str) -> str:
        """Output of a command inside a machine."""
        pid = self.site.machine(name).pid()
        command = ["nsenter", f"--target={pid}", "--net", "--mount", "--pid", "--uts", "--", *argv]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    def links(self, name: str) -> dict[str, dict[str, Any]]:
        """A machine's links by name."""
        return {link["ifname"]: link for link in json.loads(self.inside(name, "ip", "-j", "address"))}

    def clear(self) -> None:
        """Remove everything that is there."""
        for name in known_guests(self.site):
            Guest(self.site, name).kill()
        for name in self.compute.known():
            self.compute.remove(name)
        for port in self.network.ports():
            self.network.remove_port(port.name)
        self.site.release_if_unused()


@contextmanager
def a_site(command: tuple[str, ...] = SLEEPER, configuration: tuple[Path, ...] = ()) -> Iterator[LocalSite]:
    """A site in a folder of its own; afterwards nothing of it is left, which is verified."""
    state = Path(tempfile.mkdtemp(prefix="lbdrivers-site-"))
    site = LocalSite(state, command, configuration)
    try:
        yield site
    finally:
        site.clear()
        left = [str(path) for path in state.rglob("*")] + [f"process {pid}" for pid in site.processes()]
        shutil.rmtree(state)
    assert left == []


def eventually(condition: Callable[[], bool], limit: float = 20.0) -> None:
    """Wait until the condition holds."""
    deadline = time.monotonic() + limit
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.01)
