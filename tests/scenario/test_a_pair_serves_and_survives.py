"""The life of one highly available load balancer, on real daemons. The tests build on one another in order."""

from __future__ import annotations

import pytest
from scenario.conftest import Lab, document

from examples.demo.client import SteadyLoad


@pytest.fixture(scope="module", autouse=True)
def created(lab: Lab) -> None:
    lab.run("apply", lab.write(document()))


def test_both_members_answer_in_turn(lab: Lab) -> None:
    assert lab.client().burst(20) == {"web-1": 10, "web-2": 10}


def test_the_same_file_changes_nothing(lab: Lab) -> None:
    answer = lab.ask("apply", lab.write(document()))
    assert (answer["changed"], answer["actions"], answer["steps"]) == (False, [], [])


def test_a_member_joins_without_a_new_haproxy_process(lab: Lab) -> None:
    processes = lab.world.haproxy_processes()
    assert processes
    planned = lab.ask("plan", lab.write(document(members=3)))
    assert [(a["subject"], a["mildness"]) for a in planned["actions"]] == [("member web-3", "runtime")]
    with SteadyLoad(lab.client()) as load:
        lab.run("apply", str(lab.file))
        assert load.wait_for(lambda answers: any(answer.body == "web-3" for answer in answers))
    assert [answer for answer in load.answers if answer.body is None] == []
    assert lab.world.haproxy_processes() == processes


def test_a_weight_changes_and_a_member_leaves_without_a_new_haproxy_process(lab: Lab) -> None:
    processes = lab.world.haproxy_processes()
    body = document(members=3)
    body["loadbalancer"]["listeners"][0]["default_pool"]["members"][0]["weight"] = 0
    with SteadyLoad(lab.client()) as load:
        lab.run("apply", lab.write(body))
        lab.eventually(lambda: lab.client().burst(10)["web-1"] == 0)
        lab.run("apply", lab.write(document(members=2)))
        lab.eventually(lambda: set(lab.client().burst(10)) == {"web-1", "web-2"})
    assert [answer for answer in load.answers if answer.body is None] == []
    assert lab.world.haproxy_processes() == processes


def test_another_listener_is_a_hitless_reload(lab: Lab) -> None:
    body = document()
    second = {"name": "second", "protocol": "TCP", "protocol_port": 81, "default_pool": {"name": "web"}}
    body["loadbalancer"]["listeners"].append(second)
    planned = lab.ask("plan", lab.write(body))
    assert [(a["subject"], a["mildness"]) for a in planned["actions"]] == [("listener second", "reload")]
    with SteadyLoad(lab.client()) as load:
        lab.run("apply", str(lab.file))
        lab.eventually(lambda: lab.client(81).burst(1)["failed"] == 0)
    assert [answer for answer in load.answers if answer.body is None] == []


def test_a_stopped_member_is_in_error_and_comes_back(lab: Lab) -> None:
    def status() -> str:
        members = lab.ask("show", "web")["pools"][0]["members"]
        return next(member["operating_status"] for member in members if member["name"] == "web-1")

    lab.world.stop("web-1")
    lab.eventually(lambda: status() == "ERROR")
    assert lab.client().burst(20) == {"web-2": 20}
    lab.world.serve("web-1", "10.211.32.11", 8080)
    lab.eventually(lambda: status() == "ONLINE")
    assert lab.client().burst(20)["web-1"] > 0


def test_the_other_amphora_takes_over_and_a_failover_makes_the_pair_whole(lab: Lab) -> None:
    appliances = lab.ask("show", "web")["appliances"]
    holder = next(appliance["id"] for appliance in appliances if appliance["holds_vip"])
    lab.world.kill_amphora(holder)
    assert lab.client().until_answered(limit=20) is not None
    shown = lab.ask("show", "web")["appliances"]
    assert {a["id"]: a["status"] for a in shown}[holder] == "ERROR"
    with SteadyLoad(lab.client(), threads=2) as load:
        lab.run("failover", "web")
    assert [answer for answer in load.answers if answer.body is None] == []
    now = lab.ask("show", "web")["appliances"]
    assert [a["status"] for a in now] == ["ALLOCATED", "ALLOCATED"]
    assert holder not in {a["id"] for a in now}
    assert len(lab.machines()) == 2


def test_members_are_checked_by_ping(lab: Lab) -> None:
    body = document()
    pool = body["loadbalancer"]["listeners"][0]["default_pool"]
    pool["healthmonitor"] = {"type": "PING", "delay": 1, "timeout": 1, "max_retries": 1, "max_retries_down": 1}
    pool["members"].append({**pool["members"][0], "name": "nobody", "address": "10.211.32.99"})
    lab.run("apply", lab.write(body))
    wanted = {"web-1": "ONLINE", "web-2": "ONLINE", "nobody": "ERROR"}
    lab.eventually(
        lambda: {m["name"]: m["operating_status"] for m in lab.ask("show", "web")["pools"][0]["members"]} == wanted
    )
    lab.run("apply", lab.write(document()))


def test_a_vip_that_would_move_is_refused_and_nothing_changes(lab: Lab) -> None:
    moved = document(vip_address="10.211.16.77")
    result = lab.run("apply", lab.write(moved), status=1)
    assert "10.211.16.10" in result.stderr
    assert lab.client().burst(4)["failed"] == 0
    lab.run("apply", lab.write(document()))
    assert lab.ask("show", "web")["provisioning_status"] == "ACTIVE"


def test_a_healthy_pair_can_be_failed_over(lab: Lab) -> None:
    before = {a["id"] for a in lab.ask("show", "web")["appliances"]}
    lab.run("failover", "web")
    after = {a["id"] for a in lab.ask("show", "web")["appliances"]}
    assert len(after) == 2
    assert not before & after
    assert lab.client().until_answered(limit=20) is not None
    assert lab.client().burst(10)["failed"] == 0


def test_delete_leaves_nothing(lab: Lab) -> None:
    lab.run("delete", "web")
    assert (lab.machines(), lab.ports()) == (set(), [])
    assert lab.ask("list")["loadbalancers"] == []
