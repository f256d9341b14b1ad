"""What the kernel of the appliance says and does about datagrams: nft's counters, conntrack's flows.

Law: nothing is decided here; programs are run in the namespace of traffic and their answers read.
"""

from __future__ import annotations

import contextlib
import logging
import re
import subprocess
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path

from lbdrivers_amphora.agent.namespace import Namespace
from lbdrivers_amphora.nftables import listing, render, rules
from lbdrivers_amphora.nftables.ir import Affinity, Balance, Configuration, Member, Pool, Service

_LOG = logging.getLogger(__name__)

_SECONDS = 60
_MARK = re.compile(rb"\bmark=([1-9]\d*)\b")
_IPVS = Path("/proc/net/ip_vs")
_NOBODY = "00000000-0000-4000-8000-000000000000"


def _sample() -> str:
    """Rules that use everything that any rules use; nft and the kernel only look at them."""
    pools = [Pool(_NOBODY, balance, (Member(_NOBODY, "192.0.2.1", 1),), Affinity(1, 24)) for balance in Balance]
    services = tuple(
        Service(f"{number:08d}{_NOBODY[8:]}", ("192.0.2.2",), number, 1, ("192.0.2.0/24",), pool)
        for number, pool in enumerate(pools, 1)
    )
    return render.replacement(rules.table(Configuration(_NOBODY, services)))


class Kernel:
    """The kernel as seen from the namespace of traffic."""

    def __init__(self, namespace: Namespace) -> None:
        self._namespace = namespace

    def counters(self, table: str) -> listing.Counters | None:
        """The table's counters, or None when there is no such table."""
        done = self._run("nft", "-j", "list", "counters", "table", "inet", table)
        return listing.parse(done.stdout) if done.returncode == 0 else None

    def services(self) -> tuple[str, str] | None:
        """What ipvsadm says of IPVS's table, and of its counters; None without that program."""
        try:
            texts = [self._run("ipvsadm", "-Ln", *more).stdout for more in ((), ("--stats", "--exact"))]
        except FileNotFoundError:
            return None
        return texts[0].decode(errors="replace"), texts[1].decode(errors="replace")

    def flows(self) -> Mapping[int, int]:
        """UDP flows by mark. Without the program conntrack there are none to tell of."""
        try:
            return Counter(int(mark) for mark in _MARK.findall(self._run("conntrack", "-L", "-p", "udp").stdout))
        except FileNotFoundError:
            return {}

    def end_flows(self, marks: Iterable[int], entries: Iterable[tuple[str, int]]) -> None:
        """Forget flows by mark, and by the address and port that they came to."""
        for mark in marks:
            self._forget("--mark", str(mark))
        for address, port in entries:
            family = "ipv6" if ":" in address else "ipv4"
            self._forget("--family", family, "--orig-dst", address, "--orig-port-dst", str(port))

    def _forget(self, *which: str) -> None:
        done = self._run("conntrack", "-D", "-p", "udp", *which)
        if done.returncode not in (0, 1):  # 1: there was none
            _LOG.error("conntrack %s: %s", " ".join(which), done.stderr.decode(errors="replace").strip())

    @cached_property
    def data_paths(self) -> frozenset[str]:
        """How datagrams can be balanced: ``nftables``, ``ipvs``."""
        found = {"ipvs"} if self._has_ipvs() else set()
        try:
            done = self._run("nft", "--check", "-f", "-", text=_sample().encode())
            self._run("conntrack", "--version")
        except FileNotFoundError as error:
            _LOG.warning("datagrams are not balanced by nftables: %s", error)
            return frozenset(found)
        if done.returncode == 0:
            found.add("nftables")
        else:
            _LOG.warning("datagrams are not balanced by nftables: %s", done.stderr.decode(errors="replace").strip())
        return frozenset(found)

    def _has_ipvs(self) -> bool:
        if not _IPVS.exists():
            with contextlib.suppress(FileNotFoundError):
                self._run("modprobe", "--quiet", "ip_vs")
        return _IPVS.exists()

    def _run(self, *command: str, text: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        return self._namespace.inside(
            lambda: subprocess.run(command, input=text, capture_output=True, timeout=_SECONDS, check=False)
        )
