"""What the appliance says of itself: info, details, and statistics on demand.

Law: pure. Reads files, sockets and processes as they are now; nothing is remembered but totals.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from lbdrivers_amphora.agent import balancers, certificates, datagrams, lvs, states
from lbdrivers_amphora.agent.effects import (
    AskDataPaths,
    AskSystem,
    AskVersions,
    AskWorkers,
    CountTotals,
    Exists,
    LinkCounters,
    ListAddresses,
    Program,
    ReadFile,
    ServicePid,
    do,
)
from lbdrivers_amphora.agent.layout import Layout
from lbdrivers_amphora.agent.plugging import interface_files, plugged
from lbdrivers_amphora.agent.responses import Response, md5
from lbdrivers_amphora.haproxy.stats import ProcessStatistics, parse_statistics
from lbdrivers_amphora.wire.report import Applied, Extras, ListenerReport, PoolReport, Report

API_VERSION = "1.0"
#: Datagram socket of the appliance's log daemon.
LOG_SOCKET = "/run/rsyslog/octavia/log"
CAPABILITIES = ("applied", "death-notice", "revisions", "runtime", "statistics", "unplug")

_RUNNING, _STOPPED = "RUNNING", "STOPPED"
_TUNED_PROFILE_LIMIT = 1024
#: /proc/meminfo name -> key of the details.
_MEMORY = {
    "MemTotal": "total",
    "MemFree": "free",
    "Buffers": "buffers",
    "Cached": "cached",
    "SwapCached": "swap_used",
    "Shmem": "shared",
    "Slab": "slab",
}


def info() -> Program[Response]:
    """Versions of what runs here."""
    return Response(200, (yield from _info()))


def _info() -> Program[dict[str, object]]:
    versions = yield from do(AskVersions())
    return {
        "hostname": versions.hostname,
        "haproxy_version": versions.haproxy,
        "api_version": API_VERSION,
        "keepalived_version": versions.keepalived,
        "ipvsadm_version": versions.ipvsadm,
    }


def details(layout: Layout) -> Program[Response]:
    """Everything about the appliance: versions, load, networks."""
    content = yield from _info()
    system = yield from do(AskSystem())
    counters = yield from do(LinkCounters())
    running, listeners = yield from _processes(layout)
    profile = (yield from do(ReadFile("/etc/tuned/active_profile"))) or b""
    content |= {
        "networks": {
            name: {"network_tx": sent, "network_rx": received}
            for name, (sent, received) in counters.items()
            if name.startswith("eth")
        },
        "active": True,
        "haproxy_count": running,
        "lvs_listener_process_count": len((yield from lvs.running(layout))),
        "cpu_count": system.cpu_count,
        "cpu": processor_times((yield from do(ReadFile("/proc/stat"))) or b""),
        "memory": memory((yield from do(ReadFile("/proc/meminfo"))) or b""),
        "disk": {"used": system.disk_used, "available": system.disk_available},
        "load": [f"{value:.2f}" for value in system.load],
        "active_tuned_profiles": profile.decode(errors="replace")[:_TUNED_PROFILE_LIMIT].strip(),
        # Constants of the API, whatever the topology is.
        "topology": "SINGLE",
        "topology_status": "OK",
        "listeners": sorted(listeners),
        "packages": {},
        "lbdrivers": asdict((yield from _extras(layout, unprivileged=system.unprivileged))),
    }
    return Response(200, content)


def _extras(layout: Layout, *, unprivileged: bool) -> Program[Extras]:
    logs = yield from do(Exists(LOG_SOCKET))
    return Extras(
        base_path=layout.config.base_path,
        certificate_path=layout.config.base_cert_dir,
        log_socket=LOG_SOCKET if logs else None,
        haproxy_user=None if unprivileged else "nobody",
        capabilities=(*CAPABILITIES, *sorted((yield from do(AskDataPaths())))),
        interfaces=(yield from plugged()),
    )


def _processes(layout: Layout) -> Program[tuple[int, set[str]]]:
    """How many HAProxies run, and the listeners that are configured."""
    running, listeners = 0, set[str]()
    for balancer in (yield from balancers.balancers(layout)):
        pid = yield from do(ServicePid((yield from balancers.service(layout, balancer))))
        running += pid is not None
        text = (yield from do(ReadFile(layout.haproxy_config(balancer)))) or b""
        listeners |= {entry["uuid"] for entry in balancers.frontends(text.decode())}
    return running, listeners | {entry["uuid"] for entry in (yield from datagrams.listed(layout))}


def processor_times(text: bytes) -> dict[str, object]:
    """The first row of /proc/stat (proc(5)): jiffies since boot."""
    fields = text.decode().partition("\n")[0].split()[1:]
    if len(fields) < 7:
        return {"total": 0, "user": "0", "system": "0", "soft_irq": "0"}
    return {"total": sum(map(int, fields)), "user": fields[0], "system": fields[2], "soft_irq": fields[6]}


def memory(text: bytes) -> dict[str, int]:
    """Figures of /proc/meminfo in kB."""
    rows = dict(line.split(":", 1) for line in text.decode().splitlines() if ":" in line)
    return {key: int(rows.get(name, "0").split()[0]) for name, key in _MEMORY.items()}


def statistics(layout: Layout) -> Program[Response]:
    """The content of a heartbeat, with totals and revisions, measured right now."""
    return Response(200, (yield from report(layout)).to_json())


def revisions(layout: Layout) -> Program[Response]:
    """What is applied, without a look at members, of which there may be many: it is asked before each change."""
    running = yield from _daemons(layout)
    passed = yield from datagrams.reports(layout)
    found = Applied(
        layout.config.amphora_id, running.haproxy, running.keepalived, {**running.revisions, **passed.revisions}
    )
    return Response(200, found.to_json())


def report(layout: Layout) -> Program[Report]:
    """What is measured, for whoever asks and for heartbeats: what is added here is in both."""
    listeners: dict[str, ListenerReport] = {}
    pools: dict[str, PoolReport] = {}
    running = yield from _daemons(layout)
    for balancer in running.pids:
        found = yield from _measure(layout, balancer)
        listeners |= found[0]
        pools |= found[1]
    passed = yield from datagrams.reports(layout)
    return Report(
        amphora_id=layout.config.amphora_id,
        haproxy=running.haproxy,
        keepalived=running.keepalived,
        holds_vip=(yield from _holds_vip(layout)),
        listeners=listeners | dict(passed.listeners),
        pools=pools | dict(passed.pools),
        revisions={**running.revisions, **passed.revisions},
        haproxy_pids=tuple(running.pids.values()),
    )


@dataclass(frozen=True)
class _Daemons:
    """Which run, and with what. :param pids: of HAProxy, by load balancer."""

    pids: Mapping[str, int]
    keepalived: str
    revisions: Mapping[str, str]

    @property
    def haproxy(self) -> str:
        return _RUNNING if self.pids else _STOPPED


def _daemons(layout: Layout) -> Program[_Daemons]:
    pids: dict[str, int] = {}
    applied: dict[str, str] = {}
    for balancer in (yield from balancers.balancers(layout)):
        pid = yield from do(ServicePid((yield from balancers.service(layout, balancer))))
        if pid is not None:
            pids[balancer] = pid
            applied |= yield from _revisions(layout, balancer)
    keepalived = yield from do(ServicePid(layout.keepalived()))
    if keepalived is not None:
        applied |= yield from _revision("keepalived.conf", layout.keepalived_config, layout.keepalived_applied)
    return _Daemons(pids, _STOPPED if keepalived is None else _RUNNING, applied)


def _revisions(layout: Layout, balancer: str) -> Program[dict[str, str]]:
    found = yield from certificates.kept(layout, balancer)
    own = yield from _revision("haproxy.cfg", layout.haproxy_config(balancer), layout.haproxy_applied(balancer))
    return {**found} | own


def _revision(name: str, path: str, applied: str) -> Program[dict[str, str]]:
    """Of what the daemon runs with, as long as its file says the same: the next start would read the file."""
    text = yield from do(ReadFile(applied))
    return {} if text is None or text != (yield from do(ReadFile(path))) else {name: md5(text)}


def _measure(layout: Layout, balancer: str) -> Program[tuple[Mapping[str, ListenerReport], Mapping[str, PoolReport]]]:
    texts = yield from do(AskWorkers(layout.socket(balancer), layout.master_socket(balancer)))
    if not texts:
        return {}, {}
    workers = {worker: parse_statistics(text) for worker, text in texts.items()}
    counted = {worker: states.counted(found) for worker, found in workers.items()}
    totals = yield from do(CountTotals(layout.counters, balancer, counted))
    current: ProcessStatistics = next(iter(workers.values()))
    applied = yield from do(ReadFile(layout.haproxy_applied(balancer)))
    known = None if applied is None else states.servers(applied)
    return states.listener_reports(current, totals), states.pool_reports(current, known)


def _holds_vip(layout: Layout) -> Program[bool]:
    """Whether the primary VIP, which the interface file names first, is on an interface."""
    files = yield from interface_files(layout)
    primary = next((file.vips[0] for file in files if file.vips), None)
    if primary is None:
        return False
    return primary in (yield from do(ListAddresses()))
