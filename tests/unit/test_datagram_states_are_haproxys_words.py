"""Members and listeners of datagrams are reported in the words that HAProxy has for connections."""

from __future__ import annotations

import pytest
from support.bundles import bundle, ident, listener, member, monitor, pool, tree

from lbdrivers.drivers.amphora import Vip
from lbdrivers_amphora.nftables.ir import Configuration
from lbdrivers_amphora.nftables.rules import flow_marks
from lbdrivers_amphora.nftables.states import listener_reports, pool_reports
from lbdrivers_amphora.nftables.translate import translate
from lbdrivers_amphora.wire.report import MemberReport, PoolReport, Totals

M, N = ident("m"), ident("n")


def configuration(*, probed: bool = True, limit: int = -1, **second: object) -> Configuration:
    check = monitor("UDP-CONNECT", delay=5) if probed else None
    members = (member("m"), member("n", "192.0.2.2", **second))
    target = pool("p", protocol="UDP", members=members, healthmonitor=check)
    front = listener("l", 53, protocol="UDP", default_pool_id=target.id, connection_limit=limit)
    return translate(bundle(tree((front,), (target,)), vips=(Vip("192.0.2.10", "192.0.2.0/24"),)))


def reported(made: Configuration, *down: str) -> PoolReport:
    (found,) = pool_reports(made, frozenset(down), {M: "refused"}).values()
    return found


@pytest.mark.parametrize(
    ("made", "down", "status", "words"),
    [
        (configuration(), (), "UP", ("UP", "UP")),
        (configuration(), (M,), "UP", ("DOWN", "UP")),
        (configuration(), (M, N), "DOWN", ("DOWN", "DOWN")),
        (configuration(weight=0), (), "UP", ("UP", "DRAIN")),
        (configuration(weight=0), (N,), "UP", ("UP", "DOWN")),
        (configuration(admin_state_up=False), (M,), "DOWN", ("DOWN", "MAINT")),
        (configuration(probed=False, weight=0), (), "UP", ("no check", "DRAIN")),
        # What probes said before the monitor went counts no more.
        (configuration(probed=False), (M, N), "UP", ("no check", "no check")),
    ],
)
def test_members(made: Configuration, down: tuple[str, ...], status: str, words: tuple[str, str]) -> None:
    assert reported(made, *down) == PoolReport(
        status, {M: MemberReport(words[0], "refused"), N: MemberReport(words[1])}
    )


@pytest.mark.parametrize(("limit", "status"), [(-1, "OPEN"), (6, "OPEN"), (5, "FULL"), (4, "FULL")])
def test_a_listener_is_full_when_its_limit_is_reached(limit: int, status: str) -> None:
    made = configuration(limit=limit)
    flows = dict.fromkeys(flow_marks(made).values(), 0) | {next(iter(flow_marks(made).values())): 5, 1 << 30: 9}
    (found,) = listener_reports(made, {ident("l"): Totals(0, 1, 2, 3, 4)}, flows).values()
    assert (found.status, found.totals) == (status, Totals(5, 1, 2, 3, 4))


def test_a_listener_without_a_pool_has_no_members_to_report() -> None:
    front = listener("l", 53, protocol="UDP")
    made = translate(bundle(tree((front,)), vips=(Vip("192.0.2.10", "192.0.2.0/24"),)))
    assert pool_reports(made, frozenset(), {}) == {}
    assert listener_reports(made, {}, {})[ident("l")].status == "OPEN"
