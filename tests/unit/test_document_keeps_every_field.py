"""Every field of the model, at another value than its default, survives YAML -> tree -> JSON -> tree."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import BaseModel

from lbdrivers.document import dump, dump_json, parse
from lbdrivers.errors import InvalidInput
from lbdrivers.model import resources
from lbdrivers.model.resources import LoadBalancer

#: Not in the tree: an operator offers them, and a tree names them.
OFFERED = {
    resources.Flavor,
    resources.FlavorProfile,
    resources.AvailabilityZone,
    resources.AvailabilityZoneProfile,
}


def identity(number: int) -> str:
    return f"11111111-1111-4111-8111-{number:012}"


ALL: dict[str, Any] = {
    "id": identity(0),
    "name": "# not a comment",
    "description": "yes",
    "admin_state_up": False,
    "tags": ["1e5", "null"],
    "project_id": "demo",
    "provider": "amphora",
    "flavor_id": identity(1),
    "flavor_data": {"loadbalancer_topology": "SINGLE", "allow_member_sriov": True, "a": [1, {"b": None}]},
    "availability_zone": "az1",
    "availability_zone_data": {"compute_zone": "yes"},
    "vip_address": "192.0.2.10",
    "vip_subnet_id": identity(2),
    "vip_network_id": identity(3),
    "vip_port_id": identity(4),
    "vip_qos_policy_id": identity(5),
    "additional_vips": [{"subnet_id": identity(7), "ip_address": "2001:db8::10"}],
    "listeners": [
        {
            "id": identity(10),
            "name": "tls",
            "description": "a: b",
            "admin_state_up": False,
            "tags": ["a"],
            "protocol": "TERMINATED_HTTPS",
            "protocol_port": 443,
            "connection_limit": 100,
            "default_pool_id": identity(20),
            "insert_headers": {"X-Forwarded-For": "true", "X-SSL-Client-CN": "true"},
            "allowed_cidrs": ["198.51.100.0/24", "2001:db8::/32"],
            "timeout_client_data": 1,
            "timeout_member_connect": 2,
            "timeout_member_data": 3,
            "timeout_tcp_inspect": 4,
            "default_tls_container_ref": "memory:a",
            "sni_container_refs": ["memory:b"],
            "client_ca_tls_container_ref": "memory:ca",
            "client_authentication": "OPTIONAL",
            "client_crl_container_ref": "memory:crl",
            "tls_ciphers": "ECDHE-RSA-AES128-GCM-SHA256:!aNULL",
            "tls_versions": ["TLSv1.2", "TLSv1.3"],
            "alpn_protocols": ["h2", "http/1.1"],
            "hsts_max_age": 0,
            "hsts_include_subdomains": True,
            "hsts_preload": True,
            "l7policies": [
                {
                    "id": identity(11),
                    "name": "to a URL",
                    "description": "%[env(HOME)]",
                    "admin_state_up": False,
                    "tags": ["b"],
                    "action": "REDIRECT_TO_URL",
                    "position": 1,
                    "redirect_url": "https://www.example.com/a?b#c",
                    "redirect_http_code": 308,
                    "rules": [
                        {
                            "id": identity(12),
                            "type": "HEADER",
                            "compare_type": "REGEX",
                            "key": "X-A",
                            "value": "^a|b$",
                            "invert": True,
                            "admin_state_up": False,
                            "tags": ["c"],
                        }
                    ],
                },
                {
                    "id": identity(13),
                    "action": "REDIRECT_PREFIX",
                    "position": 2,
                    "redirect_prefix": "http://a.example.com/",
                    "redirect_http_code": 301,
                },
                {"id": identity(14), "action": "REDIRECT_TO_POOL", "position": 3, "redirect_pool_id": identity(20)},
            ],
        }
    ],
    "pools": [
        {
            "id": identity(20),
            "name": "web",
            "description": "'",
            "admin_state_up": False,
            "tags": ["d"],
            "protocol": "HTTP",
            "lb_algorithm": "LEAST_CONNECTIONS",
            "session_persistence": {"type": "APP_COOKIE", "cookie_name": "JSESSIONID"},
            "tls_enabled": True,
            "tls_container_ref": "memory:client",
            "ca_tls_container_ref": "memory:ca",
            "crl_container_ref": "memory:crl",
            "tls_ciphers": "A",
            "tls_versions": ["TLSv1.3"],
            "alpn_protocols": ["http/1.1"],
            "healthmonitor": {
                "id": identity(21),
                "name": "probe",
                "admin_state_up": False,
                "tags": ["e"],
                "type": "HTTPS",
                "delay": 5,
                "timeout": 4,
                "max_retries": 2,
                "max_retries_down": 4,
                "http_method": "HEAD",
                "url_path": "/%20",
                "expected_codes": "200-204",
                "http_version": 1.1,
                "domain_name": "www.example.com",
            },
            "members": [
                {
                    "id": identity(22),
                    "name": "m",
                    "admin_state_up": False,
                    "tags": ["f"],
                    "address": "2001:db8::7",
                    "protocol_port": 8080,
                    "weight": 0,
                    "backup": True,
                    "subnet_id": identity(23),
                    "monitor_address": "192.0.2.7",
                    "monitor_port": 9000,
                    "request_sriov": True,
                }
            ],
        },
        {
            "id": identity(30),
            "protocol": "UDP",
            "lb_algorithm": "SOURCE_IP",
            "session_persistence": {
                "type": "SOURCE_IP",
                "persistence_timeout": 60,
                "persistence_granularity": "255.255.255.0",
            },
        },
    ],
}


#: What excludes a field of the tree above.
GROUPS = {"id": identity(40), "name": "groups", "vip_subnet_id": identity(2), "vip_sg_ids": [identity(6)]}


def values(resource: BaseModel) -> Iterator[BaseModel]:
    """The resource and everything in it."""
    yield resource
    for _, value in resource:
        for child in value if isinstance(value, tuple) else (value,):
            if isinstance(child, BaseModel):
                yield from values(child)


@pytest.mark.parametrize("fields", [ALL, GROUPS])
def test_every_field_survives(fields: dict[str, Any]) -> None:
    tree = LoadBalancer.model_validate(fields)
    from_yaml = parse(dump(tree), "tree.yaml")
    assert from_yaml == tree
    assert parse(dump_json(from_yaml), "tree.json") == tree
    assert LoadBalancer.model_validate_json(tree.model_dump_json()) == tree
    assert LoadBalancer.model_validate_json(tree.model_dump_json(exclude_defaults=True)) == tree


def optional(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Paths of all that a document could do without."""
    for key, part in value.items() if isinstance(value, dict) else enumerate(value):
        if isinstance(key, str) and not NEEDED & {key, f"{value.get('type')} {key}", f"{value.get('action')} {key}"}:
            yield (*path, key)
        if isinstance(part, dict | list) and key not in ("flavor_data", "availability_zone_data", "insert_headers"):
            yield from optional(part, (*path, key))


#: Without these there is no such resource, or it is another one.
NEEDED = {"id", "protocol", "protocol_port", "lb_algorithm", "address", "type", "delay", "timeout", "max_retries"} | {
    *("action", "compare_type", "HEADER key", "value", "subnet_id", "APP_COOKIE cookie_name", "position", "pools"),
    *("REDIRECT_TO_URL redirect_url", "REDIRECT_PREFIX redirect_prefix", "REDIRECT_TO_POOL redirect_pool_id"),
}


def place(tree: Any, path: tuple[str | int, ...]) -> Any:
    """What is at the path."""
    for step in path:
        tree = tree[step]
    return tree


def told(tree: dict[str, Any]) -> LoadBalancer | tuple[str, ...]:
    """The tree that the document gives, or where it is refused."""
    try:
        return parse(json.dumps(tree), "f")
    except InvalidInput as error:
        return tuple(f"{problem.path}: {problem.message}" for problem in error.problems)


@pytest.mark.parametrize("path", list(optional(ALL)), ids=lambda path: ".".join(map(str, path)))
def test_null_means_the_default(path: tuple[str | int, ...]) -> None:
    """As what is left out does; but for admin_state_up, which null switches off (v2 API)."""
    *around, name = path
    null, absent = copy.deepcopy(ALL), copy.deepcopy(ALL)
    place(null, tuple(around))[name] = None
    if name == "admin_state_up":
        place(absent, tuple(around))[name] = False
    else:
        del place(absent, tuple(around))[name]
    assert told(null) == told(absent)


def test_no_field_is_forgotten_here() -> None:
    """A new field of the model belongs into the tree above."""
    used: dict[type[BaseModel], set[str]] = {}
    for value in (part for tree in (ALL, GROUPS) for part in values(LoadBalancer.model_validate(tree))):
        fields = type(value).model_fields
        used.setdefault(type(value), set()).update(
            name for name, content in value if fields[name].is_required() or content != fields[name].default
        )
    models = {
        model for model in vars(resources).values() if isinstance(model, type) and issubclass(model, BaseModel)
    } - {resources.Resource, *OFFERED}
    assert models >= {LoadBalancer, resources.Member, resources.L7Rule}
    assert {model.__name__: sorted(set(model.model_fields) - used.get(model, set())) for model in models} == {
        model.__name__: [] for model in models
    }
