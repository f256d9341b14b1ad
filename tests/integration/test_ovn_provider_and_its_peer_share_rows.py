"""Rows that ovn-octavia-provider has written are understood and taken over, and ours are understood by it.

Its driver runs in an environment of its own, on the same real northbound database, with ovn-northd; its Neutron and
Octavia answer from memory.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from support.environments import interpreter
from support.ovn import (
    PRIVATE,
    PRIVATE_SIX,
    PUBLIC,
    PUBLIC_NETWORK,
    PUBLIC_SIX,
    STORAGE,
    OvnCloud,
    identity,
    listener,
    member,
    monitor,
    ovn_cloud,
    pool,
    tree,
)

from lbdrivers.model.infra import FixedAddress, Port, PortRequest
from lbdrivers.model.resources import LoadBalancer
from lbdrivers_ovn.interpret import canonical, interpret
from lbdrivers_ovn.places import Places

ROOT = Path(__file__).parents[2]
PROGRAM = ROOT / "tests" / "support" / "ovn_peer.py"
REQUIREMENT = "ovn-octavia-provider==11.0.0"
SUBNETS = (PUBLIC, PUBLIC_SIX, PRIVATE, PRIVATE_SIX, STORAGE)
A, B, C = (PRIVATE, "10.212.32.11"), (PRIVATE, "10.212.32.12"), (STORAGE, "10.212.48.13")
A_SIX = (PRIVATE_SIX, "fd00:212:32::11")

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]


def of(number: int, place: tuple[str, str], **fields: Any) -> dict[str, Any]:
    return member(number, place[1], subnet_id=place[0], **fields)


#: What both can say, with a VIP on the public network.
TREES: dict[str, LoadBalancer] = {
    "one listener, members in two networks": tree([pool(10, [of(31, A), of(32, C)])], [listener(20, 80, 10)]),
    "an empty load balancer": tree(),
    "a listener without a pool, a pool without a listener": tree([pool(10, [of(31, A)])], [listener(20, 80)]),
    "three protocols": tree(
        [pool(10, [of(31, A)]), pool(11, [of(32, A)], "UDP"), pool(12, [of(33, B)], "SCTP")],
        [listener(20, 80, 10), listener(21, 53, 11, "UDP"), listener(22, 9, 12, "SCTP")],
    ),
    "two listeners of one pool, by address": tree(
        [pool(10, [of(31, A), of(32, B)], lb_algorithm="SOURCE_IP")], [listener(20, 80, 10), listener(21, 81, 10)]
    ),
    "a client stays": tree(
        [pool(10, [of(31, A)], "UDP", session_persistence={"type": "SOURCE_IP", "persistence_timeout": 90})],
        [listener(20, 53, 10, "UDP")],
    ),
    "a listener is switched off": tree([pool(10, [of(31, A)])], [listener(20, 80, 10, admin_state_up=False)]),
    "a pool is switched off": tree([pool(10, [of(31, A)], admin_state_up=False)], [listener(20, 80, 10)]),
    "a member is switched off": tree([pool(10, [of(31, A), of(32, B, admin_state_up=False)])], [listener(20, 80, 10)]),
    "all is switched off": tree([pool(10, [of(31, A)])], [listener(20, 80, 10)], admin_state_up=False),
    "members are probed": tree([pool(10, [of(31, A), of(32, C)], healthmonitor=monitor(40))], [listener(20, 80, 10)]),
    "UDP members are probed": tree(
        [pool(10, [of(31, A)], "UDP", healthmonitor=monitor(40, "UDP-CONNECT", delay=3))], [listener(20, 53, 10, "UDP")]
    ),
    "two families": tree(
        [pool(10, [of(31, A), of(32, A_SIX)])],
        [listener(20, 80, 10)],
        additional_vips=[{"subnet_id": PUBLIC_SIX}],
    ),
    "two families are probed": tree(
        [pool(10, [of(31, A), of(32, A_SIX)], healthmonitor=monitor(40))],
        [listener(20, 80, 10)],
        additional_vips=[{"subnet_id": PUBLIC_SIX}],
    ),
}


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return interpreter(tmp_path_factory.mktemp("peer") / "environment", REQUIREMENT)


@pytest.fixture(scope="module")
def cloud() -> Iterator[OvnCloud]:
    """Networks with a guest in each place that members name."""
    with ovn_cloud() as made:
        network = made.network()
        for subnet_id, address in (A, B, C):
            fixed = [FixedAddress(subnet_id, address)]
            fixed += [FixedAddress(*A_SIX)] if address == A[1] else []
            network.ensure_port(PortRequest(f"guest {address}", network.subnet(subnet_id).network_id, tuple(fixed)))
        yield made


@dataclass
class Both:
    """Our provider and the peer on one cloud, for one load balancer."""

    cloud: OvnCloud
    python: Path

    def __post_init__(self) -> None:
        context = self.cloud.context()
        self.network = context.load("lbdrivers.networks", "ovn")
        self.provider = self.cloud.provider()
        self.places = Places(self.network)

    def placed(self, wanted: LoadBalancer) -> LoadBalancer:
        """The tree with addresses, its ports made; so are those from which members are probed."""
        vips = self.places.reserved(wanted)
        self.places.place(wanted, vips)
        values = wanted.model_dump(exclude_none=True)
        values |= {"vip_address": vips[0].address, "vip_network_id": PUBLIC_NETWORK}
        if wanted.additional_vips:
            values["additional_vips"] = [{"subnet_id": vip.subnet.id, "ip_address": vip.address} for vip in vips[1:]]
        return LoadBalancer.model_validate(values)

    def peer(self, wanted: LoadBalancer, *calls: list[Any]) -> dict[str, Any]:
        """What the peer's program answers."""
        vips = self.places.reserved(wanted)
        told = wanted.model_dump(mode="json")
        told["additional_vips"] = [
            {"ip_address": vip.address, "port_id": vip.port_id, "network_id": vip.subnet.network_id} for vip in vips[1:]
        ]
        subnets = map(self.network.subnet, SUBNETS)
        order = {
            "remote": self.cloud.ovn.remote,
            "subnets": [{"id": one.id, "network_id": one.network_id, "cidr": one.cidr} for one in subnets],
            "ports": [_as_neutron(port) for port in self.network.ports()],
            "tree": told,
            "vip_port_id": vips[0].port_id,
            "calls": calls,
        }
        file = self.cloud.ovn.folder / "order.json"
        file.write_text(json.dumps(order))
        path = {**os.environ, "PYTHONPATH": str(ROOT / "benchmarks" / "peer")}
        command = [self.python, PROGRAM, file]
        done = subprocess.run(command, env=path, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr
        assert "Traceback" not in done.stderr, done.stderr
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer

    def read(self, wanted: LoadBalancer) -> LoadBalancer:
        """The tree that the rows stand for."""
        rows = self.network.northbound.rows(wanted.id)
        additional = tuple(one.subnet_id for one in wanted.additional_vips)
        return interpret(rows, wanted.vip_subnet_id or "", additional)

    def meant(self, wanted: LoadBalancer) -> LoadBalancer:
        """What of the tree rows can say."""
        return canonical(wanted, self.places.place(wanted, self.places.reserved(wanted)))

    def written(self, wanted: LoadBalancer) -> tuple[dict[str, Any], ...]:
        """What applying the tree changes of the rows: columns before and after."""
        before = self.network.northbound.rows(wanted.id)
        self.provider.apply(wanted, None)
        after = self.network.northbound.rows(wanted.id)
        found = []
        for old, new in zip(_ordered(before), _ordered(after), strict=True):
            changed = {name for name in vars(new) if getattr(old, name) != getattr(new, name)}
            found.append({name: (getattr(old, name), getattr(new, name)) for name in sorted(changed)})
        return tuple(one for one in found if one)


def _ordered(rows: Any) -> list[Any]:
    return sorted(rows, key=lambda row: row.uuid)


def _as_neutron(port: Port) -> dict[str, Any]:
    fixed = [{"subnet_id": one.subnet_id, "ip_address": one.address} for one in port.fixed]
    return {"id": port.id, "name": port.name, "network_id": port.network_id, "fixed_ips": fixed}


@pytest.fixture
def both(cloud: OvnCloud, python: Path) -> Iterator[Both]:
    made = Both(cloud, python)
    yield made
    made.provider.remove(identity(1))
    assert not made.network.northbound.known()


#: Rows of the peer that do not say what their tree says, and the columns that are mended when we apply it.
MENDED = {
    # It names the pool twice in the listener's value, and then sends to nobody.
    "a pool is switched off": ({"external_ids"},),
}


@pytest.mark.parametrize("name", TREES)
def test_what_the_peer_wrote_is_taken_over(both: Both, name: str) -> None:
    wanted = both.placed(TREES[name])
    reported = both.peer(wanted, ["create"])["statuses"]
    provisioning = {entry.get("provisioning_status") for one in reported.values() for entry in one.values()}
    assert provisioning == {"ACTIVE"}, reported
    assert both.read(wanted) == both.meant(wanted)
    written = both.written(wanted)
    assert tuple(set(one) for one in written) == MENDED.get(name, ()), written
    assert both.written(wanted) == ()


@pytest.mark.parametrize("name", TREES)
def test_the_peer_finds_what_we_wrote(both: Both, name: str) -> None:
    wanted = both.placed(TREES[name])
    both.provider.apply(wanted, None)
    (found,) = both.peer(wanted, ["found"])["answers"]
    switched_off = {one.id for one in wanted.pools if not one.admin_state_up}
    keys = {f"pool_{one.id}" + (":D" if one.id in switched_off else ""): wanted.id for one in wanted.pools}
    assert found["owners"] == keys
    assert found["rows"] == len({one.protocol for one in wanted.pools}) or not wanted.pools
    ours = both.provider.observe(wanted.id).operating
    members = {one.id for each in wanted.pools for one in each.members}
    assert {one: found["operating"][one] for one in members} == {one: str(ours[one]) for one in members}


def test_the_peer_changes_what_we_wrote_and_we_go_on(both: Both) -> None:
    wanted = both.placed(tree([pool(10, [of(31, A)])], [listener(20, 80, 10)]))
    added = of(32, C)
    both.provider.apply(wanted, None)

    both.peer(wanted, ["member_create", identity(10), added])
    more = _with_members(wanted, [of(31, A), added])
    assert both.read(wanted) == both.meant(more)
    assert both.written(more) == ()

    off = {**added, "admin_state_up": False}
    both.peer(more, ["member_update", identity(10), off])
    less = _with_members(wanted, [of(31, A), off])
    assert both.read(wanted) == both.meant(less)
    assert both.written(less) == ()

    both.peer(less, ["member_delete", identity(10), off])
    assert both.read(wanted) == both.meant(wanted)
    # That the switch of the member that left is behind the router, too, the peer finds out at the router's next event.
    assert all(set(one) == {"switches"} for one in both.written(wanted))
    assert both.written(wanted) == ()


def test_the_peer_takes_a_monitor_away_that_we_wrote(both: Both) -> None:
    wanted = both.placed(TREES["members are probed"])
    both.provider.apply(wanted, None)
    reported = both.peer(wanted, ["monitor_delete", identity(10)])["statuses"]
    assert reported["healthmonitors"][identity(40)]["provisioning_status"] == "DELETED"
    (row,) = both.network.northbound.rows(wanted.id)
    assert (row.health_checks, row.ip_port_mappings) == ((), {})
    values = wanted.model_dump(exclude_none=True)
    values["pools"][0].pop("healthmonitor")
    without = LoadBalancer.model_validate(values)
    assert both.read(wanted) == both.meant(without)
    assert both.written(without) == ()


@pytest.mark.parametrize("name", ["three protocols", "members are probed", "two families"])
def test_the_peer_deletes_what_we_wrote(both: Both, name: str) -> None:
    wanted = both.placed(TREES[name])
    both.provider.apply(wanted, None)
    reported = both.peer(wanted, ["delete"])["statuses"]
    assert reported["loadbalancers"][wanted.id]["provisioning_status"] == "DELETED"
    assert not both.network.northbound.rows(wanted.id)


def _with_members(wanted: LoadBalancer, members: list[dict[str, Any]]) -> LoadBalancer:
    values = wanted.model_dump(exclude_none=True)
    values["pools"][0]["members"] = members
    return LoadBalancer.model_validate(values)
