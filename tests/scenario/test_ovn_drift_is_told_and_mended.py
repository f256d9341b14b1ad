"""What somebody else has done to rows and ports in OVN is told, and mended by one more apply; what is foreign stays."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.ovn import PRIVATE, PUBLIC, OvnCloud, identity, listener, member, monitor, ovn_cloud, pool, tree

from lbdrivers.cli import main
from lbdrivers.drivers.provider import Orphan
from lbdrivers.model.infra import FixedAddress, PortRequest
from lbdrivers_ovn import names

A, B = member(31, "10.212.32.11"), member(32, "10.212.32.12")
TREE = tree([pool(10, [A, B], healthmonitor=monitor(12))], [listener(20, 80, 10)])
ENTRY = "10.212.16.2:80"


@pytest.fixture(scope="module")
def shared() -> Iterator[OvnCloud]:
    with ovn_cloud() as made:
        yield made


@pytest.fixture
def cloud(shared: OvnCloud) -> Iterator[OvnCloud]:
    """With a load balancer whose members are probed."""
    network = shared.network()
    fixed = (FixedAddress(PRIVATE, A["address"]),)
    network.ensure_port(PortRequest("a", network.subnet(PRIVATE).network_id, fixed))
    provider = shared.provider()
    provider.apply(TREE, None)
    yield shared
    for load_balancer_id in provider.known():
        provider.remove(load_balancer_id)
    for port in network.ports():
        network.remove_port(port.name)
    assert not shared.left()


def column(cloud: OvnCloud, name: str) -> str:
    return cloud.ovn.nbctl("--bare", f"--columns={name}", "list", "Load_Balancer", TREE.id)


#: What somebody does, by ovn-nbctl, and what is told of it: aspect, wanted, found.
DRIFT = {
    "a member is taken out": (
        ("set", "Load_Balancer", TREE.id, 'vips:"10.212.16.2:80"="10.212.32.11:80"'),
        {(f"row for tcp, vips {ENTRY}", "10.212.32.11:80,10.212.32.12:80", "10.212.32.11:80")},
    ),
    "a listener is added": (
        ("set", "Load_Balancer", TREE.id, 'vips:"10.212.16.2:81"="10.212.32.11:80"'),
        {("row for tcp, vips 10.212.16.2:81", "none", "10.212.32.11:80")},
    ),
    "the protocol is another": (
        ("set", "Load_Balancer", TREE.id, "protocol=udp"),
        {("row for tcp", "there", "none"), ("row for udp", "none", "there")},
    ),
    "clients are bound to members": (
        ("set", "Load_Balancer", TREE.id, "options:affinity_timeout=60", "selection_fields=ip_src,ip_dst"),
        {
            ("row for tcp, options affinity_timeout", "none", "60"),
            ("row for tcp, selection_fields", "ip_dst, ip_src, tp_dst, tp_src", "ip_dst, ip_src"),
        },
    ),
    "a switch loses it": (
        ("ls-lb-del", names.switch("a1000000-0000-4000-8000-000000000001"), TREE.id),
        {("row for tcp, Logical_Switch neutron-a1000000-0000-4000-8000-000000000001", "refers to it", "does not")},
    ),
    "a health check is forgotten": (
        ("clear", "Load_Balancer", TREE.id, "health_check"),
        {(f"row for tcp, health check of {ENTRY}", "there", "none")},
    ),
    "the row is removed": (
        ("lb-del", TREE.id),
        {("rows of the VIPs", "there", "none")},
    ),
}


@pytest.mark.parametrize(("done", "told"), DRIFT.values(), ids=DRIFT.keys())
def test_what_somebody_did_is_told_and_mended(
    cloud: OvnCloud, done: tuple[str, ...], told: set[tuple[str, ...]]
) -> None:
    provider = cloud.provider()
    assert provider.deviations(TREE) == ()
    before = {name: column(cloud, name) for name in ("vips", "protocol", "options", "selection_fields")}
    cloud.ovn.nbctl(*done)
    found = provider.deviations(TREE)
    assert {(one.aspect, one.wanted, one.found) for one in found} == told
    provider.apply(TREE, None)
    assert provider.deviations(TREE) == ()
    assert {name: column(cloud, name) for name in before} == before


def test_health_checks_at_another_pace_are_told(cloud: OvnCloud) -> None:
    check = cloud.ovn.nbctl("--bare", "--columns=_uuid", "list", "Load_Balancer_Health_Check").split()[0]
    cloud.ovn.nbctl("set", "Load_Balancer_Health_Check", check, "options:interval=77")
    provider = cloud.provider()
    (found,) = provider.deviations(TREE)
    assert (found.aspect, found.wanted, found.found) == (
        f"Load_Balancer_Health_Check {ENTRY}, options interval",
        "1",
        "77",
    )
    provider.apply(TREE, None)
    assert provider.deviations(TREE) == ()


def test_foreign_keys_and_rows_are_no_drift_and_stay(cloud: OvnCloud) -> None:
    provider = cloud.provider()
    cloud.ovn.nbctl("set", "Load_Balancer", TREE.id, "external_ids:theirs=1", "options:reject=true")
    cloud.ovn.nbctl("lb-add", "foreign", "192.0.2.1:80", "192.0.2.2:80")
    try:
        assert provider.deviations(TREE) == ()
        assert provider.orphans() == ()
        provider.apply(TREE, None)
        assert "theirs=1" in column(cloud, "external_ids") and "reject=true" in column(cloud, "options")
        assert TREE.id in provider.known() and "foreign" not in provider.known()
    finally:
        cloud.ovn.nbctl("lb-del", "foreign")


def test_a_vip_whose_port_was_removed_keeps_its_address(cloud: OvnCloud) -> None:
    """Another load balancer that asks for any address meanwhile must not be given this one."""
    network, provider = cloud.network(), cloud.provider()
    before = provider.observe(TREE.id).vip_addresses
    blocker = PortRequest("early", network.subnet(PUBLIC).network_id, (FixedAddress(PUBLIC, "10.212.16.3"),))
    network.ensure_port(blocker)
    provider.remove(TREE.id)
    fourth = tree(list(TREE.model_dump()["pools"]), list(TREE.model_dump()["listeners"]), vip_address="10.212.16.9")
    provider.apply(fourth, None)
    network.remove_port(names.vip_port(TREE.id))
    (found,) = provider.deviations(TREE)
    assert (found.aspect.partition(" ")[0], found.wanted, found.found) == ("port", "10.212.16.9", "none")
    provider.apply(TREE, None)  # names no address
    assert provider.observe(TREE.id).vip_addresses == ("10.212.16.9",) != before
    assert provider.deviations(TREE) == ()


def test_a_port_for_health_checks_that_nobody_needs_is_an_orphan_and_goes(cloud: OvnCloud) -> None:
    provider = cloud.provider()
    idle = names.monitor_port(PUBLIC)
    provider._places.monitor_addresses([cloud.network().subnet(PUBLIC)])  # the process dies before it writes rows
    assert provider.orphans() == (Orphan("port", idle, "no health check comes from it"),)
    assert [one.name for one in provider.remove_orphans()] == [idle]
    assert provider.orphans() == () == provider.remove_orphans()
    assert cloud.network().port(names.monitor_port(PRIVATE)) is not None
    assert provider.deviations(TREE) == ()


def test_the_command_line_observes_repairs_and_finds_orphans(
    cloud: OvnCloud, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "web.json"
    wanted = {**TREE.model_dump(mode="json"), "id": identity(5), "name": "told", "provider": "ovn"}
    for number, part in enumerate((wanted["pools"][0], wanted["listeners"][0])):
        part["id"] = identity(60 + number)
    wanted["listeners"][0]["default_pool_id"] = identity(60)
    wanted["pools"][0]["members"] = [A | {"id": identity(70)}, B | {"id": identity(71)}]
    wanted["pools"][0]["healthmonitor"] = None
    file.write_text(json.dumps(wanted))
    conf = tmp_path / "lbdrivers.conf"
    conf.write_text(cloud.ovn.configuration())
    options = ["--config-file", str(conf), "--state", str(tmp_path / "state")]

    def run(*words: str) -> tuple[int, dict[str, object]]:
        status = main([*options, words[0], "--json", *words[1:]])
        return status, json.loads(capsys.readouterr().out)

    assert run("apply", str(file))[0] == 0
    assert run("observe", "told")[1]["deviations"] == []
    cloud.ovn.nbctl("clear", "Load_Balancer", identity(5), "vips")
    status, answer = run("observe", "told")
    assert status == 1 and len(answer["deviations"]) == 1
    assert run("apply", "--repair", str(file))[0] == 0
    assert run("observe", "told")[1]["deviations"] == []
    # That of the fixture is another controller's, to this store.
    _, answer = run("orphans", "--remove")
    assert answer == {"orphans": [{"kind": "load balancer", "name": TREE.id, "proof": ""}], "removed": []}
    assert run("delete", "told")[0] == 0
