"""The tree and the appliance's facts -> configuration of HAProxy.

Law: pure and total over the trees that the amphora provider's features admit; what HAProxy cannot
do as asked is refused with UnsupportedError, never left out in silence. A frontend is named after
its listener, a backend ``<pool>:<listener>``, a server after its member: health and statistics are
matched by these names. The floor is HAProxy 2.6.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

from lbdrivers.drivers.amphora import Bundle, Facts, Topology
from lbdrivers.errors import UnsupportedError
from lbdrivers.model.resources import Listener, ListenerProtocol, LoadBalancer, MonitorType, Pool
from lbdrivers_amphora.haproxy import versions
from lbdrivers_amphora.haproxy.ir import Backend, Configuration, Frontend, Peers, Server
from lbdrivers_amphora.haproxy.log_line import log_line
from lbdrivers_amphora.haproxy.metrics import PROXY_BACKEND
from lbdrivers_amphora.haproxy.peers import peer_name
from lbdrivers_amphora.haproxy.quote import Line, literal, token
from lbdrivers_amphora.haproxy.server_line import endpoint
from lbdrivers_amphora.haproxy.translate_exporter import exporter, proxy
from lbdrivers_amphora.haproxy.translate_pool import backend_lines, pool_mode, servers
from lbdrivers_amphora.haproxy.translate_rules import numbered, policy_lines, redirect_pool_ids, words
from lbdrivers_amphora.haproxy.translate_tls import bind_words, frontend_lines, process_lines, terminates

#: Port of the peers protocol on every amphora (Octavia's constant; its security groups open it).
PEER_PORT = 1025
# Old processes end after this long even when a connection lives on: ten minutes let a long
# download or a WebSocket finish in peace, and bound what a stuck client can hold.
_HARD_STOP = "10m"
# Two sockets a connection, and pipes for splicing in between.
_DESCRIPTORS_PER_CONNECTION = 3
# CIDRs on one line: HAProxy reads 64 words.
_CIDRS_PER_LINE = 32
_MODES = {
    ListenerProtocol.HTTP: "http",
    ListenerProtocol.TCP: "tcp",
    ListenerProtocol.HTTPS: "tcp",
    ListenerProtocol.PROMETHEUS: "http",
    ListenerProtocol.TERMINATED_HTTPS: "http",
}
_DATAGRAM = (ListenerProtocol.UDP, ListenerProtocol.SCTP)


def translate(bundle: Bundle, facts: Facts) -> Configuration:
    """What the HAProxy of this appliance has to do.

    :raises UnsupportedError: names the listener, pool or rule that HAProxy cannot serve, or the version
        that is too old.
    """
    versions.require(facts.haproxy_version)
    tree = bundle.load_balancer
    listeners = _served(tree)
    pools = {pool.id: pool for pool in tree.pools if pool.admin_state_up}
    members: dict[tuple[str, str, bool], tuple[Server, ...]] = {}
    table_peers = f"{tree.id.replace('-', '')}_peers" if bundle.topology is Topology.ACTIVE_STANDBY else None
    frontends: list[Frontend] = []
    backends: list[Backend] = []
    numbers = count(1)
    for listener in listeners:
        frontends.append(_frontend(listener, pools, bundle, facts, numbers))
        for pool_id in _used_pools(listener, pools):
            pool = pools[pool_id]
            mode = pool_mode(pool, _MODES[listener.protocol])
            alike = (pool_id, mode, terminates(listener))
            if alike not in members:
                members[alike] = servers(pool, listener, mode, bundle, facts)
            name = token(f"{pool_id}:{listener.id}")
            lines = backend_lines(pool, listener, mode, bundle.options, facts, table_peers)
            backends.append(Backend(name, lines, members[alike]))
    if any(listener.protocol is ListenerProtocol.PROMETHEUS for listener in listeners):
        frontends.append(exporter())
        backends.append(proxy())
    return Configuration(
        load_balancer_id=token(tree.id),
        process=_process(bundle, listeners, pools, facts),
        defaults=_defaults(bundle, facts),
        peers=_peers(bundle, table_peers, backends),
        frontends=tuple(frontends),
        backends=tuple(backends),
    )


def _served(tree: LoadBalancer) -> tuple[Listener, ...]:
    """The listeners that HAProxy serves: enabled ones over TCP, of an enabled load balancer."""
    if not tree.admin_state_up:
        return ()
    found = tuple(entry for entry in tree.listeners if entry.admin_state_up and entry.protocol not in _DATAGRAM)
    for listener in found:
        if listener.protocol not in _MODES:
            raise UnsupportedError(
                f"the amphora provider does not serve {listener.protocol} listeners yet", object_id=listener.id
            )
    return found


def _used_pools(listener: Listener, pools: dict[str, Pool]) -> tuple[str, ...]:
    """Enabled pools that the listener sends to, each once: the default pool, then redirect targets."""
    default = (listener.default_pool_id,) if listener.default_pool_id in pools else ()
    used = dict.fromkeys((*default, *redirect_pool_ids(listener, pools)))
    return tuple(pool_id for pool_id in used if pool_id is not None)


def _process(bundle: Bundle, listeners: tuple[Listener, ...], pools: dict[str, Pool], facts: Facts) -> tuple[Line, ...]:
    tree, options = bundle.load_balancer, bundle.options
    socket = token(f"{facts.base_path}/{tree.id}.sock")
    asked = sum(max(listener.connection_limit, 0) for listener in listeners)
    # HAProxy takes the lower of this and the system's limit, so that a start never fails for want of descriptors.
    descriptors = max(options.connection_limit, asked) * _DESCRIPTORS_PER_CONNECTION
    lines = [
        words("master-worker"),
        (*words("stats socket"), socket, *words("mode 0600 level admin expose-fd listeners")),
        (*words("server-state-file"), token(f"{facts.base_path}/{tree.id}/servers-state")),
        words(f"fd-hard-limit {descriptors}"),
        words(f"hard-stop-after {_HARD_STOP}"),
        # Nothing here uses HAProxy's own HTTP client, and to verify servers it would read every authority of
        # the system: 50 of the 60 ms that a check, a start and a reload of HAProxy 2.6 take.
        words("httpclient.ssl.verify none"),
    ]
    lines += process_lines(listeners, facts)
    if facts.haproxy_user is not None:
        lines.append((token("user"), token(facts.haproxy_user)))
    if facts.log_socket is not None:
        log = (token("log"), token(facts.log_socket))
        lines += [
            (*log, literal(f"local{options.user_log_facility}")),
            (*log, literal(f"local{options.administrative_log_facility}"), literal("notice")),
        ]
    if facts.isolated_cpus and facts.cpu_count > 1:
        # The first CPU is left to everything else.
        last = facts.cpu_count - 1
        lines += [words(f"nbthread {last}"), words(f"cpu-map auto:1/1-{last} 1-{last}")]
    if any(_pinged(pools[pool_id]) for listener in listeners for pool_id in _used_pools(listener, pools)):
        lines += [words("external-check"), words("insecure-fork-wanted")]
    return tuple(lines)


def _pinged(pool: Pool) -> bool:
    monitor = pool.healthmonitor
    return monitor is not None and monitor.admin_state_up and monitor.type is MonitorType.PING


def _logged(bundle: Bundle, facts: Facts) -> bool:
    return bundle.options.connection_logging and facts.log_socket is not None


def _defaults(bundle: Bundle, facts: Facts) -> tuple[Line, ...]:
    return (
        words("log global" if _logged(bundle, facts) else "no log"),
        words("retries 3"),
        words("option redispatch"),
        words("option splice-auto"),
    )


def _peers(bundle: Bundle, name: str | None, backends: list[Backend]) -> Peers | None:
    """Present only where there is a stick table to share: without one, the replacement of the other
    amphora would reload this one for nothing."""
    if name is None or not any(line[0] == "stick-table" for backend in backends for line in backend.lines):
        return None
    lines = tuple(
        (token("peer"), token(peer_name(peer.amphora_id)), token(endpoint(peer.vrrp_address, PEER_PORT)))
        for peer in bundle.peers
    )
    return Peers(token(name), lines)


def _frontend(
    listener: Listener, pools: dict[str, Pool], bundle: Bundle, facts: Facts, numbers: Iterator[int]
) -> Frontend:
    mode = _MODES[listener.protocol]
    tls = bind_words(listener, bundle, facts)
    lines: list[Line] = [
        (token("bind"), token(endpoint(vip.address, listener.protocol_port)), *tls) for vip in bundle.vips
    ]
    timeout = listener.timeout_client_data or bundle.options.timeout_client_data
    lines += [words(f"mode {mode}"), words(f"timeout client {timeout}")]
    if mode == "http":
        # On a reload, a connection ends with its next answer and is told so; a client that sends a request at
        # the very moment in which an idle one is closed would see it fail.
        lines.append(words("option idle-close-on-response"))
    if delay := listener.timeout_tcp_inspect or bundle.options.timeout_tcp_inspect:
        lines.append(words(f"tcp-request inspect-delay {delay}"))
    lines += _allowed(listener, numbers)
    lines += frontend_lines(listener)
    lines += policy_lines(listener, pools, numbers)
    if listener.default_pool_id in pools:
        lines.append((token("default_backend"), token(f"{listener.default_pool_id}:{listener.id}")))
    elif listener.protocol is ListenerProtocol.PROMETHEUS:
        lines.append((token("default_backend"), token(PROXY_BACKEND)))
    if _logged(bundle, facts):
        tree = bundle.load_balancer
        lines.append((token("log-format"), log_line(bundle.options.log_format, mode, tree.id, tree.project_id)))
    limit = listener.connection_limit if listener.connection_limit > 0 else None
    return Frontend(token(listener.id), limit, tuple(lines))


def _allowed(listener: Listener, numbers: Iterator[int]) -> list[Line]:
    """Refuse the connections of all others. Lines of one ACL name are alternatives (section 7.1)."""
    cidrs = [token(cidr) for cidr in listener.allowed_cidrs or ()]
    if not cidrs:
        return []
    chunks = [cidrs[start : start + _CIDRS_PER_LINE] for start in range(0, len(cidrs), _CIDRS_PER_LINE)]
    lines: list[Line] = [(*words("acl allowed_cidrs src"), *numbered(next(numbers)), *chunk) for chunk in chunks]
    return [*lines, words("tcp-request connection reject unless allowed_cidrs")]
