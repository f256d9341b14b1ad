"""Tells an appliance how to balance datagrams.

Law: what the appliance reports as applied is not sent again; what is not wanted any more is removed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping

from lbdrivers.drivers.provider import Mildness
from lbdrivers_amphora.client_transport import Answer
from lbdrivers_amphora.decide.datagrams import REVISION, Datagrams, file_name, listener_of
from lbdrivers_amphora.wire import routes
from lbdrivers_amphora.wire.request import Request

#: Asks an appliance for something, in words for the error; its answer is a good one.
Demand = Callable[[Request, str], Answer]


def configure(
    demand: Demand, amphora_id: str, balancer: str, wanted: Datagrams, revisions: Mapping[str, str]
) -> Iterator[Answer | Mildness]:
    """Make it so, step by step. Gives each answer that says how it was done, and what else was."""
    if wanted.configuration is None and REVISION in revisions:
        demand(routes.DeleteDatagrams(balancer), "end balancing datagrams")
        yield Mildness.RUNTIME
    gone = [one for one in map(listener_of, revisions) if one is not None and one not in wanted.files]
    for listener_id in gone:
        demand(routes.DeleteListeners(listener_id), "stop keepalived for a listener")
        yield Mildness.RESTART
    stale = {name for name, text in wanted.texts.items() if revisions.get(name) != _md5(text)}
    if wanted.configuration is not None and REVISION in stale:
        yield demand(routes.PutDatagrams(balancer, wanted.configuration), "balance datagrams")
    for listener_id, text in wanted.files.items():
        if file_name(listener_id) in stale:
            demand(routes.PutUdpListener(amphora_id, listener_id, text), "upload a listener's keepalived configuration")
            yield demand(routes.ActOnBalancer(listener_id, "reload"), "reload keepalived for a listener")


def _md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()
