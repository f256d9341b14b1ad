"""OVN's driver for Octavia, as it is published, is a provider of ours: on a real northbound database, without a cloud.

Its Neutron is a stand-in (see ``support.stand_in_neutron``); rows are read from the database itself.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from support import stand_in_neutron
from support.environments import interpreter
from support.ovn_octavia import IDS

ROOT = Path(__file__).parents[2]
DRIVER = ROOT / "tests" / "support" / "ovn_octavia.py"
REQUIREMENTS = ("ovn-octavia-provider==11.0.0",)
SCHEMAS = Path("/usr/share/ovn")
#: Seconds for anything that has to come about.
PATIENCE = 60.0

THEIRS = """
[ovn]
ovn_nb_connection = unix:{folder}/db.sock
ovn_sb_connection = unix:{folder}/db.sock
[neutron]
auth_type = v3password
auth_url = {neutron}/v3
username = user
password = none
user_domain_name = Default
project_name = project
project_domain_name = Default
endpoint_override = {neutron}
"""
OURS = """
[lbdrivers]
state_path = {folder}/state
octavia_config_files = {folder}/octavia.conf
"""

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An interpreter that has the driver and us."""
    return interpreter(tmp_path_factory.mktemp("ovn") / "environment", *REQUIREMENTS, str(ROOT))


@contextmanager
def databases(folder: Path) -> Iterator[None]:
    """OVN's two databases at ``db.sock``, with the logical switch that Neutron would have made."""
    for name in ("nb", "sb"):
        create = ["ovsdb-tool", "create", folder / f"{name}.db", SCHEMAS / f"ovn-{name}.ovsschema"]
        subprocess.run(create, check=True)
    remote, control = f"--remote=punix:{folder}/db.sock", f"--unixctl={folder}/control"
    with (folder / "ovsdb.log").open("wb") as log:
        server = subprocess.Popen(
            ["ovsdb-server", remote, control, folder / "nb.db", folder / "sb.db"], stdout=log, stderr=log
        )
    try:
        deadline = time.monotonic() + PATIENCE
        while not (folder / "db.sock").exists():
            assert time.monotonic() < deadline, (folder / "ovsdb.log").read_text()
            time.sleep(0.05)
        switch = f"neutron-{stand_in_neutron.NETWORK['id']}"
        subprocess.run(["ovn-nbctl", f"--db=unix:{folder}/db.sock", "init", "--", "ls-add", switch], check=True)
        yield
    finally:
        server.terminate()
        server.wait(timeout=PATIENCE)


def driven(python: Path, folder: Path, neutron: str) -> dict[str, Any]:
    """What the program in ``support.ovn_octavia`` found. octavia-lib looks for its sockets in one fixed folder below
    /run, so that folder is the program's own."""
    (folder / "octavia.conf").write_text(THEIRS.format(folder=folder, neutron=neutron))
    (folder / "lbdrivers.conf").write_text(OURS.format(folder=folder))
    rights = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    private = 'mount -t tmpfs none /run && exec "$@"'
    command = ["unshare", "--mount", *rights, "sh", "-c", private, "sh", python, DRIVER, folder / "lbdrivers.conf"]
    with databases(folder):
        done = subprocess.run(command, capture_output=True, text=True, timeout=10 * PATIENCE, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.fixture(scope="module")
def found(python: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    with stand_in_neutron.serving() as neutron:
        found = driven(python, tmp_path_factory.mktemp("driven"), neutron.url)
        assert not neutron.ports, "the VIP's port is left"
    return found


def test_it_makes_changes_and_removes_load_balancers(found: dict[str, Any]) -> None:
    assert (found["provider"], found["known"]) == ("ForeignProvider", [])
    made = {IDS[one]: "ONLINE" for one in "tlp"} | {IDS["a"]: "NO_MONITOR"}
    assert found["create"] == {"addresses": ["192.0.2.50"], "operating": made}
    assert found["more"]["operating"] == made | {IDS["b"]: "NO_MONITOR"} == found["again"]["operating"]
    vips = {"192.0.2.50:80": "192.0.2.10:8080,192.0.2.11:8080"}
    assert found["rows"] == [{"name": IDS["t"], "vips": vips, "protocol": "tcp"}]
    assert found["left"] == {"rows": [], "known": []}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("algorithm", "does not support ROUND_ROBIN algorithm"),
        ("protocol", "does not support HTTP protocol"),
        ("cidrs", "does not support allowed_cidrs option"),
        ("failover", "does not support loadbalancer failover"),
    ],
)
def test_what_it_refuses_is_an_error_of_ours_in_its_own_words(found: dict[str, Any], change: str, words: str) -> None:
    assert found[change]["error"] == "UnsupportedError"
    assert words in found[change]["user"]


def test_without_neutron_it_ends_at_the_vip_port_and_leaves_nothing(python: Path, tmp_path: Path) -> None:
    found = driven(python, tmp_path, "http://127.0.0.1:1")
    assert found["create"]["error"] == "TemporaryError"
    assert "Cannot initialize OpenStackSDK" in found["create"]["operator"]
    assert found["left"] == {"rows": [], "known": []}
