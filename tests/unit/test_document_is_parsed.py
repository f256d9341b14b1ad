"""What a document says implicitly stands in the tree explicitly."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any

import pytest

from lbdrivers.document import dump, dump_json, parse
from lbdrivers.model.resources import LoadBalancer, PolicyAction

#: Documents, and not the other files that commands read.
EXAMPLES = sorted(
    path for path in (Path(__file__).parents[2] / "examples").glob("*.yaml") if "loadbalancer:" in path.read_text()
)
SUBNET = "11111111-1111-4111-8111-111111111111"

POOL: dict[str, Any] = {
    "name": "web",
    "protocol": "HTTP",
    "lb_algorithm": "ROUND_ROBIN",
    "members": [
        {"address": "192.0.2.11", "protocol_port": 80},
        {"address": "192.0.2.12", "protocol_port": 80},
    ],
    "healthmonitor": {"type": "HTTP", "delay": 1, "timeout": 1, "max_retries": 2},
}


def body(**fields: Any) -> dict[str, Any]:
    listener = {"name": "http", "protocol": "HTTP", "protocol_port": 80, "default_pool": POOL}
    return {"name": "lb", "vip_subnet_id": SUBNET, "listeners": [listener], **fields}


def tree(**fields: Any) -> LoadBalancer:
    return parse(json.dumps({"loadbalancer": body(**fields)}), "test.json")


def policies(*given: dict[str, Any], **fields: Any) -> LoadBalancer:
    listener = {"name": "http", "protocol": "HTTP", "protocol_port": 80, "l7policies": list(given)}
    return tree(listeners=[listener], pools=[POOL], **fields)


def ids(of: LoadBalancer) -> dict[str, str]:
    return {resource.id: kind for kind, resource in of.walk()}


def test_the_bare_object_means_the_same() -> None:
    assert parse(json.dumps(body()), "bare.json") == tree()


def test_yaml_and_json_mean_the_same() -> None:
    assert parse(dump(tree()), "x.yaml") == parse(dump_json(tree()), "x.json") == tree()


def test_nested_pools_move_to_the_load_balancer() -> None:
    found = tree()
    assert [pool.name for pool in found.pools] == ["web"]
    assert found.listeners[0].default_pool_id == found.pools[0].id


@pytest.mark.parametrize(
    "reference",
    [
        {"default_pool": {"name": "web"}},
        {"default_pool": {"id": "22222222-2222-4222-8222-222222222222"}},
        {"default_pool_id": "22222222-2222-4222-8222-222222222222"},
        {"default_pool_id": "22222222222242228222222222222222"},
        {"default_pool": {"name": "web"}, "default_pool_id": "22222222-2222-4222-8222-222222222222"},
    ],
)
def test_pools_are_referred_to_by_name_or_id(reference: dict[str, Any]) -> None:
    listener = {"protocol": "HTTP", "protocol_port": 80, **reference}
    found = tree(listeners=[listener], pools=[{**POOL, "id": "22222222-2222-4222-8222-222222222222"}])
    assert found.listeners[0].default_pool_id == found.pools[0].id == "22222222-2222-4222-8222-222222222222"


def test_a_pool_defined_in_one_listener_serves_another_by_name() -> None:
    shared = {"protocol": "HTTP", "protocol_port": 81, "default_pool": {"name": "web"}}
    found = tree(listeners=[shared, body()["listeners"][0]])
    assert len(found.pools) == 1
    assert {listener.default_pool_id for listener in found.listeners} == {found.pools[0].id}


def test_ids_are_the_same_each_time_and_unique() -> None:
    assert tree() == tree()
    assert all(uuid.UUID(identity).version == 5 for identity in ids(tree()))
    assert len(ids(tree())) == 6


def test_an_edit_keeps_the_ids_of_everything_else() -> None:
    pool = {**POOL, "members": [{"address": "192.0.2.13", "protocol_port": 80}, *POOL["members"]]}
    edited = tree(listeners=[{**body()["listeners"][0], "default_pool": pool, "connection_limit": 7}])
    assert set(ids(tree())) < set(ids(edited))
    assert len(ids(edited)) == len(ids(tree())) + 1


def test_projects_do_not_share_ids() -> None:
    assert not set(ids(tree(project_id="a"))) & set(ids(tree(project_id="b")))


def test_tenant_id_is_project_id_and_children_belong_to_the_parents_project() -> None:
    listener = {**body()["listeners"][0], "project_id": "other", "tenant_id": "other"}
    assert tree(tenant_id="a", listeners=[listener]) == tree(project_id="a")


def test_null_means_not_given_but_admin_state_up_null_means_down() -> None:
    found = tree(description=None, admin_state_up=None)
    assert (found.description, found.admin_state_up) == ("", False)
    assert tree().admin_state_up is True


def test_http_monitors_get_the_defaults_of_the_api() -> None:
    monitor = tree().pools[0].healthmonitor
    assert monitor is not None
    assert (monitor.http_method, monitor.url_path, monitor.expected_codes) == ("GET", "/", "200")
    assert monitor.max_retries_down == 3


def test_other_monitors_get_none_of_them() -> None:
    pool = {**POOL, "healthmonitor": {"type": "TCP", "delay": 1, "timeout": 1, "max_retries": 2}}
    monitor = tree(pools=[pool], listeners=[]).pools[0].healthmonitor
    assert monitor is not None
    assert (monitor.http_method, monitor.url_path, monitor.expected_codes) == (None, None, None)


@pytest.mark.parametrize(
    ("given", "action", "code"),
    [
        ({"redirect_url": "http://a/"}, PolicyAction.REDIRECT_TO_URL, 302),
        ({"redirect_url": "http://a/", "redirect_http_code": 308}, PolicyAction.REDIRECT_TO_URL, 308),
        ({"redirect_prefix": "http://a"}, PolicyAction.REDIRECT_PREFIX, 302),
        ({"redirect_pool": {"name": "web"}, "redirect_http_code": 301}, PolicyAction.REDIRECT_TO_POOL, None),
        ({"redirect_url": "http://a/", "action": "REDIRECT_TO_POOL"}, PolicyAction.REDIRECT_TO_URL, 302),
        ({"action": "REJECT", "redirect_url": "http://a/", "redirect_http_code": 301}, PolicyAction.REJECT, None),
    ],
)
def test_targets_imply_actions(given: dict[str, Any], action: PolicyAction, code: int | None) -> None:
    (policy,) = policies(given).listeners[0].l7policies
    assert (policy.action, policy.redirect_http_code) == (action, code)


@pytest.mark.parametrize(
    ("positions", "names"),
    [
        ((None, None, None), "abc"),
        ((3, 2, 1), "cba"),
        ((None, 1, None), "bac"),
        ((100, 50, None), "bac"),
        ((2, 2, 1), "cab"),
    ],
)
def test_positions_are_contiguous(positions: tuple[int | None, ...], names: str) -> None:
    given = [{"name": name, "action": "REJECT", "position": at} for name, at in zip("abc", positions, strict=True)]
    found = policies(*given).listeners[0].l7policies
    assert "".join(policy.name for policy in found) == names
    assert [policy.position for policy in found] == [1, 2, 3]


def test_insert_headers_is_an_object() -> None:
    listener = {**body()["listeners"][0], "insert_headers": {"X-Forwarded-Port": "true", "X-Forwarded-For": True}}
    pairs = (("X-Forwarded-For", "true"), ("X-Forwarded-Port", "true"))
    assert tree(listeners=[listener]).listeners[0].insert_headers == pairs


def test_yaml_words_that_look_like_something_else_are_text() -> None:
    found = parse(f"{{name: no, description: 12:30, tags: [on, 0x10, 1_000], vip_subnet_id: {SUBNET}}}", "x.yaml")
    assert (found.name, found.description, found.tags) == ("no", "12:30", ("on", "0x10", "1_000"))


def test_anchors_and_merge_keys_are_written_out() -> None:
    text = f"""
    name: lb
    vip_subnet_id: {SUBNET}
    pools:
      - &pool
        name: a
        protocol: HTTP
        lb_algorithm: ROUND_ROBIN
        members: &members [{{address: 192.0.2.1, protocol_port: 80}}]
      - <<: *pool
        name: b
      - {{name: c, protocol: TCP, lb_algorithm: SOURCE_IP, members: *members}}
    """
    pools = parse(text, "x.yaml").pools
    assert [(pool.name, pool.protocol, len(pool.members)) for pool in pools] == [
        ("a", "HTTP", 1),
        ("b", "HTTP", 1),
        ("c", "TCP", 1),
    ]
    assert len({pool.members[0].id for pool in pools}) == 3


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_examples_are_valid(path: Path) -> None:
    found = parse(path.read_text(), path.name)
    assert parse(dump(found), "again") == found
