"""What an apply would do, as values: for the dry run.

Law: pure; nothing is touched. Each change of the tree is weighed alone, by what it does to
HAProxy's configuration and to datagrams; what concerns machines comes first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from lbdrivers.drivers.amphora import Bundle, Facts, TlsPart
from lbdrivers.drivers.provider import Mildness, PlannedAction
from lbdrivers.model.changes import Change, Created, Deleted, Ordered, apply_changes, diff
from lbdrivers.model.infra import Delta
from lbdrivers.model.resources import L7Rule, LoadBalancer, Member, Resource
from lbdrivers_amphora.decide import datagrams
from lbdrivers_amphora.decide.datagrams import DatagramDriver
from lbdrivers_amphora.decide.topology import AmphoraPlan
from lbdrivers_amphora.haproxy.certificates import Files, NotAtRuntime, exchange, listed
from lbdrivers_amphora.haproxy.process import Process
from lbdrivers_amphora.haproxy.transition import transition
from lbdrivers_amphora.haproxy.translate import translate
from lbdrivers_amphora.haproxy.translate_tls import certificate_lists

#: Stands for one that answers; how mild a change is does not depend on what it says.
_SOME_PROCESS = Process(connection_limit=1)


def amphora_actions(plan: AmphoraPlan) -> Iterator[PlannedAction]:
    """What happens to machines."""
    for slot, unfinished in plan.build:
        action = "finish building" if unfinished is not None else "build"
        yield PlannedAction(f"amphora {slot.role}", action, Mildness.REPLACE)
    for amphora in plan.remove:
        yield PlannedAction(f"amphora {amphora.id}", "remove", Mildness.REPLACE)


def network_actions(subject: str, change: Delta, names: Mapping[str, str]) -> Iterator[PlannedAction]:
    """What is plugged into and unplugged from one amphora.

    :param subject: the amphora, as people call it.
    :param names: id of a network or subnet -> what people call it; an id without one stands for itself.
    """

    def named(identity: str) -> str:
        return names.get(identity, identity)

    for nic in change.add_nics:
        subnets = ", ".join(named(subnet) for subnet in nic.subnet_ids)
        yield PlannedAction(subject, f"plug into network {named(nic.network_id)} ({subnets})", Mildness.RUNTIME)
    for added in change.add_subnets:
        action = f"add subnet {named(added.subnet_id)} on network {named(added.network_id)}"
        yield PlannedAction(subject, action, Mildness.RUNTIME)
    for taken in change.delete_subnets:
        action = f"remove subnet {named(taken.subnet_id)} from network {named(taken.network_id)}"
        yield PlannedAction(subject, action, Mildness.RUNTIME)
    for nic in change.delete_nics:
        yield PlannedAction(subject, f"unplug from network {named(nic.network_id)}", Mildness.RUNTIME)


def tree_actions(
    applied: LoadBalancer,
    desired: LoadBalancer,
    bundle: Callable[[LoadBalancer], Bundle],
    facts: Facts,
    driver: DatagramDriver,
) -> Iterator[PlannedAction]:
    """What happens to a running load balancer, change by change.

    :param bundle: gives the bundle of one amphora for a tree.
    """
    before = applied
    running, passed = _files(bundle(before), facts), datagrams.wanted(bundle(before), facts, driver)
    labels = {resource.id: f"{kind} {_name(resource)}" for tree in (applied, desired) for kind, resource in tree.walk()}
    for change in diff(applied, desired):
        after = apply_changes(before, (change,))
        if after is None:
            raise ValueError("a desired tree cannot be nothing; removal is another verb")
        wanted, then_passed = _files(bundle(after), facts), datagrams.wanted(bundle(after), facts, driver)
        kinds = (
            _mildness(running, wanted, f"{facts.certificate_path}/{after.id}"),
            datagrams.mildness(passed, then_passed),
        )
        yield PlannedAction(labels[_subject(change)], _action(change), max(kinds, key=tuple(Mildness).index))
        before, running, passed = after, wanted, then_passed


def _files(bundle: Bundle, facts: Facts) -> Files:
    """HAProxy's configuration with what it refers to. Files are named by their content, so names are digests."""
    folder = f"{facts.certificate_path}/{bundle.load_balancer.id}/"
    lists = {
        name: tuple(path.removeprefix(folder) for path in listed(text.decode()))
        for name, text in certificate_lists(bundle, facts).items()
    }
    sizes = {name: len(secret.reveal()) for name, secret in bundle.tls.contents.items()}
    return Files(translate(bundle, facts), lists, {name: name for name in bundle.tls.names.values()}, sizes)


def _mildness(running: Files, wanted: Files, folder: str) -> Mildness:
    """As the agent will decide it."""
    try:
        found = exchange(folder, running, wanted, {})
    except NotAtRuntime:
        return Mildness.RELOAD
    texts = found.in_names_of_process(running.configuration, wanted.configuration)
    kind = Mildness(transition(*texts, _SOME_PROCESS).kind)
    return Mildness.RUNTIME if kind is Mildness.NOTHING and (found.told or found.removals) else kind


def renewal(bundle: Bundle, wanted: Mapping[str, str], shown: Mapping[str, str]) -> Iterator[PlannedAction]:
    """What happens to a tree that is applied, but whose references point to other content by now.

    :param wanted: revisions of the files of the bundle; :param shown: those that its appliance shows.
    """
    stale = {name for name, revision in wanted.items() if name in bundle.tls.contents and shown.get(name) != revision}
    if not stale:
        return
    trusted = {name for (part, _), name in bundle.tls.names.items() if part is not TlsPart.CERTIFICATE}
    mildness = Mildness.RELOAD if stale & trusted else Mildness.RUNTIME
    yield PlannedAction(f"load balancer {_name(bundle.load_balancer)}", "renew certificates", mildness)


def _subject(change: Change) -> str:
    match change:
        case Created(resource=resource):
            return resource.id
        case Ordered(parent_id=parent_id):
            return parent_id
        case _:
            return change.id


def _action(change: Change) -> str:
    match change:
        case Created():
            return "create"
        case Deleted():
            return "delete"
        case Ordered(kind=kind):
            return f"reorder its {kind}s"
        case _:
            return "update " + ", ".join(f"{field.name} {field.old} -> {field.new}" for field in change.fields)


def _name(resource: Resource | L7Rule) -> str:
    if isinstance(resource, Member):
        return resource.name or f"{resource.address}:{resource.protocol_port}"
    return getattr(resource, "name", "") or resource.id
