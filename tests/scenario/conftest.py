"""What the scenarios share: the `lbdrivers` command on a state folder of its own, and guests around it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.commands import Command

from examples.demo import leftovers
from examples.demo.client import Client
from examples.demo.world import World
from lbdrivers import registry, settings
from lbdrivers.drivers.context import DriverContext
from lbdrivers.store.store import Store
from lbdrivers_amphora.compute.local import LocalCompute
from lbdrivers_amphora.ledger import Ledger
from lbdrivers_amphora.network.local import LocalNetwork
from lbdrivers_amphora.site.ports import PortBook

PROGRAM = str(Path(sys.executable).parent / "lbdrivers")
PUBLIC = "b0000000-0000-4000-8000-000000000002"
PRIVATE = "b0000000-0000-4000-8000-000000000003"
VIP = "10.211.16.10"


def document(members: int = 2, **load_balancer: Any) -> dict[str, Any]:
    """A load balancer named web with one HTTP listener and so many members, as a v2 body."""
    pool = {
        "name": "web",
        "protocol": "HTTP",
        "lb_algorithm": "ROUND_ROBIN",
        "members": [
            {"name": f"web-{n}", "address": f"10.211.32.{10 + n}", "protocol_port": 8080, "subnet_id": PRIVATE}
            for n in range(1, members + 1)
        ],
        "healthmonitor": {"type": "HTTP", "delay": 1, "timeout": 1, "max_retries": 1, "max_retries_down": 1},
    }
    listener = {"name": "http", "protocol": "HTTP", "protocol_port": 80, "default_pool": pool}
    body = {"name": "web", "vip_subnet_id": PUBLIC, "vip_address": VIP, "listeners": [listener]}
    return {"loadbalancer": {**body, **load_balancer}}


class Lab:
    """One state folder, its guests and the command line."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self.world = World(state, PRIVATE, PUBLIC)
        self.file = state.with_name(f"{state.name}.yaml")
        self.options: tuple[str, ...] = ()

    def write(self, body: dict[str, Any]) -> str:
        """The document as a file."""
        self.file.write_text(yaml.safe_dump(body))
        return str(self.file)

    def start(self, *arguments: str) -> Command:
        """The command, on its way."""
        return Command(*self._global, *arguments)

    def run(self, *arguments: str, status: int = 0, limit: float = 100) -> subprocess.CompletedProcess[str]:
        """The command to its end, within so many seconds, with the wanted exit status."""
        result = self.start(*arguments).wait(limit)
        assert result.returncode == status, f"{arguments}: {result.returncode}\n{result.stdout}\n{result.stderr}"
        return result

    def ask(self, *arguments: str) -> dict[str, Any]:
        """Its JSON answer."""
        answer: dict[str, Any] = json.loads(self.run(*arguments, "--json").stdout)
        return answer

    @property
    def _global(self) -> tuple[str, ...]:
        return ("--state", str(self.state), *self.options)

    def client(self, port: int = 80) -> Client:
        """A client of the VIP."""
        return Client(VIP, port, self.world.open_from_client)

    def machines(self) -> set[str]:
        """Folders of all machines, dead ones too."""
        folder = self.world.site.machines
        return {path.name for path in folder.iterdir()} if folder.is_dir() else set()

    def in_amphora(self, amphora_id: str, script: str) -> str:
        """What a shell script prints inside an appliance."""
        pid = self.world.site.machine(f"amphora-{amphora_id}").pid()
        enter = ["nsenter", f"--target={pid}", "--net", "--mount", "--pid", "--", "sh", "-ec", script]
        return subprocess.run(enter, check=True, capture_output=True, text=True, timeout=60).stdout

    def ports(self) -> list[str]:
        """Names of all ports but the guests', without the ids in them."""
        names = [port.name for port in PortBook(self.world.site).all() if not port.name.startswith("guest-")]
        return sorted("-".join(name.split("-")[:3]) for name in names)

    @property
    def network(self) -> LocalNetwork:
        """The site's networks, as a driver sees them."""
        return LocalNetwork(self._context)

    @property
    def compute(self) -> LocalCompute:
        """The site's machines, as a driver sees them."""
        return LocalCompute(self._context)

    @property
    def ledger(self) -> Ledger:
        """The provider's records, as the command left them."""
        return Ledger(self._context.records)

    @cached_property
    def _context(self) -> DriverContext:
        configuration = settings.load(state_path=self.state)
        return registry.make_context(configuration, Store(settings.read(configuration).database).records)

    def eventually(self, condition: Callable[[], bool], limit: float = 30.0) -> None:
        """Wait until it holds."""
        end = time.monotonic() + limit
        while not condition():
            assert time.monotonic() < end, "it never came true"
            time.sleep(0.05)


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """A laboratory with two web servers and a client; nothing is left of it afterwards."""
    state = Path(tempfile.mkdtemp(prefix="lbdrivers-scenario-"))
    before = leftovers.snapshot()
    made = Lab(state)
    try:
        for number in (1, 2, 3):
            made.world.serve(f"web-{number}", f"10.211.32.{10 + number}", 8080)
        made.world.start_client()
        yield made
        made.world.close()
        assert leftovers.compare(before, state) == []
    finally:
        made.world.close()
        leftovers.clean(state)
        shutil.rmtree(state, ignore_errors=True)
        for file in state.parent.glob(f"{state.name}.*"):  # the document, configuration, what daemons said
            file.unlink()
