"""The requests of the amphora agent's REST API 1.0 (and our superset), shared by both ends.

Law: one frozen class per route says method, path and body once; the controller sends it with
``target()`` and ``body()``, the agent gets it back from ``parse``; ``parse`` of what was sent is what
was sent. A request that exists is valid; everything else is a :class:`Refused` with the answer to give.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from lbdrivers_amphora.nftables import document
from lbdrivers_amphora.nftables.ir import Configuration
from lbdrivers_amphora.wire.fields import Malformed, address
from lbdrivers_amphora.wire.plugging import PlugNetwork, PlugVip, UnplugNetwork
from lbdrivers_amphora.wire.request import Refused, Request, identifier

#: Two or more characters, then "pem", is what the API asks of a certificate's name; the narrower
#: alphabet keeps it a plain file name.
_CERTIFICATE_NAME = re.compile(r"(?=.*(?:\w.)+pem)[0-9A-Za-z_][0-9A-Za-z_.-]{0,250}", re.ASCII)


@dataclass(frozen=True)
class DiscoverVersion(Request):
    METHOD, PATH = "GET", "/"


@dataclass(frozen=True)
class GetInfo(Request):
    METHOD, PATH = "GET", "/1.0/info"


@dataclass(frozen=True)
class GetDetails(Request):
    METHOD, PATH = "GET", "/1.0/details"


@dataclass(frozen=True)
class GetStatistics(Request):
    """Superset: the content of a heartbeat with totals, states and revisions, on demand."""

    METHOD, PATH = "GET", "/1.0/statistics"


@dataclass(frozen=True)
class GetRevisions(Request):
    """Superset: what is applied, without a look at members and counters, of which there may be many."""

    METHOD, PATH = "GET", "/1.0/revisions"


class _Content(Request):
    """A file to put in the place that the path names. It may hold keys or passwords: it is not shown."""

    content: bytes

    def body(self) -> bytes:
        return self.content

    @classmethod
    def parse(cls, arguments: Mapping[str, str], body: bytes) -> Self:
        values: dict[str, Any] = {name: identifier(value) for name, value in arguments.items()}
        return cls(**values | {"content": body})

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.target()}, ***)"


@dataclass(frozen=True, repr=False)
class UploadHaproxy(_Content):
    METHOD, PATH = "PUT", "/1.0/loadbalancer/{amphora_id}/{load_balancer_id}/haproxy"
    amphora_id: str
    load_balancer_id: str
    content: bytes


@dataclass(frozen=True)
class GetHaproxy(Request):
    METHOD, PATH = "GET", "/1.0/loadbalancer/{load_balancer_id}/haproxy"
    load_balancer_id: str


ACTIONS = ("start", "stop", "reload")


def _action(text: str) -> str:
    action = text.lower()
    if action not in ACTIONS:
        raise Refused(400, {"message": "Invalid Request", "details": f"Unknown action: {text}"})
    return action


@dataclass(frozen=True)
class ActOnBalancer(Request):
    """Start, stop or reload what serves a load balancer."""

    METHOD, PATH = "PUT", "/1.0/loadbalancer/{object_id}/{action}"
    object_id: str
    action: str

    @classmethod
    def parse(cls, arguments: Mapping[str, str], body: bytes) -> Self:
        del body
        return cls(identifier(arguments["object_id"]), _action(arguments["action"]))


@dataclass(frozen=True)
class DeleteListeners(Request):
    METHOD, PATH = "DELETE", "/1.0/listeners/{object_id}"
    object_id: str


@dataclass(frozen=True)
class ListListeners(Request):
    METHOD, PATH = "GET", "/1.0/listeners"


@dataclass(frozen=True)
class _Certificate(Request):
    PATH = "/1.0/loadbalancer/{load_balancer_id}/certificates/{name}"
    load_balancer_id: str
    name: str

    @classmethod
    def parse(cls, arguments: Mapping[str, str], body: bytes) -> Self:
        del body
        return cls(identifier(arguments["load_balancer_id"]), _certificate_name(arguments["name"]))


def _certificate_name(text: str) -> str:
    if not _CERTIFICATE_NAME.fullmatch(text):
        raise Refused(400, {"message": "Filename has wrong format"})
    return text


@dataclass(frozen=True)
class PutCertificate(_Certificate):
    METHOD = "PUT"
    content: bytes = b""

    def body(self) -> bytes:
        return self.content

    @classmethod
    def parse(cls, arguments: Mapping[str, str], body: bytes) -> Self:
        return cls(identifier(arguments["load_balancer_id"]), _certificate_name(arguments["name"]), body)

    def __repr__(self) -> str:
        return f"PutCertificate({self.load_balancer_id!r}, {self.name!r}, ***)"


@dataclass(frozen=True)
class GetCertificate(_Certificate):
    METHOD = "GET"


@dataclass(frozen=True)
class DeleteCertificate(_Certificate):
    METHOD = "DELETE"


@dataclass(frozen=True, repr=False)
class UploadKeepalived(_Content):
    METHOD, PATH = "PUT", "/1.0/vrrp/upload"
    content: bytes


@dataclass(frozen=True)
class ActOnKeepalived(Request):
    METHOD, PATH = "PUT", "/1.0/vrrp/{action}"
    action: str

    @classmethod
    def parse(cls, arguments: Mapping[str, str], body: bytes) -> Self:
        del body
        return cls(_action(arguments["action"]))


@dataclass(frozen=True)
class FindInterface(Request):
    METHOD, PATH = "GET", "/1.0/interface/{ip_address}"
    ip_address: str

    @classmethod
    def parse(cls, arguments: Mapping[str, str], body: bytes) -> Self:
        del body
        try:
            return cls(address(arguments["ip_address"], "ip_address"))
        except Malformed as error:
            raise Refused(400, {"message": "Invalid IP address"}) from error


@dataclass(frozen=True, repr=False)
class PutConfig(_Content):
    METHOD, PATH = "PUT", "/1.0/config"
    content: bytes


@dataclass(frozen=True, repr=False)
class PutServerCertificate(_Content):
    METHOD, PATH = "PUT", "/1.0/certificate"
    content: bytes


@dataclass(frozen=True)
class _NotServed(Request):
    """A route of the API that this agent knows of and does not serve."""

    @classmethod
    def parse(cls, arguments: Mapping[str, str], body: bytes) -> Self:
        del arguments, body
        raise Refused(501, {"message": "Not Implemented", "details": f"{cls.METHOD} {cls.PATH} is not served here"})


@dataclass(frozen=True)
class PutDatagrams(Request):
    """Superset: everything that nftables shall balance for a load balancer."""

    METHOD, PATH = "PUT", "/1.0/datagrams/{load_balancer_id}"
    load_balancer_id: str
    configuration: Configuration

    def body(self) -> bytes:
        return document.render(self.configuration)

    @classmethod
    def parse(cls, arguments: Mapping[str, str], body: bytes) -> Self:
        balancer = identifier(arguments["load_balancer_id"])
        try:
            configuration = document.parse(body)
        except Malformed as error:
            raise Refused(400, {"message": "Invalid request", "details": str(error)}) from error
        if configuration.load_balancer_id != balancer:
            words = f"load_balancer_id: {configuration.load_balancer_id}, but the path says {balancer}"
            raise Refused(400, {"message": "Invalid request", "details": words})
        return cls(balancer, configuration)


@dataclass(frozen=True)
class GetDatagrams(Request):
    """Superset: what nftables balances for a load balancer now."""

    METHOD, PATH = "GET", "/1.0/datagrams/{load_balancer_id}"
    load_balancer_id: str


@dataclass(frozen=True)
class DeleteDatagrams(Request):
    """Superset: nftables shall balance nothing more for a load balancer."""

    METHOD, PATH = "DELETE", "/1.0/datagrams/{load_balancer_id}"
    load_balancer_id: str


@dataclass(frozen=True, repr=False)
class PutUdpListener(_Content):
    """The keepalived configuration of a UDP or SCTP listener, for a kernel with IPVS."""

    METHOD, PATH = "PUT", "/1.0/listeners/{amphora_id}/{listener_id}/udp_listener"
    amphora_id: str
    listener_id: str
    content: bytes


@dataclass(frozen=True)
class GetUdpListener(Request):
    METHOD, PATH = "GET", "/1.0/listeners/{listener_id}/udp_listener"
    listener_id: str


class PutInterfaceRules(_NotServed):
    METHOD, PATH = "PUT", "/1.0/interface/{ip_address}/rules"


#: Every route of the API.
ROUTES: tuple[type[Request], ...] = (
    DiscoverVersion,
    GetInfo,
    GetDetails,
    GetStatistics,
    GetRevisions,
    UploadHaproxy,
    GetHaproxy,
    ActOnBalancer,
    DeleteListeners,
    ListListeners,
    PutCertificate,
    GetCertificate,
    DeleteCertificate,
    PlugVip,
    PlugNetwork,
    UnplugNetwork,
    UploadKeepalived,
    ActOnKeepalived,
    FindInterface,
    PutConfig,
    PutServerCertificate,
    PutDatagrams,
    GetDatagrams,
    DeleteDatagrams,
    PutUdpListener,
    GetUdpListener,
    PutInterfaceRules,
)
