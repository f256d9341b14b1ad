"""The agent's configuration file: a frozen value, and the text of ``amphora-agent.conf``.

Law: sections and option names are those that Octavia's controller writes, so that either
controller can configure this agent; unknown options are tolerated and reported, bad values refused.
"""

from __future__ import annotations

import configparser
import io
from collections.abc import Callable
from dataclasses import dataclass, replace

from lbdrivers_amphora.wire.fields import Malformed
from lbdrivers_amphora.wire.heartbeat import Form

#: Topologies in which this appliance owns the VIP itself; in all others keepalived does.
SINGLE = "SINGLE"
ACTIVE_STANDBY = "ACTIVE_STANDBY"

_TLS_PROTOCOLS = ("TLSv1.2", "TLSv1.3")


@dataclass(frozen=True)
class AgentConfig:
    """What an agent is told at boot. Defaults are those of octavia.conf."""

    amphora_id: str
    """Id of this amphora: the name in its certificate, the sender of its heartbeats."""

    base_path: str = "/var/lib/octavia"
    """Folder of everything that the agent keeps."""

    base_cert_dir: str = "/var/lib/octavia/certs"
    """Folder of the users' certificates; secret, one folder per load balancer."""

    bind_host: str = "::"
    """Address that the agent listens on, in the appliance's main namespace; ``::`` serves IPv4 too."""

    bind_port: int = 9443
    """TCP port of the agent."""

    haproxy_cmd: str = "/usr/sbin/haproxy"
    """The HAProxy program."""

    agent_server_ca: str = "/etc/octavia/certs/client_ca.pem"
    """Authority of the controllers' certificates."""

    agent_server_cert: str = "/etc/octavia/certs/server.pem"
    """The agent's own certificate with its key."""

    agent_server_network_dir: str = "/etc/octavia/interfaces"
    """Folder of the interface files."""

    agent_request_read_timeout: int = 180
    """Seconds that a request may take."""

    agent_tls_protocol: str = "TLSv1.2"
    """Oldest TLS version spoken: TLSv1.2 or TLSv1.3."""

    loadbalancer_topology: str = SINGLE
    """SINGLE: this appliance owns the VIP. ACTIVE_STANDBY: keepalived decides who does."""

    controller_ip_port_list: tuple[str, ...] = ()
    """Where heartbeats go; empty sends none."""

    heartbeat_interval: int = 10
    """Seconds between heartbeats."""

    heartbeat_key: str = ""
    """Key that signs heartbeats."""

    heartbeat_form: str = Form.OCTAVIA
    """octavia: one key for all. lbdrivers: a key and a sequence for each amphora. See ``wire.heartbeat``."""

    debug: bool = False
    """Whether the agent logs every request."""

    def __repr__(self) -> str:
        return f"AgentConfig(amphora_id={self.amphora_id!r}, base_path={self.base_path!r}, ...)"


#: Options that work without a restart of the agent.
_MUTABLE = (
    "controller_ip_port_list",
    "heartbeat_key",
    "heartbeat_interval",
    "heartbeat_form",
    "loadbalancer_topology",
)


def with_mutable_of(running: AgentConfig, wanted: AgentConfig) -> AgentConfig:
    """What a running agent goes on with when its file changes."""
    return replace(running, **{name: getattr(wanted, name) for name in _MUTABLE})


_SECTIONS: dict[str, tuple[str, ...]] = {
    "DEFAULT": ("debug",),
    "haproxy_amphora": ("base_cert_dir", "base_path", "bind_host", "bind_port", "haproxy_cmd"),
    "health_manager": ("controller_ip_port_list", "heartbeat_interval", "heartbeat_key"),
    "amphora_agent": (
        "agent_server_ca",
        "agent_server_cert",
        "agent_server_network_dir",
        "agent_request_read_timeout",
        "agent_tls_protocol",
        "amphora_id",
    ),
    "controller_worker": ("loadbalancer_topology",),
    # Ours alone; Octavia's agent does not read it.
    "lbdrivers": ("heartbeat_form",),
}
#: Written by Octavia's controller, understood by its agent, without meaning here.
_IGNORED = {
    ("DEFAULT", "use_syslog"),
    ("DEFAULT", "syslog_log_facility"),
    ("haproxy_amphora", "user_log_facility"),
    ("haproxy_amphora", "administrative_log_facility"),
    ("amphora_agent", "amphora_udp_driver"),
}


def render(config: AgentConfig) -> str:
    """The text of ``amphora-agent.conf``; ``parse`` of it gives the value back."""
    parser = _parser()
    for section, names in _SECTIONS.items():
        parser.add_section(section)
        for name in names:
            value = getattr(config, name)
            text = ", ".join(value) if isinstance(value, tuple) else str(value)
            if "\n" in text or "\r" in text:
                raise Malformed(f"{section}.{name}: a value is one line")
            parser.set(section, name, text)
    stream = io.StringIO()
    parser.write(stream)
    return stream.getvalue()


def parse(text: str) -> tuple[AgentConfig, tuple[str, ...]]:
    """The configuration, and the options that mean nothing here (``section.name``).

    :raises Malformed: when the text is no such file or a value is bad; it names section and option.
    """
    parser = _parser()
    try:
        parser.read_string(text)
    except configparser.Error as error:
        raise Malformed(f"agent configuration: {error}") from error
    given = {(section, name): value for section in parser.sections() for name, value in parser.items(section)}
    return _config(given)


def _config(given: dict[tuple[str, str], str]) -> tuple[AgentConfig, tuple[str, ...]]:
    values: dict[str, object] = {}
    unknown: list[str] = []
    for (section, name), text in given.items():
        if name in _SECTIONS.get(section, ()):
            values[name] = _READERS[name](text.strip(), f"{section}.{name}")
        elif (section, name) not in _IGNORED:
            unknown.append(f"{section}.{name}")
    if not values.get("amphora_id"):
        raise Malformed("amphora_agent.amphora_id: missing; it must be the id of this amphora")
    return AgentConfig(**values), tuple(sorted(unknown))  # type: ignore[arg-type]  # each reader gives its field's type


def _text(text: str, where: str) -> str:
    del where
    return text


def _number(least: int, most: int) -> Callable[[str, str], int]:
    def read(text: str, where: str) -> int:
        if not (text.isascii() and text.isdigit() and least <= int(text) <= most):
            raise Malformed(f"{where}: {text!r} is not a whole number from {least} to {most}")
        return int(text)

    return read


def _switch(text: str, where: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise Malformed(f"{where}: {text!r} is neither True nor False")
    return text.lower() == "true"


def _list(text: str, where: str) -> tuple[str, ...]:
    del where
    return tuple(item.strip() for item in text.split(",") if item.strip())


def _choice(*choices: str) -> Callable[[str, str], str]:
    def read(text: str, where: str) -> str:
        if text not in choices:
            raise Malformed(f"{where}: {text!r} is none of {', '.join(choices)}")
        return text

    return read


def _absolute(text: str, where: str) -> str:
    if not text.startswith("/"):
        raise Malformed(f"{where}: {text!r} is not an absolute path")
    return text.rstrip("/") or "/"


_READERS: dict[str, Callable[[str, str], object]] = {
    "debug": _switch,
    "base_path": _absolute,
    "base_cert_dir": _absolute,
    "agent_server_ca": _absolute,
    "agent_server_cert": _absolute,
    "agent_server_network_dir": _absolute,
    "haproxy_cmd": _absolute,
    "bind_host": _text,
    "bind_port": _number(1, 65535),
    "agent_request_read_timeout": _number(1, 86400),
    "agent_tls_protocol": _choice(*_TLS_PROTOCOLS),
    "amphora_id": _text,
    "loadbalancer_topology": _choice(SINGLE, ACTIVE_STANDBY),
    "controller_ip_port_list": _list,
    "heartbeat_interval": _number(1, 86400),
    "heartbeat_key": _text,
    "heartbeat_form": _choice(*Form),
}


def _parser() -> configparser.ConfigParser:
    # oslo.config has no interpolation with %, and its comments start with # or ;.
    # DEFAULT is an ordinary section in oslo.config; configparser's inheritance is switched off by naming another.
    return configparser.ConfigParser(interpolation=None, default_section="\0", strict=False)
