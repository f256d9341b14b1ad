"""Trees survive the way to text and back; no text makes the edge fail with anything but InvalidInput."""

from __future__ import annotations

import json
from typing import Any

import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lbdrivers.document import dump, dump_json, parse
from lbdrivers.errors import InvalidInput
from lbdrivers.model.resources import HealthMonitor, LoadBalancer, MonitorType
from lbdrivers.testing.strategies import texts, trees

SUBNET = "11111111-1111-4111-8111-111111111111"


def monitor_settled(monitor: HealthMonitor | None) -> HealthMonitor | None:
    """With the API's defaults, as ``parse`` gives it."""
    if monitor is None or monitor.type not in (MonitorType.HTTP, MonitorType.HTTPS):
        return monitor
    defaults = {"http_method": "GET", "url_path": "/", "expected_codes": "200"}
    given_fields = {name: value for name, value in monitor if value is not None}
    return HealthMonitor.model_validate({**defaults, **given_fields})


def plain(tree: LoadBalancer) -> dict[str, Any]:
    """What both sides of the round trip must agree in: everything but what ``parse`` settles on its own."""
    content = tree.model_dump(mode="json")
    for pool, dumped in zip(tree.pools, content["pools"], strict=True):
        monitor = monitor_settled(pool.healthmonitor)
        dumped["healthmonitor"] = None if monitor is None else monitor.model_dump(mode="json")
    for listener in content["listeners"]:
        listener["l7policies"].sort(key=lambda policy: policy["position"])
        for number, policy in enumerate(listener["l7policies"], start=1):
            policy["position"] = number
            if policy["action"] in ("REDIRECT_TO_URL", "REDIRECT_PREFIX"):
                policy["redirect_http_code"] = policy["redirect_http_code"] or 302
    return content


@settings(max_examples=150, deadline=None)
@given(trees())
def test_a_tree_survives(tree: LoadBalancer) -> None:
    text = dump(tree)
    settled = parse(text, "tree.yaml")
    assert plain(settled) == plain(tree)
    assert parse(dump(settled), "again.yaml") == settled
    assert parse(dump_json(settled), "again.json") == settled
    assert dump(settled) == dump(parse(dump(settled), "twice.yaml"))


@settings(max_examples=150, deadline=None)
@given(st.one_of(texts(), st.text(max_size=20)))
@example("1e5")
@example("0o17")
@example("null")
@example("12:30")
@example("<<")
@example("\U0001f600 \U0010ffff")
def test_text_is_carried_literally(name: str) -> None:
    """Or refused, in every form alike; never changed."""
    body = {"id": SUBNET, "name": name, "vip_subnet_id": SUBNET}
    forms = (json.dumps(body), json.dumps(body, ensure_ascii=False), yaml.safe_dump(body, default_style='"'))
    for form in forms:
        try:
            tree = parse(form, "text")
        except InvalidInput:
            continue
        assert tree.name == name
        assert parse(dump(tree), "again").name == name


scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(["HTTP", "TCP", "web", "", "192.0.2.1", SUBNET, "REDIRECT_TO_POOL", "ROUND_ROBIN"]),
    st.text(max_size=5),
)
KEYS = [
    "loadbalancer",
    "id",
    "name",
    "project_id",
    "tenant_id",
    "vip_subnet_id",
    "listeners",
    "pools",
    "protocol",
    "protocol_port",
    "default_pool",
    "members",
    "default_pool_id",
    "healthmonitor",
    "l7policies",
    "rules",
    "redirect_pool",
    "redirect_url",
    "action",
    "position",
    "insert_headers",
    "type",
    "address",
    "weight",
    "admin_state_up",
    "session_persistence",
    "additional_vips",
    "tags",
    "lb_algorithm",
    "nonsense",
    "created_at",
]
documents = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(KEYS), inner, max_size=5)),
    max_leaves=25,
)


@settings(max_examples=300, deadline=None)
@given(documents)
def test_any_shape_is_parsed_or_refused_with_problems(document: Any) -> None:
    """Whatever is where, the answer is a tree or problems that name a place in the document."""
    for form in (json.dumps(document, indent=1), yaml.safe_dump(document)):
        try:
            parse(form, "f")
        except InvalidInput as error:
            assert error.problems
            assert all(problem.location.startswith("f") for problem in error.problems)


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="{}[]:,-?&*!|>'\"%@`#\t\n ab1\\\ufeff\x00", max_size=40))
def test_any_text_is_parsed_or_refused(text: str) -> None:
    """No text makes the reader fail in another way."""
    try:
        parse(text, "f")
    except InvalidInput as error:
        assert error.problems
