"""keepalived on the appliance: upload, start, stop, reload, and the script by which it checks HAProxy.

Law: pure. A file is checked by the real keepalived before it is swapped in; an unchanged one
changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable

from lbdrivers_amphora.agent.effects import (
    Program,
    ReadFile,
    Rename,
    RunProgram,
    ServicePid,
    SignalService,
    StartService,
    StopService,
    WriteFile,
    do,
)
from lbdrivers_amphora.agent.layout import KEEPALIVED, Layout
from lbdrivers_amphora.agent.responses import Response, failure, md5, success
from lbdrivers_amphora.wire.routes import ActOnKeepalived, UploadKeepalived

#: ``keepalived -t`` ends with 0, or with 6 for remarks on the safety of scripts only; with 5 for
#: everything else, be it an error or a mere remark. (Observed with keepalived 2.2.7.)
_ACCEPTABLE = (0, 6)
#: Remarks that leave a file usable; any other line with status 5 is an error.
_HARMLESS = (
    "Truncating auth_pass",
    "SECURITY VIOLATION",
    "keepalived_script",
    "WARNING - default user",
    # All members drain; the quorum decides about sorry servers and scripts, which there are none of.
    "exceeds total weight of real servers 0",
    "hysteresis 0 >= quorum 0",
)

_CHECK_SCRIPT = """#!/bin/sh
# Sum of the exit statuses of every piece in check_scripts; keepalived gives up the VIP unless it is 0.
status=0
for piece in '{folder}'/*; do
    [ -f "$piece" ] || continue
    sh "$piece"
    status=$((status + $?))
done
exit $status
"""


def check_script(layout: Layout) -> str:
    """The script that keepalived runs: no interpreter start but the shell's own."""
    return _CHECK_SCRIPT.format(folder=layout.check_scripts)


def haproxy_check(pid_files: Iterable[str]) -> str:
    """Exits 0 iff the process of every pid file lives; without load balancers there is nothing to miss.

    /proc is looked at rather than a signal sent, so that no right to signal is needed.
    """
    lines = ["#!/bin/sh"]
    for path in pid_files:
        lines += [f"read -r pid < '{path}' || exit 1", '[ -d "/proc/$pid" ] || exit 1']
    return "\n".join([*lines, "exit 0", ""])


def harmless(words: str) -> bool:
    """Whether these words of ``keepalived -t``, with status 5, are remarks only."""
    lines = [line for line in words.splitlines() if line.strip()]
    return bool(lines) and all(any(remark in line for remark in _HARMLESS) for line in lines)


def upload(layout: Layout, request: UploadKeepalived) -> Program[Response]:
    """Check the file and swap it in; starts nothing."""
    content, path = request.content, layout.keepalived_config
    if (yield from do(ReadFile(path))) != content:
        yield from do(WriteFile(f"{layout.check_scripts}/.keep", b""))
        yield from do(WriteFile(layout.check_script, check_script(layout).encode(), 0o755))
        yield from do(WriteFile(f"{path}.new", content))
        checked = yield from do(RunProgram((*KEEPALIVED, "-t", "-f", f"{path}.new"), inside=True, accept=_ACCEPTABLE))
        if not checked.ok and not harmless(checked.words):
            yield from do(Rename(f"{path}.new", f"{path}.new-failed"))
            return failure(400, "Invalid request", checked.words)
        yield from do(Rename(f"{path}.new", path))
    return success(200, etag=md5(content))


def act(layout: Layout, request: ActOnKeepalived) -> Program[Response]:
    """Start, stop or reload; starting what runs is a reload, reloading what does not run a start."""
    service = layout.keepalived()
    pid = yield from do(ServicePid(service))
    if request.action == "stop":
        outcome = yield from do(StopService(service))
        how = "nothing" if pid is None else "restart"
    elif pid is None:
        outcome = yield from do(StartService(service))
        how = "restart"
    else:
        wanted = yield from do(ReadFile(layout.keepalived_config))
        if wanted is not None and wanted == (yield from do(ReadFile(layout.keepalived_applied))):
            return success(202, f"keepalived {request.action}ed", transition="nothing")
        outcome = yield from do(SignalService(service))
        how = "reload"
        if outcome.ok and wanted is not None:
            yield from do(WriteFile(layout.keepalived_applied, wanted))
    if not outcome.ok:
        return failure(500, f"Failed to {request.action} octavia-keepalived service", outcome.words)
    return success(202, f"keepalived {request.action}ed", transition=how)
