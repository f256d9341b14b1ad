"""Pools, their members, and how a client is kept at one member."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from lbdrivers.model.resources.base import AlpnProtocols, Resource, TlsVersions, Value
from lbdrivers.model.resources.enums import Algorithm, MonitorType, PersistenceType, PoolProtocol
from lbdrivers.model.resources.health_monitor import HealthMonitor
from lbdrivers.model.values import (
    CipherList,
    CookieName,
    Flag,
    MemberAddress,
    Netmask,
    PortNumber,
    Reference,
    Seconds,
    Text,
    Uuid,
    Weight,
)

DATAGRAM_POOLS = frozenset({PoolProtocol.UDP, PoolProtocol.SCTP})


class Member(Resource):
    """One server behind a pool."""

    address: MemberAddress
    protocol_port: PortNumber
    weight: Weight = 1
    backup: Flag = False
    subnet_id: Uuid | None = None
    monitor_address: MemberAddress | None = None
    monitor_port: PortNumber | None = None
    request_sriov: Flag = False


class SessionPersistence(Value):
    """How a client is kept at one member."""

    type: PersistenceType
    cookie_name: CookieName | None = None
    persistence_timeout: Annotated[Seconds, Field(ge=1)] | None = None
    persistence_granularity: Netmask | None = None

    @model_validator(mode="after")
    def _rules(self) -> Self:
        if (self.type is PersistenceType.APP_COOKIE) != (self.cookie_name is not None):
            raise ValueError("cookie_name belongs to APP_COOKIE, which requires it")
        return self


class Pool(Resource):
    """A set of members and how traffic is spread over them."""

    description: Text = ""
    protocol: PoolProtocol
    lb_algorithm: Algorithm
    session_persistence: SessionPersistence | None = None
    members: tuple[Member, ...] = ()
    healthmonitor: HealthMonitor | None = None
    tls_enabled: Flag = False
    tls_container_ref: Reference | None = None
    ca_tls_container_ref: Reference | None = None
    crl_container_ref: Reference | None = None
    tls_ciphers: CipherList | None = None
    tls_versions: TlsVersions | None = None
    alpn_protocols: AlpnProtocols | None = None

    @model_validator(mode="after")
    def _rules(self) -> Self:
        seen: dict[tuple[str, int], str] = {}
        for member in self.members:
            key = (member.address, member.protocol_port)
            if key in seen:
                raise ValueError(f"two members have the address {key[0]} and the port {key[1]}; remove one")
            seen[key] = member.id
        datagram = self.protocol in DATAGRAM_POOLS
        if self.healthmonitor is not None:
            kind = self.healthmonitor.type
            only_datagram = kind in (MonitorType.UDP_CONNECT, MonitorType.SCTP)
            if only_datagram and not datagram:
                raise ValueError(f"a {kind} monitor belongs to UDP and SCTP pools only")
            if datagram and not only_datagram and kind not in (MonitorType.TCP, MonitorType.HTTP):
                raise ValueError(f"a {self.protocol} pool takes UDP-CONNECT, SCTP, TCP or HTTP monitors, not {kind}")
        persistence = self.session_persistence
        if persistence is not None:
            if datagram and persistence.type is not PersistenceType.SOURCE_IP:
                raise ValueError(f"a {self.protocol} pool takes SOURCE_IP persistence only")
            timed = (persistence.persistence_timeout, persistence.persistence_granularity)
            if not datagram and any(value is not None for value in timed):
                raise ValueError("persistence_timeout and persistence_granularity belong to UDP and SCTP pools only")
        if self.crl_container_ref and not self.ca_tls_container_ref:
            raise ValueError("crl_container_ref needs ca_tls_container_ref")
        if self.tls_enabled and datagram:
            raise ValueError(f"tls_enabled has no meaning for a {self.protocol} pool; remove it")
        return self
