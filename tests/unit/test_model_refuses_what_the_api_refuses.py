"""Every rule of the model: what is refused, at which place of the document, and the accepted neighbour."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lbdrivers.document import dump, parse
from lbdrivers.errors import InvalidInput
from lbdrivers.model.resources import LoadBalancer

ID = "11111111-1111-4111-8111-11111111111"
POOL = {"id": ID + "1", "protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN"}
LISTENER = {"id": ID + "2", "protocol": "HTTP", "protocol_port": 80}
MEMBER = {"address": "192.0.2.1", "protocol_port": 80}
MONITOR = {"type": "HTTP", "delay": 5, "timeout": 3, "max_retries": 2}
UDP = POOL | {"protocol": "UDP"}
TLS = LISTENER | {"protocol": "TERMINATED_HTTPS", "default_tls_container_ref": "memory:a"}
REJECT = {"action": "REJECT"}
RULE = {"type": "PATH", "compare_type": "EQUAL_TO", "value": "/"}
V4, V6 = "192.0.2.9", "2001:db8::9"


def balancer(**fields: Any) -> dict[str, Any]:
    return {"id": ID + "0", "name": "lb", "vip_subnet_id": ID + "9", **fields}


def listener(base: dict[str, Any] = LISTENER, **fields: Any) -> dict[str, Any]:
    return balancer(listeners=[base | fields])


def pool(base: dict[str, Any] = POOL, **fields: Any) -> dict[str, Any]:
    return balancer(pools=[base | fields])


def member(**fields: Any) -> dict[str, Any]:
    return pool(members=[MEMBER | fields])


def monitor(base: dict[str, Any] = POOL, **fields: Any) -> dict[str, Any]:
    return pool(base, healthmonitor=MONITOR | fields)


def persistence(base: dict[str, Any] = POOL, **fields: Any) -> dict[str, Any]:
    return pool(base, session_persistence=fields)


def policy(**fields: Any) -> dict[str, Any]:
    return listener(l7policies=[REJECT | fields])


def rule(**fields: Any) -> dict[str, Any]:
    return policy(rules=[RULE | fields])


def two_vips(first: str | None, second: str | None, **fields: Any) -> dict[str, Any]:
    extra = {"subnet_id": ID + "8"} | ({"ip_address": second} if second else {})
    return balancer(additional_vips=[extra], **({"vip_address": first} if first else {}), **fields)


def udp_behind(vip: str | None, address: str, used: bool = True, **more: str) -> dict[str, Any]:
    bound = {"default_pool_id": UDP["id"]} if used else {}
    fields = {"vip_address": vip} if vip else {}
    return balancer(
        listeners=[LISTENER | {"protocol": "UDP"} | bound],
        pools=[UDP | {"members": [MEMBER | {"address": address} | more]}],
        **fields,
    )


LB, L, P = "loadbalancer", "loadbalancer.listeners[0]", "loadbalancer.pools[0]"
M, H, S = f"{P}.members[0]", f"{P}.healthmonitor", f"{P}.session_persistence"
A, R = f"{L}.l7policies[0]", f"{L}.l7policies[0].rules[0]"
LONG, TOKEN = "x" * 256, "x" * 255
AUTHORITY = {"client_ca_tls_container_ref": "memory:ca"}
REDIRECT = {"action": "REDIRECT_TO_URL", "redirect_url": "http://a/"}

#: refused, path of the error, word in it, accepted neighbour.
RULES: dict[str, tuple[dict[str, Any], str, str, dict[str, Any]]] = {
    # load balancer
    "name is 255 long": (balancer(name=LONG), f"{LB}.name", "too long", balancer(name=TOKEN)),
    "name is one line": (balancer(name="a\nb"), f"{LB}.name", "U+000A", balancer(name="a b")),
    "description": (balancer(description=LONG), f"{LB}.description", "too long", balancer(description=TOKEN)),
    "project is 36 long": (balancer(project_id="x" * 37), f"{LB}.project_id", "36", balancer(project_id="x" * 36)),
    "provider is 64 long": (balancer(provider="x" * 65), f"{LB}.provider", "64", balancer(provider="x" * 64)),
    "tags are 255 long": (balancer(tags=[LONG]), f"{LB}.tags[0]", "too long", balancer(tags=[TOKEN])),
    "id is a UUID": (balancer(id="x"), f"{LB}.id", "UUID", balancer(id=ID + "0")),
    "a VIP is named": ({"id": ID + "0", "name": "lb"}, LB, "one of vip_subnet_id", balancer()),
    "VIP is an address": (balancer(vip_address="1.2.3"), f"{LB}.vip_address", "address", balancer(vip_address=V4)),
    "VIP has no scope": (
        balancer(vip_address="fe80::1%e"),
        f"{LB}.vip_address",
        "scope",
        balancer(vip_address="fe80::1"),
    ),
    "flavor is no placeholder": (
        balancer(flavor_id="0" * 8 + "-0000-0000-0000-" + "0" * 12),
        f"{LB}.flavor_id",
        "deleted",
        balancer(flavor_id=ID + "7"),
    ),
    "zone has a name": (
        balancer(availability_zone=""),
        f"{LB}.availability_zone",
        "empty",
        balancer(availability_zone="az1"),
    ),
    "flavor's data are a mapping": (
        balancer(flavor_data=["a"]),
        f"{LB}.flavor_data",
        "not a mapping",
        balancer(flavor_data={"a": {"b": [1, None]}}),
    ),
    "flavor's data are 4096 long": (
        balancer(flavor_data={"a": "x" * (4096 - 7)}),
        f"{LB}.flavor_data",
        "at most 4096",
        balancer(flavor_data={"a": "x" * (4096 - 8)}),
    ),
    "flavor's data as text are JSON": (
        balancer(flavor_data="{a: b}"),
        f"{LB}.flavor_data",
        "not JSON",
        balancer(flavor_data='{"a": "b"}'),
    ),
    "zone's data are printable": (
        balancer(availability_zone_data={"a": "\x07"}),
        f"{LB}.availability_zone_data",
        "U+0007",
        balancer(availability_zone_data={"a": "\u00e9"}),
    ),
    "zone's data have numbers that survive": (
        balancer(availability_zone_data={"a": 10**18}),
        f"{LB}.availability_zone_data",
        "18 digits",
        balancer(availability_zone_data={"a": 10**18 - 1}),
    ),
    "zone's data are flat enough": (
        balancer(availability_zone_data={"a": [[[[[[[[]]]]]]]]}),
        f"{LB}.availability_zone_data",
        "too deep",
        balancer(availability_zone_data={"a": [[[[[[[]]]]]]]}),
    ),
    "SR-IOV takes no security groups": (
        balancer(vip_sg_ids=[ID + "4"], flavor_data={"sriov_vip": True}),
        f"{LB}.vip_sg_ids",
        "SR-IOV",
        balancer(vip_sg_ids=[ID + "4"], flavor_data={"sriov_vip": False}),
    ),
    "VIPs have subnets of their own": (
        balancer(additional_vips=[{"subnet_id": (ID + "9").upper()}]),
        f"{LB}.additional_vips[0].subnet_id",
        "subnet of another VIP",
        two_vips(None, None),
    ),
    "VIPs have addresses of their own": (
        two_vips(V6, "2001:DB8:0::9"),
        f"{LB}.additional_vips[0].ip_address",
        "address of another VIP",
        two_vips(V6, "2001:db8::8"),
    ),
    "additional VIP has a subnet": (
        balancer(additional_vips=[{}]),
        f"{LB}.additional_vips[0].subnet_id",
        "missing",
        two_vips(None, V6),
    ),
    # listener
    "port is 1 at least": (listener(protocol_port=0), f"{L}.protocol_port", "least is 1", listener(protocol_port=1)),
    "port is 65535 at most": (
        listener(protocol_port=65536),
        f"{L}.protocol_port",
        "most is 65535",
        listener(protocol_port=65535),
    ),
    "protocol": (listener(protocol="FTP"), f"{L}.protocol", "known words", listener(protocol="HTTPS")),
    "ports are used once": (
        balancer(listeners=[LISTENER, LISTENER | {"id": ID + "3", "protocol": "TCP"}]),
        f"{LB}.listeners[1].protocol_port",
        "taken",
        balancer(listeners=[LISTENER, LISTENER | {"id": ID + "3", "protocol": "UDP"}]),
    ),
    "connection limit": (
        listener(connection_limit=-2),
        f"{L}.connection_limit",
        "least is -1",
        listener(connection_limit=-1),
    ),
    "connection limit fits HAProxy": (
        listener(connection_limit=2**31),
        f"{L}.connection_limit",
        "most is",
        listener(connection_limit=2**31 - 1),
    ),
    "timeouts end after 24 days": (
        listener(timeout_client_data=2073600001),
        f"{L}.timeout_client_data",
        "most is",
        listener(timeout_client_data=2073600000),
    ),
    "timeouts are whole": (
        listener(timeout_tcp_inspect=1.5),
        f"{L}.timeout_tcp_inspect",
        "whole number",
        listener(timeout_tcp_inspect=0),
    ),
    "CIDR": (listener(allowed_cidrs=["x"]), f"{L}.allowed_cidrs[0]", "CIDR", listener(allowed_cidrs=["192.0.2.1/24"])),
    "CIDRs or security groups": (
        listener(allowed_cidrs=["192.0.2.0/24"]) | {"vip_sg_ids": [ID + "4"]},
        f"{L}.allowed_cidrs",
        "excludes vip_sg_ids",
        listener(allowed_cidrs=[]) | {"vip_sg_ids": [ID + "4"]},
    ),
    "CIDR is of the VIP's family": (
        listener(allowed_cidrs=["2001:db8::/32"]) | {"vip_address": V4},
        f"{L}.allowed_cidrs[0]",
        "family",
        listener(allowed_cidrs=["0.0.0.0/0"]) | {"vip_address": V4},
    ),
    "CIDR is of an additional VIP's family": (
        two_vips(V4, "192.0.2.8", listeners=[LISTENER | {"allowed_cidrs": ["::/0"]}]),
        f"{L}.allowed_cidrs[0]",
        "family",
        two_vips(V4, V6, listeners=[LISTENER | {"allowed_cidrs": ["::/0"]}]),
    ),
    "a VIP to come may be of any family": (
        two_vips(V4, "192.0.2.8", listeners=[LISTENER | {"allowed_cidrs": ["::/0"]}]),
        f"{L}.allowed_cidrs[0]",
        "family",
        two_vips(V4, None, listeners=[LISTENER | {"allowed_cidrs": ["::/0"]}]),
    ),
    "headers belong to HTTP": (
        listener(protocol="TCP", insert_headers={"X-Forwarded-For": "true"}),
        f"{L}.insert_headers",
        "HTTP",
        listener(insert_headers={"X-Forwarded-For": "true"}),
    ),
    "headers are known": (
        listener(insert_headers={"X-Other": "true"}),
        f"{L}.insert_headers.X-Other",
        "cannot be inserted",
        listener(insert_headers={"X-Real-IP": "true"}),
    ),
    "TLS headers need TLS": (
        listener(insert_headers={"X-SSL-Client-CN": "true"}),
        f"{L}.insert_headers.X-SSL-Client-CN",
        "cannot be inserted",
        listener(TLS, insert_headers={"X-SSL-Client-CN": "true"}),
    ),
    "headers are switched": (
        listener(insert_headers={"X-Real-IP": "maybe"}),
        f"{L}.insert_headers.X-Real-IP",
        "true or false",
        listener(insert_headers={"X-Real-IP": "false"}),
    ),
    "TLS needs a certificate": (
        listener(protocol="TERMINATED_HTTPS"),
        L,
        "needs default_tls_container_ref",
        listener(LISTENER | {"protocol": "TERMINATED_HTTPS"}, sni_container_refs=["memory:a"]),
    ),
    "certificates need TLS": (
        listener(default_tls_container_ref="memory:a"),
        L,
        "no certificate",
        listener(protocol="PROMETHEUS", default_tls_container_ref="memory:a"),
    ),
    "clients' authority needs a certificate": (
        listener(protocol="PROMETHEUS", **AUTHORITY),
        f"{L}.client_ca_tls_container_ref",
        "needs a certificate",
        listener(protocol="PROMETHEUS", default_tls_container_ref="memory:a", **AUTHORITY),
    ),
    "authentication needs an authority": (
        listener(TLS, client_authentication="OPTIONAL"),
        f"{L}.client_authentication",
        "needs",
        listener(TLS, client_authentication="OPTIONAL", **AUTHORITY),
    ),
    "revocations need an authority": (
        listener(TLS, client_crl_container_ref="memory:crl"),
        f"{L}.client_crl_container_ref",
        "needs",
        listener(TLS, client_crl_container_ref="memory:crl", **AUTHORITY),
    ),
    **{
        f"{field} need a certificate": (
            listener(protocol="PROMETHEUS", **{field: value}),
            f"{L}.{field}",
            "needs a certificate",
            listener(protocol="PROMETHEUS", default_tls_container_ref="memory:a", **{field: value}),
        )
        for field, value in (("tls_ciphers", "A"), ("tls_versions", ["TLSv1.3"]), ("alpn_protocols", ["h2"]))
    },
    "ciphers": (listener(TLS, tls_ciphers="A B"), f"{L}.tls_ciphers", "cipher list", listener(TLS, tls_ciphers="A:!B")),
    "ciphers are 2048 long": (
        listener(TLS, tls_ciphers="A" * 2049),
        f"{L}.tls_ciphers",
        "2048",
        listener(TLS, tls_ciphers="A" * 2048),
    ),
    "ciphers are not empty": (
        listener(TLS, tls_ciphers=""),
        f"{L}.tls_ciphers",
        "too short",
        listener(TLS, tls_ciphers="A"),
    ),
    "versions are not empty": (
        listener(TLS, tls_versions=[]),
        f"{L}.tls_versions",
        "too few",
        listener(TLS, tls_versions=["TLSv1.3"]),
    ),
    "versions are known": (
        listener(TLS, tls_versions=["TLSv1.4"]),
        f"{L}.tls_versions[0]",
        "known words",
        listener(TLS, tls_versions=["SSLv3"]),
    ),
    "ALPN is not empty": (
        listener(TLS, alpn_protocols=[]),
        f"{L}.alpn_protocols",
        "too few",
        listener(TLS, alpn_protocols=["h2"]),
    ),
    "ALPN is known": (
        listener(TLS, alpn_protocols=["h3"]),
        f"{L}.alpn_protocols[0]",
        "known words",
        listener(TLS, alpn_protocols=["http/1.0"]),
    ),
    "HSTS needs TLS": (
        listener(hsts_max_age=1),
        f"{L}.hsts_max_age",
        "TERMINATED_HTTPS",
        listener(TLS, hsts_max_age=0),
    ),
    "HSTS options need an age": (
        listener(TLS, hsts_preload=True),
        L,
        "need hsts_max_age",
        listener(TLS, hsts_preload=True, hsts_max_age=1),
    ),
    "PROMETHEUS has no children": (
        balancer(listeners=[LISTENER | {"protocol": "PROMETHEUS", "default_pool_id": POOL["id"]}], pools=[POOL]),
        f"{L}.default_pool_id",
        "no pool",
        listener(protocol="PROMETHEUS"),
    ),
    "PROMETHEUS has no policies": (
        listener(protocol="PROMETHEUS", l7policies=[REJECT]),
        L,
        "nor policies",
        listener(protocol="HTTP", l7policies=[REJECT]),
    ),
    "the default pool is there": (
        listener(default_pool_id=ID + "1"),
        f"{L}.default_pool_id",
        "not the id of a pool",
        balancer(listeners=[LISTENER | {"default_pool_id": POOL["id"]}], pools=[POOL]),
    ),
    "the default pool speaks the same": (
        balancer(listeners=[LISTENER | {"default_pool_id": POOL["id"]}], pools=[POOL | {"protocol": "TCP"}]),
        f"{L}.default_pool_id",
        "cannot use",
        balancer(listeners=[LISTENER | {"default_pool_id": POOL["id"]}], pools=[POOL | {"protocol": "PROXYV2"}]),
    ),
    # pool
    "algorithm": (pool(lb_algorithm="RANDOM"), f"{P}.lb_algorithm", "known words", pool(lb_algorithm="SOURCE_IP_PORT")),
    "pool's protocol": (pool(protocol="TERMINATED_HTTPS"), f"{P}.protocol", "known words", pool(protocol="PROXY")),
    "pool's revocations need an authority": (
        pool(crl_container_ref="memory:crl"),
        f"{P}.crl_container_ref",
        "needs",
        pool(crl_container_ref="memory:crl", ca_tls_container_ref="memory:ca"),
    ),
    "datagrams know no TLS": (pool(UDP, tls_enabled=True), f"{P}.tls_enabled", "no meaning", pool(tls_enabled=True)),
    "pool's versions are not empty": (
        pool(tls_versions=[]),
        f"{P}.tls_versions",
        "too few",
        pool(tls_versions=["TLSv1.2"]),
    ),
    "pool's ALPN is not empty": (
        pool(alpn_protocols=[]),
        f"{P}.alpn_protocols",
        "too few",
        pool(alpn_protocols=["http/1.1"]),
    ),
    "cookie's name is wanted": (
        persistence(type="APP_COOKIE"),
        S,
        "cookie_name",
        persistence(type="APP_COOKIE", cookie_name="a"),
    ),
    "cookie's name is APP_COOKIE's": (
        persistence(type="HTTP_COOKIE", cookie_name="a"),
        f"{S}.cookie_name",
        "APP_COOKIE",
        persistence(type="HTTP_COOKIE"),
    ),
    **{
        f"cookie's name has no {char!r}": (
            persistence(type="APP_COOKIE", cookie_name=f"a{char}b"),
            f"{S}.cookie_name",
            "cookie name",
            persistence(type="APP_COOKIE", cookie_name="a-b"),
        )
        for char in "\"()/,:;<=>?@[\\]{}' \x7f\t"
    },
    "timeout is a datagram's": (
        persistence(type="SOURCE_IP", persistence_timeout=1),
        P,
        "UDP and SCTP",
        persistence(UDP, type="SOURCE_IP", persistence_timeout=1),
    ),
    "granularity is a datagram's": (
        persistence(type="SOURCE_IP", persistence_granularity="255.255.0.0"),
        P,
        "UDP and SCTP",
        persistence(UDP, type="SOURCE_IP", persistence_granularity="255.255.0.0"),
    ),
    "granularity is a mask": (
        persistence(UDP, type="SOURCE_IP", persistence_granularity="255.0.255.0"),
        f"{S}.persistence_granularity",
        "netmask",
        persistence(UDP, type="SOURCE_IP", persistence_granularity="ffff:ffff::"),
    ),
    "datagrams carry no cookies": (
        persistence(UDP, type="HTTP_COOKIE"),
        P,
        "SOURCE_IP persistence only",
        persistence(UDP, type="SOURCE_IP"),
    ),
    # member
    "weight is 256 at most": (member(weight=257), f"{M}.weight", "most is 256", member(weight=256)),
    "weight is 0 at least": (member(weight=-1), f"{M}.weight", "least is 0", member(weight=0)),
    "members are told apart": (
        pool(members=[MEMBER, MEMBER]),
        f"{P}.members[1]",
        "address and port of",
        pool(members=[MEMBER, MEMBER | {"protocol_port": 81}]),
    ),
    "metadata is no member": (
        member(address="169.254.169.254"),
        f"{M}.address",
        "reserved",
        member(address="169.254.169.253"),
    ),
    "metadata is no member in disguise": (
        member(address="::ffff:169.254.169.254"),
        f"{M}.address",
        "reserved",
        member(address="::ffff:192.0.2.1"),
    ),
    "metadata is not probed": (
        member(monitor_address="169.254.169.254"),
        f"{M}.monitor_address",
        "reserved",
        member(monitor_address=V6),
    ),
    "monitor port": (member(monitor_port=0), f"{M}.monitor_port", "least is 1", member(monitor_port=65535)),
    "datagrams need a VIP of their family": (
        udp_behind(V4, V6),
        f"{M}.address",
        "another family",
        udp_behind(V6, V6),
    ),
    "datagrams of a pool that nobody uses go nowhere": (
        udp_behind(V6, V4),
        f"{M}.address",
        "another family",
        udp_behind(V6, V4, used=False),
    ),
    "datagrams and a VIP to come": (udp_behind(V6, V4), f"{M}.address", "another family", udp_behind(None, V4)),
    "SR-IOV is for the flavor to allow": (
        member(request_sriov=True) | {"flavor_data": {"allow_member_sriov": False}},
        f"{M}.request_sriov",
        "allow_member_sriov",
        member(request_sriov=True) | {"flavor_data": {"allow_member_sriov": True}},
    ),
    "SR-IOV may be allowed by a flavor to be looked up": (
        member(request_sriov=True),
        f"{M}.request_sriov",
        "allow_member_sriov",
        member(request_sriov=True) | {"flavor_id": ID + "7"},
    ),
    # health monitor
    "delay": (monitor(delay=0), f"{H}.delay", "least is 1", monitor(delay=1)),
    "delay is a timer of HAProxy's": (monitor(delay=2073601), f"{H}.delay", "most is", monitor(delay=2073600)),
    "timeout": (monitor(timeout=0), f"{H}.timeout", "least is 1", monitor(timeout=60)),
    "retries": (monitor(max_retries=11), f"{H}.max_retries", "most is 10", monitor(max_retries=10)),
    "retries down": (monitor(max_retries_down=0), f"{H}.max_retries_down", "least is 1", monitor(max_retries_down=1)),
    "method": (monitor(http_method="FETCH"), f"{H}.http_method", "known words", monitor(http_method="TRACE")),
    "path": (monitor(url_path="x"), f"{H}.url_path", "URL path", monitor(url_path="/x?y=%20")),
    "codes": (
        monitor(expected_codes="200-202,204"),
        f"{H}.expected_codes",
        "neither",
        monitor(expected_codes="200, 204"),
    ),
    "codes go up": (monitor(expected_codes="204-200"), f"{H}.expected_codes", "end", monitor(expected_codes="200-204")),
    "version": (monitor(http_version=2.0), f"{H}.http_version", "1.0 or 1.1", monitor(http_version=1.0)),
    "version is a number": (monitor(http_version=True), f"{H}.http_version", "1.0 or 1.1", monitor(http_version="1.1")),
    "domain needs 1.1": (
        monitor(domain_name="a.b", http_version=1.0),
        f"{H}.domain_name",
        "1.1",
        monitor(domain_name="a.b", http_version=1.1),
    ),
    "domain": (
        monitor(domain_name="_a.b", http_version=1.1),
        f"{H}.domain_name",
        "host name",
        monitor(domain_name="a._b", http_version=1.1),
    ),
    "domain's labels": (
        monitor(domain_name="a" * 64, http_version=1.1),
        f"{H}.domain_name",
        "host name",
        monitor(domain_name="a" * 63, http_version=1.1),
    ),
    "HTTP's fields": (monitor(type="TCP", url_path="/"), f"{H}.url_path", "HTTP and HTTPS", monitor(type="TCP")),
    "UDP-CONNECT is slow": (
        monitor(UDP, type="UDP-CONNECT", delay=2),
        f"{H}.delay",
        "3 seconds",
        monitor(UDP, type="UDP-CONNECT", delay=3),
    ),
    "UDP-CONNECT is a datagram's": (
        monitor(type="UDP-CONNECT"),
        P,
        "UDP and SCTP pools only",
        monitor(UDP, type="UDP-CONNECT"),
    ),
    "SCTP is a datagram's": (monitor(type="SCTP"), P, "UDP and SCTP pools only", monitor(UDP, type="SCTP")),
    "datagrams have no PING": (monitor(UDP, type="PING"), P, "not PING", monitor(UDP, type="TCP")),
    "datagrams have no TLS-HELLO": (monitor(UDP, type="TLS-HELLO"), P, "not TLS-HELLO", monitor(UDP, type="HTTP")),
    # policies and rules
    "action": (policy(action="DROP"), f"{A}.action", "known words", policy()),
    "position": (policy(position=0), f"{A}.position", "least is 1", policy(position=2147483647)),
    "one target": (
        policy(action="REDIRECT_TO_URL", redirect_url="http://a/", redirect_prefix="http://b"),
        A,
        "several targets",
        policy(**REDIRECT),
    ),
    "a target": (policy(action="REDIRECT_TO_URL"), f"{A}.action", "needs redirect_url", policy(**REDIRECT)),
    "target is absolute": (
        policy(**REDIRECT | {"redirect_url": "/a"}),
        f"{A}.redirect_url",
        "absolute",
        policy(**REDIRECT),
    ),
    "target is http": (
        policy(**REDIRECT | {"redirect_url": "ftp://a/"}),
        f"{A}.redirect_url",
        "http",
        policy(**REDIRECT | {"redirect_url": "https://a"}),
    ),
    "target has no blank": (
        policy(**REDIRECT | {"redirect_url": "http://a/b c"}),
        f"{A}.redirect_url",
        "blank",
        policy(**REDIRECT | {"redirect_url": "http://a/b%20c"}),
    ),
    "redirects lead to a pool that is there": (
        policy(action="REDIRECT_TO_POOL", redirect_pool_id=POOL["id"]),
        f"{A}.redirect_pool_id",
        "not the id of a pool",
        policy(action="REDIRECT_TO_POOL", redirect_pool_id=POOL["id"]) | {"pools": [POOL]},
    ),
    "redirects lead to a pool that speaks the same": (
        policy(action="REDIRECT_TO_POOL", redirect_pool_id=POOL["id"]) | {"pools": [POOL | {"protocol": "TCP"}]},
        f"{A}.redirect_pool_id",
        "cannot use",
        policy(action="REDIRECT_TO_POOL", redirect_pool_id=POOL["id"]) | {"pools": [POOL | {"protocol": "PROXY"}]},
    ),
    "code is a redirect's": (
        policy(**REDIRECT, redirect_http_code=304),
        f"{A}.redirect_http_code",
        "301",
        policy(**REDIRECT, redirect_http_code=308),
    ),
    "code is a number": (
        policy(**REDIRECT, redirect_http_code="301"),
        f"{A}.redirect_http_code",
        "whole number",
        policy(**REDIRECT, redirect_http_code=301),
    ),
    "50 rules": (policy(rules=[RULE] * 51), f"{A}.rules", "at most 50", policy(rules=[RULE] * 50)),
    "a header's name": (rule(type="HEADER"), R, "key", rule(type="HEADER", key="X-A")),
    "a token": (rule(type="COOKIE", key="a b"), R, "key", rule(type="COOKIE", key="a_b")),
    "no name": (rule(key="x"), f"{R}.key", "does not belong", rule()),
    "a subject's field": (
        rule(type="SSL_DN_FIELD", key="C.N"),
        f"{R}.key",
        "letters",
        rule(type="SSL_DN_FIELD", key="CN"),
    ),
    "a value": (rule(value=""), f"{R}.value", "empty", rule(value="x")),
    "one line": (rule(value="a\rb"), f"{R}.value", "U+000D", rule(value="a b")),
    "an expression": (
        rule(compare_type="REGEX", value="("),
        f"{R}.value",
        "regular expression",
        rule(compare_type="REGEX", value="()"),
    ),
    "a type of file": (
        rule(type="FILE_TYPE", compare_type="CONTAINS", value="a"),
        R,
        "REGEX or EQUAL_TO",
        rule(type="FILE_TYPE", compare_type="REGEX", value="a"),
    ),
    "a certificate or none": (
        rule(type="SSL_CONN_HAS_CERT", value="false"),
        R,
        "true",
        rule(type="SSL_CONN_HAS_CERT", value="True"),
    ),
    "a certificate is compared": (
        rule(type="SSL_CONN_HAS_CERT", value="true", compare_type="REGEX"),
        R,
        "EQUAL_TO",
        rule(type="SSL_CONN_HAS_CERT", value="true"),
    ),
    "a result": (rule(type="SSL_VERIFY_RESULT", value="-1"), R, "number", rule(type="SSL_VERIFY_RESULT", value="0")),
    "digits": (rule(type="SSL_VERIFY_RESULT", value="\u0663"), R, "number", rule(type="SSL_VERIFY_RESULT", value="3")),
}


@pytest.mark.parametrize("name", RULES)
def test_a_rule(name: str) -> None:
    refused, path, words, accepted = RULES[name]
    with pytest.raises(InvalidInput) as caught:
        parse(json.dumps({"loadbalancer": refused}), "f")
    told = {problem.path: str(problem) for problem in caught.value.problems}
    assert path in told, told
    assert words in told[path], told
    tree = parse(json.dumps({"loadbalancer": accepted}), "f")
    assert parse(dump(tree), "again") == tree


@pytest.mark.parametrize(
    "fields",
    [
        listener(allowed_cidrs=["2001:db8::/32"]) | {"vip_address": V4},
        udp_behind(V4, V6, id=ID + "5"),
        balancer(listeners=[LISTENER, LISTENER | {"id": ID + "3"}]),
        balancer(listeners=[LISTENER | {"default_pool_id": POOL["id"]}], pools=[POOL | {"protocol": "TCP"}]),
        listener(default_pool_id=ID + "1"),
        pool(members=[MEMBER | {"id": ID + "3"}, MEMBER | {"id": ID + "4"}]),
        balancer(pools=[POOL, POOL]),
        balancer(additional_vips=[{"subnet_id": ID + "9"}]),
        two_vips(V4, V4),
        listener(allowed_cidrs=["192.0.2.0/24"]) | {"vip_sg_ids": [ID + "4"]},
        member(id=ID + "3", request_sriov=True),
    ],
)
def test_the_tree_itself_refuses_what_goes_wrong_between_resources(fields: dict[str, Any]) -> None:
    """Not only documents: whoever builds a tree in Python is told, too."""
    with pytest.raises(
        ValueError,
        match=r"IPv|both want|cannot use|not there|two members|twice|exclude|sriov|same (subnet|address)",
    ):
        LoadBalancer.model_validate(fields)
