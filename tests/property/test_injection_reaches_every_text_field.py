"""Every field of the model that takes text: hostile text in it is refused, or carried as one literal word.

The fields are found in the model itself, so that a new one cannot be forgotten: a tree that has it is
then missing here, and the test says so.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator
from enum import Enum
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError
from support import haproxy
from support.bundles import bundle, facts, ident
from support.merged import merged

from lbdrivers.errors import UnsupportedError
from lbdrivers.model.resources import LoadBalancer
from lbdrivers_amphora.haproxy.ir import Configuration
from lbdrivers_amphora.haproxy.parse import parse
from lbdrivers_amphora.haproxy.render import render
from lbdrivers_amphora.haproxy.server_line import endpoint, option_words
from lbdrivers_amphora.haproxy.tokenizer import tokenize
from lbdrivers_amphora.haproxy.translate import translate

_HOSTILE = (
    "#",
    " # if TRUE",
    '"',
    "'\"'",
    "\\",
    "'; daemon; '",
    "%[env(HOME)]",
    "%{+Q}o",
    "%",
    '"${HOME}"',
    "{{ 7 * 7 }}",
    "{% raw %}",
    "-f /etc/passwd",
    "--",
    "||",
    "\u0661\u0662",
    "\u00e9",
    "\x00",
    "a\r\nuser root",
    "trailing\n",
    "\u2028",
    "\ufefftext",
    "\t",
    "<<",
    "x" * 100_000,
)
_Field = tuple[type[BaseModel], str]
_Path = tuple[str | int, ...]


def _rule(kind: str, value: str, **fields: Any) -> dict[str, Any]:
    return {"id": ident(f"{kind} {fields}"), "type": kind, "compare_type": "EQUAL_TO", "value": value, **fields}


def _named(kind: str, **fields: Any) -> dict[str, Any]:
    return {"id": ident(kind), "name": kind, "tags": ["tag"], "description": "text", **fields}


_HTTP = {
    **_named("balancer"),
    "project_id": "project",
    "provider": "amphora",
    "vip_address": "192.0.2.10",
    "vip_subnet_id": ident("subnet"),
    "vip_port_id": ident("port"),
    "vip_network_id": ident("network"),
    "vip_qos_policy_id": ident("policy of quality"),
    "flavor_id": ident("flavor"),
    "availability_zone": "zone",
    "additional_vips": [{"subnet_id": ident("another"), "ip_address": "198.51.100.10"}],
    "listeners": [
        {
            **_named("listener"),
            "protocol": "HTTP",
            "protocol_port": 80,
            "default_pool_id": ident("pool"),
            "insert_headers": {"X-Forwarded-For": "true"},
            "allowed_cidrs": ["192.0.2.0/24"],
            "l7policies": [
                {
                    **_named("first"),
                    "action": "REDIRECT_TO_URL",
                    "redirect_url": "http://www.example.com/",
                    "rules": [
                        _rule("HEADER", "value", key="X-Name", tags=["tag"]),
                        _rule("COOKIE", "value", key="name"),
                        {**_rule("PATH", "^/a"), "compare_type": "REGEX"},
                        _rule("HOST_NAME", "www.example.com"),
                        _rule("FILE_TYPE", "png"),
                    ],
                },
                {
                    **_named("second"),
                    "action": "REDIRECT_PREFIX",
                    "redirect_prefix": "http://www.example.com/",
                    "rules": [{**_rule("PATH", "/b"), "id": ident("b")}],
                },
                {
                    **_named("third"),
                    "action": "REDIRECT_TO_POOL",
                    "redirect_pool_id": ident("pool"),
                    "rules": [{**_rule("PATH", "/c"), "id": ident("c")}],
                },
            ],
        }
    ],
    "pools": [
        {
            **_named("pool"),
            "protocol": "HTTP",
            "lb_algorithm": "ROUND_ROBIN",
            "session_persistence": {"type": "APP_COOKIE", "cookie_name": "name"},
            "healthmonitor": {
                "id": ident("monitor"),
                "name": "monitor",
                "tags": ["tag"],
                "type": "HTTP",
                "delay": 1,
                "timeout": 1,
                "max_retries": 1,
                "http_version": 1.1,
                "url_path": "/path",
                "expected_codes": "200",
                "domain_name": "www.example.com",
            },
            "members": [
                {
                    "id": ident("member"),
                    "name": "member",
                    "tags": ["tag"],
                    "address": "192.0.2.1",
                    "protocol_port": 80,
                    "subnet_id": ident("subnet"),
                    "monitor_address": "192.0.2.2",
                }
            ],
        }
    ],
}
_TLS = {
    "id": ident("tls"),
    "vip_subnet_id": ident("subnet"),
    "vip_sg_ids": [ident("group")],
    "listeners": [
        {
            "id": ident("listener"),
            "protocol": "TERMINATED_HTTPS",
            "protocol_port": 443,
            "default_pool_id": ident("pool"),
            "default_tls_container_ref": "memory:one",
            "sni_container_refs": ["memory:two"],
            "client_ca_tls_container_ref": "memory:three",
            "client_crl_container_ref": "memory:four",
            "client_authentication": "OPTIONAL",
            "tls_ciphers": "ECDHE-RSA-AES128-GCM-SHA256",
            "tls_versions": ["TLSv1.2"],
            "alpn_protocols": ["http/1.1"],
        }
    ],
    "pools": [
        {
            "id": ident("pool"),
            "protocol": "HTTP",
            "lb_algorithm": "ROUND_ROBIN",
            "tls_enabled": True,
            "tls_container_ref": "memory:one",
            "ca_tls_container_ref": "memory:two",
            "crl_container_ref": "memory:three",
            "tls_ciphers": "ECDHE-RSA-AES128-GCM-SHA256",
            "tls_versions": ["TLSv1.2"],
            "alpn_protocols": ["http/1.1"],
        }
    ],
}
_UDP = {
    "id": ident("udp"),
    "vip_subnet_id": ident("subnet"),
    "pools": [
        {
            "id": ident("pool"),
            "protocol": "UDP",
            "lb_algorithm": "ROUND_ROBIN",
            "session_persistence": {"type": "SOURCE_IP", "persistence_granularity": "255.255.255.0"},
        }
    ],
}
_TREES = tuple(LoadBalancer.model_validate(one) for one in (_HTTP, _TLS, _UDP))
#: Texts that the controller itself fills in, out of what an operator wrote; no user's words.
_OPERATORS = frozenset({"flavor_data", "availability_zone_data"})


def _takes_text(annotation: Any) -> bool:
    if isinstance(annotation, types.GenericAlias | types.UnionType) or typing.get_origin(annotation) is not None:
        return any(map(_takes_text, typing.get_args(annotation)))
    return isinstance(annotation, type) and issubclass(annotation, str) and not issubclass(annotation, Enum)


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in typing.get_args(annotation):
        yield from _models(argument)


def _text_fields(kind: type[BaseModel], seen: set[type[BaseModel]]) -> Iterator[_Field]:
    if kind in seen:
        return
    seen.add(kind)
    for name, field in kind.model_fields.items():
        if name in _OPERATORS:
            continue
        if _takes_text(field.annotation):
            yield kind, name
        for inner in _models(field.annotation):
            yield from _text_fields(inner, seen)


def _texts(value: Any, path: _Path = (), field: _Field | None = None) -> Iterator[tuple[_Path, _Field, str]]:
    """Every text in a tree: where it stands, whose it is, and itself."""
    if isinstance(value, BaseModel):
        for name in type(value).model_fields:
            if name not in _OPERATORS:
                yield from _texts(getattr(value, name), (*path, name), (type(value), name))
    elif isinstance(value, tuple):
        for place, item in enumerate(value):
            yield from _texts(item, (*path, place), field)
    elif isinstance(value, str) and not isinstance(value, Enum):
        assert field is not None
        yield path, field, value


def _with(value: Any, path: _Path, text: str) -> Any:
    """A copy of plain data with the text at that place."""
    if not path:
        return text
    head, rest = path[0], path[1:]
    if isinstance(head, str):
        return {**value, head: _with(value[head], rest, text)}
    return [_with(item, rest, text) if place == head else item for place, item in enumerate(value)]


def _configuration(document: dict[str, Any]) -> Configuration | None:
    """None when the text is refused, which needs words to say why."""
    try:
        return translate(bundle(LoadBalancer.model_validate(document)), facts(log_socket="/run/log"))
    except (ValidationError, UnsupportedError) as refusal:
        assert str(refusal).strip()
        return None


def _lines(configuration: Configuration) -> list[tuple[str, ...]]:
    """Every line of the intermediate representation, as words."""
    found: list[tuple[str, ...]] = [*configuration.process, *configuration.defaults]
    for frontend in configuration.frontends:
        found += [] if frontend.connection_limit is None else [("maxconn", str(frontend.connection_limit))]
        found += frontend.lines
    for backend in configuration.backends:
        found += backend.lines
        for one in backend.servers:
            where = endpoint(one.address, one.port)
            found.append(("server", one.name, where, "weight", str(one.weight), *option_words(one)))
    return found


def _attempts() -> Iterator[tuple[_Field, str, dict[str, Any]]]:
    """Each text field, each hostile text alone and behind a good value, and the document that has it."""
    for tree in _TREES:
        document = tree.model_dump()
        for path, field, good in _texts(tree):
            for text in _HOSTILE:
                for hostile in (text, good + text):
                    yield field, hostile, _with(document, path, hostile)


def test_every_text_field_of_the_model_is_tried() -> None:
    tried = {field for tree in _TREES for _, field, _ in _texts(tree)}
    known = set(_text_fields(LoadBalancer, set()))
    assert len(known) > 30
    assert {f"{kind.__name__}.{name}" for kind, name in known - tried} == set()


@pytest.mark.timeout(300)
def test_hostile_text_is_refused_or_literal_and_haproxy_accepts_what_is_not_refused() -> None:
    accepted: list[Configuration] = []
    literal: set[str] = set()
    for (_, name), text, document in _attempts():
        configuration = _configuration(document)
        if configuration is None:
            continue
        written = render(configuration)
        assert [tokenize(line) for line in written.split("\n") if line.startswith("    ")] == _lines(configuration), (
            text
        )
        assert parse(written) == configuration
        if any(text in word for line in _lines(configuration) for word in line):
            literal.add(name)
        if not any("ssl" in line for line in _lines(configuration)):
            accepted.append(configuration)  # the others name files of certificates, which are not there
    # Texts do get through where they are for people, and into rules.
    assert {"value", "redirect_url", "url_path"} <= literal
    distinct = list({render(one): one for one in accepted}.values())
    status, output = haproxy.check(render(merged(distinct)))
    assert status == 0, output[:4000]
