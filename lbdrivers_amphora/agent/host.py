"""Performs the agent's effects on the appliance.

Law: nothing is decided here. One method per effect, found by its type; what an effect promises in
its docstring is kept here and nowhere else.
"""

from __future__ import annotations

import logging
import os
import re
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lbdrivers_amphora.agent import effects, files, haproxy_process, processes, totals
from lbdrivers_amphora.agent.effects import Effect, Finished
from lbdrivers_amphora.agent.kernel import Kernel
from lbdrivers_amphora.agent.namespace import Namespace
from lbdrivers_amphora.agent.prober import Prober
from lbdrivers_amphora.agent.services import ServiceManager, last_words, log_size, running_pid
from lbdrivers_amphora.keepalived import lvs_states
from lbdrivers_amphora.nftables.checks import Target
from lbdrivers_amphora.wire.report import Totals

if TYPE_CHECKING:
    from lbdrivers_amphora.agent.links import Links

_LOG = logging.getLogger(__name__)

_PROGRAM_SECONDS = 60
_PCI_RESCAN = Path("/sys/bus/pci/rescan")
#: An id that a user namespace must map for HAProxy to drop to it (nobody, nogroup).
_NOBODY = 65534
_HAPROXY_VERSION = re.compile(r"version (\S+)")
_KEEPALIVED_VERSION = re.compile(r"v(\d\S*)")


class Host:
    """This appliance."""

    def __init__(
        self,
        namespace: Namespace,
        services: ServiceManager,
        haproxy: str,
        reconfigure: Callable[[bytes], None],
        turned: Callable[[str, Mapping[str, Target]], bool],
    ) -> None:
        self._namespace = namespace
        self._kernel, self._prober = Kernel(namespace), Prober(namespace, turned)
        self._services = services
        self._haproxy = haproxy
        self._reconfigure_with = reconfigure
        self._counters = threading.Lock()
        self._performers: dict[type[Effect[Any]], Callable[[Any], Any]] = {
            effects.ReadFile: self._read,
            effects.WriteFile: self._write,
            effects.Rename: self._rename,
            effects.Remove: self._remove,
            effects.ListFolder: self._list,
            effects.Exists: self._exists,
            effects.RunProgram: self._run,
            effects.StartService: self._start,
            effects.StopService: self._stop,
            effects.SignalService: self._signal,
            effects.ServicePid: self._pid,
            effects.AskHaproxy: self._ask,
            effects.LoadCertificate: lambda effect: haproxy_process.load_certificate(effect.socket, effect.load),
            effects.ReloadHaproxy: self._reload,
            effects.AwaitHaproxy: self._await,
            effects.AskWorkers: self._workers,
            effects.CountTotals: self._count,
            effects.CountDatagrams: self._count_datagrams,
            effects.CountServices: self._count_services,
            effects.CountFlows: lambda _effect: self._kernel.flows(),
            effects.EndFlows: lambda effect: self._kernel.end_flows(effect.marks, effect.entries),
            effects.Forward: lambda effect: self._namespace.forward(enabled=effect.enabled),
            effects.Probe: lambda effect: self._prober.probe(effect.balancer, effect.targets, effect.down),
            effects.AskProbes: lambda effect: self._prober.details(effect.balancer),
            effects.AskDataPaths: lambda _effect: self._kernel.data_paths,
            effects.ListLinks: lambda _effect: self.links.list(),
            effects.MoveLink: lambda effect: self.links.move(effect.mac, effect.name),
            effects.ApplyInterface: lambda effect: self.links.apply(effect.file),
            effects.ReleaseLink: lambda effect: self.links.release(effect.name),
            effects.ListAddresses: lambda _effect: self.links.addresses(),
            effects.Announce: lambda effect: self.links.announce(effect.addresses),
            effects.LinkCounters: lambda _effect: self.links.counters(),
            effects.RescanBus: self._rescan,
            effects.AskVersions: lambda _effect: self.versions,
            effects.AskSystem: self._system,
            effects.Reconfigure: lambda effect: self._reconfigure_with(effect.content),
            effects.CheckCredential: self._check_credential,
        }

    def perform(self, effect: Effect[Any]) -> Any:
        """Do it, and give what the effect promises."""
        return self._performers[type(effect)](effect)

    @cached_property
    def links(self) -> Links:
        """Loaded when first needed: pyroute2 takes longer to import than all else together."""
        from lbdrivers_amphora.agent.links import Links

        return Links(self._namespace)

    @cached_property
    def versions(self) -> effects.Versions:
        """Versions as the programs say them; empty where a program is missing."""
        return effects.Versions(
            hostname=socket.gethostname(),
            haproxy=_version((self._haproxy, "-v"), _HAPROXY_VERSION),
            keepalived=_version(("keepalived", "--version"), _KEEPALIVED_VERSION),
            ipvsadm=_version(("ipvsadm", "--version"), _KEEPALIVED_VERSION),
        )

    def warm_up(self) -> None:
        """Learn in the background, side by side, what takes long and is asked for soon."""
        for name, learn in (
            ("links", lambda: self.links),
            ("data paths", lambda: self._kernel.data_paths),
            ("versions", lambda: self.versions),
        ):
            threading.Thread(target=learn, name=f"warm-up of {name}", daemon=True).start()

    # --- files

    def _read(self, effect: effects.ReadFile) -> bytes | None:
        return files.read_file(Path(effect.path))

    def _write(self, effect: effects.WriteFile) -> None:
        files.replace_file(Path(effect.path), effect.content, effect.mode)

    def _rename(self, effect: effects.Rename) -> None:
        Path(effect.source).replace(effect.target)

    def _remove(self, effect: effects.Remove) -> None:
        files.remove(Path(effect.path))

    def _list(self, effect: effects.ListFolder) -> tuple[str, ...]:
        return files.names(Path(effect.path))

    def _exists(self, effect: effects.Exists) -> bool:
        return Path(effect.path).exists()

    # --- processes

    def _run(self, effect: effects.RunProgram) -> Finished:
        def run() -> subprocess.CompletedProcess[str]:
            return subprocess.run(
                effect.command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                timeout=_PROGRAM_SECONDS,
                check=False,
            )

        result = self._namespace.inside(run) if effect.inside else run()
        return Finished(result.returncode in effect.accept, result.stdout.strip())

    def _start(self, effect: effects.StartService) -> Finished:
        return self._services.start(effect.service)

    def _stop(self, effect: effects.StopService) -> Finished:
        return self._services.stop(effect.service)

    def _signal(self, effect: effects.SignalService) -> Finished:
        return self._services.signal(effect.service)

    def _pid(self, effect: effects.ServicePid) -> int | None:
        return running_pid(effect.service)

    # --- HAProxy

    def _ask(self, effect: effects.AskHaproxy) -> tuple[str, ...] | None:
        return haproxy_process.ask_all(effect.socket, effect.commands)

    def _reload(self, effect: effects.ReloadHaproxy) -> Finished:
        pid, begin = running_pid(effect.service), log_size(effect.service)
        if pid is None:
            return Finished(ok=False, words=f"{effect.service.name} is not active, cannot reload.")
        words = _said(effect.service, begin)
        return haproxy_process.reload(pid, effect.socket, effect.master_socket, words)

    def _await(self, effect: effects.AwaitHaproxy) -> Finished:
        def alive() -> bool:
            return running_pid(effect.service) is not None

        return haproxy_process.wait_until_serving(effect.socket, alive, _said(effect.service, 0))

    def _workers(self, effect: effects.AskWorkers) -> Mapping[str, str]:
        return haproxy_process.statistics(effect.socket, effect.master_socket)

    def _count(self, effect: effects.CountTotals) -> Mapping[str, Totals]:
        path = Path(effect.path)
        with self._counters:
            known = totals.parse_or_empty(files.read_file(path))
            before = known.get(effect.balancer, totals.Counters())
            living = {worker for worker in before.workers if processes.lives(worker)}
            counters = before.observed(effect.workers, living)
            if counters != before:
                files.replace_file(path, totals.render(known | {effect.balancer: counters}), 0o640)
        return counters.totals()

    def _count_datagrams(self, effect: effects.CountDatagrams) -> effects.TableCounts:
        with self._counters:
            found = self._kernel.counters(effect.table)
            said = {} if found is None else found.totals()
            return effects.TableCounts(
                None if found is None else found.revision, self._measured(effect.path, effect.balancer, said)
            )

    def _count_services(self, effect: effects.CountServices) -> tuple[str, Mapping[str, Totals]] | None:
        with self._counters:
            texts = self._kernel.services()
            if texts is None:
                return None
            return texts[0], self._measured(effect.path, "ipvs", lvs_states.totals(effect.listeners, texts[1]))

    def _measured(self, path: str, name: str, said: Mapping[str, Totals]) -> dict[str, Totals]:
        known = totals.parse_or_empty(files.read_file(Path(path)))
        before = known.get(name, totals.Counters())
        counters = before.measured(said)
        if counters != before:
            files.replace_file(Path(path), totals.render(known | {name: counters}), 0o640)
        return counters.totals()

    # --- the appliance

    def _rescan(self, effect: effects.RescanBus) -> None:
        del effect
        try:
            if _PCI_RESCAN.exists():
                _PCI_RESCAN.write_text("1")
        except OSError as error:
            _LOG.debug("no PCI rescan: %s", error)

    def _system(self, effect: effects.AskSystem) -> effects.System:
        del effect
        disk = shutil.disk_usage("/")
        return effects.System(
            cpu_count=len(os.sched_getaffinity(0)),
            disk_used=disk.used,
            disk_available=disk.free,
            load=os.getloadavg(),
            unprivileged=unprivileged(),
        )

    def _check_credential(self, effect: effects.CheckCredential) -> Finished:
        descriptor = os.memfd_create("credential", os.MFD_CLOEXEC)
        try:
            os.write(descriptor, effect.content)
            # The callback keeps OpenSSL from asking for a passphrase on a terminal.
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(f"/proc/self/fd/{descriptor}", password=lambda: "")
        except (OSError, ValueError) as error:
            return Finished(ok=False, words=f"not a certificate with its key: {error}")
        finally:
            os.close(descriptor)
        return Finished(ok=True)


def _said(service: effects.Service, begin: int) -> Callable[[], str]:
    return lambda: last_words(service, begin)


def _version(command: tuple[str, ...], pattern: re.Pattern[str]) -> str:
    try:
        result = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=_PROGRAM_SECONDS, check=False
        )
    except OSError:
        return ""
    found = pattern.search(result.stdout)
    return found[1] if found else ""


def unprivileged() -> bool:
    """Whether this is a user namespace without the users that daemons drop to (user_namespaces(7))."""
    return not (_maps(Path("/proc/self/uid_map")) and _maps(Path("/proc/self/gid_map")))


def _maps(path: Path) -> bool:
    try:
        rows = [tuple(map(int, line.split())) for line in path.read_text().splitlines()]
    except OSError:
        return True
    return any(first <= _NOBODY < first + count for first, _, count in rows)
