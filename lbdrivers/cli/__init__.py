"""The ``lbdrivers`` command.

Law: this file parses arguments and imports nothing else, so that ``--help`` and a mistyped option
answer at once; what works is imported by the command that needs it. Exit status: 0 done, 1 failure,
2 bad input, 130 interrupted.
"""

from __future__ import annotations

import argparse
import gc
from collections.abc import Sequence
from pathlib import Path

_DESCRIPTION = "Describe a load balancer in a file; make it run, and keep it running."
_EPILOG = "Exit status: 0 done, 1 failure, 2 bad input, 130 interrupted. NO_COLOR switches colours off."
_LATE = "late_"
#: Objects made, less those gone, between two collections of the youngest garbage.
_COLLECT_AFTER = 50_000
_SUBJECT = "name or id of a load balancer"

#: command -> one line of help, and its positional argument with help (or None).
COMMANDS: dict[str, tuple[str, tuple[str, str] | None]] = {
    "apply": ("make what a file describes", ("file", "YAML or JSON document; - reads standard input")),
    "plan": ("say what apply would do, and how much it would disturb", ("file", "as for apply")),
    "list": ("list the load balancers", None),
    "show": ("draw one with its statuses and appliances", ("subject", _SUBJECT)),
    "observe": ("compare what runs with what was applied; status 1 when they differ", ("subject", _SUBJECT)),
    "stats": ("the statistics of one, by listener", ("subject", _SUBJECT)),
    "top": ("watch load balancers, appliances, rates and statuses live", None),
    "failover": ("bring one back to full redundancy on new appliances", ("subject", _SUBJECT)),
    "delete": ("remove one with everything that it has", ("subject", _SUBJECT)),
    "maintain": ("renew certificates that near their end, and whatever else ages, of all load balancers", None),
    "orphans": ("list load balancers, machines and ports in the backends that belong to nothing here", None),
    "worker": ("work on whatever is due, from the store or a jobboard, until SIGTERM", None),
    "health-manager": ("hear heartbeats, keep statuses, fail over who falls silent, until SIGTERM", None),
    "housekeeping": ("maintain every load balancer in turn and report orphans, until SIGTERM", None),
    "ovn-agent": ("hear what happens in OVN and have its load balancers follow, until SIGTERM", None),
    "drivers": ("list the installed drivers, broken ones with their cause", None),
    "networks": ("list the networks that a document can refer to", None),
    "conformance": ("hold a provider to the laws of its contract", ("name", "provider; see: lbdrivers drivers")),
}
#: command -> its switches with their help.
_SWITCHES: dict[str, dict[str, str]] = {
    "apply": {"--repair": "look at what runs, too, and mend what has drifted"},
    "top": {"--once": "two looks, one report; so it is, too, where standard output is no terminal, and with --json"},
    "failover": {"--outdated": "replace those alone that would be built otherwise today, from another image"},
    "orphans": {"--remove": "remove those that a record proves to be our own"},
}

#: Commands that work until a signal ends them.
_DAEMONS = ("worker", "health-manager", "housekeeping", "ovn-agent")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command. :returns: its exit status."""
    parsed = parse(arguments)
    # Importing makes many objects and hardly any garbage: looking for it each 700 objects is 6 % of the start.
    gc.set_threshold(_COLLECT_AFTER)
    try:
        from lbdrivers.cli.run import run

        return run(parsed)
    except KeyboardInterrupt:  # while modules were imported: nothing was begun
        return 130


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The arguments, those before and after the command joined. Exits with 2 when they make no sense."""
    parsed = parser().parse_args(arguments)
    parsed.config_file = [*parsed.config_file, *getattr(parsed, f"{_LATE}config_file")]
    parsed.state = getattr(parsed, f"{_LATE}state") or parsed.state
    parsed.verbose += getattr(parsed, f"{_LATE}verbose")
    return parsed


def parser() -> argparse.ArgumentParser:
    """Everything that can be said on the command line."""
    root = argparse.ArgumentParser(prog="lbdrivers", description=_DESCRIPTION, epilog=_EPILOG)
    _add_common(root)
    commands = root.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, (text, positional) in COMMANDS.items():
        command = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".", epilog=_EPILOG)
        if positional is not None:
            command.add_argument(positional[0], metavar=positional[0].upper(), help=positional[1])
        for option, text in _SWITCHES.get(name, {}).items():
            command.add_argument(option, action="store_true", help=text)
        if name in ("apply", "failover", "delete"):
            text = "seconds to wait for the result (default: %(default)s)"
            command.add_argument("--timeout", type=_seconds, default=300.0, metavar="SECONDS", help=text)
        if name == "top":
            text = "seconds between two looks (default: %(default)s)"
            command.add_argument("--interval", type=_seconds, default=1.0, metavar="SECONDS", help=text)
        if name == "failover":
            text = "replace this appliance alone; may be repeated, and the beginning of its id is enough"
            command.add_argument("--amphora", action="append", default=[], metavar="ID", help=text)
        if name == "orphans":
            text = "provider to ask (default: every one that serves a load balancer, and the default one)"
            command.add_argument("--provider", metavar="NAME", help=text)
        if name in _DAEMONS:
            text = "serve /metrics (Prometheus) and /health (JSON) there, such as 127.0.0.1:9557"
            command.add_argument("--metrics", metavar="ADDRESS:PORT", help=text)
        if name == "networks":
            command.add_argument("--driver", default="local", help="network driver to ask (default: %(default)s)")
        if name == "conformance":
            _add_conformance(command)
        command.add_argument("--json", action="store_true", help="answer with one JSON object")
        _add_common(command, _LATE)
    return root


def _add_conformance(command: argparse.ArgumentParser) -> None:
    text = "random histories of edits to try; each makes a load balancer (default: %(default)s)"
    command.add_argument("--histories", type=_count, default=20, metavar="N", help=text)
    text = "YAML file: ids and addresses that trees may use on this backend (fields of lbdrivers.testing Surroundings)"
    command.add_argument("--around", type=Path, metavar="FILE", help=text)
    text = "seconds to wait for each change before it counts as broken (default: %(default)s)"
    command.add_argument("--timeout", type=_seconds, default=60.0, metavar="SECONDS", help=text)


def _add_common(target: argparse.ArgumentParser, prefix: str = "") -> None:
    """Options that may stand before or after the command; argparse keeps the two places apart by ``prefix``."""
    text = "configuration file; may be repeated, later ones win"
    target.add_argument(
        "--config-file", dest=f"{prefix}config_file", action="append", default=[], type=Path, metavar="FILE", help=text
    )
    text = "folder for everything that must survive a command (default: $LBDRIVERS_STATE_PATH, or /var/lib/lbdrivers)"
    target.add_argument("--state", dest=f"{prefix}state", type=Path, metavar="PATH", help=text)
    text = "log, and tell the whole chain of causes of an error; twice: more"
    target.add_argument("-v", "--verbose", dest=f"{prefix}verbose", action="count", default=0, help=text)


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 < value < 1e9:
        raise ValueError
    return value


def _count(text: str) -> int:
    value = int(text)
    if not 0 < value <= 10**6:
        raise ValueError
    return value
