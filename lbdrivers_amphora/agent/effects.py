"""What the agent does to its appliance, as values; a program is a generator of them.

Law: nothing here acts. A program yields effects with ``yield from do(effect)`` and receives what
came of each, typed; ``run`` in a host performs them, a test answers them from a table. So every
decision of the agent is a pure function of what it was told.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, cast

from lbdrivers_amphora.agent.interfaces import InterfaceFile
from lbdrivers_amphora.agent.totals import WorkerTotals
from lbdrivers_amphora.haproxy.certificates import Load
from lbdrivers_amphora.keepalived.lvs_states import Described
from lbdrivers_amphora.nftables.checks import Target
from lbdrivers_amphora.wire.report import Totals

T = TypeVar("T")


class Effect(Generic[T]):
    """Base of all effects; ``T`` is what performing it gives."""


Program = Generator[Effect[Any], Any, T]


def do(effect: Effect[T]) -> Program[T]:
    """Perform one effect: ``content = yield from do(ReadFile(path))``."""
    return cast(T, (yield effect))


def run(program: Program[T], perform: Callable[[Effect[Any]], Any]) -> T:
    """Carry a program out: give each effect to ``perform`` and its result back."""
    try:
        effect = next(program)
        while True:
            effect = program.send(perform(effect))
    except StopIteration as stop:
        return cast(T, stop.value)


@dataclass(frozen=True)
class Finished:
    """How a program or daemon command ended; ``words`` is what it printed."""

    ok: bool
    words: str = ""


@dataclass(frozen=True)
class Service:
    """A daemon that shall run, and go on running when the agent does not.

    :param command: runs in the foreground, inside the namespace of traffic.
    :param pid_file: written by the daemon itself.
    :param check: command that refuses a bad configuration, run before a service manager starts it.
    :param applied: configuration file -> copy that says what the process runs with.
    :param down_file: says 1 while the daemon is dead though it shall run, and 0 else; empty: there is none.
    """

    name: str
    command: tuple[str, ...]
    pid_file: str
    log_file: str
    check: tuple[str, ...] = ()
    applied: tuple[tuple[str, str], ...] = ()
    reload_signal: str = "SIGHUP"
    down_file: str = ""


# --- files


@dataclass(frozen=True)
class ReadFile(Effect[bytes | None]):
    """Content, or None when there is no such file."""

    path: str


@dataclass(frozen=True)
class WriteFile(Effect[None]):
    """Replace the file at once (a reader sees the old or the new whole); makes missing folders."""

    path: str
    content: bytes
    mode: int = 0o600


@dataclass(frozen=True)
class Rename(Effect[None]):
    source: str
    target: str


@dataclass(frozen=True)
class Remove(Effect[None]):
    """Remove a file or a whole folder; absent is success."""

    path: str


@dataclass(frozen=True)
class ListFolder(Effect[tuple[str, ...]]):
    """Names in the folder, sorted; empty when there is none."""

    path: str


@dataclass(frozen=True)
class Exists(Effect[bool]):
    path: str


# --- processes


@dataclass(frozen=True)
class RunProgram(Effect[Finished]):
    """Run to its end. ``inside`` runs it in the namespace of traffic. ``accept`` lists good exit statuses."""

    command: tuple[str, ...]
    inside: bool = False
    accept: tuple[int, ...] = (0,)


@dataclass(frozen=True)
class StartService(Effect[Finished]):
    """Start and keep running; ok once the daemon has written its pid file and lives."""

    service: Service


@dataclass(frozen=True)
class StopService(Effect[Finished]):
    """Stop and do not start again; not running is success."""

    service: Service


@dataclass(frozen=True)
class SignalService(Effect[Finished]):
    """Have the daemon read its configuration again, without verification."""

    service: Service


@dataclass(frozen=True)
class ServicePid(Effect[int | None]):
    """Pid of the running daemon (HAProxy's master), or None."""

    service: Service


@dataclass(frozen=True)
class AskHaproxy(Effect[tuple[str, ...] | None]):
    """Give commands to HAProxy's stats socket; one answer each, or None when nobody answers."""

    socket: str
    commands: tuple[str, ...]


@dataclass(frozen=True)
class LoadCertificate(Effect[Finished]):
    """Give a running HAProxy the content of a file; ok once it shows that content."""

    socket: str
    load: Load


@dataclass(frozen=True)
class ReloadHaproxy(Effect[Finished]):
    """SIGUSR2, verified: ok once a new worker answers; not ok when the old one was kept.

    Waits for what is left of an earlier reload, at most for its grace, so that two generations live at most.
    """

    service: Service
    socket: str
    master_socket: str


@dataclass(frozen=True)
class AwaitHaproxy(Effect[Finished]):
    """Wait until a worker answers on the socket, as long as the service lives."""

    service: Service
    socket: str


@dataclass(frozen=True)
class AskWorkers(Effect[Mapping[str, str]]):
    """``show stat`` of every worker, old ones that still finish connections included.

    Gives CSV by worker (pid and start time, so that a pid used twice makes no confusion).
    """

    socket: str
    master_socket: str


@dataclass(frozen=True)
class CountTotals(Effect[Mapping[str, Totals]]):
    """Fold the workers' counters into the balancer's persistent ones; gives totals by listener."""

    path: str
    balancer: str
    workers: Mapping[str, WorkerTotals]


# --- datagrams


@dataclass(frozen=True)
class TableCounts:
    """What the kernel's table says: the name of its revision (None without a table), totals by listener."""

    revision: str | None
    totals: Mapping[str, Totals]


@dataclass(frozen=True)
class CountDatagrams(Effect[TableCounts]):
    """Read the table's counters and fold them into the persistent ones, with nothing in between."""

    path: str
    balancer: str
    table: str


@dataclass(frozen=True)
class CountServices(Effect[tuple[str, Mapping[str, Totals]] | None]):
    """Read IPVS's table and counters, and fold the counters into the persistent ones, likewise; the table is text
    of ipvsadm. None where that program is missing.

    :param listeners: what each listener's file says, by id.
    """

    path: str
    listeners: Mapping[str, Described]


@dataclass(frozen=True)
class CountFlows(Effect[Mapping[int, int]]):
    """How many UDP flows there are now, by mark."""


@dataclass(frozen=True)
class EndFlows(Effect[None]):
    """Forget UDP flows, so that their next datagrams are judged anew; absent ones are success.

    :param marks: flows of these marks.
    :param entries: flows to these addresses and ports, whatever their mark.
    """

    marks: tuple[int, ...] = ()
    entries: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True)
class Forward(Effect[None]):
    """Let the namespace of traffic pass packets on, or not."""

    enabled: bool


@dataclass(frozen=True)
class Probe(Effect[None]):
    """From now on probe these members of a load balancer, by id, and no others of it.

    :param down: who is down to begin with.
    """

    balancer: str
    targets: Mapping[str, Target]
    down: frozenset[str] = frozenset()


@dataclass(frozen=True)
class AskProbes(Effect[Mapping[str, str]]):
    """What the last probe of each member of a load balancer said."""

    balancer: str


@dataclass(frozen=True)
class AskDataPaths(Effect[frozenset[str]]):
    """How datagrams can be balanced here: ``nftables``, ``ipvs``. Found out once per life of the agent."""


# --- network


@dataclass(frozen=True)
class Link:
    """A network interface; ``inside`` says whether it is in the namespace of traffic."""

    name: str
    mac: str
    inside: bool


@dataclass(frozen=True)
class ListLinks(Effect[tuple[Link, ...]]):
    """Interfaces of the main namespace and of the one of traffic, without loopback."""


@dataclass(frozen=True)
class MoveLink(Effect[None]):
    """Move an interface from the main namespace into that of traffic under a new name."""

    mac: str
    name: str


@dataclass(frozen=True)
class ApplyInterface(Effect[Finished]):
    """Make the interface's addresses, routes and rules be those of the file."""

    file: InterfaceFile


@dataclass(frozen=True)
class ReleaseLink(Effect[None]):
    """Take the interface down and give it back to the main namespace; absent is success."""

    name: str


@dataclass(frozen=True)
class ListAddresses(Effect[Mapping[str, str]]):
    """Address -> interface name, in the namespace of traffic."""


@dataclass(frozen=True)
class Announce(Effect[None]):
    """Tell the neighbours where the addresses are (gratuitous ARP, unsolicited NA); never fails."""

    addresses: tuple[str, ...]


@dataclass(frozen=True)
class LinkCounters(Effect[Mapping[str, tuple[int, int]]]):
    """Bytes sent and received by interface, in the namespace of traffic."""


@dataclass(frozen=True)
class RescanBus(Effect[None]):
    """Ask the kernel to look for hot-plugged PCI devices."""


# --- the appliance itself


@dataclass(frozen=True)
class Versions:
    """Versions of the daemons, as they say themselves; empty when not installed."""

    hostname: str
    haproxy: str
    keepalived: str
    ipvsadm: str


@dataclass(frozen=True)
class AskVersions(Effect[Versions]):
    """Asked once per life of the agent."""


@dataclass(frozen=True)
class System:
    """Figures of the machine: CPUs, bytes used and free of ``/``, load averages."""

    cpu_count: int
    disk_used: int
    disk_available: int
    load: tuple[float, float, float]
    unprivileged: bool


@dataclass(frozen=True)
class AskSystem(Effect[System]):
    pass


@dataclass(frozen=True)
class Reconfigure(Effect[None]):
    """Let the running agent use new values of its mutable options."""

    content: bytes


@dataclass(frozen=True)
class CheckCredential(Effect[Finished]):
    """Whether the PEM is a certificate with its key, fit to serve with."""

    content: bytes

    def __repr__(self) -> str:
        return "CheckCredential(***)"
