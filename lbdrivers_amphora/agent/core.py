"""The agent's decisions: a request becomes a program of effects that ends in a response.

Law: pure. Which program serves which request is one table; what is not in it is not served.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lbdrivers_amphora.agent import balancers, certificates, datagrams, exporter, lvs, plugging, reports, vrrp
from lbdrivers_amphora.agent.effects import CheckCredential, Program, Reconfigure, WriteFile, do
from lbdrivers_amphora.agent.interfaces import LOOPBACK, render
from lbdrivers_amphora.agent.layout import PING_WRAPPER, UNPRIVILEGED_GROUP, Layout
from lbdrivers_amphora.agent.responses import Response, failure, success
from lbdrivers_amphora.wire import agent_config, routes
from lbdrivers_amphora.wire.fields import Malformed
from lbdrivers_amphora.wire.plugging import PlugNetwork, PlugVip, UnplugNetwork
from lbdrivers_amphora.wire.request import Request


def _version(layout: Layout, request: routes.DiscoverVersion) -> Program[Response]:
    del layout, request
    yield from ()
    return Response(200, {"api_version": reports.API_VERSION})


def _put_config(layout: Layout, request: routes.PutConfig) -> Program[Response]:
    """Keep the new configuration and let its mutable options work at once."""
    try:
        config, _ = agent_config.parse(request.content.decode())
    except (Malformed, UnicodeDecodeError) as error:
        return failure(500, "Unable to update amphora-agent configuration.", str(error))
    if config.amphora_id != layout.config.amphora_id:
        words = f"this is amphora {layout.config.amphora_id}, not {config.amphora_id}"
        return failure(500, "Unable to update amphora-agent configuration.", words)
    yield from do(Reconfigure(request.content))
    return success(202)


def _put_certificate(layout: Layout, request: routes.PutServerCertificate) -> Program[Response]:
    """Keep the new certificate; the next handshake uses it. One without its key would lock everybody out."""
    checked = yield from do(CheckCredential(request.content))
    if not checked.ok:
        return failure(400, "Invalid request", checked.words)
    yield from do(WriteFile(layout.config.agent_server_cert, request.content))
    return success(202)


def _act(layout: Layout, request: routes.ActOnBalancer) -> Program[Response]:
    """The object is a listener where keepalived balances datagrams, else a load balancer."""
    if (yield from lvs.serves(layout, request.object_id)):
        return (yield from lvs.act(layout, request))
    return (yield from exporter.beside(layout, balancers.act(layout, request)))


def _delete(layout: Layout, request: routes.DeleteListeners) -> Program[Response]:
    if (yield from lvs.serves(layout, request.object_id)):
        return (yield from lvs.delete(layout, request))
    return (yield from exporter.beside(layout, balancers.delete(layout, request)))


def _listed(layout: Layout) -> Program[Response]:
    """Every listener, whoever serves it."""
    entries = yield from balancers.listed(layout)
    return Response(200, [*entries, *(yield from datagrams.listed(layout))])


#: request -> program. A program that only looks runs beside others; see ``LOOKS``.
_PROGRAMS: dict[type[Request], Callable[[Layout, Any], Program[Response]]] = {
    routes.DiscoverVersion: _version,
    routes.GetInfo: lambda _layout, _request: reports.info(),
    routes.GetDetails: lambda layout, _request: reports.details(layout),
    routes.GetStatistics: lambda layout, _request: reports.statistics(layout),
    routes.GetRevisions: lambda layout, _request: reports.revisions(layout),
    routes.UploadHaproxy: balancers.upload,
    routes.GetHaproxy: balancers.get,
    routes.ActOnBalancer: _act,
    routes.DeleteListeners: _delete,
    routes.ListListeners: lambda layout, _request: _listed(layout),
    routes.PutCertificate: certificates.put,
    routes.GetCertificate: certificates.get,
    routes.DeleteCertificate: certificates.delete,
    PlugVip: plugging.plug_vip,
    PlugNetwork: plugging.plug_network,
    UnplugNetwork: plugging.unplug,
    routes.UploadKeepalived: vrrp.upload,
    routes.ActOnKeepalived: vrrp.act,
    routes.FindInterface: lambda _layout, request: plugging.find_interface(request),
    routes.PutUdpListener: lvs.put,
    routes.GetUdpListener: lvs.get,
    routes.PutDatagrams: datagrams.put,
    routes.GetDatagrams: datagrams.get,
    routes.DeleteDatagrams: datagrams.delete,
    routes.PutConfig: _put_config,
    routes.PutServerCertificate: _put_certificate,
}

#: Requests that change nothing and need not wait for those that do.
LOOKS: frozenset[type[Request]] = frozenset(
    {
        routes.DiscoverVersion,
        routes.GetInfo,
        routes.GetDetails,
        routes.GetStatistics,
        routes.GetRevisions,
        routes.GetHaproxy,
        routes.ListListeners,
        routes.GetCertificate,
        routes.GetDatagrams,
        routes.GetUdpListener,
        routes.FindInterface,
    }
)


def served() -> frozenset[type[Request]]:
    """Every request that has a program."""
    return frozenset(_PROGRAMS)


def program(layout: Layout, request: Request) -> Program[Response]:
    """What to do about a request."""
    return _PROGRAMS[type(request)](layout, request)


def boot(layout: Layout, *, unprivileged: bool) -> Program[tuple[str, ...]]:
    """What the agent does when it starts: files that it owns, links and rules of an earlier life.

    :returns: what could not be restored, for the log.
    """
    group = "" if unprivileged else f"    group {UNPRIVILEGED_GROUP}\n"
    yield from do(WriteFile(layout.user_group, f"global\n{group}".encode(), 0o644))
    yield from do(WriteFile(layout.ping_wrapper, PING_WRAPPER.encode(), 0o755))
    yield from do(WriteFile(layout.interface(LOOPBACK.name), render(LOOPBACK), 0o644))
    yield from balancers.refresh_check(layout)
    troubles = yield from plugging.restore(layout)
    return (*troubles, *(yield from datagrams.restore(layout)))
