"""Trees survive the way to text and back; no text makes the edge fail with anything but InvalidInput."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lbdrivers.document import dump, dump_json, parse
from lbdrivers.document.source import show_path
from lbdrivers.errors import InvalidInput
from lbdrivers.model.provider_data import LONGEST, ProviderData
from lbdrivers.model.resources import LoadBalancer
from lbdrivers.testing.strategies import provider_data, texts, trees
from lbdrivers.testing.surroundings import Surroundings

SUBNET = "11111111-1111-4111-8111-111111111111"
AROUND = Surroundings(
    flavors=({}, {"allow_member_sriov": True, "a: b": [None, {"1e5": "0x1"}]}),
    availability_zones=({"compute_zone": "yes"},),
    security_group_id=SUBNET,
)


def plain(tree: LoadBalancer) -> dict[str, Any]:
    """What both sides of the round trip must agree in: everything but positions, which ``parse`` settles."""
    content = tree.model_dump(mode="json")
    for listener in content["listeners"]:
        listener["l7policies"].sort(key=lambda policy: policy["position"])
        for number, policy in enumerate(listener["l7policies"], start=1):
            policy["position"] = number
    return content


@settings(max_examples=150, deadline=None)
@given(trees(around=AROUND))
def test_a_tree_survives(tree: LoadBalancer) -> None:
    text = dump(tree)
    settled = parse(text, "tree.yaml")
    assert plain(settled) == plain(tree)
    assert parse(dump(settled), "again.yaml") == settled
    assert parse(dump_json(settled), "again.json") == settled
    assert dump(settled) == dump(parse(dump(settled), "twice.yaml"))


@settings(max_examples=150, deadline=None)
@given(provider_data())
def test_what_only_a_provider_understands_survives(data: ProviderData) -> None:
    """As a mapping and as JSON text, whatever the order of its keys; and what is equal is the same value."""
    body = {"id": SUBNET, "name": "a", "vip_subnet_id": SUBNET, "flavor_data": data.plain()}
    tree = parse(json.dumps(body), "text")
    assert tree.flavor_data == data
    assert parse(dump(tree), "again.yaml") == tree == parse(dump_json(tree), "again.json")
    assert LoadBalancer.model_validate_json(tree.model_dump_json()) == tree
    turned = ProviderData(dict(reversed(data.plain().items())))
    assert (turned, hash(turned)) == (data, hash(data))
    assert ProviderData.parse(json.dumps(data.plain())) == data
    assert parse(json.dumps(body | {"flavor_data": json.dumps(data.plain())}), "text") == tree


@settings(max_examples=150, deadline=None)
@given(trees(around=AROUND), st.data())
def test_what_is_refused_is_named_by_its_place(tree: LoadBalancer, data: st.DataObject) -> None:
    """One value of a good document is spoiled: every problem names a place that is there."""
    document = json.loads(dump_json(tree))
    places = list(_places(document["loadbalancer"], ("loadbalancer",)))
    place = data.draw(st.sampled_from(places))
    holder: Any = document
    for step in place[:-1]:
        holder = holder[step]
    holder[place[-1]] = data.draw(st.sampled_from([-1, "\x00", [[]], {"x": {}}, "x" * (LONGEST + 1), 1e300]))
    try:
        parse(json.dumps(document), "f")
    except InvalidInput as error:
        known = {show_path(one) for one in _places(document["loadbalancer"], ("loadbalancer",))} | {"loadbalancer"}
        for problem in error.problems:
            # What is missing stands nowhere; the resource that lacks it does.
            assert problem.path in known or (
                problem.message == "is missing" and problem.path.rpartition(".")[0] in known
            )


def _places(value: Any, path: tuple[str | int, ...]) -> Iterator[tuple[str | int, ...]]:
    """Everything that stands in the value, by its path."""
    for key, part in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield (*path, key)
        yield from _places(part, (*path, key))


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
