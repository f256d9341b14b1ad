"""The amphora driver: makes an appliance do what a bundle says, over its agent's HTTPS API.

Law: what the appliance reports as applied is not sent again; the rest goes in the order in which a
crash in between leaves something that works: certificates, HAProxy, datagrams, keepalived. Every verb hands
over the whole desired state and is idempotent.
"""

from __future__ import annotations

import hashlib
import ipaddress
import threading
from collections.abc import Iterable, Mapping
from dataclasses import replace

from lbdrivers.drivers.amphora import (
    ApplianceReport,
    Bundle,
    DaemonState,
    Facts,
    Interface,
    InterfaceAddress,
    MemberState,
    PoolState,
    Topology,
    Vip,
)
from lbdrivers.drivers.certificate import Authority
from lbdrivers.drivers.context import CONTRACT, DriverContext
from lbdrivers.drivers.provider import Mildness, Statistics
from lbdrivers.errors import PermanentError, TemporaryError
from lbdrivers.model.infra import HostRoute, Machine
from lbdrivers.model.resources import Listener, ListenerProtocol
from lbdrivers.model.secret import Secret
from lbdrivers_amphora import client_datagrams, client_settings
from lbdrivers_amphora.blame import blame
from lbdrivers_amphora.client_transport import Answer, Line, demand, tls_context
from lbdrivers_amphora.decide import datagrams
from lbdrivers_amphora.haproxy import render as haproxy_render
from lbdrivers_amphora.haproxy import translate as haproxy_translate
from lbdrivers_amphora.haproxy.translate_tls import certificate_files
from lbdrivers_amphora.keepalived import render as keepalived_render
from lbdrivers_amphora.keepalived import translate as keepalived_translate
from lbdrivers_amphora.wire import report as wire
from lbdrivers_amphora.wire import routes
from lbdrivers_amphora.wire.fields import Malformed
from lbdrivers_amphora.wire.plugging import FixedIp, PlugNetwork, PlugVip, Route, UnplugNetwork, VipAddress, VipNetwork
from lbdrivers_amphora.wire.request import Request

#: Name of the VIPs' interface inside every appliance.
VIP_INTERFACE = "eth1"
_DATAGRAM = (ListenerProtocol.UDP, ListenerProtocol.SCTP)
#: A client certificate with less than a day left is fetched anew.
_RENEWAL_MARGIN = 86400.0
#: tuned's profile that keeps all CPUs but the first free for traffic.
_ISOLATING_PROFILE = "amphora"
_MILDEST_FIRST = tuple(Mildness)
#: Capability of agents that say what is applied without all that they measure.
_APPLIED = "applied"


class RestAmphoraDriver:
    """Speaks REST API 1.0 and our superset to agents. See :class:`lbdrivers.drivers.amphora.AmphoraDriver`."""

    contract = CONTRACT

    def __init__(self, context: DriverContext) -> None:
        self._context = context
        self._settings = client_settings.read(context.configuration)
        self._lock = threading.Lock()
        self._lines: dict[tuple[str, str | None, str], tuple[Line, float]] = {}
        self._known: dict[str, Facts] = {}

    def facts(self, machine: Machine, amphora_id: str) -> Facts:
        """:raises TemporaryError: while the agent does not answer yet."""
        details = self._details(machine, amphora_id)
        facts = Facts(
            hostname=details.hostname,
            api_version=details.api_version,
            haproxy_version=details.haproxy_version,
            keepalived_version=details.keepalived_version,
            cpu_count=details.cpu_count,
            isolated_cpus=_ISOLATING_PROFILE in details.tuned_profiles.split(),
            memory=details.memory,
        )
        extras = details.extras
        if extras is not None:
            facts = replace(
                facts,
                base_path=extras.base_path,
                certificate_path=extras.certificate_path,
                log_socket=extras.log_socket,
                haproxy_user=extras.haproxy_user,
                capabilities=frozenset(extras.capabilities),
            )
        with self._lock:
            self._known[amphora_id] = facts
        return facts

    def plug(self, machine: Machine, amphora_id: str, interfaces: tuple[Interface, ...]) -> None:
        """Make the appliance's interfaces be exactly these."""
        details = self._details(machine, amphora_id)
        plugged = {} if details.extras is None else details.extras.interfaces
        wanted = {interface.mac.lower() for interface in interfaces}
        for mac in sorted(set(plugged) - wanted):
            self._demand(machine, amphora_id, UnplugNetwork(mac), "unplug an interface")
        for interface in interfaces:
            self._plug(machine, amphora_id, interface)

    def _plug(self, machine: Machine, amphora_id: str, interface: Interface) -> None:
        mac = interface.mac.lower()
        fixed = tuple(_fixed(address) for address in interface.addresses)
        if not interface.vips:
            request = PlugNetwork(mac, fixed, interface.mtu)
            self._demand(machine, amphora_id, request, "plug a member network")
            return
        own, others = _vrrp_address(interface)
        network = VipNetwork(tuple(_vip(vip) for vip in interface.vips), own, interface.mtu)
        answer = self._ask(machine, amphora_id, PlugVip(mac, network))
        if answer.status == 409 or others:
            # It is plugged (already): the other route updates it, and takes further addresses.
            shared = PlugNetwork(mac, others, interface.mtu, vip_network=network)
            answer = self._ask(machine, amphora_id, shared) if answer.status in (202, 409) else answer
        demand(answer, "plug the VIP", amphora_id)

    def configure(self, machine: Machine, bundle: Bundle) -> Mildness:
        """Make HAProxy and keepalived do what the bundle says, in the mildest way that suffices."""
        amphora_id = bundle.amphora_id
        facts = self._known.get(amphora_id) or self.facts(machine, amphora_id)
        # Rendered first: what cannot be said leaves the appliance untouched.
        haproxy = self._haproxy_files(bundle, facts)
        passed = self._datagrams(bundle, facts)
        keepalived = self._keepalived_text(bundle, facts)
        report = self._applied(machine, amphora_id, facts)
        done = [self._configure_haproxy(machine, bundle, haproxy, report)]
        done += self._configure_datagrams(machine, bundle, passed, report)
        if keepalived is not None:
            done.append(self._configure_keepalived(machine, amphora_id, keepalived, report))
        return max(done, key=_MILDEST_FIRST.index)

    def _haproxy_files(self, bundle: Bundle, facts: Facts) -> tuple[bytes, dict[str, Secret]] | None:
        """The configuration and the certificate files that it refers to; None when HAProxy has nothing to serve."""
        if not bundle.load_balancer.admin_state_up or not any(map(_served, bundle.load_balancer.listeners)):
            return None
        try:
            configuration = haproxy_translate.translate(bundle, facts)
            return haproxy_render.render(configuration).encode(), certificate_files(configuration, bundle, facts)
        except ValueError as error:
            raise PermanentError(f"the load balancer cannot be written as a configuration: {error}") from error

    def _datagrams(self, bundle: Bundle, facts: Facts) -> datagrams.Datagrams:
        try:
            return datagrams.wanted(bundle, facts, self._settings.datagrams)
        except ValueError as error:
            raise PermanentError(f"the load balancer cannot be written as a configuration: {error}") from error

    def _keepalived_text(self, bundle: Bundle, facts: Facts) -> bytes | None:
        if bundle.topology is Topology.SINGLE:
            return None
        try:
            return keepalived_render.render(keepalived_translate.translate(bundle, facts, VIP_INTERFACE)).encode()
        except ValueError as error:
            raise PermanentError(f"the load balancer cannot be written as a configuration: {error}") from error

    def _configure_haproxy(
        self, machine: Machine, bundle: Bundle, files: tuple[bytes, dict[str, Secret]] | None, report: wire.Applied
    ) -> Mildness:
        balancer, amphora_id = bundle.load_balancer.id, bundle.amphora_id
        if files is None:
            self._demand(machine, amphora_id, routes.DeleteListeners(balancer), "stop HAProxy")
            return Mildness.RESTART if report.haproxy == DaemonState.RUNNING else Mildness.NOTHING
        text, certificates = files
        stale = self._upload_certificates(machine, bundle, certificates, report.revisions)
        running = report.haproxy == DaemonState.RUNNING
        if running and not stale and report.revisions.get("haproxy.cfg") == _md5(text):
            return Mildness.NOTHING
        upload = routes.UploadHaproxy(amphora_id, balancer, text)
        try:
            self._demand(machine, amphora_id, upload, "upload the HAProxy configuration")
            answer = self._demand(machine, amphora_id, routes.ActOnBalancer(balancer, "reload"), "reload HAProxy")
        except (PermanentError, TemporaryError) as error:
            raise blame(error, text, bundle.load_balancer) from error
        return _mildness(answer)

    def _configure_datagrams(
        self, machine: Machine, bundle: Bundle, wanted: datagrams.Datagrams, report: wire.Applied
    ) -> list[Mildness]:
        def ask(request: Request, what: str) -> Answer:
            return self._demand(machine, bundle.amphora_id, request, what)

        balancer = bundle.load_balancer.id
        steps = client_datagrams.configure(ask, bundle.amphora_id, balancer, wanted, report.revisions)
        return [step if isinstance(step, Mildness) else _mildness(step) for step in steps]

    def _upload_certificates(
        self, machine: Machine, bundle: Bundle, files: Mapping[str, Secret], revisions: Mapping[str, str]
    ) -> bool:
        """Send the files that the process has not read in this form; whether there were any."""
        stale = {name: secret for name, secret in files.items() if revisions.get(name) != _md5(secret.reveal())}
        for name, secret in stale.items():
            request = routes.PutCertificate(bundle.load_balancer.id, name, secret.reveal())
            self._demand(machine, bundle.amphora_id, request, "upload a certificate")
        return bool(stale)

    def _configure_keepalived(self, machine: Machine, amphora_id: str, text: bytes, report: wire.Applied) -> Mildness:
        running = report.keepalived == DaemonState.RUNNING
        if running and report.revisions.get("keepalived.conf") == _md5(text):
            return Mildness.NOTHING
        self._demand(machine, amphora_id, routes.UploadKeepalived(text), "upload the keepalived configuration")
        answer = self._demand(machine, amphora_id, routes.ActOnKeepalived("start"), "start keepalived")
        return _mildness(answer)

    def report(self, machine: Machine, amphora_id: str) -> ApplianceReport:
        """What the appliance measures right now."""
        found = self._report(machine, amphora_id)
        return ApplianceReport(
            amphora_id=found.amphora_id,
            haproxy=DaemonState(found.haproxy),
            keepalived=DaemonState(found.keepalived),
            holds_vip=found.holds_vip,
            listeners={name: (entry.status, _statistics(entry.totals)) for name, entry in found.listeners.items()},
            pools={name: _pool(entry) for name, entry in found.pools.items()},
            revisions=found.revisions,
            haproxy_pids=found.haproxy_pids,
            certificate_expires=self._line(machine, amphora_id).certificate_expires,
        )

    def rotate_certificate(self, machine: Machine, amphora_id: str, pem: Secret) -> None:
        """Give the agent a new server certificate without touching traffic."""
        request = routes.PutServerCertificate(pem.reveal())
        self._demand(machine, amphora_id, request, "rotate the agent's certificate")
        with self._lock:
            # What is kept open has shown the old one; the next handshake proves the new one.
            for key in [key for key in self._lines if key[2] == amphora_id]:
                self._lines.pop(key)[0].close()

    def reconfigure(self, machine: Machine, amphora_id: str, config: Secret) -> None:
        """Give the agent a new configuration of its own without touching traffic."""
        self._demand(machine, amphora_id, routes.PutConfig(config.reveal()), "configure the agent")

    def revisions(self, bundle: Bundle, facts: Facts) -> Mapping[str, str]:
        """See ``Foreteller.revisions``."""
        haproxy, files = self._haproxy_files(bundle, facts) or (None, {})
        keepalived, passed = self._keepalived_text(bundle, facts), self._datagrams(bundle, facts).texts
        texts = {"haproxy.cfg": haproxy, "keepalived.conf": keepalived, **passed}
        found = texts | {name: secret.reveal() for name, secret in files.items()}
        return {name: _md5(text) for name, text in found.items() if text is not None}

    def _details(self, machine: Machine, amphora_id: str) -> wire.Details:
        answer = self._demand(machine, amphora_id, routes.GetDetails(), "ask for details")
        try:
            return wire.Details.parse(answer.content)
        except Malformed as error:
            raise _strange(amphora_id, error) from error

    def _applied(self, machine: Machine, amphora_id: str, facts: Facts) -> wire.Applied:
        """What is there already; an agent that cannot say it alone says it within its statistics."""
        request = routes.GetRevisions() if _APPLIED in facts.capabilities else routes.GetStatistics()
        answer = self._demand(machine, amphora_id, request, "ask for what is applied")
        try:
            return wire.Applied.parse(answer.content)
        except Malformed as error:
            raise _strange(amphora_id, error) from error

    def _report(self, machine: Machine, amphora_id: str) -> wire.Report:
        answer = self._demand(machine, amphora_id, routes.GetStatistics(), "ask for statistics")
        try:
            return wire.Report.parse(answer.content)
        except Malformed as error:
            raise _strange(amphora_id, error) from error

    def _demand(self, machine: Machine, amphora_id: str, request: Request, what: str) -> Answer:
        return demand(self._ask(machine, amphora_id, request), what, amphora_id)

    def _ask(self, machine: Machine, amphora_id: str, request: Request) -> Answer:
        return self._line(machine, amphora_id).ask(request)

    def _line(self, machine: Machine, amphora_id: str) -> Line:
        """The line to the appliance; a new one when there is none, or its certificate nears its end."""
        if machine.address is None:
            raise TemporaryError("an appliance has no address yet", f"machine {machine.name} of amphora {amphora_id}")
        key = (machine.address, machine.vantage, amphora_id)
        with self._lock:
            line, expires = self._lines.get(key, (None, 0.0))
            if line is not None and self._context.now() < expires - _RENEWAL_MARGIN:
                return line
        authority: Authority = self._context.load("lbdrivers.certificates", self._settings.authority)
        credential = authority.client()
        context = tls_context(credential, authority.trust())
        line = Line(machine.address, machine.vantage, amphora_id, self._settings, context)
        with self._lock:
            # Another thread's line of the same moment is as good; it is closed when forgotten.
            self._lines[key] = (line, credential.expires)
            self._forget_others(key)
        return line

    def _forget_others(self, key: tuple[str, str | None, str]) -> None:
        """An amphora has one address; lines to its earlier ones lead nowhere."""
        for other in [entry for entry in self._lines if entry[2] == key[2] and entry != key]:
            self._lines.pop(other)[0].close()


def _strange(amphora_id: str, error: Malformed) -> PermanentError:
    return PermanentError("an appliance gave an answer that is not understood", f"amphora {amphora_id}: {error}")


def _md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def _served(listener: Listener) -> bool:
    return listener.admin_state_up and listener.protocol not in _DATAGRAM


def _mildness(answer: Answer) -> Mildness:
    """How the agent did it; an agent that does not say reloaded."""
    try:
        word = wire.Transitioned.parse(answer.content).transition or Mildness.RELOAD.value
        return Mildness(word)
    except (Malformed, ValueError):
        return Mildness.RELOAD


def _routes(host_routes: Iterable[HostRoute]) -> tuple[Route, ...]:
    return tuple(Route(route.destination, route.nexthop) for route in host_routes)


def _fixed(address: InterfaceAddress) -> FixedIp:
    return FixedIp(address.address, address.cidr, address.gateway, _routes(address.host_routes))


def _vip(vip: Vip) -> VipAddress:
    return VipAddress(vip.address, vip.cidr, vip.gateway, _routes(vip.host_routes))


def _vrrp_address(interface: Interface) -> tuple[str | None, tuple[FixedIp, ...]]:
    """The port's own address in the primary VIP's subnet, and its other addresses."""
    network = ipaddress.ip_network(interface.vips[0].cidr)
    own = next((entry for entry in interface.addresses if ipaddress.ip_address(entry.address) in network), None)
    others = tuple(_fixed(entry) for entry in interface.addresses if entry is not own)
    return (None if own is None else own.address), others


def _statistics(totals: wire.Totals) -> Statistics:
    return Statistics(
        active_connections=totals.active_connections,
        bytes_in=totals.bytes_in,
        bytes_out=totals.bytes_out,
        request_errors=totals.request_errors,
        total_connections=totals.total_connections,
        requests=totals.requests,
    )


def _pool(pool: wire.PoolReport) -> PoolState:
    members = {name: MemberState(member.status, member.detail) for name, member in pool.members.items()}
    return PoolState(pool.status, members)
