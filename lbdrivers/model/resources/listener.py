"""Listeners: ports of the VIP, with their certificates, headers, timeouts and policies."""

from __future__ import annotations

from typing import Self

from pydantic import model_validator

from lbdrivers.model.resources.base import AlpnProtocols, Resource, TlsVersions
from lbdrivers.model.resources.enums import ClientAuthentication, ListenerProtocol, PoolProtocol
from lbdrivers.model.resources.l7 import L7Policy
from lbdrivers.model.values import (
    Cidr,
    CipherList,
    ConnectionLimit,
    Flag,
    HeaderName,
    MaximumAge,
    Milliseconds,
    PortNumber,
    Reference,
    Text,
    Uuid,
)

#: listener protocol -> pool protocols that it can send to (v2 API, "protocol compatibility").
COMPATIBLE_POOLS: dict[ListenerProtocol, frozenset[PoolProtocol]] = {
    ListenerProtocol.TCP: frozenset(
        {PoolProtocol.HTTP, PoolProtocol.HTTPS, PoolProtocol.PROXY, PoolProtocol.PROXYV2, PoolProtocol.TCP}
    ),
    ListenerProtocol.HTTP: frozenset({PoolProtocol.HTTP, PoolProtocol.PROXY, PoolProtocol.PROXYV2}),
    ListenerProtocol.HTTPS: frozenset({PoolProtocol.HTTPS, PoolProtocol.PROXY, PoolProtocol.PROXYV2, PoolProtocol.TCP}),
    ListenerProtocol.TERMINATED_HTTPS: frozenset({PoolProtocol.HTTP, PoolProtocol.PROXY, PoolProtocol.PROXYV2}),
    ListenerProtocol.UDP: frozenset({PoolProtocol.UDP}),
    ListenerProtocol.SCTP: frozenset({PoolProtocol.SCTP}),
    ListenerProtocol.PROMETHEUS: frozenset(),
}

HTTP_LISTENERS = frozenset({ListenerProtocol.HTTP, ListenerProtocol.TERMINATED_HTTPS})
INSERTABLE_HEADERS = frozenset(
    {"X-Forwarded-For", "X-Forwarded-Port", "X-Forwarded-Proto", "X-Forwarded-IP", "X-Client-IP", "X-Real-IP"}
)
INSERTABLE_TLS_HEADERS = frozenset(
    {
        "X-SSL-Client-Verify",
        "X-SSL-Client-Has-Cert",
        "X-SSL-Client-DN",
        "X-SSL-Client-CN",
        "X-SSL-Issuer",
        "X-SSL-Client-SHA1",
        "X-SSL-Client-Not-Before",
        "X-SSL-Client-Not-After",
    }
)


class Listener(Resource):
    """One port of the VIP and what is done with its traffic. Timeouts in milliseconds."""

    description: Text = ""
    protocol: ListenerProtocol
    protocol_port: PortNumber
    connection_limit: ConnectionLimit = -1
    default_pool_id: Uuid | None = None
    l7policies: tuple[L7Policy, ...] = ()
    insert_headers: tuple[tuple[HeaderName, Text], ...] = ()
    allowed_cidrs: tuple[Cidr, ...] = ()
    timeout_client_data: Milliseconds = 50000
    timeout_member_connect: Milliseconds = 5000
    timeout_member_data: Milliseconds = 50000
    timeout_tcp_inspect: Milliseconds = 0
    default_tls_container_ref: Reference | None = None
    sni_container_refs: tuple[Reference, ...] = ()
    client_ca_tls_container_ref: Reference | None = None
    client_authentication: ClientAuthentication = ClientAuthentication.NONE
    client_crl_container_ref: Reference | None = None
    tls_ciphers: CipherList | None = None
    tls_versions: TlsVersions | None = None
    alpn_protocols: AlpnProtocols | None = None
    hsts_max_age: MaximumAge | None = None
    hsts_include_subdomains: Flag = False
    hsts_preload: Flag = False

    @model_validator(mode="before")
    @classmethod
    def _headers_from_mapping(cls, data: object) -> object:
        """v2 writes insert_headers as an object; the tree keeps sorted pairs, which hash."""
        if isinstance(data, dict) and isinstance(data.get("insert_headers"), dict):
            pairs = {str(k): str(v).lower() if isinstance(v, bool) else v for k, v in data["insert_headers"].items()}
            return {**data, "insert_headers": tuple(sorted(pairs.items()))}
        return data

    @model_validator(mode="after")
    def _header_rules(self) -> Self:
        if self.insert_headers and self.protocol not in HTTP_LISTENERS:
            raise ValueError("insert_headers belongs to HTTP and TERMINATED_HTTPS listeners only")
        allowed = INSERTABLE_HEADERS
        if self.protocol is ListenerProtocol.TERMINATED_HTTPS:
            allowed |= INSERTABLE_TLS_HEADERS
        for header, value in self.insert_headers:
            if header not in allowed:
                raise ValueError(f"the header {header} cannot be inserted; choose from {', '.join(sorted(allowed))}")
            if value.lower() not in ("true", "false"):
                raise ValueError(f"the header {header} is switched with true or false")
        return self

    @model_validator(mode="after")
    def _tls_rules(self) -> Self:
        certified = bool(self.default_tls_container_ref or self.sni_container_refs)
        terminated = self.protocol is ListenerProtocol.TERMINATED_HTTPS
        if certified and not (terminated or self.protocol is ListenerProtocol.PROMETHEUS):
            raise ValueError(f"a {self.protocol} listener takes no certificate; use TERMINATED_HTTPS")
        if terminated and not certified:
            raise ValueError("a TERMINATED_HTTPS listener needs default_tls_container_ref or sni_container_refs")
        if self.client_authentication is not ClientAuthentication.NONE and not self.client_ca_tls_container_ref:
            raise ValueError("client_authentication needs client_ca_tls_container_ref")
        if self.client_ca_tls_container_ref and not certified:
            raise ValueError("client_ca_tls_container_ref needs a certificate that the listener itself presents")
        if self.client_crl_container_ref and not self.client_ca_tls_container_ref:
            raise ValueError("client_crl_container_ref needs client_ca_tls_container_ref")
        for field in ("tls_ciphers", "tls_versions", "alpn_protocols"):
            if not certified and getattr(self, field) is not None:
                raise ValueError(f"{field} needs a certificate that the listener itself presents")
        if self.hsts_max_age is not None and not terminated:
            raise ValueError("hsts_max_age belongs to TERMINATED_HTTPS listeners only")
        if (self.hsts_include_subdomains or self.hsts_preload) and self.hsts_max_age is None:
            raise ValueError("hsts_include_subdomains and hsts_preload need hsts_max_age")
        return self

    @model_validator(mode="after")
    def _protocol_rules(self) -> Self:
        if self.protocol is ListenerProtocol.PROMETHEUS and (self.default_pool_id or self.l7policies):
            raise ValueError("a PROMETHEUS listener has neither a pool nor policies")
        return self

    def header_inserted(self, header: str) -> bool:
        """Whether ``insert_headers`` switches the header on."""
        return any(name == header and value.lower() == "true" for name, value in self.insert_headers)

    def pool_ids(self) -> tuple[str, ...]:
        """Pools that this listener can send to: the default pool, then redirect targets; each once."""
        found = dict.fromkeys(p.redirect_pool_id for p in self.l7policies if p.redirect_pool_id)
        default = (self.default_pool_id,) if self.default_pool_id else ()
        return tuple(dict.fromkeys((*default, *found)))
