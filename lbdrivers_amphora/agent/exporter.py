"""The program that answers PROMETHEUS listeners: it runs exactly while a configuration leads to it.

Law: pure. Looked at after everything that changes what HAProxy serves.
"""

from __future__ import annotations

from lbdrivers_amphora.agent.balancers import balancers
from lbdrivers_amphora.agent.effects import Program, ReadFile, ServicePid, StartService, StopService, do
from lbdrivers_amphora.agent.layout import Layout
from lbdrivers_amphora.agent.responses import Response, failure
from lbdrivers_amphora.haproxy.metrics import PROXY_BACKEND


def beside(layout: Layout, change: Program[Response]) -> Program[Response]:
    """The change, and then the program as the configurations now want it."""
    response = yield from change
    service = layout.prometheus_proxy()
    runs = (yield from do(ServicePid(service))) is not None
    wanted = yield from _wanted(layout)
    if wanted == runs:
        return response
    outcome = yield from do(StartService(service) if wanted else StopService(service))
    if not outcome.ok and response.status < 400:
        return failure(500, f"Error {'starting' if wanted else 'stopping'} prometheus-proxy", outcome.words)
    return response


def _wanted(layout: Layout) -> Program[bool]:
    for balancer in (yield from balancers(layout)):
        text = yield from do(ReadFile(layout.haproxy_applied(balancer)))
        if text is not None and f"\nbackend {PROXY_BACKEND}\n".encode() in text:
            return True
    return False
