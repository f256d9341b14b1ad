"""Settings of the driver that speaks to amphora agents: oslo.config options, read once.

Law: names and defaults are those of octavia.conf.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from oslo_config import cfg

from lbdrivers.settings import refusal
from lbdrivers.settings.names import driver
from lbdrivers_amphora.decide.datagrams import DatagramDriver

#: Here and in the provider's settings, as its claims follow from it.
DATAGRAM_DRIVER = cfg.StrOpt(
    "datagram_driver",
    default=DatagramDriver.NFTABLES.value,
    choices=[one.value for one in DatagramDriver],
    help="Who balances datagrams.",
)
_AMPHORA = (
    cfg.FloatOpt("rest_request_conn_timeout", default=10.0, min=0.1, help="Seconds to connect to an agent."),
    cfg.FloatOpt("rest_request_read_timeout", default=60.0, min=0.1, help="Seconds to wait for an agent's answer."),
    cfg.PortOpt("bind_port", default=9443, help="Port of the agents."),
    DATAGRAM_DRIVER,
)
# Equal to the provider's own registration, word for word: oslo.config refuses two that differ.
_CERTIFICATES = (cfg.StrOpt("cert_generator", default="local"),)
OPTIONS: Mapping[str, Sequence[cfg.Opt]] = {"haproxy_amphora": _AMPHORA, "certificates": _CERTIFICATES}


@dataclass(frozen=True)
class ClientSettings:
    """How agents are reached."""

    connect_timeout: float
    """Seconds until a connection must stand. An agent that boots refuses at once, so this is for lost packets."""

    read_timeout: float
    """Seconds until an answer must begin; a reload with thousands of members takes a few."""

    port: int
    """TCP port of the agents."""

    datagrams: DatagramDriver
    """Who balances datagrams on appliances that can do it either way."""

    authority: str
    """Name of the certificate driver that issues the controller's certificate."""


def read(configuration: cfg.ConfigOpts) -> ClientSettings:
    """The settings out of parsed configuration. :raises InvalidInput: on a bad value."""
    try:
        for section, options in OPTIONS.items():
            configuration.register_opts(options, group=section)
        return ClientSettings(
            connect_timeout=configuration.haproxy_amphora.rest_request_conn_timeout,
            read_timeout=configuration.haproxy_amphora.rest_request_read_timeout,
            port=configuration.haproxy_amphora.bind_port,
            datagrams=DatagramDriver(configuration.haproxy_amphora.datagram_driver),
            authority=driver(configuration.certificates.cert_generator),
        )
    except (cfg.Error, ValueError) as error:
        raise refusal(error) from error
