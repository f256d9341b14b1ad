"""Every bad input is refused with its path, its line, the value and what to do."""

from __future__ import annotations

import pytest

from lbdrivers.document import parse
from lbdrivers.document.source import MAXIMUM_SIZE
from lbdrivers.errors import InvalidInput, Problem

HEAD = "loadbalancer:\n  name: lb\n  vip_subnet_id: 11111111-1111-4111-8111-111111111111\n"  # lines 1 to 3
LISTENER = HEAD + "  listeners:\n    - name: http\n      protocol: HTTP\n      protocol_port: 80\n"  # to line 7
POOL = LISTENER + "      default_pool:\n        name: web\n        protocol: HTTP\n        lb_algorithm: ROUND_ROBIN\n"
MEMBERS = POOL + "        members:\n          - {address: 192.0.2.1, protocol_port: 80}\n"  # line 13
MONITOR = POOL + "        healthmonitor:\n          {type: HTTP, delay: 1, timeout: 1, max_retries: 1, "  # line 13
POLICY = LISTENER + "      l7policies:\n        - "  # line 9
L = "loadbalancer.listeners[0]"


def problems(text: str) -> tuple[Problem, ...]:
    with pytest.raises(InvalidInput) as caught:
        parse(text, "f")
    return caught.value.problems


@pytest.mark.parametrize(
    ("text", "path", "line", "value", "words"),
    [
        # the shape of the document
        ("", "", 0, "", "is empty"),
        ("loadbalancer:", "loadbalancer", 1, "", "is empty"),
        ("[]", "", 1, "a list", "not a load balancer; start with the key loadbalancer"),
        ("word", "", 1, "word", "not a load balancer"),
        ("loadbalancer: 7", "loadbalancer", 1, "7", "not a load balancer"),
        (HEAD + "other: 1", "other", 4, "", "stands beside loadbalancer; move it"),
        (HEAD + "---\na: 1", "", 4, "", "a second document starts here"),
        (HEAD + "\tlisteners: []", "", 4, "listeners: []", "a tab indents this line; indent with blanks"),
        (HEAD + "  listeners: [", "", 5, "", "this is not YAML"),
        (HEAD + "  name: again", "loadbalancer.name", 4, "", "stands twice, first in line 2; keep one"),
        ('{"a": {"b": 1,\n "b": 2}}', "a.b", 2, "", "stands twice"),
        ('{"name": NaN}', "", 0, "", "NaN is not a number"),
        (HEAD + "  tags: *nowhere", "loadbalancer.tags", 4, "*nowhere", "anchor that is not there"),
        (HEAD + "  tags: &a [*a]", "loadbalancer.tags[0]", 4, "*a", "or to one that it is part of"),
        (HEAD + "  tags: !!python/tuple [a]", "loadbalancer.tags", 4, "tag:yaml.org,2002:python/tuple", "tags"),
        (HEAD + "  ? [a]\n  : b", "loadbalancer", 4, "", "a key is itself a mapping or list"),
        (HEAD + "  <<: 3", 'loadbalancer["<<"]', 4, "", "<< merges a mapping"),
        (HEAD + "  name2: \x07", "", 4, "", "the character U+0007 cannot stand in YAML"),
        ("[" * 100_000, "", 1, "", "nested more than 40 levels deep"),
        ('{"a":' * 100_000, "", 0, "", "nested more than 40 levels deep"),
        ('{"a":' * 50 + "1" + "}" * 50, "", 1, "", "nested more than 40 levels deep"),
        ("#" * (MAXIMUM_SIZE + 1), "", 0, "", "characters; at most"),
        # fields
        (
            HEAD + "  listener: []",
            "loadbalancer.listener",
            4,
            "",
            "not a field of a load balancer; did you mean listeners?",
        ),
        (HEAD + "  created_at: now", "loadbalancer.created_at", 4, "", "an answer of the API"),
        (
            HEAD + "  listeners: {}",
            "loadbalancer.listeners",
            4,
            "a mapping",
            "is not a list; start each listener with a dash",
        ),
        (HEAD + "  listeners: [http]", "loadbalancer.listeners[0]", 4, "http", "is not a listener"),
        (HEAD + "  admin_state_up: yes", "loadbalancer.admin_state_up", 4, "yes", "neither true nor false"),
        (
            HEAD + "  description: 12",
            "loadbalancer.description",
            4,
            "12",
            "a number where text is wanted; put it in quotes",
        ),
        (
            HEAD + "  vip_address: 10.0.0.300",
            "loadbalancer.vip_address",
            4,
            "10.0.0.300",
            "not an IPv4 or IPv6 address",
        ),
        (HEAD + "  vip_port_id: x", "loadbalancer.vip_port_id", 4, "x", "not a UUID; write it as"),
        (HEAD + "  tags: a", "loadbalancer.tags", 4, "a", "is not a list"),
        (HEAD + "  tenant_id: a\n  project_id: b", "loadbalancer.project_id", 5, "b", "contradicts its alias"),
        (
            HEAD + "  additional_vips: [{ip_address: 192.0.2.1}]",
            "loadbalancer.additional_vips[0].subnet_id",
            4,
            "",
            "missing",
        ),
        ("loadbalancer:\n  name: lb", "loadbalancer", 1, "", "one of vip_subnet_id, vip_network_id and vip_port_id"),
        (HEAD.replace("  name: lb\n", ""), "loadbalancer", 1, "", "neither a name nor an id; give it a name"),
        (LISTENER.replace("HTTP", "http"), f"{L}.protocol", 6, "http", "did you mean HTTP?"),
        (LISTENER.replace("80", '"80"'), f"{L}.protocol_port", 7, '"80"', "not a whole number; write it in digits"),
        (LISTENER.replace("80", "0"), f"{L}.protocol_port", 7, "0", "too small: the least is 1"),
        (
            LISTENER + "      insert_headers: {X-Foo: true}",
            f"{L}.insert_headers.X-Foo",
            8,
            "true",
            "cannot be inserted",
        ),
        (
            LISTENER + "      insert_headers:\n        X-Forwarded-For: 1",
            f"{L}.insert_headers.X-Forwarded-For",
            9,
            "1",
            "put it in quotes",
        ),
        (LISTENER + "      hsts_preload: true", f"{L}", 5, "", "need hsts_max_age"),
        # pools
        (POOL + "        membrs: []", f"{L}.default_pool.membrs", 12, "", "did you mean members?"),
        (
            POOL.replace("        lb_algorithm: ROUND_ROBIN\n", ""),
            f"{L}.default_pool.lb_algorithm",
            8,
            "",
            "is missing",
        ),
        (MEMBERS + "          - {address: 192.0.2.1}", f"{L}.default_pool.members[1].protocol_port", 14, "", "missing"),
        (
            MEMBERS + "          - {address: bad, protocol_port: 80}",
            f"{L}.default_pool.members[1].address",
            14,
            "bad",
            "not an IPv4 or IPv6 address",
        ),
        (
            MEMBERS + "          - {address: 192.0.2.1, protocol_port: 80}",
            f"{L}.default_pool.members[1]",
            14,
            "192.0.2.1 port 80",
            f"has the address and port of {L}.default_pool.members[0]; remove one",
        ),
        (
            MONITOR + "domain_name: a.b}",
            f"{L}.default_pool.healthmonitor.domain_name",
            13,
            "a.b",
            "needs http_version 1.1",
        ),
        (
            MONITOR + "expected_codes: 200}",
            f"{L}.default_pool.healthmonitor.expected_codes",
            13,
            "200",
            "put it in quotes",
        ),
        (LISTENER + "      default_pool: {name: wep}", f"{L}.default_pool.name", 8, "wep", "define the pool in"),
        (
            POOL + "    - {protocol: HTTP, protocol_port: 81, default_pool: {name: wep}}",
            "loadbalancer.listeners[1].default_pool.name",
            12,
            "wep",
            "did you mean web?",
        ),
        (LISTENER + "      default_pool: {}", f"{L}.default_pool", 8, "", "is an empty pool"),
        (LISTENER + "      default_pool_id: x", f"{L}.default_pool_id", 8, "x", "refer to one by name"),
        (
            POOL.replace("protocol: HTTP\n      protocol_port", "protocol: HTTPS\n      protocol_port"),
            f"{L}.default_pool",
            8,
            "",
            "which listeners of HTTPS cannot use; they use HTTPS",
        ),
        # listeners among each other
        (
            LISTENER + "    - {protocol: TCP, protocol_port: 80}",
            "loadbalancer.listeners[1].protocol_port",
            8,
            "80",
            f"is taken by {L} (TCP port 80); choose another port",
        ),
        (
            LISTENER + "    - {name: http, protocol: TCP, protocol_port: 81}",
            "loadbalancer.listeners[1].name",
            8,
            "http",
            f"is the name of another listener, {L}; give each a name",
        ),
        (
            LISTENER + "      id: 22222222-2222-4222-8222-222222222222\n  id: 22222222-2222-4222-8222-222222222222",
            f"{L}.id",
            8,
            "22222222-2222-4222-8222-222222222222",
            "is the id of loadbalancer too",
        ),
        # policies and rules
        (POLICY + "{redirect_url: 'https:/x'}", f"{L}.l7policies[0].redirect_url", 9, "https:/x", "an absolute http"),
        (POLICY + "{name: p}", f"{L}.l7policies[0].action", 9, "", "is missing; a policy needs it"),
        (POLICY + "{action: REJECT, position: 0}", f"{L}.l7policies[0].position", 9, "0", "too small: the least is 1"),
        (
            POLICY + "{redirect_url: 'http://a/', redirect_prefix: 'http://a'}",
            f"{L}.l7policies[0]",
            9,
            "",
            "redirects to several targets: redirect_url and redirect_prefix; keep one",
        ),
        (
            POLICY + "{action: REJECT, rules: [{type: PATH, compare_type: REGEX, value: '('}]}",
            f"{L}.l7policies[0].rules[0].value",
            9,
            "(",
            "is not a regular expression",
        ),
        (
            POLICY + "{action: REJECT, rules: [{type: HEADER, compare_type: EQUAL_TO, value: a}]}",
            f"{L}.l7policies[0].rules[0]",
            9,
            "",
            "needs a key",
        ),
    ],
)
def test_the_problem_is_named(text: str, path: str, line: int, value: str, words: str) -> None:
    (problem,) = problems(text)
    assert problem.path == path
    assert problem.location == (f"f:{line}" if line else "f")
    assert problem.value == value
    assert words in f"{problem.message}; {problem.remedy}"


def test_all_problems_are_told_in_the_order_of_the_lines() -> None:
    text = MEMBERS + "          - {address: bad, protocol_port: 80, weight: 300}\n    - {protocol: htp}\n  nam: x\n"
    found = [(problem.location, problem.path) for problem in problems(text)]
    member = f"{L}.default_pool.members[1]"
    assert sorted(found) == sorted(
        [
            ("f:14", f"{member}.address"),
            ("f:14", f"{member}.weight"),
            ("f:15", "loadbalancer.listeners[1].protocol"),
            ("f:15", "loadbalancer.listeners[1].protocol_port"),
            ("f:16", "loadbalancer.nam"),
        ]
    )
    assert [location for location, _ in found] == sorted(location for location, _ in found)


def test_lines_are_known_in_json_too() -> None:
    text = '{\n\t"loadbalancer": {\n\t\t"name": "\\/lb",\n\t\t"vip_subnet_id": null,\n\t\t"nam": 1\n\t}\n}'
    found = [(problem.location, problem.path) for problem in problems(text)]
    assert found == [("f:2", "loadbalancer"), ("f:5", "loadbalancer.nam")]


def test_a_bomb_of_aliases_is_refused_quickly() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 30)]
    (problem,) = problems("\n".join(lines))
    assert "expands to more than" in problem.message


def test_a_problem_reads_as_one_line() -> None:
    (problem,) = problems(HEAD + "  admin_state_up: yes")
    assert str(problem) == (
        "f:4: loadbalancer.admin_state_up: is neither true nor false (got yes); write true or false, without quotes"
    )


def test_a_lone_surrogate_is_refused() -> None:
    (problem,) = problems('{"name": "\\ud800", "vip_subnet_id": "11111111-1111-4111-8111-111111111111"}')
    assert (problem.path, problem.location) == ("name", "f:1")
    assert problem.value.isascii()
