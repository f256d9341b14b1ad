"""The real Octavia 19.0.0 serves load balancers with a provider of ours: everything goes ACTIVE, and goes."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from lbdrivers import settings
from lbdrivers.store.store import Store

ROOT = Path(__file__).parents[2]
SERVER = ROOT / "tests" / "support" / "octavia_server.py"
#: SQLAlchemy 2.1 has dropped what Octavia's queries use; the last three are for its tables' first rows.
REQUIREMENTS = ("octavia==19.0.0", "SQLAlchemy>=2.0.30,<2.1", "fixtures", "oslotest", "testtools")
PROJECT = "5f1c9ad0a2ab4d5c8a8d41f6f9f1bb10"
#: Seconds for anything that has to come about.
PATIENCE = 60.0

CONFIGURATION = """
[DEFAULT]
transport_url = fake://
log_file = {folder}/octavia.log
[api_settings]
auth_strategy = noauth
enabled_provider_drivers = lbdrivers_memory:Memory.
default_provider_driver = lbdrivers_memory
[database]
connection = sqlite:///{folder}/octavia.sqlite?timeout=60
[controller_worker]
network_driver = network_noop_driver
[certificates]
cert_manager = noop_cert_manager
[driver_agent]
status_socket_path = {folder}/status.sock
stats_socket_path = {folder}/stats.sock
get_socket_path = {folder}/get.sock
enabled_provider_agents = lbdrivers
"""
OURS = """
[lbdrivers]
state_path = {folder}/state
[driver_agent]
status_socket_path = {folder}/status.sock
stats_socket_path = {folder}/stats.sock
get_socket_path = {folder}/get.sock
"""

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]


@dataclass(frozen=True)
class Api:
    """Octavia's API. ``call`` gives the decoded answer, None for an empty one.

    :param ours: the configuration of our provider under it.
    """

    url: str
    ours: Path

    def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json", "X-Project-Id": PROJECT}
        request = urllib.request.Request(f"{self.url}/v2/lbaas{path}", data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
                content = answer.read()
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{method} {path}: {error.code} {error.read().decode()}") from error
        return json.loads(content) if content else None

    def is_there(self, path: str) -> bool:
        try:
            self.call("GET", path)
        except AssertionError as error:
            if " 404 " in str(error):
                return False
            raise
        return True

    def status(self, path: str) -> str:
        (resource,) = self.call("GET", path).values()
        return str(resource["provisioning_status"])

    def create(self, path: str, word: str, /, **fields: Any) -> str:
        """Create, and wait until it and the load balancer are ACTIVE; its id."""
        (made,) = self.call("POST", path, {word: fields}).values()
        self.settle(f"{path}/{made['id']}")
        return str(made["id"])

    def settle(self, path: str) -> None:
        eventually(lambda: self.status(path) == "ACTIVE", f"{path} is not ACTIVE")
        for balancer in self.call("GET", "/loadbalancers")["loadbalancers"]:
            path = f"/loadbalancers/{balancer['id']}"
            eventually(lambda path=path: self.status(path) == "ACTIVE", f"{path} is not ACTIVE")  # type: ignore[misc]


def eventually(condition: Callable[[], bool], otherwise: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, otherwise
        time.sleep(0.1)


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    folder = tmp_path_factory.mktemp("octavia")
    python = folder / "environment" / "bin" / "python"
    subprocess.run([sys.executable, "-m", "venv", folder / "environment"], check=True)
    install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *REQUIREMENTS, str(ROOT)]
    subprocess.run(install, check=True)
    (folder / "octavia.conf").write_text(CONFIGURATION.format(folder=folder))
    (folder / "lbdrivers.conf").write_text(OURS.format(folder=folder))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {**os.environ, "LBDRIVERS_CONFIG_FILES": str(folder / "lbdrivers.conf"), "PYTHONWARNINGS": "ignore"}

    def command(role: str) -> list[str]:
        return [str(python), str(SERVER), role, str(folder / "octavia.conf"), str(folder), str(port)]

    subprocess.run(command("database"), env=environment, check=True)
    running = []
    try:
        for role in ("driver-agent", "api"):
            with (folder / f"{role}.out").open("wb") as output:
                running.append(subprocess.Popen(command(role), env=environment, stdout=output, stderr=output))
        found = Api(f"http://127.0.0.1:{port}", folder / "lbdrivers.conf")
        eventually(lambda: answers(port), f"the API does not answer; see {folder}")
        eventually((folder / "get.sock").exists, f"the driver agent does not listen; see {folder}")
        yield found
    finally:
        for process in running:
            process.terminate()
        for process in running:
            process.wait(timeout=PATIENCE)


def answers(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def test_every_kind_of_child_goes_active_and_goes(api: Api) -> None:
    subnet = "0b2c0de5-6c4a-4a1e-8d65-9a9d2c1b7f10"
    balancer = api.create("/loadbalancers", "loadbalancer", name="web", vip_subnet_id=subnet, project_id=PROJECT)
    listener = api.create("/listeners", "listener", loadbalancer_id=balancer, protocol="HTTP", protocol_port=80)
    pool = api.create("/pools", "pool", listener_id=listener, protocol="HTTP", lb_algorithm="ROUND_ROBIN")
    assert api.call("GET", f"/listeners/{listener}")["listener"]["default_pool_id"] == pool
    members = f"/pools/{pool}/members"
    member = api.create(members, "member", address="192.0.2.10", protocol_port=8080)
    monitor = api.create(
        "/healthmonitors", "healthmonitor", pool_id=pool, type="HTTP", delay=5, timeout=3, max_retries=2
    )
    policy = api.create("/l7policies", "l7policy", listener_id=listener, action="REJECT")
    rules = f"/l7policies/{policy}/rules"
    rule = api.create(rules, "rule", type="PATH", compare_type="STARTS_WITH", value="/private")

    paths = {
        f"/loadbalancers/{balancer}": ("loadbalancer", {"description": "changed"}),
        f"/listeners/{listener}": ("listener", {"connection_limit": 100}),
        f"/pools/{pool}": ("pool", {"lb_algorithm": "LEAST_CONNECTIONS"}),
        f"{members}/{member}": ("member", {"weight": 5}),
        f"/healthmonitors/{monitor}": ("healthmonitor", {"delay": 7}),
        f"/l7policies/{policy}": ("l7policy", {"redirect_url": "https://example.com/"}),
        f"{rules}/{rule}": ("rule", {"value": "/secret"}),
    }
    for path, (name, changes) in paths.items():
        api.call("PUT", path, {name: changes})
        api.settle(path)
        (shown,) = api.call("GET", path).values()
        assert changes.items() <= shown.items()

    batch = [{"address": "192.0.2.11", "protocol_port": 80}, {"address": "192.0.2.12", "protocol_port": 80}]
    api.call("PUT", members, {"members": batch})
    eventually(lambda: not api.is_there(f"{members}/{member}"), "the member that is not in the batch stays")
    api.settle(f"/pools/{pool}")
    assert sorted(one["address"] for one in api.call("GET", members)["members"]) == ["192.0.2.11", "192.0.2.12"]
    assert {one["provisioning_status"] for one in api.call("GET", members)["members"]} == {"ACTIVE"}

    for path in (f"{rules}/{rule}", f"/l7policies/{policy}", f"/healthmonitors/{monitor}", f"/pools/{pool}"):
        api.call("DELETE", path)
        eventually(lambda path=path: not api.is_there(path), f"{path} stays")  # type: ignore[misc]
        api.settle(f"/listeners/{listener}")
    api.call("DELETE", f"/loadbalancers/{balancer}?cascade=true")
    eventually(lambda: not api.is_there(f"/loadbalancers/{balancer}"), "the load balancer stays")
    assert not api.is_there(f"/listeners/{listener}")


def test_a_whole_tree_in_one_request_and_a_failover(api: Api) -> None:
    pool = {"name": "web", "protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN"}
    pool["members"] = [{"address": "192.0.2.21", "protocol_port": 80}]
    rules = [{"type": "PATH", "compare_type": "STARTS_WITH", "value": "/private"}]
    policies = [{"action": "REDIRECT_TO_POOL", "redirect_pool": {"name": "web"}, "rules": rules}]
    listener = {"name": "http", "protocol": "HTTP", "protocol_port": 80, "default_pool": pool, "l7policies": policies}
    balancer = api.create(
        "/loadbalancers",
        "loadbalancer",
        name="whole",
        vip_subnet_id="0b2c0de5-6c4a-4a1e-8d65-9a9d2c1b7f11",
        project_id=PROJECT,
        listeners=[listener],
    )
    path = f"/loadbalancers/{balancer}"
    for plural in ("listeners", "pools", "l7policies"):
        assert {one["provisioning_status"] for one in api.call("GET", f"/{plural}")[plural]} == {"ACTIVE"}
    api.call("PUT", f"{path}/failover")
    api.settle(path)
    api.call("DELETE", f"{path}?cascade=true")
    eventually(lambda: not api.is_there(path), "the load balancer stays")


@dataclass(frozen=True)
class Profiles:
    """Octavia's words for one kind of profile, and data that ours takes, and refuses."""

    word: str
    path: str
    data: dict[str, Any]
    refused: dict[str, Any]

    @property
    def profile(self) -> str:
        return "flavorprofile" if self.word == "flavor" else "availability_zone_profile"


@pytest.mark.parametrize(
    "kind",
    [
        Profiles("flavor", "/flavor", {"appliances": 2}, {"appliances": 9}),
        Profiles("availability_zone", "/availabilityzone", {"compute_zone": "here"}, {"planet": "Mars"}),
    ],
    ids=lambda kind: kind.word,
)
def test_flavors_and_zones_have_our_schema_and_reach_our_provider(api: Api, kind: Profiles) -> None:
    offered = api.call("GET", f"/providers/lbdrivers_memory/{kind.word}_capabilities")[f"{kind.word}_capabilities"]
    assert kind.data.keys() <= {one["name"] for one in offered}
    assert all(one["description"] for one in offered)

    def profile(data: dict[str, Any]) -> dict[str, Any]:
        told = {"name": kind.word, "provider_name": "lbdrivers_memory", f"{kind.word}_data": json.dumps(data)}
        made: dict[str, Any] = api.call("POST", f"{kind.path}profiles", {kind.profile: told})[kind.profile]
        return made

    (name,) = kind.refused
    with pytest.raises(AssertionError, match=name):
        profile(kind.refused)
    reference = "flavor_profile_id" if kind.word == "flavor" else "availability_zone_profile_id"
    body = {"name": f"some {kind.word}", reference: profile(kind.data)["id"], "enabled": True}
    chosen = api.call("POST", f"{kind.path}s", {kind.word: body})[kind.word]
    field, value = ("flavor_id", chosen["id"]) if kind.word == "flavor" else ("availability_zone", chosen["name"])
    balancer = api.create(
        "/loadbalancers",
        "loadbalancer",
        name=f"of some {kind.word}",
        vip_subnet_id="0b2c0de5-6c4a-4a1e-8d65-9a9d2c1b7f12",
        project_id=PROJECT,
        **{field: value},
    )
    store = Store(settings.read(settings.load([api.ours])).database)
    entry = store.get(balancer)
    store.close()
    assert entry is not None and entry.applied == entry.desired
    given = entry.desired.flavor_data if kind.word == "flavor" else entry.desired.availability_zone_data
    assert given is not None and dict(given) == kind.data
    api.call("DELETE", f"/loadbalancers/{balancer}?cascade=true")
    eventually(lambda: not api.is_there(f"/loadbalancers/{balancer}"), "the load balancer stays")
