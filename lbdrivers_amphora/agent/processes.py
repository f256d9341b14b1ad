"""Processes of the appliance, as /proc tells of them (proc(5)).

Law: a process is known by its pid *and* its start time, which no other process shares; a zombie is dead.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time
from collections.abc import Iterable
from pathlib import Path

_POLL_SECONDS = 0.005
_STOP_SECONDS = 5.0
#: Flags of a socket that accepts connections (__SO_ACCEPTCON).
_ACCEPTS = "00010000"
#: A daemon that executes itself anew shows no command line and an empty pid file for a moment.
_GLANCES = 20


def _stat(pid: int) -> list[str]:
    """Fields of /proc/PID/stat from the third (state) on; empty when there is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []


def identity(pid: int) -> str | None:
    """Pid and start time (field 22) as one word; None when it does not live."""
    fields = _stat(pid)
    return f"{pid}-{fields[19]}" if fields and fields[0] != "Z" else None


def lives(known: str) -> bool:
    """Whether the process of that identity is alive."""
    return identity(int(known.partition("-")[0])) == known


def children(pid: int) -> tuple[int, ...]:
    """Living children of a process; none when it is gone."""
    try:
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ()
    return tuple(child for child in map(int, text.split()) if identity(child) is not None)


def age(pid: int) -> float:
    """Seconds since the process started (field 22, in ticks since boot); 0 when it is gone."""
    fields = _stat(pid)
    if not fields:
        return 0.0
    uptime = float(Path("/proc/uptime").read_text().split()[0])
    return max(0.0, uptime - int(fields[19]) / os.sysconf("SC_CLK_TCK"))


def listens(pid: int, path: str) -> bool:
    """Whether the process has the UNIX socket of that path to accept connections from (proc(5), /proc/net/unix)."""
    try:
        rows = [line.split() for line in Path(f"/proc/{pid}/net/unix").read_text().splitlines()[1:]]
        entries = list(Path(f"/proc/{pid}/fd").iterdir())
    except OSError:
        return False  # it has ended
    inodes = {f"socket:[{row[6]}]" for row in rows if row[-1] == path and row[3] == _ACCEPTS}
    for entry in entries:
        with contextlib.suppress(OSError):  # closed meanwhile
            if str(entry.readlink()) in inodes:
                return True
    return False


def catches(pid: int, number: signal.Signals) -> bool:
    """Whether the process has a handler for the signal and lets it through: it is neither lost nor deadly now."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return False
    masks = {
        name: int(mask, 16)
        for name, _, mask in (line.partition(":") for line in lines)
        if name.startswith("Sig") and name != "SigQ"
    }
    bit = 1 << (number - 1)
    return bool(masks["SigCgt"] & bit) and not masks["SigBlk"] & bit


def pid_of(pid_file: Path) -> int | None:
    """Pid of the living daemon that was started with this pid file on its command line, or None.

    The file may be left over and the pid another process's by now; the command line tells.
    """
    for glance in range(_GLANCES):
        if glance:
            time.sleep(_POLL_SECONDS)
        try:
            text = pid_file.read_text().strip()
        except FileNotFoundError:
            return None
        if not text.isdigit():
            continue
        try:
            command = Path(f"/proc/{text}/cmdline").read_bytes()
        except (FileNotFoundError, ProcessLookupError):
            return None
        if command:
            return int(text) if str(pid_file).encode() in command.split(b"\0") else None
        if identity(int(text)) is None:
            return None
    return None


def await_death(known: Iterable[str], seconds: float) -> None:
    """Return as soon as one of the processes of these identities ends, or is dead already, or the time is up."""
    handles: list[int] = []
    poll = select.poll()
    try:
        for process in known:
            try:
                handles.append(os.pidfd_open(int(process.partition("-")[0])))
            except ProcessLookupError:
                return
            poll.register(handles[-1], select.POLLIN)
            if not lives(process):  # the number is another's by now
                return
        poll.poll(seconds * 1000)
    finally:
        for handle in handles:
            os.close(handle)


def terminate(pid: int) -> bool:
    """SIGTERM, and SIGKILL to what does not heed it; whether it is gone."""
    known = identity(pid)
    if known is None:
        return True
    for number in (signal.SIGTERM, signal.SIGKILL):
        deadline = time.monotonic() + _STOP_SECONDS
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
        while time.monotonic() < deadline:
            if not lives(known):
                return True
            time.sleep(_POLL_SECONDS)
    return False
