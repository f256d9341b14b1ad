"""What a configuration decides about a running HAProxy, as the process itself reports it.

Law: two processes that do the same report the same here. Left out is what only time and traffic decide
(counters, results of checks), the order of servers, and how a value was arrived at: the weight in the
file beside the one at work, an address of checks that stands there outright or follows from the server's.
"""

from __future__ import annotations

import csv
import re
from typing import Any

from support.haproxy import Haproxy

_LIST = re.compile(r"^([0-9]+) \(.*entry_cnt=[0-9]+$", re.MULTILINE)
_TABLE = re.compile(r"^# table: (\S+), type: (\S+), size:(\d+)", re.MULTILINE)
#: srv_admin_state: any kind of maintenance, but for 0x04, which only remembers that the file said "disabled" and
#: stays when the server is ready (management guide, "show servers state"); srv_check_state: configured, enabled.
_MAINTENANCE, _CONFIGURED, _ENABLED = 0x01 | 0x02 | 0x20 | 0x40, 0x02, 0x04


def observed(haproxy: Haproxy, numbered: frozenset[str]) -> dict[str, Any]:
    """Servers, frontends, backends, lists of values and stick tables.

    :param numbered: lists that have their numbers from the configuration; HAProxy numbers the others, two of its own
        HTTP client among them, in the order of the file, which decides nothing.
    """
    info = haproxy.ask("show info")
    limit = re.search(r"^Maxconn: (\d+)$", info, re.MULTILINE)
    assert limit is not None
    return {
        "servers": _servers(haproxy.ask("show servers state")),
        "statistics": _statistics(haproxy.ask("show stat"), limit[1]),
        "lists": _lists(haproxy, numbered),
        "tables": sorted(_TABLE.findall(haproxy.ask("show table"))),
    }


def _servers(text: str) -> dict[tuple[str, str], tuple[Any, ...]]:
    lines = [line for line in text.splitlines()[1:] if line]
    names = lines[0].removeprefix("# ").split()
    found = {}
    for row in (dict(zip(names, line.split(), strict=True)) for line in lines[1:]):
        checks = int(row["srv_check_state"]) & (_CONFIGURED | _ENABLED)
        address, port = row["srv_check_addr"], row["srv_check_port"]
        found[row["be_name"], row["srv_name"]] = (
            row["srv_addr"],
            row["srv_port"],
            row["srv_uweight"],
            bool(int(row["srv_admin_state"]) & _MAINTENANCE),
            checks,
            row["srv_id"] if row["srv_f_forced_id"] == "1" else None,
            (row["srv_addr"] if address == "-" else address, row["srv_port"] if port == "0" else port)
            if checks
            else None,
        )
    return found


def _statistics(text: str, limit: str) -> dict[tuple[str, str], tuple[str, ...]]:
    columns = ("type", "slim", "mode", "algo", "cookie", "check_rise", "check_fall", "act", "bck", "weight")
    found = {}
    for row in csv.DictReader(text.removeprefix("# ").splitlines()):
        values = {name: row[name] for name in columns}
        if row["svname"] == "BACKEND":
            # What is active or weighs there depends on results of checks, the limit of its queue on how
            # many servers were there at the start; a queue is for servers with limits, which we have none of.
            values |= {"act": "", "bck": "", "weight": "", "slim": ""}
        elif row["status"].startswith("MAINT"):
            # Shown when it takes part again; the weight that it will have is told with its state.
            values |= {"weight": "", "check_rise": "", "check_fall": ""}
        elif values["slim"] == limit:
            # What the process takes, which depends a little on how many servers it began with.
            values["slim"] = "process"
        found[row["pxname"], row["svname"]] = tuple(values.values())
    return found


def _lists(haproxy: Haproxy, numbered: frozenset[str]) -> dict[str, list[Any]]:
    numbers = _LIST.findall(haproxy.ask("show acl"))
    found = {
        number: sorted(line.partition(" ")[2] for line in haproxy.ask(f"show acl #{number}").splitlines() if line)
        for number in numbers
    }
    others = sorted(values for number, values in found.items() if number not in numbered)
    return {number: values for number, values in found.items() if number in numbered} | {"others": others}
