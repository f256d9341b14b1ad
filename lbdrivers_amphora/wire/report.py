"""What an appliance says of itself: typed answers of the agent's API and their JSON.

Law: ``parse(to_json(value)) == value``. Both ends use these types; what another agent sends is
parsed or refused, fields that only our agent has are optional.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from lbdrivers_amphora.wire.fields import Fields


@dataclass(frozen=True)
class Extras:
    """The key ``lbdrivers`` of the details: what only our agent says.

    :param log_socket: datagram socket for HAProxy's logs, or None when there is none.
    :param haproxy_user: user that HAProxy can drop to, or None.
    :param interfaces: MAC -> name of every interface that carries traffic.
    """

    base_path: str
    certificate_path: str
    log_socket: str | None
    haproxy_user: str | None
    capabilities: tuple[str, ...]
    interfaces: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, source: Fields) -> Extras:
        return cls(
            base_path=source.text("base_path"),
            certificate_path=source.text("certificate_path"),
            log_socket=source.text_or_none("log_socket"),
            haproxy_user=source.text_or_none("haproxy_user"),
            capabilities=source.texts("capabilities"),
            interfaces=source.text_mapping("interfaces"),
        )


@dataclass(frozen=True)
class Details:
    """The part of ``GET /details`` that a controller decides by."""

    hostname: str
    api_version: str
    haproxy_version: str
    keepalived_version: str
    cpu_count: int
    extras: Extras | None
    tuned_profiles: str = ""
    memory: int = 0
    """kB in all; 0 when the agent does not say."""

    @classmethod
    def parse(cls, text: bytes) -> Details:
        """:raises Malformed: when the text is no such answer."""
        source = Fields.of_text(text)
        extras, memory = source.inner("lbdrivers"), source.inner("memory")
        return cls(
            hostname=source.text("hostname", ""),
            api_version=source.text("api_version"),
            haproxy_version=source.text("haproxy_version"),
            keepalived_version=source.text("keepalived_version", ""),
            cpu_count=source.number("cpu_count", 1),
            extras=None if extras is None else Extras.read(extras),
            tuned_profiles=source.text("active_tuned_profiles", ""),
            memory=0 if memory is None else memory.number("total", 0),
        )


@dataclass(frozen=True)
class Transitioned:
    """The answer to start and reload: how it was done. ``transition`` is empty from other agents."""

    transition: str = ""
    commands: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: bytes) -> Transitioned:
        """:raises Malformed: when the text is no such answer."""
        source = Fields.of_text(text)
        return cls(source.text("transition", ""), source.texts("commands"))


@dataclass(frozen=True)
class Totals:
    """Counters of one listener; bytes as seen by the client.

    :param requests: of HTTP; 0 where none are spoken, and of agents that do not tell.
    """

    active_connections: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    request_errors: int = 0
    total_connections: int = 0
    requests: int = 0

    def __add__(self, other: Totals) -> Totals:
        return Totals(
            self.active_connections + other.active_connections,
            self.bytes_in + other.bytes_in,
            self.bytes_out + other.bytes_out,
            self.request_errors + other.request_errors,
            self.total_connections + other.total_connections,
            self.requests + other.requests,
        )

    @classmethod
    def read(cls, source: Fields) -> Totals:
        return cls(
            active_connections=source.number("active_connections"),
            bytes_in=source.number("bytes_in"),
            bytes_out=source.number("bytes_out"),
            request_errors=source.number("request_errors"),
            total_connections=source.number("total_connections"),
            requests=source.number("requests", 0),
        )


@dataclass(frozen=True)
class ListenerReport:
    """A frontend: HAProxy's status word and totals since the amphora's creation."""

    status: str
    totals: Totals

    @classmethod
    def read(cls, source: Fields) -> ListenerReport:
        totals = source.inner("totals")
        return cls(source.text("status"), Totals() if totals is None else Totals.read(totals))


@dataclass(frozen=True)
class MemberReport:
    """A server: HAProxy's status word, and what its last check said."""

    status: str
    detail: str = ""

    @classmethod
    def read(cls, source: Fields) -> MemberReport:
        return cls(source.text("status"), source.text("detail", ""))


@dataclass(frozen=True)
class PoolReport:
    """A backend with its servers by member id."""

    status: str
    members: Mapping[str, MemberReport]

    @classmethod
    def read(cls, source: Fields) -> PoolReport:
        return cls(source.text("status"), source.mapping("members", MemberReport.read))


@dataclass(frozen=True)
class Applied:
    """``GET /revisions``: which daemons run, and with what; the fields are those of :class:`Report`."""

    amphora_id: str
    haproxy: str
    keepalived: str
    revisions: Mapping[str, str]

    def to_json(self) -> dict[str, object]:
        """A JSON-able object."""
        return asdict(self)

    @classmethod
    def parse(cls, text: bytes) -> Applied:
        """:raises Malformed: when the text is no such answer; a whole report is one."""
        source = Fields.of_text(text)
        return cls(
            source.text("amphora_id"),
            source.text("haproxy"),
            source.text("keepalived"),
            source.text_mapping("revisions"),
        )


@dataclass(frozen=True)
class Report:
    """The whole of ``GET /statistics``.

    :param haproxy: RUNNING or STOPPED, likewise ``keepalived``.
    :param pools: by "<pool id>:<listener id>".
    :param revisions: file name -> MD5 of what is applied: ``haproxy.cfg``, ``keepalived.conf`` and
        the certificate files; what is uploaded and not applied yet does not count.
    """

    amphora_id: str
    haproxy: str
    keepalived: str
    holds_vip: bool
    listeners: Mapping[str, ListenerReport]
    pools: Mapping[str, PoolReport]
    revisions: Mapping[str, str]
    haproxy_pids: tuple[int, ...] = ()

    def to_json(self) -> dict[str, object]:
        """A JSON-able object."""
        return asdict(self)

    @classmethod
    def parse(cls, text: bytes) -> Report:
        """:raises Malformed: when the text is no such answer."""
        source = Fields.of_text(text)
        return cls(
            amphora_id=source.text("amphora_id"),
            haproxy=source.text("haproxy"),
            keepalived=source.text("keepalived"),
            holds_vip=source.switch("holds_vip"),
            listeners=source.mapping("listeners", ListenerReport.read),
            pools=source.mapping("pools", PoolReport.read),
            revisions=source.text_mapping("revisions"),
            haproxy_pids=source.numbers("haproxy_pids"),
        )
