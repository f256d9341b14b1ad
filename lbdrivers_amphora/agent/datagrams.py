"""Datagrams balanced by nftables: what is wanted goes into the kernel as one transaction.

Law: pure. The kernel takes a change whole or not at all, so the last good rules stay. Flows move only
where their member may get nothing more: removed, disabled or down. The rules outlive the agent; its
next life finds by the table's revision whether they are those that it knows.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from lbdrivers_amphora.agent import lvs
from lbdrivers_amphora.agent.effects import (
    Announce,
    AskDataPaths,
    AskProbes,
    CountDatagrams,
    CountFlows,
    EndFlows,
    Finished,
    Forward,
    ListFolder,
    Probe,
    Program,
    ReadFile,
    Remove,
    RunProgram,
    TableCounts,
    WriteFile,
    do,
)
from lbdrivers_amphora.agent.layout import Layout
from lbdrivers_amphora.agent.responses import Response, failure, md5, success
from lbdrivers_amphora.nftables import checks, document, render, rules, states
from lbdrivers_amphora.nftables.ir import Configuration
from lbdrivers_amphora.wire.agent_config import ACTIVE_STANDBY
from lbdrivers_amphora.wire.fields import Fields, Malformed
from lbdrivers_amphora.wire.report import ListenerReport, PoolReport
from lbdrivers_amphora.wire.routes import DeleteDatagrams, GetDatagrams, PutDatagrams

#: How the revision of what is applied is called among those of other files.
REVISION = "datagrams.json"
_REMEDY = (
    "this appliance cannot balance datagrams with nftables: it needs the programs nft and conntrack, and a kernel "
    "with nf_tables, nf_nat and nf_conntrack; build its image with them"
)


@dataclass(frozen=True)
class Applied:
    """What the kernel was told last.

    :param down: ids of members whose probes failed then.
    :param revision: the name by which the kernel's table says that it is this.
    """

    configuration: Configuration
    down: frozenset[str] = frozenset()
    revision: str = ""

    def render(self) -> bytes:
        """As it rests on disk."""
        rest = json.dumps({"down": sorted(self.down), "revision": self.revision}).encode()
        return b'{"configuration":%b,%b' % (document.render(self.configuration), rest[1:])

    @classmethod
    def parse(cls, text: bytes) -> Applied:
        """:raises Malformed: when it is no such file."""
        source = Fields.of_text(text, "applied.json")
        configuration = source.inner("configuration")
        if configuration is None:
            raise Malformed("applied.json: configuration: missing")
        return cls(document.read(configuration), frozenset(source.texts("down")), source.text("revision"))


@dataclass(frozen=True)
class Reports:
    """What the statistics say of datagrams."""

    listeners: Mapping[str, ListenerReport] = field(default_factory=dict)
    pools: Mapping[str, PoolReport] = field(default_factory=dict)
    revisions: Mapping[str, str] = field(default_factory=dict)


def balancers(layout: Layout) -> Program[tuple[str, ...]]:
    """Ids of the load balancers whose datagrams are balanced here."""
    return (yield from do(ListFolder(layout.datagrams)))


def _applied(layout: Layout, balancer: str) -> Program[Applied | None]:
    """None when there is nothing, or nothing that can be read: then everything is written anew."""
    text = yield from do(ReadFile(layout.datagrams_applied(balancer)))
    try:
        return None if text is None else Applied.parse(text)
    except Malformed:
        return None


# --- requests


def put(layout: Layout, request: PutDatagrams) -> Program[Response]:
    """Make the kernel balance this and nothing else for the load balancer."""
    if "nftables" not in (yield from do(AskDataPaths())):
        return failure(501, "Not Implemented", _REMEDY)
    balancer, configuration = request.load_balancer_id, request.configuration
    before = yield from _applied(layout, balancer)
    down: frozenset[str] = frozenset()
    if before is not None:
        down = checks.still_down(before.down, before.configuration, configuration)
    how, outcome = yield from _apply(layout, before, Applied(configuration, down))
    if not outcome.ok:
        return failure(400, "Invalid request", outcome.words)
    if before is None and layout.config.loadbalancer_topology != ACTIVE_STANDBY:
        vips = dict.fromkeys(address for service in configuration.services for address in service.addresses)
        yield from do(Announce(tuple(vips)))
    return success(202, f"Datagrams of {balancer} balanced", transition=how)


def get(layout: Layout, request: GetDatagrams) -> Program[Response]:
    """What is applied."""
    applied = yield from _applied(layout, request.load_balancer_id)
    if applied is None:
        return failure(404, "Datagrams Not Found", f"No datagrams are balanced for {request.load_balancer_id}")
    text = document.render(applied.configuration)
    return Response(200, text, md5(text))


def delete(layout: Layout, request: DeleteDatagrams) -> Program[Response]:
    """Remove the rules; absent is success. The totals stay, as the listeners may come back."""
    balancer = request.load_balancer_id
    if balancer not in (yield from balancers(layout)):
        return success(200)
    before = yield from _applied(layout, balancer)
    yield from do(Probe(balancer, {}))
    yield from _count(layout, balancer)
    table = rules.table_name(balancer)
    outcome = yield from _load(layout, balancer, render.removal(table))
    if not outcome.ok:
        return failure(500, "Error removing datagrams", outcome.words)
    yield from _count(layout, balancer)
    if before is not None:
        yield from do(EndFlows(tuple(sorted(rules.kept_marks(before.configuration, before.down)))))
    yield from do(Remove(f"{layout.datagrams}/{balancer}"))
    if not (yield from balancers(layout)) and not (yield from lvs.listeners(layout)):
        yield from do(Forward(enabled=False))
    return success(200)


# --- what happens without a request


def restore(layout: Layout) -> Program[tuple[str, ...]]:
    """Take up what an earlier life left; after a reboot of the appliance the kernel is told again.

    :returns: what could not be restored, for the log.
    """
    troubles: list[str] = []
    for balancer in (yield from balancers(layout)):
        applied = yield from _applied(layout, balancer)
        if applied is None:
            troubles.append(f"datagrams of {balancer}: {layout.datagrams_applied(balancer)} cannot be read")
            continue
        _, outcome = yield from _apply(layout, applied, applied)
        troubles += [] if outcome.ok else [f"datagrams of {balancer}: {outcome.words}"]
    return tuple(troubles)


def turned(layout: Layout, balancer: str, down: Mapping[str, checks.Target]) -> Program[Finished]:
    """Members went down or came up: give their flows to others, or new ones to them.

    :param down: who is down, by member id, and where that was found out: a member that was moved
        meanwhile is not judged by its old place.
    """
    before = yield from _applied(layout, balancer)
    if before is None:
        return Finished(ok=True)
    probed = checks.targets(before.configuration)
    known = frozenset(name for name, target in down.items() if name in probed and probed[name].is_at(target))
    _, outcome = yield from _apply(layout, before, replace(before, down=known))
    return outcome


# --- how


def _apply(layout: Layout, before: Applied | None, after: Applied) -> Program[tuple[str, Finished]]:
    """From what is applied to what is wanted. :returns: the transition's name, and how it went."""
    balancer = after.configuration.load_balancer_id
    counts = yield from _count(layout, balancer)
    wanted = rules.table(after.configuration, after.down)
    after = replace(after, revision=rules.revision_of(wanted))
    if counts.revision == after.revision:
        how, outcome = "nothing", Finished(ok=True)
    else:
        how, outcome = "runtime", Finished(ok=False)
        if before is not None and counts.revision == before.revision:
            running = rules.table(before.configuration, before.down)
            outcome = yield from _load(layout, balancer, render.change(running, wanted))
        if not outcome.ok:
            outcome = yield from _load(layout, balancer, render.replacement(wanted))
    if outcome.ok:
        yield from _settle(layout, before, after)
        if before is not None and _listeners(before.configuration) - _listeners(after.configuration):
            # What they counted last is remembered now: one that returns counts from zero.
            yield from _count(layout, balancer)
    return how, outcome


def _settle(layout: Layout, before: Applied | None, after: Applied) -> Program[None]:
    """What belongs to new rules: forwarding, the record, flows that may not go on, probes."""
    balancer = after.configuration.load_balancer_id
    yield from do(Forward(enabled=True))
    text = after.render()
    if (yield from do(ReadFile(layout.datagrams_applied(balancer)))) != text:
        yield from do(WriteFile(layout.datagrams_applied(balancer), text))
    ended = _ended(before, after)
    if ended.marks or ended.entries:
        yield from do(ended)
    yield from do(Probe(balancer, checks.targets(after.configuration), after.down))


def _ended(before: Applied | None, after: Applied) -> EndFlows:
    """Flows to members that may get nothing more; and those that began where there was no listener
    yet, as the kernel would go on to treat them so."""
    entries = _entries(after.configuration)
    if before is None:
        return EndFlows(entries=tuple(sorted(entries)))
    gone = rules.kept_marks(before.configuration, before.down) - rules.kept_marks(after.configuration, after.down)
    return EndFlows(tuple(sorted(gone)), tuple(sorted(entries - _entries(before.configuration))))


def _listeners(configuration: Configuration) -> frozenset[str]:
    return frozenset(service.listener_id for service in configuration.services)


def _entries(configuration: Configuration) -> frozenset[tuple[str, int]]:
    return frozenset((address, service.port) for service in configuration.services for address in service.addresses)


def _load(layout: Layout, balancer: str, text: str) -> Program[Finished]:
    """One transaction; the file stays for people to read."""
    path = layout.datagrams_change(balancer)
    yield from do(WriteFile(path, text.encode()))
    return (yield from do(RunProgram(("nft", "-f", path), inside=True)))


def _count(layout: Layout, balancer: str) -> Program[TableCounts]:
    table = rules.table_name(balancer)
    return (yield from do(CountDatagrams(layout.counters, f"datagrams-{balancer}", table)))


# --- what is told


def reports(layout: Layout) -> Program[Reports]:
    """Listeners, pools and revisions of everything that nftables or IPVS balances."""
    listeners: dict[str, ListenerReport] = {}
    pools: dict[str, PoolReport] = {}
    revisions: dict[str, str] = {}
    for balancer in (yield from balancers(layout)):
        applied = yield from _applied(layout, balancer)
        counts = yield from _count(layout, balancer)
        if applied is None or counts.revision is None:
            continue
        flows = yield from do(CountFlows())
        details = yield from do(AskProbes(balancer))
        listeners |= states.listener_reports(applied.configuration, counts.totals, flows)
        pools |= states.pool_reports(applied.configuration, applied.down, details)
        if counts.revision == applied.revision:  # else they are being changed, or somebody else did
            revisions[REVISION] = md5(document.render(applied.configuration))
    by_ipvs = yield from lvs.reports(layout)
    return Reports(listeners | dict(by_ipvs[0]), pools | dict(by_ipvs[1]), revisions | by_ipvs[2])


def listed(layout: Layout) -> Program[list[dict[str, str]]]:
    """Listeners whose datagrams are balanced here, by nftables or IPVS."""
    found = dict.fromkeys((yield from _listener_ids(layout)), "ACTIVE")
    running = yield from lvs.running(layout)
    found |= {one: "ACTIVE" if one in running else "OFFLINE" for one in (yield from lvs.listeners(layout))}
    return [{"status": status, "uuid": listener_id, "type": "UDP"} for listener_id, status in found.items()]


def _listener_ids(layout: Layout) -> Program[tuple[str, ...]]:
    found: list[str] = []
    for balancer in (yield from balancers(layout)):
        applied = yield from _applied(layout, balancer)
        found += [] if applied is None else sorted(_listeners(applied.configuration))
    return tuple(found)
