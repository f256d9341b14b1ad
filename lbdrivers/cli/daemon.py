"""Daemons of drivers, such as ``lbdrivers health-manager``: they work until a signal says stop.

Law: SIGTERM and SIGINT let it write down what it has, then it ends with 0; the second one ends it at once.
"""

from __future__ import annotations

import logging

from lbdrivers import registry
from lbdrivers.cli.exposition import exposed
from lbdrivers.cli.output import Output
from lbdrivers.cli.session import Session
from lbdrivers.cli.signals import until_signalled
from lbdrivers.reconcile.daemon import Daemon, DaemonContext


def serve(session: Session, output: Output, name: str, metrics: str | None) -> int:
    """Let the daemon of that name work; ``metrics`` is where it shows itself, if anywhere."""
    if logging.getLogger().level > logging.WARNING:
        # What it complains of it says through the output; the log would say it twice.
        logging.getLogger("lbdrivers").setLevel(logging.WARNING)
    daemon: Daemon = registry.daemon(name)
    with until_signalled() as stop:
        context = DaemonContext(session.context, session.store, session.engine, stop, output.say, output.complain)
        with exposed(context.exposure, metrics) as address:
            if address:
                output.say(f"metrics and health at http://{address}")
            daemon(context)
    output.answer({"ended": True})
    return 0
