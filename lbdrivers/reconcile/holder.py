"""Who holds a lease: a process of a host, told so that another one can see whether it still lives.

Law: a holder is called dead only on proof: same boot, same process namespace, and no process of
that id and start time. Of anybody else nothing is known; their leases expire.
"""

from __future__ import annotations

import os
import socket
import uuid
from pathlib import Path

# Field of /proc/PID/stat, counted after the closing parenthesis of the command name (proc(5)):
# state is the first one there, start time in clock ticks the twentieth.
_STATE, _START = 0, 19


def own_holder() -> str:
    """A new holder name for this process: host, boot, process namespace, pid, start time, and a
    random part that tells several engines of one process apart."""
    pid = os.getpid()
    parts = (socket.gethostname()[:64], _boot(), _namespace(), str(pid), _stat(pid)[_START], uuid.uuid4().hex[:8])
    return "/".join(part.replace("/", "_") for part in parts)


def is_dead(holder: str) -> bool:
    """Whether the holder is a process of this very system that is no more."""
    parts = holder.split("/")
    if len(parts) != 6 or not parts[3].isdecimal():
        return False
    _, boot, namespace, pid, start, _ = parts
    if not boot or (boot, namespace) != (_boot(), _namespace().replace("/", "_")):
        return False
    stat = _stat(int(pid))
    # Z: killed, and only not yet waited for by its parent.
    return stat[_START] != start or stat[_STATE] in ("Z", "X")


def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""


def _namespace() -> str:
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return ""


def _stat(pid: int) -> list[str]:
    """The fields after the command name; empty texts for a process that is not there."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = ""
    fields = text.rpartition(")")[2].split()
    return fields if len(fields) > _START else [""] * (_START + 1)
