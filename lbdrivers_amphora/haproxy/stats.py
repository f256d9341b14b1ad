"""HAProxy's ``show stat`` (CSV) -> typed statistics and states.

Law: what a heartbeat says of listeners and pools is read here and nowhere else. Columns are found
by name, so that a newer HAProxy with more of them is understood; a text without the needed columns
is refused. Names that contain ``prometheus`` are not listeners and are left out.

Source: management guide, section 9.1 (CSV format).
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass, field

_NEEDED = ("pxname", "svname", "status", "weight", "scur", "stot", "bin", "bout", "ereq", "check_status")


@dataclass(frozen=True)
class FrontendStatistics:
    """A listener. ``status`` is HAProxy's word (OPEN, FULL, STOP); bytes as seen by the client."""

    status: str
    bytes_in: int
    bytes_out: int
    active_connections: int
    total_connections: int
    request_errors: int
    requests: int = 0
    """Of HTTP; 0 in mode tcp."""


@dataclass(frozen=True)
class ServerStatistics:
    """A member behind one listener.

    :param status: UP, "UP 1/2", DOWN, MAINT, "no check"...; DRAIN when it is up with weight 0.
    :param check: HAProxy's code of the last check (L4OK, L7STS...); empty when there is none.
    """

    status: str
    check: str
    active_connections: int


@dataclass(frozen=True)
class BackendStatistics:
    """A pool behind one listener; servers by name."""

    status: str
    servers: Mapping[str, ServerStatistics]


@dataclass(frozen=True)
class ProcessStatistics:
    """Everything: frontends and backends by name."""

    frontends: Mapping[str, FrontendStatistics] = field(default_factory=dict)
    backends: Mapping[str, BackendStatistics] = field(default_factory=dict)


def parse_statistics(text: str) -> ProcessStatistics:
    """Read the answer to ``show stat``.

    :raises ValueError: names the column that is missing or the value that is no number.
    """
    lines = [line for line in text.splitlines() if line.strip()]
    if not lines or not lines[0].startswith("# "):
        raise ValueError(f"HAProxy's statistics begin with {text[:60]!r} where '# pxname,svname,...' is expected")
    rows = list(csv.DictReader([lines[0].removeprefix("# "), *lines[1:]]))
    columns = lines[0].removeprefix("# ").split(",")
    if missing := [column for column in _NEEDED if column not in columns]:
        raise ValueError(f"HAProxy's statistics lack the columns {', '.join(missing)}")
    frontends: dict[str, FrontendStatistics] = {}
    statuses: dict[str, str] = {}
    servers: dict[str, dict[str, ServerStatistics]] = {}
    for row in rows:
        name, entry = row["pxname"], row["svname"]
        if None in row.values():
            raise ValueError(f"HAProxy's statistics of {name} are cut off: {len(columns)} columns are expected")
        if "prometheus" in name:
            continue
        if entry == "FRONTEND":
            frontends[name] = _frontend(row)
        elif entry == "BACKEND":
            statuses[name] = row["status"]
        else:
            servers.setdefault(name, {})[entry] = _server(row)
    backends = {name: BackendStatistics(status, servers.get(name, {})) for name, status in statuses.items()}
    return ProcessStatistics(frontends, backends)


def _frontend(row: Mapping[str, str]) -> FrontendStatistics:
    return FrontendStatistics(
        status=row["status"],
        bytes_in=_count(row, "bin"),
        bytes_out=_count(row, "bout"),
        active_connections=_count(row, "scur"),
        total_connections=_count(row, "stot"),
        request_errors=_count(row, "ereq"),
        requests=_count(row, "req_tot"),
    )


def _server(row: Mapping[str, str]) -> ServerStatistics:
    status = row["status"]
    if status == "UP" and row["weight"] == "0":
        status = "DRAIN"
    return ServerStatistics(status, row["check_status"].removeprefix("* "), _count(row, "scur"))


def _count(row: Mapping[str, str], column: str) -> int:
    text = row.get(column) or "0"
    if not (text.isascii() and text.isdigit()):
        raise ValueError(f"HAProxy's statistics say {column}={text!r} for {row['pxname']}; a number is expected")
    return int(text)
