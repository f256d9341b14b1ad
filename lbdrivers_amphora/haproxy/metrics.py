"""What HAProxy's Prometheus exporter says -> the same in the load balancer's own terms.

Law: pure. A metric is renamed by its family, its labels with it; what concerns the appliance's process
and not its traffic, and the exporter's own proxies, are left out. Names are those of Octavia's amphorae.

Source: Prometheus' text format 0.0.4; HAProxy's exporter (README of its PROMEX addon).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

#: Where HAProxy's own exporter is, and the program that renames: loopback ports in the namespace of traffic.
EXPORTER_PORT, PROXY_PORT = 9101, 9102
METRICS_PATH = "/metrics"
#: What the names of everything begin with that only exports.
EXPORTER = "prometheus-exporter"
#: The backend that leads to the program.
PROXY_BACKEND = f"{EXPORTER}-internal"
#: Beginning of a name -> the new beginning, and the labels to rename.
_FAMILIES: tuple[tuple[str, str, Mapping[str, str]], ...] = (
    ("haproxy_process_pool_", "octavia_memory_pool_", {}),
    ("haproxy_process_", "octavia_loadbalancer_", {}),
    ("haproxy_frontend_", "octavia_listener_", {"proxy": "listener"}),
    ("haproxy_backend_", "octavia_pool_", {"proxy": "pool"}),
    ("haproxy_server_", "octavia_member_", {"proxy": "pool", "server": "member"}),
)
_RENAMED = {
    "haproxy_backend_active_servers": "octavia_pool_active_members",
    "haproxy_backend_backup_servers": "octavia_pool_backup_members",
    "haproxy_backend_server_aborts_total": "octavia_pool_member_aborts_total",
}
#: What of the process concerns its users: memory, connections, requests, rates, TLS, compression, logs.
_OF_THE_PROCESS = re.compile(
    "haproxy_process_(?:pool_.*"
    "|(?:max_|current_|limit_)?(?:ssl_)?connections(?:_total)?"
    "|requests_total"
    "|(?:max_|current_|limit_)?(?:connection|session|ssl|frontend_ssl_key|backend_ssl_key)_rate"
    "|frontend_ssl_reuse|ssl_cache_(?:lookups|misses)_total"
    "|http_comp_bytes_(?:in|out)_total|limit_http_comp"
    "|listeners|dropped_logs_total)"
)
_LINE = re.compile(r"(# (?:HELP|TYPE) )?(\w+)(\{.*\})?( .*)")
_LABEL = re.compile(r'(\w+)(="(?:[^"\\]|\\.)*")')


def translated(lines: Iterable[str]) -> Iterator[str]:
    """The lines, without their ends, that are left, renamed.

    :raises ValueError: names a line that is not of the text format.
    """
    for line in lines:
        if line and EXPORTER not in line:
            renamed = _renamed(line)
            if renamed is not None:
                yield renamed


def _renamed(line: str) -> str | None:
    """None for what is left out."""
    found = _LINE.fullmatch(line)
    if found is None:
        raise ValueError(f"{line[:80]!r} is no line of Prometheus' text format")
    comment, name, labels, rest = found.groups(default="")
    if name.startswith("haproxy_process_") and not _OF_THE_PROCESS.fullmatch(name):
        return None
    for beginning, replacement, names in _FAMILIES:
        if name.startswith(beginning):
            new = _RENAMED.get(name, replacement + name.removeprefix(beginning))
            return f"{comment}{new}{_labels(labels, names)}{rest}"
    return None


def _labels(text: str, names: Mapping[str, str]) -> str:
    return _LABEL.sub(lambda found: names.get(found[1], found[1]) + found[2], text)


def gauge(name: str, help_text: str, value: float) -> Iterator[str]:
    """The lines of one gauge."""
    yield f"# HELP {name} {help_text}"
    yield f"# TYPE {name} gauge"
    yield f"{name} {value:.1f}"
