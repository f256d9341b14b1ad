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


@pytest.fixture
def state() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="lbdrivers-nobody-"))
    os.chown(folder, NOBODY, NOBODY)
    yield folder
    run_as_nobody([PROGRAM, "--state", str(folder), "delete", "web"], folder)
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
