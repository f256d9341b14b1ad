"""The network namespace of traffic: made when absent, entered by threads of their own.

Law: the agent's own threads never change their namespace; what has to happen inside is done by a
thread that is born for it and ends in there. Sockets and processes made inside stay inside.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import socket
import struct
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Generic, TypeVar

T = TypeVar("T")

_CLONE_NEWNET = 0x40000000
_MS_BIND = 4096
_MS_REC = 16384
_MS_SHARED = 1 << 20
# <linux/sockios.h>, <linux/if.h>
_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 1
_FLAGS_REQUEST = "16sh14x"

#: sysctls of the namespace. Daemons bind addresses that are not there yet (nonlocal_bind); a proxy
#: makes many connections to few members, so all ports may be used, and re-used soon.
_SYSCTLS = {
    "net/ipv4/ip_nonlocal_bind": "1",
    "net/ipv6/ip_nonlocal_bind": "1",
    "net/ipv4/ip_local_port_range": "1024 65535",
    "net/ipv4/tcp_tw_reuse": "1",
}
_FORWARDING = ("net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding")
#: Where the kernel has IPVS: the packet filter sees its flows, else nothing would be masqueraded; flows of a member
#: that is gone end at once; persistence leads to no member that drains. (Linux, networking/ipvs-sysctl.)
_IPVS = {
    "net/ipv4/vs/conntrack": "1",
    "net/ipv4/vs/expire_nodest_conn": "1",
    "net/ipv4/vs/expire_quiescent_template": "1",
}


def _call(name: str, *arguments: object) -> None:
    library = ctypes.CDLL(None, use_errno=True)
    if getattr(library, name)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")


class _Visit(Generic[T]):
    """One function run in a thread of its own; its result or exception is brought back."""

    def __init__(self, prepare: Callable[[], None], function: Callable[[], T]) -> None:
        self._prepare, self._function = prepare, function
        self._result: list[T] = []
        self._error: BaseException | None = None

    def _run(self) -> None:
        try:
            self._prepare()
            self._result.append(self._function())
        except BaseException as error:  # noqa: BLE001 - raised again in the thread that waits for it
            self._error = error

    def value(self) -> T:
        thread = threading.Thread(target=self._run, name="namespace-visit")
        thread.start()
        thread.join()
        if self._error is not None:
            raise self._error
        return self._result[0]


class Namespace:
    """A named network namespace, where iproute2 looks for it (``ip-netns(8)``: /run/netns/NAME)."""

    def __init__(self, name: str, folder: Path = Path("/run/netns")) -> None:
        self.path = folder / name

    def inside(self, function: Callable[[], T]) -> T:
        """Run ``function`` in a thread that joined the namespace."""
        return _Visit(self._join, function).value()

    def _join(self) -> None:
        descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            _call("setns", descriptor, _CLONE_NEWNET)
        finally:
            os.close(descriptor)

    def ensure(self) -> bool:
        """Make it unless it is there; set its sysctls and bring its loopback up. :returns: whether it is new."""
        fresh = not self._mounted()
        if fresh:
            self._make()
            # A new namespace may have inherited the host's; one that served goes on as it was.
            self.forward(enabled=False)
        self.inside(_furnish)
        return fresh

    def forward(self, *, enabled: bool) -> None:
        """Let packets pass from one interface to another, or not."""
        self.inside(lambda: _write_sysctls(dict.fromkeys(_FORWARDING, "1" if enabled else "0") | _IPVS))

    def _mounted(self) -> bool:
        try:
            self.inside(lambda: None)
        except OSError:
            return False
        return True

    def _make(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.touch(mode=0o400)
        folder = str(self.path.parent).encode()
        # As iproute2 does it: a shared mount of the folder lets other mount namespaces see the entry.
        try:
            _call("mount", b"", folder, b"none", _MS_SHARED | _MS_REC, None)
        except OSError:
            _call("mount", folder, folder, b"none", _MS_BIND | _MS_REC, None)
            _call("mount", b"", folder, b"none", _MS_SHARED | _MS_REC, None)
        _Visit(lambda: _call("unshare", _CLONE_NEWNET), self._bind).value()

    def _bind(self) -> None:
        own = f"/proc/self/task/{threading.get_native_id()}/ns/net".encode()
        _call("mount", own, str(self.path).encode(), b"none", _MS_BIND, None)


def _furnish() -> None:
    _set_sysctls()
    # Health checks of local members and the exporters need it. No netlink: pyroute2 takes long to import.
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as handle:
        answer = fcntl.ioctl(handle, _SIOCGIFFLAGS, struct.pack(_FLAGS_REQUEST, b"lo", 0))
        flags = struct.unpack(_FLAGS_REQUEST, answer)[1]
        fcntl.ioctl(handle, _SIOCSIFFLAGS, struct.pack(_FLAGS_REQUEST, b"lo", flags | _IFF_UP))


def _set_sysctls() -> None:
    _write_sysctls(_SYSCTLS)
    # HAProxy lets its programs gain no privileges, so PING needs sockets that every group may open. Where
    # the groups are not mapped, HAProxy stays root, who needs no permission.
    with contextlib.suppress(OSError):
        Path("/proc/sys/net/ipv4/ping_group_range").write_text("0 2147483647")


def _write_sysctls(values: Mapping[str, str]) -> None:
    for name, value in values.items():
        path = Path("/proc/sys") / name
        # A kernel without IPv6, or with a read-only /proc, serves what it can.
        if path.exists() and path.read_text().split() != value.split():
            path.write_text(value)
