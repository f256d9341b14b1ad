"""The steps that recipes are made of: small idempotent actions on one amphora or load balancer.

Law: each may be interrupted anywhere and done again; each looks at what is there first. An intent
is committed before anything external is made from it.
"""

from __future__ import annotations

import contextlib
import hashlib
import ipaddress
from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

from lbdrivers.errors import PermanentError, TemporaryError
from lbdrivers.model.infra import FixedAddress, Machine, MachineStatus, Nic, Port, PortRequest
from lbdrivers.model.secret import Secret
from lbdrivers_amphora.decide.counting import latest
from lbdrivers_amphora.flows.work import Work
from lbdrivers_amphora.records import AmphoraStatus, tree_text
from lbdrivers_amphora.wire import agent_config

CONFIG_FILE = "/etc/octavia/amphora-agent.conf"
SERVER_CERTIFICATE = "/etc/octavia/certs/server.pem"
CLIENT_CA = "/etc/octavia/certs/client_ca.pem"
#: Seconds between two looks at something that is on its way.
POLL = 0.02

T = TypeVar("T")


def mark_unsettled(work: Work, _: str) -> None:
    """Commit that machines and networks are about to change, so that whoever comes after a crash looks
    at them all, even if the wanted tree is the old one again."""
    if not work.balancer.unsettled:
        work.change_balancer(lambda _: {"unsettled": True})


def reserve_vip(work: Work, _: str) -> None:
    """Make the VIP's port, with the wanted addresses or any free ones; it is never plugged."""
    tree = work.desired
    subnet_id = tree.vip_subnet_id
    network_id = tree.vip_network_id
    if subnet_id is None:
        if network_id is None:
            raise PermanentError("vip_port_id alone is not supported; name vip_subnet_id or vip_network_id")
        subnets = work.drivers.network.network(network_id).subnets
        if not subnets:
            raise PermanentError("the VIP's network has no subnet")
        subnet_id = subnets[0].id
    subnet = work.subnet(subnet_id)
    if network_id is not None and subnet.network_id != network_id:
        raise PermanentError("vip_subnet_id is not on vip_network_id")
    _refuse_moving(work, subnet_id)
    fixed = _vip_addresses(work, subnet_id)
    request = PortRequest(work.balancer.vip_port, subnet.network_id, fixed, bound=False)
    port = work.drivers.network.ensure_port(request)
    work.set_vip(port)
    addresses = tuple(vip.address for vip in work.vip[1])
    if addresses != work.balancer.vip_addresses:
        work.change_balancer(lambda _: {"vip_addresses": addresses})


def _vip_addresses(work: Work, subnet_id: str) -> tuple[FixedAddress, ...]:
    """What the VIPs' port asks for: the tree's addresses; where it names none, those that the load balancer
    was given before, so that it has them again when somebody else has removed its port."""
    tree = work.desired
    given = list(work.balancer.vip_addresses)
    wanted = [(subnet_id, tree.vip_address), *((vip.subnet_id, vip.ip_address) for vip in tree.additional_vips)]
    named = {address for _, address in wanted}
    fixed = []
    for subnet, address in wanted:
        cidr = ipaddress.ip_network(work.subnet(subnet).cidr)
        before = (one for one in given if one not in named and ipaddress.ip_address(one) in cidr)
        chosen = address or next(before, None)
        if chosen in given:
            given.remove(chosen)
        fixed.append(FixedAddress(subnet, chosen))
    return tuple(fixed)


def _refuse_moving(work: Work, subnet_id: str) -> None:
    """A VIP stays where it is for the life of its load balancer: clients know it."""
    port = work.drivers.network.port(work.balancer.vip_port)
    if port is None or not port.fixed:
        return
    held, wanted = port.fixed[0], work.desired.vip_address
    if held.subnet_id != subnet_id or (wanted is not None and held.address != wanted):
        raise PermanentError(
            f"the VIP of a load balancer cannot be moved from {held.address}; make another load balancer",
            object_id=work.desired.id,
        )


def release_vip(work: Work, _: str) -> None:
    """Remove the VIP's port. Only a removal of the whole load balancer does this."""
    work.drivers.network.remove_port(work.balancer.vip_port)


def reserve_ports(work: Work, _: str) -> None:
    """Make the management and VRRP ports of all amphorae that are built, so that each knows its peers."""
    for amphora_id in (amphora.id for amphora in work.built):
        amphora = work.amphora(amphora_id)
        reserve_management_port(work, amphora_id)
        vip_nic = work.vip[0]
        port = _ensure_nic_port(work, amphora_id, _nic_on(work, vip_nic.network_id))
        address = port.address_in(vip_nic.subnet_ids[0])
        if address is None:
            raise PermanentError("the VRRP port has no address in the VIP's subnet", f"port {port.name}")
        work.update(amphora.model_copy(update={"vrrp_address": address}))


def reserve_management_port(work: Work, amphora_id: str) -> None:
    """Make the port by which the agent is reached."""
    amphora = work.amphora(amphora_id)
    for name in work.management_networks[:1]:
        network = work.drivers.network.network(name)
        fixed = tuple(FixedAddress(subnet.id) for subnet in network.subnets[:1])
        work.drivers.network.ensure_port(PortRequest(amphora.management_port, network.id, fixed))


def boot_machine(work: Work, amphora_id: str) -> None:
    """When its turn has come, issue the agent's certificate and boot the machine; a running one is left alone."""
    amphora = work.amphora(amphora_id)
    machine = work.drivers.compute.find(amphora.machine)
    if machine is not None and machine.status is MachineStatus.RUNNING:
        return
    work.admission.enter_build(amphora_id, work.build_priority)
    authority = work.drivers.authority
    credential = authority.issue_server(amphora.id, work.settings.certificate_validity)
    config, request = agent_configuration(work, amphora_id), work.machine_request(amphora)
    work.drivers.compute.ensure(
        replace(
            request,
            files={
                CONFIG_FILE: config,
                SERVER_CERTIFICATE: credential.pem,
                CLIENT_CA: Secret(authority.trust().client_ca),
            },
            group=f"octavia-lb-{work.balancer.id}" if work.balancer.id else None,
        )
    )
    told = {"certificate_expires": credential.expires, **_told(work, config)}
    work.update(amphora.model_copy(update={**told, "image": request.image, "flavor": request.flavor}))


def agent_configuration(work: Work, amphora_id: str) -> Secret:
    """The text of the agent's own configuration."""
    config = agent_config.AgentConfig(amphora_id, loadbalancer_topology=work.balancer.topology.value)
    heartbeats = work.settings.heartbeats
    if heartbeats.controllers:
        config = replace(
            config,
            controller_ip_port_list=heartbeats.controllers,
            heartbeat_interval=heartbeats.interval,
            heartbeat_form=heartbeats.form.value,
            heartbeat_key=heartbeats.key_of(amphora_id).reveal().decode(),
        )
    return Secret(agent_config.render(config).encode())


def _told(work: Work, config: Secret) -> dict[str, str]:
    """What an amphora's record says of the configuration that its agent was given."""
    return {"agent_revision": _revision(config), "told_heartbeats": work.settings.heartbeats.fingerprint}


def _revision(config: Secret) -> str:
    return hashlib.sha256(config.reveal()).hexdigest()


def reconfigure_agent(work: Work, amphora_id: str) -> None:
    """Give the agent its configuration, if it was given another one."""
    amphora, config = work.amphora(amphora_id), agent_configuration(work, amphora_id)
    if amphora.agent_revision == _revision(config):
        return
    work.drivers.amphora.reconfigure(work.machine(amphora), amphora.id, config)
    work.update(amphora.model_copy(update=_told(work, config)))


def renew_certificate(work: Work, amphora_id: str) -> None:
    """Give the agent a new certificate, if the one that it shows nears its end."""
    amphora = work.amphora(amphora_id)
    machine = work.machine(amphora)
    expires = work.drivers.amphora.report(machine, amphora.id).certificate_expires or amphora.certificate_expires
    if expires is not None and expires - work.context.now() > work.settings.certificate_renewal:
        return
    credential = work.drivers.authority.issue_server(amphora.id, work.settings.certificate_validity)
    work.drivers.amphora.rotate_certificate(machine, amphora.id, credential.pem)
    work.update(amphora.model_copy(update={"certificate_expires": credential.expires}))


def remove_machine(work: Work, amphora_id: str) -> None:
    """Remove the machine with all that runs in it."""
    work.drivers.compute.remove(work.amphora(amphora_id).machine)
    work.admission.leave_build(amphora_id)


def wait_for_agent(work: Work, amphora_id: str) -> None:
    """Wait until the machine has an address and its agent answers. It serves nobody yet: one that never answers is
    removed, so that the next run boots another in its place."""
    amphora = work.amphora(amphora_id)

    def answer() -> Machine:
        machine = work.machine(amphora)
        if machine.status is MachineStatus.ERROR:
            raise PermanentError("an amphora's machine failed to boot", f"machine {amphora.machine}")
        if machine.address is None:
            raise TemporaryError("an amphora has no address yet", f"machine {amphora.machine}")
        work.drivers.amphora.facts(machine, amphora.id)
        return machine

    try:
        machine = _wait(work, answer)
    except TemporaryError:
        remove_machine(work, amphora_id)
        raise
    work.update(amphora.model_copy(update={"management_address": machine.address}))
    work.admission.leave_build(amphora_id)


def plug(work: Work, amphora_id: str) -> None:
    """Make the amphora's interfaces those that the VIP and the members need, no more and no less."""
    amphora = work.amphora(amphora_id)
    nics = work.nics()
    interfaces = []
    for nic in nics:
        port = _ensure_nic_port(work, amphora_id, nic)
        work.drivers.compute.attach(amphora.machine, port.name)
        interfaces.append(work.interface(nic, port))
    machine = work.machine(amphora)
    _wait(work, lambda: work.drivers.amphora.plug(machine, amphora.id, tuple(interfaces)))
    wanted = {work.port_name(amphora, nic) for nic in nics}
    prefix = amphora.member_port("")
    for port in work.drivers.network.ports():
        if port.name.startswith(prefix) and port.name not in wanted:
            work.drivers.compute.detach(amphora.machine, port.name)
            work.drivers.network.remove_port(port.name)


def configure(work: Work, amphora_id: str) -> None:
    """Give HAProxy and keepalived the wanted configuration, as mildly as possible."""
    amphora = work.amphora(amphora_id)
    machine = work.machine(amphora)
    bundle = work.bundle(amphora_id)
    work.mildness[amphora_id] = work.drivers.amphora.configure(machine, bundle)


def mark_ready(work: Work, amphora_id: str) -> None:
    """A spare waits for a load balancer from now on."""
    work.update(work.amphora(amphora_id).model_copy(update={"status": AmphoraStatus.READY}))


def mark_allocated(work: Work, _: str) -> None:
    """The amphorae serve; the tree is applied. One place, so that both are true together. Whoever was
    replaced is marked first: of two that serve in one slot, nobody could tell later which one stays."""
    for amphora in work.removed:
        mark_pending_delete(work, amphora.id)
    for amphora in work.built:
        known = work.amphora(amphora.id)
        work.update(known.model_copy(update={"status": AmphoraStatus.ALLOCATED}))
    tree = tree_text(work.desired)
    work.change_balancer(lambda _: {"tree": tree, "name": work.desired.name, "unsettled": False})


def mark_pending_delete(work: Work, amphora_id: str) -> None:
    """Commit that the amphora goes, before anything of it is taken away."""
    amphora = work.amphora(amphora_id)
    work.update(amphora.model_copy(update={"status": AmphoraStatus.PENDING_DELETE}))


def collect_statistics(work: Work, amphora_id: str) -> None:
    """Read the totals of an amphora that goes, if it still answers; else the last that were seen stand."""
    amphora = work.amphora(amphora_id)
    heard = work.ledger.heard(work.balancer.id).get(amphora_id)
    accounts = [amphora.statistics] if heard is None else [amphora.statistics, heard.statistics]
    machine = work.drivers.compute.find(amphora.machine)
    if machine is not None and machine.status is MachineStatus.RUNNING:
        with contextlib.suppress(TemporaryError):
            report = work.drivers.amphora.report(machine, amphora.id)
            accounts.insert(0, {listener: totals for listener, (_, totals) in report.listeners.items()})
    work.update(amphora.model_copy(update={"statistics": latest(accounts)}))


def remove_ports(work: Work, amphora_id: str) -> None:
    """Remove every port of the amphora."""
    amphora = work.amphora(amphora_id)
    prefix = amphora.member_port("")
    network = work.drivers.network
    names = [port.name for port in network.ports() if port.name.startswith(prefix)]
    for name in (*names, amphora.vrrp_port, amphora.management_port):
        work.drivers.compute.detach(amphora.machine, name)
        network.remove_port(name)


def forget_amphora(work: Work, amphora_id: str) -> None:
    """Keep the totals of an amphora that is gone, and forget it. Keyed by its id, so that a crash
    between the two counts nothing twice."""
    amphora = work.amphora(amphora_id)
    totals = {listener: replace(counted, active_connections=0) for listener, counted in amphora.statistics.items()}
    if totals:
        work.change_balancer(lambda balancer: {"retired": {**balancer.retired, amphora_id: totals}})
    work.ledger.forget_amphora(amphora_id, work.context.now())


def forget_balancer(work: Work, _: str) -> None:
    """The last record goes last."""
    work.ledger.forget_balancer(work.balancer.id, work.context.now())


def _nic_on(work: Work, network_id: str) -> Nic:
    return next(nic for nic in work.nics() if nic.network_id == network_id)


def _ensure_nic_port(work: Work, amphora_id: str, nic: Nic) -> Port:
    amphora = work.amphora(amphora_id)
    name = work.port_name(amphora, nic)
    vip_nic, vips = work.vip
    allowed = tuple(vip.address for vip in vips) if nic.network_id == vip_nic.network_id else ()
    fixed = tuple(FixedAddress(subnet_id) for subnet_id in nic.subnet_ids)
    return work.drivers.network.ensure_port(
        PortRequest(name, nic.network_id, fixed, bound=True, allowed_addresses=allowed)
    )


def _wait(work: Work, attempt: Callable[[], T]) -> T:
    """Repeat while it fails for now, until the time for machines and agents is over."""
    deadline = work.context.now() + work.settings.active_timeout
    while True:
        try:
            return attempt()
        except TemporaryError:
            if work.context.now() >= deadline:
                raise
        work.context.sleep(POLL)
