"""What an operator does beside apply and delete, on real daemons: observe, repair, maintain, orphans. In order."""

from __future__ import annotations

import json
import shlex

import pytest
from scenario.conftest import PUBLIC, Lab, document

from examples.demo.client import SteadyLoad
from lbdrivers.model.infra import FixedAddress, PortRequest
from lbdrivers_amphora.site.ports import PortBook


@pytest.fixture(scope="module", autouse=True)
def created(lab: Lab) -> None:
    lab.run("apply", lab.write(document()))


def deviations(lab: Lab, status: int) -> set[tuple[str, str]]:
    """What is told as drift: what differs, and the verb that mends it."""
    answer = json.loads(lab.run("observe", "web", "--json", status=status).stdout)
    return {(one["aspect"], one["remedy"]) for one in answer["deviations"]}


def test_what_was_just_applied_is_as_it_should_be(lab: Lab) -> None:
    assert deviations(lab, 0) == set()
    assert "is as it was applied" in lab.run("observe", "web").stdout


def test_a_port_that_somebody_pulled_is_told_and_mended(lab: Lab) -> None:
    pulled = next(port for port in PortBook(lab.world.site).all() if port.name.startswith("octavia-lb-member-"))
    assert pulled.machine is not None
    lab.compute.detach(pulled.machine, pulled.name)
    assert deviations(lab, 1) == {(f"port {pulled.name}", "apply")}
    planned = lab.ask("plan", str(lab.file))["actions"]
    assert [one["action"] for one in planned] == ["plug into network private (10.211.32.0/20)"]
    assert lab.ask("apply", "--repair", str(lab.file))["changed"] is True
    assert deviations(lab, 0) == set()
    # Checks of members failed while their network was gone: each is up again when its own says so.
    lab.eventually(lambda: lab.client().burst(10) == {"web-1": 5, "web-2": 5})


@pytest.mark.parametrize(
    ("file", "path"),
    [("haproxy.cfg", "/var/lib/octavia/*-*/haproxy.cfg"), ("keepalived.conf", "/var/lib/octavia/vrrp/*.conf")],
)
@pytest.mark.parametrize("damage", ["echo '# by hand' >> $0", "rm $0"], ids=["edited", "removed"])
def test_a_file_that_somebody_changed_is_told_and_mended(lab: Lab, file: str, path: str, damage: str) -> None:
    holder = next(one["id"] for one in lab.ask("show", "web")["appliances"] if one["holds_vip"])
    before = lab.in_amphora(holder, f"cat {path}")
    lab.in_amphora(holder, f"sh -ec {shlex.quote(damage)} {path}")
    told = {"HAProxy", file} if file == "haproxy.cfg" else {file}
    assert deviations(lab, 1) <= {(aspect, "apply") for aspect in told}
    lab.run("apply", "--repair", str(lab.file))
    assert deviations(lab, 0) == set()
    assert lab.in_amphora(holder, f"cat {path}") == before
    assert lab.client().burst(4)["failed"] == 0


def test_a_dead_machine_is_told_and_replaced_by_a_repair(lab: Lab) -> None:
    appliances = lab.ask("show", "web")["appliances"]
    holder = next(one["id"] for one in appliances if one["holds_vip"])
    lab.world.kill_amphora(holder)
    assert ("machine", "failover") in deviations(lab, 1)
    lab.run("apply", "--repair", str(lab.file))
    assert deviations(lab, 0) == set()
    assert holder not in {one["id"] for one in lab.ask("show", "web")["appliances"]}


def test_a_vip_port_that_somebody_removed_comes_back_at_its_address(lab: Lab) -> None:
    balancer = lab.ledger.balancers()[0]
    lab.network.remove_port(balancer.vip_port)
    assert deviations(lab, 1) >= {(f"port {balancer.vip_port}", "apply")}
    lab.run("apply", "--repair", str(lab.file))
    assert deviations(lab, 0) == set()
    assert lab.ask("show", "web")["vip_address"] == balancer.vip_addresses[0]
    assert lab.client().burst(4)["failed"] == 0


def test_a_pair_with_both_dead_is_failed_over(lab: Lab) -> None:
    dead = {one["id"] for one in lab.ask("show", "web")["appliances"]}
    for one in dead:
        lab.world.kill_amphora(one)
    lab.run("failover", "web")
    assert not dead & {one["id"] for one in lab.ask("show", "web")["appliances"]}
    assert lab.client().until_answered(limit=20) is not None
    assert deviations(lab, 0) == set()


def test_certificates_are_renewed_while_requests_go_on(lab: Lab) -> None:
    """Those of 30 days are due when 40 days are to be left of them, and of nothing else."""
    assert lab.ask("maintain")["loadbalancers"][0]["cause"] is None
    config = lab.file.with_suffix(".conf")
    day = 86400
    config.write_text(
        f"[house_keeping]\ncert_expiry_buffer = {40 * day}\n[certificates]\ncert_validity_time = {90 * day}\n"
    )
    lab.options = ("--config-file", str(config))
    processes = lab.world.haproxy_processes()
    try:
        assert {aspect for aspect, _ in deviations(lab, 1)} == {"certificate"}
        with SteadyLoad(lab.client(), threads=2) as load:
            lab.run("maintain")
        assert deviations(lab, 0) == set()
    finally:
        lab.options = ()
        config.unlink()
    assert [answer for answer in load.answers if answer.body is None] == []
    assert lab.world.haproxy_processes() == processes


def test_one_amphora_is_replaced_alone(lab: Lab) -> None:
    first, second = (one["id"] for one in lab.ask("show", "web")["appliances"])
    lab.run("failover", "web", "--amphora", first[:8])
    now = {one["id"] for one in lab.ask("show", "web")["appliances"]}
    assert second in now and first not in now and len(now) == 2
    lab.run("failover", "web", "--amphora", "nobody", status=2)
    assert "nothing to replace" in lab.run("failover", "web", "--outdated").stdout


def test_orphans_go_only_with_a_proof(lab: Lab) -> None:
    """One of an amphora that was replaced above, one that nobody has heard of."""
    living = {one["id"] for one in lab.ask("show", "web")["appliances"]}
    gone = {one.id for one in lab.ledger.gone()} - living
    strange = "5a000000-0000-4000-8000-000000000000"
    for one in (gone.pop(), strange):
        network = lab.network.subnet(PUBLIC).network_id
        lab.network.ensure_port(PortRequest(f"octavia-lb-vrrp-{one}", network, (FixedAddress(PUBLIC),)))
    assert len(lab.ask("orphans")["orphans"]) == 2
    answer = lab.ask("orphans", "--remove")
    assert len(answer["removed"]) == 1
    assert [one["name"] for one in lab.ask("orphans")["orphans"]] == [f"octavia-lb-vrrp-{strange}"]
    lab.network.remove_port(f"octavia-lb-vrrp-{strange}")


def test_delete_leaves_nothing(lab: Lab) -> None:
    lab.run("delete", "web")
    assert (lab.machines(), lab.ports()) == (set(), [])
