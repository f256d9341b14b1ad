"""The tree: LoadBalancer > Listener, Pool > Member, HealthMonitor; Listener > L7Policy > L7Rule.

Law: one frozen tree, parsed once; a value that exists is valid. Pools belong to the load balancer
and are referred to by id, so that listeners and policies can share them; children know no parents.
Field names, types, ranges and defaults are those of the v2 load-balancing API.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, StrictInt, model_validator

from lbdrivers.model.values import (
    Cidr,
    CipherList,
    ConnectionLimit,
    CookieName,
    ExpectedCodes,
    Flag,
    HeaderName,
    HostName,
    IpAddress,
    MaximumAge,
    MemberAddress,
    Milliseconds,
    Netmask,
    PortNumber,
    Position,
    RedirectUrl,
    Reference,
    Seconds,
    Text,
    Threshold,
    UrlPath,
    Uuid,
    Weight,
    family,
    is_header_name,
    is_regular_expression,
    is_subject_field,
)


class ListenerProtocol(enum.StrEnum):
    TCP = "TCP"
    HTTP = "HTTP"
    HTTPS = "HTTPS"
    TERMINATED_HTTPS = "TERMINATED_HTTPS"
    UDP = "UDP"
    SCTP = "SCTP"
    PROMETHEUS = "PROMETHEUS"

    @property
    def transport(self) -> str:
        """The layer-4 protocol whose ports it occupies: TCP, UDP or SCTP."""
        return self.value if self in (ListenerProtocol.UDP, ListenerProtocol.SCTP) else "TCP"


class PoolProtocol(enum.StrEnum):
    TCP = "TCP"
    HTTP = "HTTP"
    HTTPS = "HTTPS"
    PROXY = "PROXY"
    PROXYV2 = "PROXYV2"
    UDP = "UDP"
    SCTP = "SCTP"


class Algorithm(enum.StrEnum):
    ROUND_ROBIN = "ROUND_ROBIN"
    LEAST_CONNECTIONS = "LEAST_CONNECTIONS"
    SOURCE_IP = "SOURCE_IP"
    SOURCE_IP_PORT = "SOURCE_IP_PORT"


class PersistenceType(enum.StrEnum):
    SOURCE_IP = "SOURCE_IP"
    HTTP_COOKIE = "HTTP_COOKIE"
    APP_COOKIE = "APP_COOKIE"


class MonitorType(enum.StrEnum):
    HTTP = "HTTP"
    HTTPS = "HTTPS"
    PING = "PING"
    TCP = "TCP"
    TLS_HELLO = "TLS-HELLO"
    UDP_CONNECT = "UDP-CONNECT"
    SCTP = "SCTP"


class HttpMethod(enum.StrEnum):
    CONNECT = "CONNECT"
    DELETE = "DELETE"
    GET = "GET"
    HEAD = "HEAD"
    OPTIONS = "OPTIONS"
    PATCH = "PATCH"
    POST = "POST"
    PUT = "PUT"
    TRACE = "TRACE"


class PolicyAction(enum.StrEnum):
    REJECT = "REJECT"
    REDIRECT_TO_URL = "REDIRECT_TO_URL"
    REDIRECT_TO_POOL = "REDIRECT_TO_POOL"
    REDIRECT_PREFIX = "REDIRECT_PREFIX"


class RuleType(enum.StrEnum):
    HOST_NAME = "HOST_NAME"
    PATH = "PATH"
    FILE_TYPE = "FILE_TYPE"
    HEADER = "HEADER"
    COOKIE = "COOKIE"
    SSL_CONN_HAS_CERT = "SSL_CONN_HAS_CERT"
    SSL_VERIFY_RESULT = "SSL_VERIFY_RESULT"
    SSL_DN_FIELD = "SSL_DN_FIELD"


class CompareType(enum.StrEnum):
    REGEX = "REGEX"
    STARTS_WITH = "STARTS_WITH"
    ENDS_WITH = "ENDS_WITH"
    CONTAINS = "CONTAINS"
    EQUAL_TO = "EQUAL_TO"


class ClientAuthentication(enum.StrEnum):
    NONE = "NONE"
    OPTIONAL = "OPTIONAL"
    MANDATORY = "MANDATORY"


class TlsVersion(enum.StrEnum):
    SSLV3 = "SSLv3"
    TLSV1 = "TLSv1"
    TLSV1_1 = "TLSv1.1"
    TLSV1_2 = "TLSv1.2"
    TLSV1_3 = "TLSv1.3"


class AlpnProtocol(enum.StrEnum):
    H2 = "h2"
    HTTP_1_1 = "http/1.1"
    HTTP_1_0 = "http/1.0"


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

DATAGRAM_POOLS = frozenset({PoolProtocol.UDP, PoolProtocol.SCTP})
#: Seconds between two probes of UDP-CONNECT at least (Octavia's udp_connect_min_interval_health_monitor):
#: it takes silence for an answer, and an ICMP error needs time to arrive.
UDP_CONNECT_MINIMUM_DELAY = 3
#: The id that stands for "deleted" in the v2 API.
NOTHING = "00000000-0000-0000-0000-000000000000"
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


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


# Left out means "the default"; an empty list would mean that nothing may be spoken at all.
_Versions = Annotated[tuple[TlsVersion, ...], Field(min_length=1)]
_Alpn = Annotated[tuple[AlpnProtocol, ...], Field(min_length=1)]


class Resource(_Value):
    """What every resource has. ``id`` is a UUID, given or made at the edge."""

    id: Uuid
    name: Text = ""
    admin_state_up: Flag = True
    tags: tuple[Text, ...] = ()


class Member(Resource):
    """One server behind a pool."""

    address: MemberAddress
    protocol_port: PortNumber
    weight: Weight = 1
    backup: Flag = False
    subnet_id: Uuid | None = None
    monitor_address: MemberAddress | None = None
    monitor_port: PortNumber | None = None


class HealthMonitor(Resource):
    """How a pool's members are probed. ``delay`` and ``timeout`` in seconds; None means "not set"."""

    type: MonitorType
    delay: Annotated[Seconds, Field(ge=1)]
    timeout: Annotated[Seconds, Field(ge=1)]
    max_retries: Threshold
    max_retries_down: Threshold = 3
    http_method: HttpMethod | None = None
    url_path: UrlPath | None = None
    expected_codes: ExpectedCodes | None = None
    http_version: Annotated[float, Field(strict=False)] | None = None
    domain_name: HostName | None = None

    @model_validator(mode="after")
    def _rules(self) -> Self:
        http = self.type in (MonitorType.HTTP, MonitorType.HTTPS)
        for field in ("http_method", "url_path", "expected_codes", "http_version", "domain_name"):
            if not http and getattr(self, field) is not None:
                raise ValueError(f"{field} belongs to monitors of type HTTP and HTTPS only; remove it")
        if self.type is MonitorType.UDP_CONNECT and self.delay < UDP_CONNECT_MINIMUM_DELAY:
            raise ValueError(f"delay of a UDP-CONNECT monitor is {UDP_CONNECT_MINIMUM_DELAY} seconds at least")
        if self.http_version not in (None, 1.0, 1.1):
            raise ValueError("http_version is 1.0 or 1.1")
        if self.domain_name is not None and self.http_version != 1.1:
            raise ValueError("domain_name needs http_version 1.1")
        return self


class SessionPersistence(_Value):
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
    tls_versions: _Versions | None = None
    alpn_protocols: _Alpn | None = None

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


class L7Rule(_Value):
    """One condition of a policy. Its id is a UUID; rules of one policy are all required (AND)."""

    id: Uuid
    type: RuleType
    compare_type: CompareType
    key: Text | None = None
    value: Text
    invert: Flag = False
    admin_state_up: Flag = True
    tags: tuple[Text, ...] = ()

    @model_validator(mode="after")
    def _rules(self) -> Self:
        if self.value == "":
            raise ValueError("value is empty; nothing can be compared with it")
        if self.type in (RuleType.HEADER, RuleType.COOKIE, RuleType.SSL_DN_FIELD):
            if self.key is None or not is_header_name(self.key):
                raise ValueError(f"a {self.type} rule needs a key that is a name (RFC 9110 token without quotes)")
            if self.type is RuleType.SSL_DN_FIELD and not is_subject_field(self.key):
                raise ValueError("key of a SSL_DN_FIELD rule is letters, digits and dashes, such as CN")
        elif self.key is not None:
            raise ValueError(f"key does not belong to a {self.type} rule; remove it")
        if self.compare_type is CompareType.REGEX and not is_regular_expression(self.value):
            raise ValueError("value is not a regular expression")
        if self.type is RuleType.FILE_TYPE and self.compare_type not in (CompareType.REGEX, CompareType.EQUAL_TO):
            raise ValueError("a FILE_TYPE rule compares with REGEX or EQUAL_TO")
        if self.type in (RuleType.SSL_CONN_HAS_CERT, RuleType.SSL_VERIFY_RESULT):
            if self.compare_type is not CompareType.EQUAL_TO:
                raise ValueError(f"a {self.type} rule compares with EQUAL_TO")
            if self.type is RuleType.SSL_CONN_HAS_CERT and self.value.lower() != "true":
                raise ValueError("the value of a SSL_CONN_HAS_CERT rule is true; use invert for the opposite")
            if self.type is RuleType.SSL_VERIFY_RESULT and not (self.value.isascii() and self.value.isdigit()):
                raise ValueError("the value of a SSL_VERIFY_RESULT rule is a number")
        return self


class L7Policy(Resource):
    """What happens to requests that match all its rules. A policy without rules never matches."""

    description: Text = ""
    action: PolicyAction
    position: Position = 2147483647
    redirect_pool_id: Uuid | None = None
    redirect_url: RedirectUrl | None = None
    redirect_prefix: RedirectUrl | None = None
    redirect_http_code: StrictInt | None = None
    rules: Annotated[tuple[L7Rule, ...], Field(max_length=50)] = ()

    @model_validator(mode="after")
    def _rules(self) -> Self:
        targets = {
            PolicyAction.REDIRECT_TO_POOL: "redirect_pool_id",
            PolicyAction.REDIRECT_TO_URL: "redirect_url",
            PolicyAction.REDIRECT_PREFIX: "redirect_prefix",
        }
        for action, field in targets.items():
            given = getattr(self, field) is not None
            if action is self.action and not given:
                raise ValueError(f"action {action} needs {field}")
            if action is not self.action and given:
                raise ValueError(f"{field} belongs to the action {action}, not to {self.action}")
        if self.redirect_http_code is not None:
            if self.action not in (PolicyAction.REDIRECT_TO_URL, PolicyAction.REDIRECT_PREFIX):
                raise ValueError("redirect_http_code belongs to redirects to a URL or prefix")
            if self.redirect_http_code not in (301, 302, 303, 307, 308):
                raise ValueError("redirect_http_code is 301, 302, 303, 307 or 308")
        return self


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
    tls_versions: _Versions | None = None
    alpn_protocols: _Alpn | None = None
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


class AdditionalVip(_Value):
    """A further address of the load balancer on the VIP's network."""

    subnet_id: Uuid
    ip_address: IpAddress | None = None


class LoadBalancer(Resource):
    """The whole of one load balancer, as its owner wants it."""

    description: Text = ""
    project_id: Annotated[Text, Field(max_length=36)] = ""
    provider: Annotated[Text, Field(max_length=64)] | None = None
    flavor_id: Uuid | None = None
    availability_zone: Text | None = None
    vip_address: IpAddress | None = None
    vip_subnet_id: Uuid | None = None
    vip_network_id: Uuid | None = None
    vip_port_id: Uuid | None = None
    vip_qos_policy_id: Uuid | None = None
    vip_sg_ids: tuple[Uuid, ...] = ()
    additional_vips: tuple[AdditionalVip, ...] = ()
    listeners: tuple[Listener, ...] = ()
    pools: tuple[Pool, ...] = ()

    @model_validator(mode="after")
    def _rules(self) -> Self:
        if not (self.vip_subnet_id or self.vip_network_id or self.vip_port_id):
            raise ValueError("one of vip_subnet_id, vip_network_id and vip_port_id is needed")
        self._check_vips()
        self._check_identities()
        self._check_ports()
        self._check_pools()
        self._check_families()
        return self

    def _check_vips(self) -> None:
        subnets = [vip.subnet_id for vip in self.additional_vips] + ([self.vip_subnet_id] if self.vip_subnet_id else [])
        if len(set(subnets)) != len(subnets):
            raise ValueError("two VIPs use the same subnet; each additional VIP needs a subnet of its own")
        known = [address for address in self._vip_addresses() if address is not None]
        if len(set(known)) != len(known):
            raise ValueError("two VIPs have the same address; remove one")
        if self.flavor_id == NOTHING:
            raise ValueError("flavor_id stands for a deleted flavor; name one that is there, or none")
        if self.availability_zone == "":
            raise ValueError("availability_zone is empty; name one, or leave it out")

    def _vip_addresses(self) -> list[str | None]:
        """Addresses of all VIPs; None for one that is yet to be chosen."""
        return [self.vip_address, *(vip.ip_address for vip in self.additional_vips)]

    def _check_families(self) -> None:
        """What can only be reached from a VIP of its own family needs one; nothing is said while a VIP is unknown."""
        known = [address for address in self._vip_addresses() if address is not None]
        if len(known) != 1 + len(self.additional_vips):
            return
        families = {family(address) for address in known}
        for listener in self.listeners:
            for cidr in listener.allowed_cidrs:
                if family(cidr) not in families:
                    raise ValueError(f"the listener {_label(listener)} allows {cidr}, but no VIP is {family(cidr)}")
        # HAProxy opens connections of its own; datagrams are passed on as they are.
        pools = {pool_id for listener in self.listeners for pool_id in listener.pool_ids()}
        for pool in self.pools:
            if pool.id in pools and pool.protocol in DATAGRAM_POOLS:
                for member in pool.members:
                    if family(member.address) not in families:
                        raise ValueError(
                            f"the {pool.protocol} pool {_label(pool)} has the member {member.address}, "
                            f"but no VIP is {family(member.address)}"
                        )

    def _check_identities(self) -> None:
        seen: set[str] = set()
        for kind, resource in self.walk():
            if resource.id in seen:
                raise ValueError(f"the id {resource.id} of a {kind} is used twice; give each resource an id of its own")
            seen.add(resource.id)

    def _check_ports(self) -> None:
        seen: dict[tuple[str, int], Listener] = {}
        for listener in self.listeners:
            key = (listener.protocol.transport, listener.protocol_port)
            if key in seen:
                raise ValueError(
                    f"the listeners {_label(seen[key])} and {_label(listener)} both want "
                    f"{key[0]} port {key[1]}; change one"
                )
            seen[key] = listener

    def _check_pools(self) -> None:
        pools = {pool.id: pool for pool in self.pools}
        for listener in self.listeners:
            for pool_id in listener.pool_ids():
                pool = pools.get(pool_id)
                if pool is None:
                    raise ValueError(
                        f"the listener {_label(listener)} refers to the pool {pool_id}, which is not there"
                    )
                if pool.protocol not in COMPATIBLE_POOLS[listener.protocol]:
                    raise ValueError(
                        f"the {listener.protocol} listener {_label(listener)} cannot use "
                        f"the {pool.protocol} pool {_label(pool)}"
                    )

    def walk(self) -> Iterator[tuple[str, Resource | L7Rule]]:
        """Every resource of the tree with the name of its kind, parents before children."""
        yield "loadbalancer", self
        for pool in self.pools:
            yield "pool", pool
            if pool.healthmonitor is not None:
                yield "healthmonitor", pool.healthmonitor
            for member in pool.members:
                yield "member", member
        for listener in self.listeners:
            yield "listener", listener
            for policy in listener.l7policies:
                yield "l7policy", policy
                for rule in policy.rules:
                    yield "l7rule", rule

    def pool(self, pool_id: str) -> Pool:
        """The pool of that id. :raises KeyError: when there is none."""
        for pool in self.pools:
            if pool.id == pool_id:
                return pool
        raise KeyError(pool_id)


def _label(resource: Resource) -> str:
    return repr(resource.name) if resource.name else resource.id
