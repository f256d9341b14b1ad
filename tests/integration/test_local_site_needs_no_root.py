"""The embedded site for a user without any privilege: each command enters the site's user namespace."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.local_site import eventually
from support.nobody import NOBODY, ROOT, processes_of_nobody, run_as_nobody

COMMAND = """
import json, os, sys
from pathlib import Path
from lbdrivers_amphora.site.unprivileged import enter
state = Path(sys.argv[1])
enter(state, [sys.executable, *sys.orig_argv[1:]])
sys.path.insert(0, sys.argv[3])
from support.local_site import LocalSite
from lbdrivers_amphora.site.guests import Guest, Plug
site = LocalSite(state)
if sys.argv[2] == "make":
    machine = site.compute.ensure(site.request("web", {"/etc/octavia/agent.conf": b"content"}))
    site.port("vrrp", "public")
    site.compute.attach("web", "vrrp")
    client = Guest(site.site, "client").ensure([Plug("management-subnet")])
    ping = client.run(["ping", "-c1", "-W5", machine.address])
    print(json.dumps({"address": machine.address, "ping": ping.returncode, "complaint": ping.stderr,
                      "content": site.inside("web", "cat", "/etc/octavia/agent.conf"),
                      "netns": site.inside("web", "sh", "-c", "ip netns add inner && ip netns"),
                      "nft": site.inside("web", "sh", "-c", "nft add table ip lb && nft list tables")}))
elif sys.argv[2] == "find":
    print(json.dumps({"status": site.compute.find("web").status, "links": len(site.links("web"))}))
elif sys.argv[2] == "look":
    print(json.dumps({"euid": os.geteuid()}))
else:
    site.clear()
    print(json.dumps({"left": [str(path) for path in state.rglob("*")]}))
"""


@pytest.fixture
def state() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="lbdrivers-nobody-"))
    os.chown(folder, NOBODY, NOBODY)
    yield folder
    command(folder, "clear")
    shutil.rmtree(folder)


def command(state: Path, verb: str) -> dict[str, object]:
    """What a command of ours prints when the user nobody runs it."""
    python = [sys.executable, "-c", COMMAND, str(state), verb, str(ROOT / "tests")]
    done = run_as_nobody(python, state)
    assert done.returncode == 0, done.stderr
    result: dict[str, object] = json.loads(done.stdout)
    return result


def test_commands_of_a_user_without_privileges_share_one_site(state: Path) -> None:
    made = command(state, "make")
    assert made == {
        "address": "10.211.0.2",
        "ping": 0,
        "complaint": "",
        "content": "content",
        "netns": "inner\n",
        "nft": "table ip lb\n",
    }
    assert command(state, "find") == {"status": "RUNNING", "links": 3}
    assert processes_of_nobody(state)
    assert command(state, "clear") == {"left": []}
    eventually(lambda: processes_of_nobody(state) == [])


def test_a_command_that_needs_no_site_leaves_none(state: Path) -> None:
    assert command(state, "look") == {"euid": 0}
    eventually(lambda: processes_of_nobody(state) == [])
    assert list(state.iterdir()) == []


def test_a_host_that_forbids_user_namespaces_is_named_as_the_cause(tmp_path: Path) -> None:
    """A user namespace in which no further one may be made stands in for such a host."""
    program = (
        "import sys; from pathlib import Path; from lbdrivers_amphora.site.unprivileged import enter\n"
        "from lbdrivers.errors import PermanentError\n"
        "try: enter(Path(sys.argv[1]), ['false'])\n"
        "except PermanentError as error: print(error)"
    )
    # The limit belongs to the user namespace, so the host's own is not touched.
    script = 'echo 0 > /proc/sys/user/max_user_namespaces && exec setpriv --inh-caps=-all --ambient-caps=-all "$@"'
    user = ["unshare", "--user", "--map-user=1000", "--map-group=1000", "--keep-caps"]
    argv = [*user, "sh", "-c", script, "sh", sys.executable, "-c", program, str(tmp_path)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, cwd="/", check=False)
    assert "does not let you make user namespaces" in done.stdout, done.stderr
