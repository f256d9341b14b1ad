"""Where things are on an appliance, and how its daemons are started.

Law: pure; every path that the agent uses is made here, out of the configuration and checked ids.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

from lbdrivers_amphora.agent.effects import Service
from lbdrivers_amphora.wire.agent_config import AgentConfig

#: Network namespace of traffic, apart from the one in which the agent is managed.
NAMESPACE = "amphora-haproxy"
#: keepalived looks its host's name up when its file has no ``router_id``; the namespace of traffic
#: often reaches no name server, and the default patience (resolv.conf(5)) is ten seconds.
KEEPALIVED = ("env", "RES_OPTIONS=timeout:1 attempts:1", "keepalived")
#: HAProxy drops to this group (Debian's name of the group without rights).
UNPRIVILEGED_GROUP = "nogroup"

#: One echo request, one second: its exit status is the verdict. HAProxy names the member, and gives no PATH.
PING_WRAPPER = """\
#!/bin/sh
case "$HAPROXY_SERVER_ADDR" in
    *:*) family=-6 ;;
    *) family=-4 ;;
esac
exec /bin/ping "$family" -q -n -w 1 -c 1 "$HAPROXY_SERVER_ADDR" >/dev/null 2>&1
"""


@dataclass(frozen=True)
class Layout:
    """Paths under the configured folders."""

    config: AgentConfig

    def folder(self, load_balancer_id: str) -> str:
        return f"{self.config.base_path}/{load_balancer_id}"

    def haproxy_config(self, load_balancer_id: str) -> str:
        return f"{self.folder(load_balancer_id)}/haproxy.cfg"

    def haproxy_applied(self, load_balancer_id: str) -> str:
        """Copy of the configuration that the process really runs with."""
        return f"{self.folder(load_balancer_id)}/haproxy.cfg.applied"

    def haproxy_new(self, load_balancer_id: str) -> str:
        """A configuration that HAProxy has not accepted yet."""
        return f"{self.haproxy_config(load_balancer_id)}.new"

    def haproxy_excerpt(self, load_balancer_id: str) -> str:
        """The part of it that is new, for HAProxy to look at."""
        return f"{self.haproxy_config(load_balancer_id)}.excerpt"

    def certificates_applied(self, load_balancer_id: str) -> str:
        """What the process has read of certificates, see ``certificates.Held``."""
        return f"{self.folder(load_balancer_id)}/certificates.applied"

    def peer(self, load_balancer_id: str) -> str:
        """Name of this appliance in HAProxy's peers section."""
        return f"{self.folder(load_balancer_id)}/peer"

    def server_state(self, load_balancer_id: str) -> str:
        return f"{self.folder(load_balancer_id)}/servers-state"

    def lingering(self, load_balancer_id: str) -> str:
        """Servers that were removed at run time while connections used them."""
        return f"{self.folder(load_balancer_id)}/servers-lingering.json"

    def socket(self, load_balancer_id: str) -> str:
        return f"{self.config.base_path}/{load_balancer_id}.sock"

    def master_socket(self, load_balancer_id: str) -> str:
        return f"{self.folder(load_balancer_id)}/master.sock"

    def certificates(self, load_balancer_id: str) -> str:
        return f"{self.config.base_cert_dir}/{load_balancer_id}"

    def certificate(self, load_balancer_id: str, name: str) -> str:
        return f"{self.certificates(load_balancer_id)}/{name}"

    @property
    def user_group(self) -> str:
        return f"{self.config.base_path}/haproxy-default-user-group.conf"

    @property
    def ping_wrapper(self) -> str:
        """What HAProxy runs to check a member by PING."""
        return f"{self.config.base_path}/ping-wrapper.sh"

    @property
    def counters(self) -> str:
        return f"{self.config.base_path}/stats_counters.json"

    @property
    def heartbeat(self) -> str:
        """What the sender of heartbeats must know in its next life."""
        return f"{self.config.base_path}/heartbeat.json"

    @property
    def services(self) -> str:
        """Folder in which supervision remembers what shall run."""
        return f"{self.config.base_path}/services"

    @property
    def vrrp(self) -> str:
        return f"{self.config.base_path}/vrrp"

    @property
    def keepalived_config(self) -> str:
        return f"{self.vrrp}/octavia-keepalived.conf"

    @property
    def keepalived_applied(self) -> str:
        return f"{self.vrrp}/octavia-keepalived.conf.applied"

    @property
    def check_script(self) -> str:
        return f"{self.vrrp}/check_script.sh"

    @property
    def check_scripts(self) -> str:
        return f"{self.vrrp}/check_scripts"

    @property
    def lvs(self) -> str:
        """Folder of what keepalived and IPVS balance, files for each listener."""
        return f"{self.config.base_path}/lvs"

    def lvs_config(self, listener_id: str) -> str:
        return f"{self.lvs}/octavia-keepalivedlvs-{listener_id}.conf"

    @property
    def lvs_checks(self) -> str:
        """Folder of the programs that keepalived checks members with."""
        return f"{self.lvs}/check"

    @property
    def lvs_masquerade(self) -> str:
        return f"{self.lvs}/masquerade.nft"

    @property
    def datagrams(self) -> str:
        """Folder of what nftables balances, a folder for each load balancer."""
        return f"{self.config.base_path}/datagrams"

    def datagrams_applied(self, load_balancer_id: str) -> str:
        """What the kernel was told last, and whose probes failed then."""
        return f"{self.datagrams}/{load_balancer_id}/applied.json"

    def datagrams_change(self, load_balancer_id: str) -> str:
        """The last commands for nft."""
        return f"{self.datagrams}/{load_balancer_id}/change.nft"

    @property
    def plugged_interfaces(self) -> str:
        return f"{self.config.base_path}/plugged_interfaces"

    def interface(self, name: str) -> str:
        return f"{self.config.agent_server_network_dir}/{name}.json"

    def haproxy(self, load_balancer_id: str, peer: str) -> Service:
        """HAProxy in master-worker mode for one load balancer."""
        folder = self.folder(load_balancer_id)
        files = ("-L", peer, "-f", self.haproxy_config(load_balancer_id), "-f", self.user_group)
        pid_file = f"{folder}/{load_balancer_id}.pid"
        return Service(
            name=f"haproxy-{load_balancer_id}",
            # -db keeps it in the foreground whatever the file says ("daemon").
            command=(
                self.config.haproxy_cmd,
                "-W",
                "-db",
                "-S",
                self.master_socket(load_balancer_id),
                "-p",
                pid_file,
                *files,
            ),
            pid_file=pid_file,
            log_file=f"{folder}/haproxy.log",
            check=(self.config.haproxy_cmd, "-c", "-q", *files),
            applied=((self.haproxy_config(load_balancer_id), self.haproxy_applied(load_balancer_id)),),
            reload_signal="SIGUSR2",
            down_file=f"{self.vrrp}/{load_balancer_id}.down",
        )

    def keepalived(self) -> Service:
        """keepalived, for VRRP."""
        pid_file = f"{self.vrrp}/octavia-keepalived.pid"
        return Service(
            name="octavia-keepalived",
            command=(
                *KEEPALIVED,
                "--dont-fork",
                "--log-console",
                "--vrrp",
                "-f",
                self.keepalived_config,
                "-p",
                pid_file,
                "-r",
                f"{self.vrrp}/octavia-keepalived.vrrp.pid",
            ),
            pid_file=pid_file,
            log_file=f"{self.vrrp}/octavia-keepalived.log",
            applied=((self.keepalived_config, self.keepalived_applied),),
        )

    def prometheus_proxy(self) -> Service:
        """What answers PROMETHEUS listeners."""
        pid_file = f"{self.config.base_path}/prometheus-proxy.pid"
        return Service(
            name="prometheus-proxy",
            command=(sys.executable, "-m", "lbdrivers_amphora.agent.prometheus_proxy", "--pid-file", pid_file),
            pid_file=pid_file,
            log_file=f"{self.config.base_path}/prometheus-proxy.log",
        )

    def keepalived_lvs(self, listener_id: str) -> Service:
        """keepalived, for the members of one UDP or SCTP listener."""
        base = f"{self.lvs}/octavia-keepalivedlvs-{listener_id}"
        return Service(
            name=f"octavia-keepalivedlvs-{listener_id}",
            command=(
                # A checker that a file names without its folder is ours first.
                *KEEPALIVED[:-1],
                f"PATH={self.lvs_checks}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                *KEEPALIVED[-1:],
                "--dont-fork",
                "--log-console",
                "--check",
                "-f",
                f"{base}.conf",
                "-p",
                f"{base}.pid",
                "-c",
                f"{base}.check.pid",
            ),
            pid_file=f"{base}.pid",
            log_file=f"{base}.log",
            applied=((f"{base}.conf", f"{base}.conf.applied"),),
        )
