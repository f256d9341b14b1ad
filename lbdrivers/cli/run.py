"""Runs one command: opens a session, turns every error into words and an exit status.

Law: errors are told here and nowhere else; a traceback is a bug.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import sys

from lbdrivers import settings
from lbdrivers.cli import commands
from lbdrivers.cli.output import Output
from lbdrivers.cli.session import Session, temporary_state
from lbdrivers.errors import DriverError, InvalidInput
from lbdrivers.settings.declared import declared

LOG = logging.getLogger(__name__)
OK, FAILURE, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130
#: Commands that look at nothing outside, so that nothing has to be prepared for them.
_PASSIVE = frozenset({"drivers"})


def run(arguments: argparse.Namespace) -> int:
    """:returns: the exit status."""
    level = (logging.CRITICAL, logging.INFO, logging.DEBUG)[min(arguments.verbose, 2)]
    logging.basicConfig(level=level, format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    output = Output(as_json=arguments.json, verbose=arguments.verbose > 0)
    try:
        return _run(arguments, output)
    except InvalidInput as error:
        output.fail(error)
        return BAD_INPUT
    except DriverError as error:
        output.fail(error)
        return FAILURE
    except KeyboardInterrupt:
        output.complain("interrupted; what was begun is remembered: run the same command again to complete it")
        return INTERRUPTED
    except BrokenPipeError:
        # The reader went away (`| head`). Python would complain once more when it flushes at exit.
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILURE


def _run(arguments: argparse.Namespace, output: Output) -> int:
    if arguments.command == "conformance" and arguments.state is None:
        arguments.state = temporary_state()
    session = Session(arguments.config_file, arguments.state, output.steps.report, output.notice)
    try:
        if arguments.command not in _PASSIVE:
            session.start()
        # After start hooks: one of them may start this command anew.
        _tell(settings.examine(arguments.config_file), output)
        return commands.TABLE[arguments.command](session, output, arguments)
    finally:
        session.close()


def _tell(found: settings.Findings, output: Output) -> None:
    """What configuration files say that is not done: outdated options always, others in the log."""
    output.warn(found.warning())
    if found.known and LOG.isEnabledFor(logging.INFO) and (note := found.note(declared())):
        LOG.info("%s", note)
