"""Links, bridges and addresses, made by ``ip -batch`` inside a namespace.

Law: one call is one process and a few milliseconds (importing pyroute2 costs a command forty times
that); a veth pair with its bridge, namespace, MAC and name comes into being in one kernel message, so
it is whole or not there. What exists is read from /proc, without a process.
"""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path

from lbdrivers.drivers.addresses import mac_address
from lbdrivers.errors import PermanentError, TemporaryError
from lbdrivers_amphora.site.namespaces import in_namespace


def names(pid: int) -> frozenset[str]:
    """Names of the links in the network namespace of a process; none when it has ended."""
    try:
        lines = Path(f"/proc/{pid}/net/dev").read_text().splitlines()
    except OSError:  # no such process any more: ENOENT, ESRCH or EINVAL, as it ends
        return frozenset()
    return frozenset(line.partition(":")[0].strip() for line in lines[2:])


def digest(text: str, length: int) -> str:
    """So many hexadecimal figures that stand for the text; link names hold 15 characters at most."""
    return hashlib.sha256(text.encode()).hexdigest()[:length]


def bridge_name(network_id: str) -> str:
    """The bridge of a network in the fabric."""
    return f"b{digest(network_id, 12)}"


def add_bridge(network_id: str, mtu: int, addresses: Iterable[str]) -> list[str]:
    """Commands for a bridge. Its MAC is fixed, lest it change with its ports; no snooping: VRRP is multicast."""
    name = bridge_name(network_id)
    mac = mac_address(network_id)
    return [
        f"link add {name} mtu {mtu} address {mac} up type bridge stp_state 0 mcast_snooping 0",
        *(f"address add {address} dev {name}" for address in addresses),
    ]


def add_veth(outer: str, bridge: str, mtu: int, inner: str, mac: str) -> str:
    """Command for a veth pair: ``outer`` here on the bridge; append where its other end ``inner`` shall be."""
    return f"link add {outer} mtu {mtu} master {bridge} up type veth peer name {inner} mtu {mtu} address {mac}"


def configure(name: str, addresses: Iterable[str]) -> list[str]:
    """Commands that bring a link up and give it its addresses (with prefix length)."""
    return [f"link set {name} up", *(f"address add {address} dev {name}" for address in addresses)]


def settle(name: str) -> str:
    """Command that has the kernel finish what the link's carrier set in motion: then its bridge forwards.

    To be shown, a link's state must be settled (``rtnl_getlink`` in the kernel); a busy host lets that wait else.
    """
    return f"link show dev {name}"


def announce(name: str, mac: str) -> str:
    """Command that tells neighbours where the link's addresses are: a link that is given its MAC, be it the
    same, says so (``arp_notify``, ``ndisc_notify`` in ip-sysctl.rst)."""
    return f"link set {name} address {mac}"


def run(namespace: int, commands: Sequence[str], inherited: tuple[int, ...] = ()) -> None:
    """Carry out ``ip`` commands in the network namespace, an open file; stops at the first that fails.

    :param inherited: open files that the commands name as ``/proc/self/fd/N``.
    :raises TemporaryError: with the words of ``ip``: something vanished meanwhile.
    """
    if not commands:
        return
    text = "".join(f"{command}\n" for command in commands)
    try:
        done = in_namespace(f"/proc/self/fd/{namespace}", _ip, text, inherited)
    except FileNotFoundError as error:
        raise PermanentError("this host lacks a program", f"{error}; install iproute2") from error
    if done.returncode:
        raise TemporaryError("an interface could not be made", f"ip: {done.stderr.strip()} in: {text.strip()}")


def _ip(text: str, inherited: tuple[int, ...]) -> subprocess.CompletedProcess[str]:
    path = {"PATH": "/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin"}
    return subprocess.run(
        ["ip", "-batch", "-"], input=text, text=True, capture_output=True, pass_fds=inherited, env=path, check=False
    )
