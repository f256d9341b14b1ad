"""What a heartbeat says and when there is none: decisions of the sender.

Law: pure. An amphora whose keepalived should run and does not is silent, so that it is replaced: nobody
else would notice. Totals become deltas only where Octavia's form wants them, against what was sent last.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace

from lbdrivers_amphora.agent import reports
from lbdrivers_amphora.agent.effects import Exists, Program, ReadFile, ServicePid, do
from lbdrivers_amphora.agent.layout import Layout
from lbdrivers_amphora.wire.agent_config import AgentConfig
from lbdrivers_amphora.wire.fields import Fields, Malformed
from lbdrivers_amphora.wire.heartbeat import DELTAS, Form, Heartbeat, ListenerBeat, PoolBeat, seal_octavia, seal_own
from lbdrivers_amphora.wire.report import Report, Totals


@dataclass(frozen=True)
class Sender:
    """What the sender remembers.

    :param epoch: grows with each life of the agent, whatever its clock does.
    :param sequence: number of the next heartbeat of this life.
    :param sent: totals that Octavia's receiver has been told so far, by listener.
    """

    epoch: int
    sequence: int = 0
    sent: Mapping[str, Totals] = field(default_factory=dict)

    def to_json(self) -> bytes:
        """What the next life must know."""
        return json.dumps({"epoch": self.epoch, "sent": {k: asdict(v) for k, v in self.sent.items()}}).encode()


def next_life(layout: Layout, now: float) -> Program[Sender]:
    """The sender of a life that begins now (seconds since the epoch).

    A clock that was set back, or a file that was lost, must not make the amphora seem an echo of its own
    earlier life; only both at once would.
    """
    text = yield from do(ReadFile(layout.heartbeat))
    epoch, sent = 0, dict[str, Totals]()
    if text is not None:
        try:
            source = Fields.of_text(text, "heartbeat.json")
            epoch, sent = source.number("epoch"), source.mapping("sent", Totals.read)
        except Malformed:
            pass  # begun anew, as without the file
    return Sender(max(epoch + 1, int(now)), sent=sent)


def measure(layout: Layout) -> Program[Report | None]:
    """What the next heartbeat says, or None when the amphora must be silent."""
    if (yield from do(Exists(layout.keepalived_config))) and (yield from do(ServicePid(layout.keepalived()))) is None:
        return None
    return (yield from reports.report(layout))


def seal(sender: Sender, config: AgentConfig, report: Report) -> tuple[bytes, Sender]:
    """The datagram, and the sender after it has left.

    :raises Malformed: when it does not fit into one datagram.
    """
    totals = {name: listener.totals for name, listener in report.listeners.items()}
    key = config.heartbeat_key.encode()
    # Remembered in either form: one that changes over goes on counting where it was.
    after = replace(sender, sequence=sender.sequence + 1, sent={**sender.sent, **totals})
    if config.heartbeat_form == Form.OWN:
        return seal_own(_heartbeat(sender, report, totals), key), after
    beat = replace(_heartbeat(sender, report, deltas(totals, sender.sent)), version=DELTAS)
    return seal_octavia(beat, key), after


def deltas(totals: Mapping[str, Totals], sent: Mapping[str, Totals]) -> dict[str, Totals]:
    """What was counted since; a total that is smaller than what was sent has begun anew."""
    return {name: _delta(counted, sent.get(name, Totals())) for name, counted in totals.items()}


def _delta(now: Totals, before: Totals) -> Totals:
    def since(current: int, last: int) -> int:
        return current - last if current >= last else current

    return Totals(
        now.active_connections,
        since(now.bytes_in, before.bytes_in),
        since(now.bytes_out, before.bytes_out),
        since(now.request_errors, before.request_errors),
        since(now.total_connections, before.total_connections),
    )


def _heartbeat(sender: Sender, report: Report, counters: Mapping[str, Totals]) -> Heartbeat:
    return Heartbeat(
        amphora_id=report.amphora_id,
        epoch=sender.epoch,
        sequence=sender.sequence,
        listeners={name: ListenerBeat(one.status, counters[name]) for name, one in report.listeners.items()},
        pools={
            name: PoolBeat(pool.status, {member: state.status for member, state in pool.members.items()})
            for name, pool in report.pools.items()
        },
        holds_vip=report.holds_vip,
    )


def destinations(texts: tuple[str, ...]) -> tuple[tuple[tuple[str, int], ...], tuple[str, ...]]:
    """(host, port) of each ``host:port`` or ``[address]:port``, and the entries that are neither."""
    good: list[tuple[str, int]] = []
    bad: list[str] = []
    for text in texts:
        host, _, port = text.rpartition(":")
        if host.startswith("[") and host.endswith("]"):
            host = host[1:-1]
        if host and port.isascii() and port.isdigit() and 0 < int(port) < 1 << 16:
            good.append((host, int(port)))
        else:
            bad.append(text)
    return tuple(good), tuple(bad)
