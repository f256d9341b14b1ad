"""Defaults of the model are those of the table in docs/differences.md, wherever a resource is made."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel

from lbdrivers.model.resources import HealthMonitor, L7Policy, L7Rule, Listener, LoadBalancer, Member, MonitorType, Pool

ID = "11111111-1111-4111-8111-111111111111"
TIMES = {"id": ID, "delay": 5, "timeout": 10, "max_retries": 4}
UNSET_TLS = {"tls_ciphers": None, "tls_versions": None, "alpn_protocols": None}
HTTP = {"http_method": "GET", "url_path": "/", "expected_codes": "200", "http_version": None, "domain_name": None}

DEFAULTS: list[tuple[type[BaseModel], dict[str, Any], dict[str, Any]]] = [
    (
        LoadBalancer,
        {"id": ID, "vip_subnet_id": ID},
        {"name": "", "description": "", "admin_state_up": True, "tags": (), "project_id": "", "provider": None}
        | {"flavor_id": None, "flavor_data": None, "availability_zone": None, "availability_zone_data": None}
        | {"vip_address": None, "vip_qos_policy_id": None, "vip_sg_ids": (), "additional_vips": ()},
    ),
    (
        Listener,
        {"id": ID, "protocol": "HTTP", "protocol_port": 80},
        {"connection_limit": -1, "timeout_client_data": 50000, "timeout_member_data": 50000}
        | {"timeout_member_connect": 5000, "timeout_tcp_inspect": 0, "client_authentication": "NONE"}
        | {"allowed_cidrs": (), "insert_headers": (), "sni_container_refs": (), **UNSET_TLS}
        | {"hsts_max_age": None, "hsts_include_subdomains": False, "hsts_preload": False},
    ),
    (
        Pool,
        {"id": ID, "protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN"},
        {"session_persistence": None, "healthmonitor": None, "tls_enabled": False, **UNSET_TLS},
    ),
    (
        Member,
        {"id": ID, "address": "192.0.2.1", "protocol_port": 80},
        {"weight": 1, "backup": False, "request_sriov": False, "subnet_id": None}
        | {"monitor_address": None, "monitor_port": None},
    ),
    *((HealthMonitor, TIMES | {"type": kind}, {"max_retries_down": 3, **HTTP}) for kind in ("HTTP", "HTTPS")),
    *(
        (HealthMonitor, TIMES | {"type": kind}, {"max_retries_down": 3, **dict.fromkeys(HTTP)})
        for kind in MonitorType
        if kind not in (MonitorType.HTTP, MonitorType.HTTPS)
    ),
    (
        L7Policy,
        {"id": ID, "action": "REDIRECT_TO_URL", "redirect_url": "http://a/"},
        {"redirect_http_code": 302, "position": 2147483647},
    ),
    (L7Policy, {"id": ID, "action": "REDIRECT_PREFIX", "redirect_prefix": "http://a"}, {"redirect_http_code": 302}),
    (L7Policy, {"id": ID, "action": "REDIRECT_TO_POOL", "redirect_pool_id": ID}, {"redirect_http_code": None}),
    (L7Policy, {"id": ID, "action": "REJECT"}, {"redirect_http_code": None}),
    (
        L7Rule,
        {"id": ID, "type": "PATH", "compare_type": "EQUAL_TO", "value": "/"},
        {"invert": False, "key": None, "admin_state_up": True, "tags": ()},
    ),
]


@pytest.mark.parametrize(("model", "given", "expected"), DEFAULTS)
def test_defaults(model: type[BaseModel], given: dict[str, Any], expected: dict[str, Any]) -> None:
    for spelled in (given, given | dict.fromkeys(set(HTTP) & set(expected))):
        made = model.model_validate(spelled)
        assert {name: getattr(made, name) for name in expected} == expected
