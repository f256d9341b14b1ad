"""The whole way of a pair, from apply to delete, by a user without any privilege."""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.local_site import eventually
from support.nobody import NOBODY, ROOT, processes_of_nobody, run_as_nobody

PROGRAM = str(Path(sys.executable).parent / "lbdrivers")

#: Two web servers and a client on the site's networks; prints who answered them through the VIP.
REQUESTS = """
import json, sys, time
from pathlib import Path
from lbdrivers_amphora.site.unprivileged import enter
state = Path(sys.argv[1])
enter(state, [sys.executable, *sys.orig_argv[1:]])
from examples.demo.client import Client
from examples.demo.world import World
world = World(state, "private-subnet", "public-subnet")
try:
    for number in (1, 2):
        world.serve(f"web-{number}", f"10.211.32.{10 + number}", 8080)
    world.start_client()
    client = Client("10.211.16.10", 80, world.open_from_client)
    deadline = time.monotonic() + 20
    while set(answers := client.burst(4)) != {"web-1", "web-2"} and time.monotonic() < deadline:
        time.sleep(0.05)
    print(json.dumps(client.burst(20)))
finally:
    world.close()
"""


#: The resolvers of the example of datagrams, its load balancer before them, and a client, likewise.
DATAGRAMS = """
import json, subprocess, sys
from pathlib import Path
from lbdrivers_amphora.site.unprivileged import enter
state = Path(sys.argv[1])
enter(state, [sys.executable, *sys.orig_argv[1:]])
from support.datagrams import RESOLVER, flows, spread
from lbdrivers import settings
from lbdrivers_amphora.site.guests import Guest, Plug, known_guests
from lbdrivers_amphora.site.place import Site
site = Site.of(settings.load(state_path=state))
try:
    for number in (1, 2):
        name, address = f"resolver-{number}", f"10.211.32.2{number}"
        guest = Guest(site, name).ensure([Plug("private-subnet", address)])
        command = [sys.executable, "-I", "-c", RESOLVER, name, address]
        guest.popen(command, stdout=subprocess.PIPE).stdout.readline()
    apply = [sys.argv[2], "--state", str(state), "apply", "examples/udp.yaml", "--json"]
    subprocess.run(apply, check=True, stdout=subprocess.DEVNULL)
    client = Guest(site, "client").ensure([Plug("public-subnet")])
    with flows(client.in_namespace, ("10.211.16.20", 53), 40) as made:
        print(json.dumps(spread(made)))
finally:
    for name in known_guests(site):
        Guest(site, name).kill()
"""


@pytest.fixture
def state() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="lbdrivers-nobody-"))
    os.chown(folder, NOBODY, NOBODY)
    yield folder
    for name in ("web", "names"):
        run_as_nobody([PROGRAM, "--state", str(folder), "delete", name], folder)
    shutil.rmtree(folder)


def ask(state: Path, *argv: str) -> dict[str, Any]:
    done = run_as_nobody(argv, state, ROOT)
    assert done.returncode == 0, f"{argv}\n{done.stdout}\n{done.stderr}"
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def lbdrivers(state: Path, *arguments: str) -> dict[str, Any]:
    return ask(state, PROGRAM, "--state", str(state), *arguments, "--json")


def test_a_pair_serves_and_goes(state: Path) -> None:
    lbdrivers(state, "apply", "examples/web.yaml")
    answers = ask(state, sys.executable, "-c", REQUESTS, str(state))
    assert (set(answers), sum(answers.values())) == ({"web-1", "web-2"}, 20)
    shown = lbdrivers(state, "show", "web")
    assert shown["provisioning_status"] == "ACTIVE"
    assert [appliance["status"] for appliance in shown["appliances"]] == ["ALLOCATED"] * 2
    assert sum(appliance["holds_vip"] for appliance in shown["appliances"]) == 1
    lbdrivers(state, "delete", "web")
    eventually(lambda: processes_of_nobody(state) == [])
    assert not (state / "local").exists()


def test_datagrams_are_balanced(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "tests"))
    assert ask(state, sys.executable, "-c", DATAGRAMS, str(state), PROGRAM) == {"resolver-1": 30, "resolver-2": 10}
    lbdrivers(state, "delete", "names")
    eventually(lambda: processes_of_nobody(state) == [])
