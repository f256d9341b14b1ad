"""Reads what nft says of a table's counters (``nft -j list counters table``).

Law: pure; what has another form is refused. The counters also tell which ruleset the kernel holds, by the
name of one of them.

Source: libnftables-json(5), "COUNTER".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from lbdrivers_amphora.nftables.rules import counter_name
from lbdrivers_amphora.wire.fields import Fields
from lbdrivers_amphora.wire.report import Totals


@dataclass(frozen=True, slots=True)
class Count:
    """Packets, and their bytes from the IP header on."""

    packets: int = 0
    octets: int = 0


@dataclass(frozen=True, slots=True)
class Counters:
    """A table's counters by name."""

    counts: Mapping[str, Count] = field(default_factory=dict)

    @property
    def revision(self) -> str:
        """The name that says which ruleset it is; empty for a table of others."""
        return next((name for name in self.counts if name.startswith("revision-")), "")

    def totals(self) -> dict[str, Totals]:
        """By listener: what its clients sent and got, its flows, and the datagrams that were refused."""
        listeners = [name.removeprefix("flows-") for name in self.counts if name.startswith("flows-")]
        return {one: self._totals(one) for one in listeners}

    def _totals(self, listener_id: str) -> Totals:
        def count(what: str) -> Count:
            return self.counts.get(counter_name(what, listener_id), Count())

        return Totals(
            bytes_in=count("in").octets,
            bytes_out=count("out").octets,
            request_errors=count("refused").packets,
            total_connections=count("flows").packets,
        )


def parse(text: bytes) -> Counters:
    """:raises Malformed: when it is no such listing."""
    entries = Fields.of_text(text, "nft").each("nftables", lambda entry: entry.inner("counter"))
    return Counters(
        {
            entry.text("name"): Count(entry.number("packets"), entry.number("bytes"))
            for entry in entries
            if entry is not None
        }
    )
