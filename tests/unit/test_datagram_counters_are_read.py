"""What nft says of a table's counters becomes the statistics of listeners, or is refused."""

from __future__ import annotations

import json

import pytest

from lbdrivers_amphora.nftables.listing import Count, parse
from lbdrivers_amphora.wire.fields import Malformed
from lbdrivers_amphora.wire.report import Totals

LISTENER = "c9cecd94-3b55-5892-9de0-403e22d3ad3c"
REVISION = "revision-9827bb69e6169cf9aa43119cbc6ff9b2"


def listing(**counts: tuple[int, int]) -> bytes:
    """As nft 1.0.6 writes it."""
    head = {"metainfo": {"version": "1.0.6", "release_name": "Lester Gooch #5", "json_schema_version": 1}}
    entries = [
        {"counter": {"family": "inet", "name": name, "table": "t", "handle": 1, "packets": packets, "bytes": octets}}
        for name, (packets, octets) in counts.items()
    ]
    return json.dumps({"nftables": [head, *entries]}).encode()


def test_counters_become_the_five_statistics() -> None:
    named = {
        f"in-{LISTENER}": (3, 120),
        f"out-{LISTENER}": (2, 900),
        f"flows-{LISTENER}": (2, 80),
        f"refused-{LISTENER}": (1, 40),
        REVISION: (0, 0),
    }
    found = parse(listing(**named))
    assert found.counts[f"in-{LISTENER}"] == Count(3, 120)
    assert found.totals() == {LISTENER: Totals(0, 120, 900, 1, 2)}
    assert found.revision == REVISION


def test_an_empty_table_has_no_listeners() -> None:
    assert (parse(listing()).totals(), parse(listing()).revision) == ({}, "")


@pytest.mark.parametrize(
    "text",
    [b"", b"Error: No such file or directory", b'{"nftables": {}}', b'{"nftables": [{"counter": {"name": "x"}}]}'],
)
def test_another_form_is_refused(text: bytes) -> None:
    with pytest.raises(Malformed):
        parse(text)
