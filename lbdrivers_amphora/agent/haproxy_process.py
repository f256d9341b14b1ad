"""Speaks to running HAProxy processes: stats socket, master socket, verified reload.

Law: a reload counts as done only when another worker answers on the stats socket. A signal that
arrives while the master re-executes is lost, so it is sent when the master catches it; reloads are
serialised by the caller. At most two generations of workers live: the current one, and the one before
it with what its clients still have to finish.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path

from lbdrivers_amphora.agent import processes
from lbdrivers_amphora.agent.effects import Finished
from lbdrivers_amphora.haproxy import certificates
from lbdrivers_amphora.haproxy.certificates import Load

_ANSWER_SECONDS = 5.0
_POLL_SECONDS = 0.005
#: A worker that is told to start answers within some 0.15 s, with thousands of servers within a few seconds.
_START_SECONDS = 30.0
_RELOAD_SECONDS = 30.0
#: A lost signal is sent again after this long; a second reload in between would only cost time.
RESEND_SECONDS = 1.5
#: What the generation before last has, at least, to finish: answers that take long, and connections that wait for
#: their next request. A reload waits for that; between reloads, hard-stop-after is the limit.
GRACE_SECONDS = 10.0
_GRACE_POLL_SECONDS = 0.05
_STATISTICS_ATTEMPTS = 8
_PID = re.compile(r"^Pid: (\d+)$", re.MULTILINE)
_FAILED = re.compile(r"\bmaster\s+\d+ \[failed: (\d+)\]")
_WORKER = re.compile(r"^(\d+)\s+worker\s", re.MULTILINE)


def ask(path: str, command: str, seconds: float = _ANSWER_SECONDS) -> str | None:
    """One command to a socket of HAProxy; None when nobody answers there.

    An answer has at least a line feed: one without any means that the worker went away meanwhile.
    """
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(seconds)
            connection.connect(path)
            connection.sendall(command.encode() + b"\n")
            # The master's socket, unlike a worker's, waits for more until it is told that this was all.
            connection.shutdown(socket.SHUT_WR)
            parts: list[bytes] = []
            while part := connection.recv(1 << 16):
                parts.append(part)
    except OSError:
        return None
    return b"".join(parts).decode(errors="replace") or None


def ask_all(path: str, commands: tuple[str, ...]) -> tuple[str, ...] | None:
    """One answer per command, in order; None as soon as nobody answers."""
    answers: list[str] = []
    for command in commands:
        answer = ask(path, command)
        if answer is None:
            return None
        answers.append(answer.strip())
    return tuple(answers)


def load_certificate(path: str, load: Load) -> Finished:
    """Give the process the content of a file, and look whether it has it. What it refused is taken back."""
    try:
        content = Path(load.source).read_bytes()
    except OSError as error:
        return Finished(ok=False, words=str(error))
    commands = certificates.commands(load, content)
    answers = tuple((ask(path, command) or "").strip() for command in commands)
    if words := certificates.refused(answers):
        ask(path, f"abort ssl {load.kind} {load.store}")
        return Finished(ok=False, words=words)
    shown = ask(path, f"show ssl {load.kind} {load.store}") or ""
    return Finished(certificates.shows(load, shown, content), f"{load.store} does not show what it was given")


def worker_pid(path: str) -> int | None:
    """Pid of the worker that answers on the stats socket."""
    found = _PID.search(ask(path, "show info") or "")
    return int(found[1]) if found else None


def _identity(pid: int) -> str:
    """Pid and start time; a worker that has just ended keeps its counters under its bare pid."""
    return processes.identity(pid) or str(pid)


def statistics(path: str, master_path: str) -> dict[str, str]:
    """``show stat`` of every worker by identity, the current one first; empty when none answers.

    Asked again when nobody answers: a worker that is just being replaced resets what it has not served.
    """
    for attempt in range(_STATISTICS_ATTEMPTS):
        current, text = worker_pid(path), ask(path, "show stat")
        if current is not None and text is not None:
            return {_identity(current): text} | _old_statistics(current, master_path)
        if not Path(path).exists():
            break
        time.sleep(_POLL_SECONDS * (attempt + 1))
    return {}


def _old_statistics(current: int, master_path: str) -> dict[str, str]:
    """Of the workers that still finish their connections."""
    found: dict[str, str] = {}
    _, _, old = (ask(master_path, "show proc") or "").partition("# old workers")
    for pid in map(int, _WORKER.findall(old.partition("# programs")[0])):
        text = ask(master_path, f"@!{pid} show stat")
        if pid != current and text and text.startswith("#"):
            found[_identity(pid)] = text
    return found


def _make_room(master: int, path: str) -> frozenset[int]:
    """Wait for the generation before this one, and end it when its grace is over; gives the pids that are left.

    The kernel tells who lives: the master does not answer while it executes itself anew, and misses ends of
    workers meanwhile. For a moment after a reload an old worker may still answer on the stats socket, and the
    master of HAProxy 3.0 has a short-lived child besides; so only what is older than who answers is ended.
    """
    begin = time.monotonic()
    while True:
        current, living = worker_pid(path), frozenset(processes.children(master))
        served = 0.0 if current is None else processes.age(current)
        if living <= {current} or time.monotonic() - begin > GRACE_SECONDS - served:
            break
        time.sleep(_GRACE_POLL_SECONDS)
    if current is None:
        return living
    # As long as the current worker serves, the old ones have been told to finish.
    for pid in living:
        if processes.age(pid) > processes.age(current):
            processes.terminate(pid)
    return living


def wait_until_serving(path: str, alive: Callable[[], bool], words: Callable[[], str]) -> Finished:
    """Ok once a worker answers; not ok when the process is gone or time is up."""
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        if worker_pid(path) is not None:
            return Finished(ok=True)
        if not alive():
            return Finished(ok=False, words=words())
        time.sleep(_POLL_SECONDS)
    return Finished(ok=False, words=f"no answer on {path} for {_START_SECONDS:.0f} s\n{words()}")


def _failed_reloads(master_path: str) -> int | None:
    found = _FAILED.search(ask(master_path, "show proc", seconds=1.0) or "")
    return int(found[1]) if found else None


def reload(master: int, path: str, master_path: str, words: Callable[[], str]) -> Finished:
    """SIGUSR2 to the master until a new worker answers, or the master says that it failed."""
    _await_master(master, time.monotonic() + _RELOAD_SECONDS)
    old = _make_room(master, path)
    failed, deadline = _failed_reloads(master_path), time.monotonic() + _RELOAD_SECONDS
    quiet = float("-inf")
    while (now := time.monotonic()) < deadline:
        if processes.identity(master) is None:
            return Finished(ok=False, words=f"HAProxy ended\n{words()}")
        if not processes.catches(master, signal.SIGUSR2):
            # It reads its file; where an address is taken, it tries for two seconds.
            quiet = now
        elif now - quiet > RESEND_SECONDS:
            with contextlib.suppress(ProcessLookupError):
                os.kill(master, signal.SIGUSR2)
            quiet = now
        time.sleep(_POLL_SECONDS)
        current = worker_pid(path)
        if current is not None and current not in old and not any(processes.listens(pid, path) for pid in old):
            # No old worker can take a command any more that is meant for this one.
            return Finished(ok=True)
        # The master does not answer while it re-executes; its count tells a refusal.
        count = None if current is None else _failed_reloads(master_path)
        if count is not None and failed is not None and count > failed:
            return Finished(ok=False, words=f"HAProxy kept its old configuration\n{words()}")
    return Finished(ok=False, words=f"no new worker within {_RELOAD_SECONDS:.0f} s\n{words()}")


def _await_master(master: int, deadline: float) -> None:
    """Until the master catches the signal: not while it starts or executes itself anew, and not when it is gone."""
    while not processes.catches(master, signal.SIGUSR2):
        if processes.identity(master) is None or time.monotonic() > deadline:
            return
        time.sleep(_POLL_SECONDS)
