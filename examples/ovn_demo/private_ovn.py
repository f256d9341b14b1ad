"""A whole OVN of one's own: databases, ovn-northd, and, where packets shall pass, Open vSwitch with guests.

Law: private processes with private sockets in one folder; the system's services are neither used nor touched. Open
vSwitch forwards in user space (datapath type netdev), so no kernel module is needed. ``close`` leaves nothing, and
what its owner leaves by dying ends with it.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from examples.ovn_demo.guests import PATIENCE, Namespace, wait_for
from lbdrivers.model.infra import Port, Subnet

_SCHEMAS = {
    "nb": "/usr/share/ovn/ovn-nb.ovsschema",
    "sb": "/usr/share/ovn/ovn-sb.ovsschema",
    "conf": "/usr/share/openvswitch/vswitch.ovsschema",
}


class PrivateOvn:
    """An OVN in a temporary folder, from now until ``close``; a context manager.

    :param switching: whether packets pass: with a hypervisor, Open vSwitch and ovn-controller.
    :param folder: its folder, which must not be there yet and goes in the end; default: a temporary one.
    """

    def __init__(self, *, switching: bool = False, folder: Path | None = None) -> None:
        if folder is None:
            self.folder = Path(tempfile.mkdtemp(prefix="lbdrivers-ovn-"))
        else:
            folder.mkdir(mode=0o700)
            self.folder = folder
        folders = ("OVS_RUNDIR", "OVS_LOGDIR", "OVS_DBDIR", "OVS_SYSCONFDIR", "OVN_RUNDIR", "OVN_LOGDIR", "OVN_DBDIR")
        self._environment = {**os.environ, **dict.fromkeys(folders, str(self.folder))}
        self._processes: dict[str, subprocess.Popen[Any]] = {}
        self._guests: dict[str, Namespace] = {}
        self._hypervisor: Namespace | None = None
        try:
            self._start(switching)
        except BaseException:
            self.close()
            raise

    @property
    def remote(self) -> str:
        """Where its databases are, northbound and southbound alike."""
        return f"unix:{self.folder}/db.sock"

    def configuration(self) -> str:
        """The section of a configuration file that leads here."""
        return f"[ovn]\novn_nb_connection = {self.remote}\novn_sb_connection = {self.remote}\n"

    def __enter__(self) -> PrivateOvn:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- daemons ---------------------------------------------------------------------------------

    def _start(self, switching: bool) -> None:
        for name, schema in _SCHEMAS.items():
            if switching or name != "conf":
                self._run("ovsdb-tool", "create", f"{self.folder}/{name}.db", schema)
        self.start_databases()
        self.nbctl("init")
        self.sbctl("init")
        self.start_northd()
        if switching:
            self._start_switching()

    def start_databases(self) -> None:
        """Start the server of all databases, and wait until it answers."""
        files = [str(self.folder / f"{name}.db") for name in _SCHEMAS if (self.folder / f"{name}.db").exists()]
        self._daemon("ovsdb-server", f"--remote=p{self.remote}", *files)
        wait_for(self._answering, "a database server")

    def _answering(self) -> bool:
        """The socket's file is there a moment before anybody listens."""
        with socket.socket(socket.AF_UNIX) as door:
            return door.connect_ex(self.remote.removeprefix("unix:")) == 0

    def start_northd(self) -> None:
        """Start the daemon that translates northbound into southbound."""
        self._daemon("ovn-northd", f"--ovnnb-db={self.remote}", f"--ovnsb-db={self.remote}")

    def stop(self, daemon: str) -> None:
        """End a daemon: ovsdb-server, ovn-northd, ovs-vswitchd or ovn-controller."""
        process = self._processes.pop(daemon)
        process.terminate()
        process.wait(timeout=PATIENCE)

    def pid(self, daemon: str) -> int:
        """The process of a daemon that runs."""
        return self._processes[daemon].pid

    def _start_switching(self) -> None:
        self._hypervisor = Namespace()
        self.vsctl(
            "--no-wait",
            *("init", "--", "set", "open", ".", "external_ids:system-id=hypervisor"),
            *("external_ids:hostname=hypervisor", f"external_ids:ovn-remote={self.remote}"),
            *("external_ids:ovn-encap-type=geneve", "external_ids:ovn-encap-ip=127.0.0.1"),
            "external_ids:ovn-bridge-datapath-type=netdev",
        )
        self._daemon("ovs-vswitchd", self.remote)
        self.vsctl("add-br", "br-int", "--", "set", "bridge", "br-int", "datapath_type=netdev", "fail_mode=secure")
        self._daemon("ovn-controller", self.remote)

    def _daemon(self, name: str, *arguments: str) -> None:
        # ovn-controller chooses the place of its control socket itself.
        control = [] if name == "ovn-controller" else [f"--unixctl={self.folder}/{name}.ctl"]
        logging = ["-vconsole:off", "-vfile:info", f"--log-file={self.folder}/{name}.log"]
        command = [name, *control, *logging, "--no-chdir", *arguments]
        options: dict[str, Any] = {"env": self._environment, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        if self._hypervisor is not None:
            self._processes[name] = self._hypervisor.popen(command, **options)
        else:
            bound = ["setpriv", "--pdeathsig", "KILL", "--", *command]
            self._processes[name] = subprocess.Popen(bound, stdin=subprocess.DEVNULL, **options)

    def _run(self, *command: str) -> str:
        done = subprocess.run(
            command, env=self._environment, capture_output=True, text=True, check=False, timeout=PATIENCE
        )
        if done.returncode != 0:
            raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")
        return done.stdout

    # -- commands --------------------------------------------------------------------------------

    def nbctl(self, *arguments: str) -> str:
        """Run ovn-nbctl; what it says."""
        return self._run("ovn-nbctl", f"--db={self.remote}", *arguments).strip()

    def sbctl(self, *arguments: str) -> str:
        """Run ovn-sbctl; what it says."""
        return self._run("ovn-sbctl", f"--db={self.remote}", *arguments).strip()

    def vsctl(self, *arguments: str) -> str:
        """Run ovs-vsctl; what it says."""
        return self._run("ovs-vsctl", f"--db={self.remote}", *arguments).strip()

    def settled(self) -> None:
        """Wait until every chassis does what the northbound database says."""
        self.nbctl("--wait=hv", "--timeout=60", "sync")

    # -- guests ----------------------------------------------------------------------------------

    def guest(self, name: str, port: Port, subnets: list[Subnet]) -> Namespace:
        """A guest on the port: a namespace whose ``eth0`` has its addresses and default routes."""
        assert self._hypervisor is not None, "without switching there are no guests"
        guest = self._guests[name] = Namespace()
        outer = f"tap-{name}"[:15]
        self._hypervisor.run(
            *("ip", "link", "add", outer, "up", "type", "veth", "peer", "name", "eth0"),
            *("address", port.mac, "netns", str(guest.pid)),
        )
        # Open vSwitch in user space leaves checksums to the card, and a veth has none.
        guest.run("ethtool", "-K", "eth0", "tx", "off")
        guest.run("ip", "link", "set", "eth0", "mtu", "1400", "up")
        for fixed, subnet in zip(port.fixed, subnets, strict=True):
            length = ipaddress.ip_network(subnet.cidr).prefixlen
            guest.run("ip", "address", "add", f"{fixed.address}/{length}", "dev", "eth0", "nodad")
            if subnet.gateway is not None:
                guest.run("ip", "route", "add", "default", "via", subnet.gateway)
        self.vsctl("add-port", "br-int", outer, "--", "set", "interface", outer, f"external_ids:iface-id={port.id}")
        return guest

    def close(self) -> None:
        """End everything and remove the folder."""
        for guest in self._guests.values():
            guest.close()
        self._guests.clear()
        for name in list(self._processes):
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.stop(name)
        if self._hypervisor is not None:
            self._hypervisor.close()
            self._hypervisor = None
        shutil.rmtree(self.folder, ignore_errors=True)

    def contents(self) -> Iterator[str]:
        """What is in the northbound database, a line for each row; nothing when it is empty."""
        for table in ("Load_Balancer", "Load_Balancer_Health_Check", "Logical_Switch", "Logical_Router"):
            for name in self.nbctl("--bare", "--columns=_uuid", "list", table).split():
                yield f"{table} {name}"
