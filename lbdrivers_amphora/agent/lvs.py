"""keepalived for UDP and SCTP listeners, one process a listener, where the kernel has IPVS.

Law: pure; the routes and words of the API. Without IPVS nothing is stored or started, and the refusal says
what helps. A reload is a restart, as keepalived's own does not bring members back that went down.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from lbdrivers_amphora.agent.effects import (
    Announce,
    AskDataPaths,
    CountServices,
    Exists,
    Finished,
    Forward,
    ListFolder,
    Program,
    ReadFile,
    Remove,
    Rename,
    RunProgram,
    ServicePid,
    StartService,
    StopService,
    WriteFile,
    do,
)
from lbdrivers_amphora.agent.layout import KEEPALIVED, Layout
from lbdrivers_amphora.agent.lvs_checks import UDP_CHECK, health_checker
from lbdrivers_amphora.agent.responses import Response, failure, md5, success
from lbdrivers_amphora.agent.vrrp import harmless
from lbdrivers_amphora.keepalived import lvs_states
from lbdrivers_amphora.nftables.lvs import MASQUERADE
from lbdrivers_amphora.wire.agent_config import ACTIVE_STANDBY
from lbdrivers_amphora.wire.report import ListenerReport, PoolReport
from lbdrivers_amphora.wire.routes import ActOnBalancer, DeleteListeners, GetUdpListener, PutUdpListener

_REMEDY = (
    "the kernel of this appliance has no IPVS: load the module ip_vs, or build the image with a kernel that has it; "
    "UDP works without, with [haproxy_amphora] datagram_driver = nftables"
)
_CONFIG = re.compile(r"octavia-keepalivedlvs-(.+)\.conf")
_GROUP = re.compile(r"virtual_server_group\s+\S+\s*\{([^}]*)\}")
# ``keepalived -t`` ends with 6 for remarks on the safety of scripts only (observed with keepalived 2.2.7).
_ACCEPTABLE = (0, 6)


def listeners(layout: Layout) -> Program[tuple[str, ...]]:
    """Ids of the listeners that there is a file for."""
    names = yield from do(ListFolder(layout.lvs))
    return tuple(found[1] for found in map(_CONFIG.fullmatch, names) if found)


def serves(layout: Layout, listener_id: str) -> Program[bool]:
    """Whether the object of that id is a listener of ours."""
    return (yield from do(Exists(layout.lvs_config(listener_id))))


def put(layout: Layout, request: PutUdpListener) -> Program[Response]:
    """Check the file and swap it in; starts nothing."""
    if "ipvs" not in (yield from do(AskDataPaths())):
        return failure(501, "Not Implemented", _REMEDY)
    path = layout.lvs_config(request.listener_id)
    if (yield from do(ReadFile(path))) != request.content:
        yield from do(WriteFile(f"{layout.lvs_checks}/udp_check.sh", UDP_CHECK.encode(), 0o700))
        yield from do(WriteFile(f"{layout.lvs_checks}/amphora-health-checker", health_checker().encode(), 0o700))
        yield from do(WriteFile(f"{path}.new", request.content, 0o644))
        checked = yield from do(RunProgram((*KEEPALIVED, "-t", "-f", f"{path}.new"), inside=True, accept=_ACCEPTABLE))
        if not checked.ok and not harmless(checked.words):
            yield from do(Rename(f"{path}.new", f"{path}.new-failed"))
            return failure(400, "Invalid request", checked.words)
        yield from do(Rename(f"{path}.new", path))
    return success(200, etag=md5(request.content))


def get(layout: Layout, request: GetUdpListener) -> Program[Response]:
    """The text that is wanted."""
    text = yield from do(ReadFile(layout.lvs_config(request.listener_id)))
    return _unknown(request.listener_id) if text is None else Response(200, text)


def _unknown(listener_id: str) -> Response:
    return failure(404, "UDP Listener Not Found", f"No UDP listener with UUID: {listener_id}")


def act(layout: Layout, request: ActOnBalancer) -> Program[Response]:
    """Start, stop or restart."""
    listener_id, action = request.object_id, "restart" if request.action == "reload" else request.action
    daemon = layout.keepalived_lvs(listener_id)
    text = yield from do(ReadFile(layout.lvs_config(listener_id)))
    if text is None:
        return _unknown(listener_id)
    outcome = Finished(ok=True)
    if action in ("stop", "restart"):
        outcome = yield from do(StopService(daemon))
    if outcome.ok and action in ("start", "restart"):
        outcome = yield from _start(layout, listener_id)
    if not outcome.ok:
        return failure(500, f"Failed to {action} keepalivedlvs listener {listener_id}", outcome.words)
    if action != "stop" and layout.config.loadbalancer_topology != ACTIVE_STANDBY:
        yield from do(Announce(addresses(text.decode(errors="replace"))))
    return success(202, f"keepalivedlvs listener {listener_id} {action}ed", transition="restart")


def _start(layout: Layout, listener_id: str) -> Program[Finished]:
    """Members answer to the appliance, so that datagrams leave under its own address."""
    yield from do(WriteFile(layout.lvs_masquerade, MASQUERADE.encode()))
    outcome = yield from do(RunProgram(("nft", "-f", layout.lvs_masquerade), inside=True))
    if outcome.ok:
        yield from do(Forward(enabled=True))
        outcome = yield from do(StartService(layout.keepalived_lvs(listener_id)))
    return outcome


def addresses(text: str) -> tuple[str, ...]:
    """Addresses of the groups of virtual servers."""
    rows = (row.split() for group in _GROUP.findall(text) for row in group.splitlines())
    return tuple(dict.fromkeys(row[0] for row in rows if row))


def delete(layout: Layout, request: DeleteListeners) -> Program[Response]:
    """Stop keepalived and remove all of the listener."""
    daemon = layout.keepalived_lvs(request.object_id)
    outcome = yield from do(StopService(daemon))
    if not outcome.ok:
        return failure(500, "Error stopping keepalivedlvs", outcome.words)
    for path in (layout.lvs_config(request.object_id), *(copy for _, copy in daemon.applied), daemon.log_file):
        yield from do(Remove(path))
    return success(200)


def running(layout: Layout) -> Program[dict[str, bytes]]:
    """The files of the listeners whose keepalived runs, by listener id."""
    found: dict[str, bytes] = {}
    for listener_id in (yield from listeners(layout)):
        daemon = layout.keepalived_lvs(listener_id)
        pid = yield from do(ServicePid(daemon))
        text = yield from do(ReadFile(daemon.applied[0][1]))
        if pid is not None and text is not None:
            found[listener_id] = text
    return found


def reports(layout: Layout) -> Program[tuple[Mapping[str, ListenerReport], Mapping[str, PoolReport], dict[str, str]]]:
    """Listeners and pools that IPVS balances, and the revisions of their files."""
    found = yield from running(layout)
    if not found:
        return {}, {}, {}
    revisions = {f"octavia-keepalivedlvs-{one}.conf": md5(text) for one, text in found.items()}
    texts = {listener_id: text.decode(errors="replace") for listener_id, text in found.items()}
    described = {listener_id: lvs_states.describe(text) for listener_id, text in texts.items()}
    counted = yield from do(CountServices(layout.counters, described))
    if counted is None:
        return {}, {}, revisions
    listeners, pools = lvs_states.reports(texts.items(), *counted)
    return listeners, pools, revisions
