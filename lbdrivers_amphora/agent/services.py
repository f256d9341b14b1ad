"""Keeps daemons running: by the agent itself, or by systemd where that is init.

Law: a daemon outlives the agent and is adopted by its next life; one that dies unexpectedly is
started again, ever less often while it keeps dying; one that was stopped stays stopped.
"""

from __future__ import annotations

import json
import logging
import os
import shlex
import shutil
import signal
import subprocess
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

from lbdrivers_amphora.agent import processes
from lbdrivers_amphora.agent.effects import Finished, Service
from lbdrivers_amphora.agent.files import read_file, replace_file
from lbdrivers_amphora.agent.namespace import Namespace
from lbdrivers_amphora.wire.fields import Fields, Malformed

_LOG = logging.getLogger(__name__)

_POLL_SECONDS = 0.005
_START_SECONDS = 20.0
_WATCH_SECONDS = 0.2
_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 30.0
#: A daemon that ran this long is healthy again: its next death is answered at once.
_HEALTHY_SECONDS = 60.0
_LOG_LIMIT = 1 << 20
_WORDS_LIMIT = 4000


class ServiceManager(Protocol):
    """Keeps services running. Every verb is idempotent."""

    def start(self, service: Service) -> Finished:
        """Start it now and again whenever it ends; ok once its pid file names a living process."""
        ...

    def stop(self, service: Service) -> Finished:
        """Stop it for good; not running is success."""
        ...

    def signal(self, service: Service) -> Finished:
        """Send the service's reload signal."""
        ...


def running_pid(service: Service) -> int | None:
    """Pid of the living daemon, or None."""
    return processes.pid_of(Path(service.pid_file))


def last_words(service: Service, since: int = 0) -> str:
    """The end of what the daemon logged, from byte ``since`` on."""
    try:
        with Path(service.log_file).open("rb") as log:
            size = log.seek(0, os.SEEK_END)
            log.seek(max(since, size - _WORDS_LIMIT))
            return log.read().decode(errors="replace").strip()
    except OSError:
        return ""


def log_size(service: Service) -> int:
    """Bytes logged so far."""
    try:
        return Path(service.log_file).stat().st_size
    except OSError:
        return 0


def note_applied(service: Service) -> None:
    """What the process is about to read is what it runs with."""
    for source, copy in service.applied:
        replace_file(Path(copy), Path(source).read_bytes(), 0o600)


def tell_down(service: Service, *, down: bool) -> None:
    """Write the service's down file, in place and without waiting for the disk: keepalived hears of it at once
    (inotify(7)), and after a crash of the appliance nobody reads it."""
    if not service.down_file:
        return
    path, content = Path(service.down_file), b"1\n" if down else b"0\n"
    if read_file(path) != content:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)


def _signal(service: Service) -> Finished:
    pid = running_pid(service)
    if pid is None:
        return Finished(ok=False, words=f"{service.name} is not active, cannot reload.")
    os.kill(pid, getattr(signal, service.reload_signal))
    return Finished(ok=True)


@dataclass
class _Watch:
    """One supervised service: its process, when it may be started next, how long to wait after that."""

    service: Service
    process: str | None
    started: float
    pause: float = _FIRST_PAUSE
    due: float = 0.0


def _watch(service: Service) -> _Watch:
    return _Watch(service, _process(service), time.monotonic())


def _process(service: Service) -> str | None:
    pid = running_pid(service)
    return None if pid is None else processes.identity(pid)


class Supervisor:
    """The agent's own supervision, for appliances whose init does none.

    What shall run is remembered in ``folder``, one file per service, so that the next life of the
    agent, or of the appliance, goes on with it.
    """

    def __init__(self, folder: Path, namespace: Namespace) -> None:
        self._folder = folder
        self._namespace = namespace
        self._lock = threading.RLock()
        self._watches: dict[str, _Watch] = {}
        self._ended = threading.Event()

    def adopt(self) -> None:
        """Take over what an earlier life left, and begin to watch."""
        for path in sorted(self._folder.glob("*.json")):
            try:
                service = _parse_service(path.read_bytes())
            except Malformed as error:
                _LOG.error("%s: %s; remove the file", path, error)
                continue
            self._watches[service.name] = _watch(service)
        threading.Thread(target=self._watch, name="supervisor", daemon=True).start()

    def start(self, service: Service) -> Finished:
        with self._lock:
            if running_pid(service) is None:
                outcome = self._launch(service)
                if not outcome.ok:
                    return outcome
            tell_down(service, down=False)
            replace_file(self._record(service), json.dumps(asdict(service)).encode(), 0o600)
            self._watches[service.name] = _watch(service)
            return Finished(ok=True)

    def stop(self, service: Service) -> Finished:
        with self._lock:
            self._watches.pop(service.name, None)
            self._record(service).unlink(missing_ok=True)
            tell_down(service, down=False)
            return _terminate(service)

    def signal(self, service: Service) -> Finished:
        with self._lock:
            return _signal(service)

    def end(self) -> None:
        """Stop watching; the daemons go on."""
        self._ended.set()

    def _record(self, service: Service) -> Path:
        return self._folder / f"{service.name}.json"

    def _launch(self, service: Service) -> Finished:
        """Start it as a child of init, so that neither its life nor its burial is the agent's business."""
        log = Path(service.log_file)
        log.parent.mkdir(parents=True, exist_ok=True)
        if log_size(service) > _LOG_LIMIT:
            log.unlink()
        begin = log_size(service)
        Path(service.pid_file).unlink(missing_ok=True)
        note_applied(service)
        script = 'umask 077; "$@" >>"$0" 2>&1 </dev/null & echo $!'
        command = ["sh", "-c", script, service.log_file, *service.command]
        child = self._namespace.inside(
            lambda: subprocess.run(command, stdout=subprocess.PIPE, start_new_session=True, check=True, cwd="/")
        )
        launched = int(child.stdout)
        deadline = time.monotonic() + _START_SECONDS
        while running_pid(service) is None:
            if processes.identity(launched) is None or time.monotonic() > deadline:
                words = last_words(service, begin)
                processes.terminate(launched)
                return Finished(ok=False, words=words or f"{service.name} ended without a word")
            time.sleep(_POLL_SECONDS)
        return Finished(ok=True)

    def _watch(self) -> None:
        while not self._ended.is_set():
            self._await_death()
            with self._lock:
                for watch in list(self._watches.values()):
                    try:
                        self._tend(watch)
                    except (OSError, subprocess.SubprocessError, ValueError) as error:
                        _LOG.error("%s: cannot be started: %s", watch.service.name, error)

    def _await_death(self) -> None:
        """Wait for the death of a daemon (pidfd_open(2)), or for the time to look at what else is to do."""
        with self._lock:
            living = [w.process for w in self._watches.values() if w.process is not None and processes.lives(w.process)]
            dead = len(living) < len(self._watches)
        if living and not dead:
            processes.await_death(living, _WATCH_SECONDS)
        else:
            self._ended.wait(_WATCH_SECONDS)

    def _tend(self, watch: _Watch) -> None:
        """Start the service again if it died and its pause is over; who tracks it is told first."""
        now = time.monotonic()
        # Not its pid file: a daemon that executes itself anew rewrites that, and lives on.
        if watch.process is not None and processes.lives(watch.process):
            if now - watch.started > _HEALTHY_SECONDS:
                watch.pause = _FIRST_PAUSE
            return
        tell_down(watch.service, down=True)
        if now < watch.due:
            return
        watch.due, watch.pause = now + watch.pause, min(_LONGEST_PAUSE, watch.pause * 2)
        watch.started = now
        outcome = self._launch(watch.service)
        watch.process = _process(watch.service)
        if outcome.ok:
            tell_down(watch.service, down=False)
            _LOG.warning("%s died and was started again", watch.service.name)
        else:
            _LOG.error("%s died and does not start: %s", watch.service.name, outcome.words)


def _parse_service(text: bytes) -> Service:
    source = Fields.of_text(text, "service")
    return Service(
        name=source.text("name"),
        command=source.texts("command"),
        pid_file=source.text("pid_file"),
        log_file=source.text("log_file"),
        check=source.texts("check"),
        applied=source.pairs("applied"),
        reload_signal=source.text("reload_signal"),
        down_file=source.text("down_file", ""),
    )


def _terminate(service: Service) -> Finished:
    pid = running_pid(service)
    if pid is not None and not processes.terminate(pid):
        return Finished(ok=False, words=f"{service.name}: process {pid} does not end")
    Path(service.pid_file).unlink(missing_ok=True)
    return Finished(ok=True)


# --- systemd

_UNIT = """[Unit]
Description={name}
After=network.target amphora-agent.service

[Service]
Type=simple
ExecStartPre={applied}
NetworkNamespacePath={namespace}
ExecStart={command}
{down}ExecReload=/bin/kill -{signal} $MAINPID
StandardOutput=append:{log_file}
StandardError=inherit
KillMode=mixed
Restart=always
RestartSec=200ms
LimitNOFILE=2600000

[Install]
WantedBy=multi-user.target
"""


def unit(service: Service, namespace: Path) -> str:
    """The text of a systemd unit for the service (systemd.service(5))."""
    copies = " && ".join(f"cp {shlex.quote(source)} {shlex.quote(copy)}" for source, copy in service.applied)
    return _UNIT.format(
        name=service.name,
        applied=_quoted(("/bin/sh", "-c", copies or "true")),
        namespace=namespace,
        command=_quoted((shutil.which(service.command[0]) or service.command[0], *service.command[1:])),
        signal=service.reload_signal.removeprefix("SIG"),
        log_file=service.log_file,
        down=_down(service.down_file),
    )


def _down(path: str) -> str:
    """Lines that keep the down file."""
    if not path:
        return ""
    told = shlex.quote(path)
    start, stop = (_quoted(("/bin/sh", "-c", f"echo {value} > {told}")) for value in (0, 1))
    return f"ExecStartPost={start}\nExecStopPost={stop}\n"


def _quoted(words: tuple[str, ...]) -> str:
    """Words as one command line of a unit: quoted, without specifiers or variables."""
    return " ".join('"' + w.translate(_UNIT_ESCAPES) + '"' if set(w) & _UNIT_SPECIAL else w for w in words)


_UNIT_ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "%": "%%", "$": "$$"})
_UNIT_SPECIAL = frozenset(" \t\"'\\%$;")


class Systemd:
    """Units written once per change of their text, run by systemctl."""

    def __init__(self, namespace: Path, folder: Path = Path("/etc/systemd/system")) -> None:
        self._namespace = namespace
        self._folder = folder

    def start(self, service: Service) -> Finished:
        path = self._folder / f"{service.name}.service"
        text = unit(service, self._namespace).encode()
        if not path.exists() or path.read_bytes() != text:
            replace_file(path, text, 0o644)
            self._control("daemon-reload")
        outcome = self._control("enable", "--now", f"{service.name}.service")
        deadline = time.monotonic() + _START_SECONDS
        while outcome.ok and running_pid(service) is None and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)
        return outcome

    def stop(self, service: Service) -> Finished:
        path = self._folder / f"{service.name}.service"
        if not path.exists():
            return Finished(ok=True)
        outcome = self._control("disable", "--now", f"{service.name}.service")
        tell_down(service, down=False)
        if outcome.ok:
            path.unlink(missing_ok=True)
            self._control("daemon-reload")
        return outcome

    def signal(self, service: Service) -> Finished:
        return _signal(service)

    def _control(self, *words: str) -> Finished:
        result = subprocess.run(
            ["systemctl", *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
        )
        return Finished(result.returncode == 0, result.stdout.strip())


def systemd_is_init() -> bool:
    """As sd_booted(3) finds out."""
    return Path("/run/systemd/system").is_dir()
