"""What a reload carries over: learned health, and nothing else.

Law: HAProxy's own dump (``show servers state``, format 1) is filtered so that the new process keeps
what checks have learned, while the configuration alone decides administrative state, weight and
address. A server that is unknown, unchecked, disabled, was in maintenance or has another address in
the wanted configuration starts afresh.

Sources: management guide, "show servers state"; configuration manual, "load-server-state-from-file".
"""

from __future__ import annotations

from lbdrivers_amphora.haproxy.ir import Check, Configuration, Server

_VERSION = "1"
_HEADER = (
    "# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight srv_iweight "
    "srv_time_since_last_change srv_check_status srv_check_result srv_check_health srv_check_state srv_agent_state "
    "bk_f_forced_id srv_f_forced_id srv_fqdn srv_port srvrecord srv_use_ssl srv_check_port srv_check_addr "
    "srv_agent_addr srv_agent_port"
)
_FIELDS = tuple(_HEADER.removeprefix("# ").split(" "))
# srv_op_state: STOPPED and RUNNING; the states between belong to options that we do not use.
_STOPPED, _RUNNING = "0", "2"
# srv_admin_state: any kind of maintenance (FMAINT, IMAINT, CMAINT, RMAINT).
_MAINTENANCE = 0x01 | 0x02 | 0x04 | 0x20
# srv_check_state: CONFIGURED, ENABLED.
_CHECKED = 0x02 | 0x04


def carry(saved: str, wanted: Configuration) -> str:
    """The text for HAProxy's ``server-state-file``.

    :param saved: answer of the running process to ``show servers state``; empty when there is none.
    :param wanted: the configuration that the new process will read.
    """
    servers = {
        (str(backend.name), str(server.name)): server for backend in wanted.backends for server in backend.servers
    }
    rows = [_VERSION, _HEADER]
    lines = saved.splitlines()
    if lines[:1] == [_VERSION]:
        for line in lines[1:]:
            row = dict(zip(_FIELDS, line.split(), strict=False))
            if len(row) != len(_FIELDS) or line.startswith("#"):
                continue
            server = servers.get((row["be_name"], row["srv_name"]))
            if server is not None and server.check is not None and _keeps(row, server):
                rows.append(_row(row, server, server.check))
    return "\n".join(rows) + "\n"


def _keeps(row: dict[str, str], server: Server) -> bool:
    return (
        not server.disabled
        and row["srv_op_state"] in (_STOPPED, _RUNNING)
        and not int(row["srv_admin_state"]) & _MAINTENANCE
        and int(row["srv_check_state"]) & _CHECKED == _CHECKED
        and (row["srv_addr"], row["srv_port"]) == (server.address, str(server.port))
    )


def _row(row: dict[str, str], server: Server, check: Check) -> str:
    # The counter of good and bad checks has to lie in the new range of its state.
    low, high = (0, check.rise - 1) if row["srv_op_state"] == _STOPPED else (check.rise, check.rise + check.fall - 1)
    kept = row | {
        "srv_admin_state": "0",
        "srv_uweight": str(server.weight),
        "srv_iweight": str(server.weight),
        "srv_check_health": str(min(max(int(row["srv_check_health"]), low), high)),
        # What was set at run time is in the file by now; a value here would win over it.
        "srv_check_port": "0",
        "srv_check_addr": "-",
        "srv_agent_addr": "-",
        "srv_agent_port": "0",
    }
    return " ".join(kept[field] for field in _FIELDS)
