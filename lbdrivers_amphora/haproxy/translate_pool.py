"""Pools -> backends and their servers.

Law: a pool's servers are the same behind every listener; what differs by listener (mode, inserted
headers, timeouts) stands in the backend's lines.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from lbdrivers.drivers.amphora import Bundle, Facts, TrafficOptions
from lbdrivers.errors import UnsupportedError
from lbdrivers.model.resources import (
    Algorithm,
    HealthMonitor,
    HttpMethod,
    Listener,
    Member,
    MonitorType,
    PersistenceType,
    Pool,
    PoolProtocol,
)
from lbdrivers.model.tls import TlsDefaults
from lbdrivers_amphora.haproxy.ir import Check, Server
from lbdrivers_amphora.haproxy.quote import Line, Word, literal, log_format, token, tokens
from lbdrivers_amphora.haproxy.translate_rules import words
from lbdrivers_amphora.haproxy.translate_tls import check_options, header_lines, server_words, terminates

_BALANCE = {
    Algorithm.ROUND_ROBIN: "roundrobin",
    Algorithm.LEAST_CONNECTIONS: "leastconn",
    Algorithm.SOURCE_IP: "source",
}
_HTTP_MONITORS = (MonitorType.HTTP, MonitorType.HTTPS)
_COOKIES = (PersistenceType.HTTP_COOKIE, PersistenceType.APP_COOKIE)
_PROXY = {PoolProtocol.PROXY: literal("send-proxy"), PoolProtocol.PROXYV2: literal("send-proxy-v2")}
#: Version 2 can tell members what TLS the client speaks, and who it says to be.
_PROXY_WITH_TLS = literal("send-proxy-v2-ssl-cn")
# What each header of a listener's insert_headers says. ``src`` and ``dst_port`` are the client's
# own connection; with ``option forwardfor`` HAProxy appends rather than replaces.
_HEADERS: dict[str, Line] = {
    "X-Forwarded-For": words("option forwardfor"),
    "X-Forwarded-Port": words("http-request set-header X-Forwarded-Port %[dst_port]"),
    "X-Forwarded-IP": words("http-request set-header X-Forwarded-IP %[src]"),
    "X-Client-IP": words("http-request set-header X-Client-IP %[src]"),
    "X-Real-IP": words("http-request set-header X-Real-IP %[src]"),
}
_SCHEME = "X-Forwarded-Proto"


def pool_mode(pool: Pool, listener_mode: str) -> str:
    """``http`` or ``tcp``. PROXY pools carry whatever the listener speaks."""
    if pool.protocol in _PROXY:
        return listener_mode
    return "http" if pool.protocol is PoolProtocol.HTTP else "tcp"


def backend_lines(
    pool: Pool, listener: Listener, mode: str, options: TrafficOptions, facts: Facts, peers: str | None
) -> tuple[Line, ...]:
    """Everything of a backend but its servers.

    :param peers: name of the peers section that shares stick tables, or None.
    :raises UnsupportedError: for what HAProxy does not do with such a pool.
    """
    if pool.lb_algorithm not in _BALANCE:
        raise UnsupportedError(f"HAProxy has no algorithm like {pool.lb_algorithm}", object_id=pool.id)
    lines = [words(f"mode {mode}"), words(f"balance {_BALANCE[pool.lb_algorithm]}")]
    if pool.lb_algorithm is Algorithm.SOURCE_IP:
        # Servers can come and go at run time, and a change moves only the clients it must move.
        lines.append(words("hash-type consistent"))
    lines += _persistence(pool, mode, options.stick_table_size, peers)
    if (monitor := active_monitor(pool)) is not None:
        lines += _monitor(pool, monitor, facts)
    if mode == "http":
        lines += _headers(listener)
    lines += [
        words("option allbackups"),
        words(f"timeout connect {listener.timeout_member_connect or options.timeout_member_connect}"),
        words(f"timeout server {listener.timeout_member_data or options.timeout_member_data}"),
    ]
    return tuple(lines)


def _headers(listener: Listener) -> Iterator[Line]:
    yield from (line for header, line in _HEADERS.items() if listener.header_inserted(header))
    if listener.header_inserted(_SCHEME):
        yield words(f"http-request set-header {_SCHEME} {'https' if terminates(listener) else 'http'}")
    yield from header_lines(listener)


def active_monitor(pool: Pool) -> HealthMonitor | None:
    """The pool's health monitor if it is enabled."""
    monitor = pool.healthmonitor
    return monitor if monitor is not None and monitor.admin_state_up else None


def _persistence(pool: Pool, mode: str, size: str, peers: str | None) -> Iterator[Line]:
    persistence = pool.session_persistence
    if persistence is None or (persistence.type in _COOKIES and mode != "http"):
        # Bytes that are passed on unread have no cookies; HAProxy would ignore the line with a warning.
        return
    shared = words(f"peers {peers}") if peers else ()
    if persistence.type is PersistenceType.SOURCE_IP:
        yield (*words(f"stick-table type ipv6 size {size}"), *shared)
        yield words("stick on src")
    elif persistence.type is PersistenceType.APP_COOKIE:
        cookie = f"cook({persistence.cookie_name})"
        yield (*words(f"stick-table type string len 64 size {size}"), *shared)
        yield (*words("stick store-response"), token(f"res.{cookie}"))
        yield (*words("stick match"), token(f"req.{cookie}"))
    else:
        # Made by HAProxy of the member's address and the key, so that members can come at run time.
        yield words("cookie SRV insert indirect nocache dynamic")
        yield (*words("dynamic-cookie-key"), _cookie_key(pool))


def _cookie_key(pool: Pool) -> Word:
    """What keeps members' addresses from being guessed out of cookies: the same on every appliance, after every
    change, and no part of what a client gets to see."""
    return token(hashlib.sha256(f"dynamic-cookie-key {pool.id}".encode()).hexdigest()[:32])


def _monitor(pool: Pool, monitor: HealthMonitor, facts: Facts) -> Iterator[Line]:
    yield words("load-server-state-from-file global")
    yield words(f"timeout check {monitor.timeout}s")
    if monitor.type in _HTTP_MONITORS:
        version = (literal(f"HTTP/{monitor.http_version}"),) if monitor.http_version is not None else ()
        method = monitor.http_method or HttpMethod.GET
        yield (*words(f"option httpchk {method}"), token(monitor.url_path or "/"), *version)
        if monitor.domain_name is not None:
            yield (*words("http-check send hdr Host"), log_format(monitor.domain_name))
        yield words(f"http-check expect status {monitor.expected_codes or '200'}")
    elif monitor.type is MonitorType.PING:
        yield words("option external-check")
        yield (*words("external-check command"), token(f"{facts.base_path}/ping-wrapper.sh"))
    elif monitor.type is MonitorType.TLS_HELLO and not pool.tls_enabled:
        yield words("option ssl-hello-chk")


def servers(pool: Pool, listener: Listener, mode: str, bundle: Bundle, facts: Facts) -> tuple[Server, ...]:
    """The pool's members, disabled ones included: they are known and in maintenance.

    They are the same behind every listener of this mode that does, or does not, terminate TLS.
    """
    check = _check(pool, mode, bundle.options.tls.pools)
    proxy = _PROXY.get(pool.protocol)
    if pool.protocol is PoolProtocol.PROXYV2 and terminates(listener):
        proxy = _PROXY_WITH_TLS
    tls = server_words(pool, mode, bundle, facts)
    numbers = _numbers(pool)
    names, addresses = tokens([one.id for one in pool.members]), tokens([one.address for one in pool.members])
    return tuple(
        [
            Server(
                name,
                address,
                member.protocol_port,
                member.weight,
                numbers.get(member.id),
                check and _at_its_place(check, member),
                proxy,
                member.backup,
                not member.admin_state_up,
                tls,
            )
            for member, name, address in zip(pool.members, names, addresses, strict=True)
        ]
    )


def _at_its_place(check: Check, member: Member) -> Check:
    """The check where the member wants to be probed."""
    if member.monitor_address is None and member.monitor_port is None:
        return check
    address = None if member.monitor_address is None else token(member.monitor_address)
    return Check(check.interval, check.fall, check.rise, check.options, address, member.monitor_port)


def _check(pool: Pool, mode: str, defaults: TlsDefaults) -> Check | None:
    monitor = active_monitor(pool)
    if monitor is None:
        return None
    options = check_options(pool, monitor, mode, defaults)
    return Check(monitor.delay, monitor.max_retries_down, monitor.max_retries, options)


def _numbers(pool: Pool) -> dict[str, int]:
    """Numeric ids for pools that hash: HAProxy places a server on the ring by its number.

    Derived from the member's id, so that a reload, a run-time change and the other amphora of a
    pair all send a client to the same member.
    """
    if pool.lb_algorithm is not Algorithm.SOURCE_IP:
        return {}
    taken: dict[int, str] = {}
    for member in pool.members:
        number = int(member.id[:8], 16) & 0x7FFFFFFF or 1
        while number in taken:
            number = number % 0x7FFFFFFF + 1
        taken[number] = member.id
    return {member_id: number for number, member_id in taken.items()}
