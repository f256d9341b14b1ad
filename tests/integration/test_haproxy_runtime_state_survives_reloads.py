"""Over a reload learned health stays, and the file alone decides everything else."""

from __future__ import annotations

import pytest
from support.bundles import bundle, facts, listener, member, monitor, pool, tree
from support.haproxy import Haproxy, free_port, loopback, request, web_servers
from support.patience import eventually

from lbdrivers.drivers.amphora import Vip
from lbdrivers.model.resources import Member
from lbdrivers_amphora.haproxy.ir import Configuration
from lbdrivers_amphora.haproxy.server_state import carry
from lbdrivers_amphora.haproxy.stats import ServerStatistics, parse_statistics
from lbdrivers_amphora.haproxy.transition import Runtime, transition
from lbdrivers_amphora.haproxy.translate import translate

pytestmark = pytest.mark.usefixtures("each_haproxy")

_VIP, _LIVE, _DEAD = loopback(0), loopback(1), loopback(2)
_PORT, _MEMBER_PORT = free_port(_VIP), free_port(_LIVE)


def _configuration(haproxy: Haproxy, *members: Member, timeout: int = 50000, rise: int = 2) -> Configuration:
    """One that needs a reload whenever ``timeout`` changes."""
    target = pool("p", members=members, healthmonitor=monitor("HTTP", max_retries=rise, max_retries_down=2))
    entry = listener("l", _PORT, default_pool_id=target.id, timeout_client_data=timeout)
    return translate(bundle(tree((entry,), (target,)), vips=(Vip(_VIP, "127.0.0.0/8"),)), facts(str(haproxy.base)))


def _server(haproxy: Haproxy, number: int = 0) -> ServerStatistics:
    (backend,) = parse_statistics(haproxy.ask("show stat")).backends.values()
    return list(backend.servers.values())[number]


def _carried(haproxy: Haproxy, wanted: Configuration) -> str:
    return carry(haproxy.ask("show servers state"), wanted)


def test_a_member_disabled_at_run_time_serves_when_the_file_enables_it() -> None:
    def member_of(enabled: bool) -> Member:
        return member("m", _LIVE, _MEMBER_PORT, admin_state_up=enabled)

    with web_servers([_LIVE], _MEMBER_PORT), Haproxy() as haproxy:
        before = _configuration(haproxy, member_of(True))
        haproxy.start(before)
        disabled = _configuration(haproxy, member_of(False))
        found = transition(before, disabled)
        assert isinstance(found, Runtime)
        haproxy.apply(found.commands)
        assert _server(haproxy).status == "MAINT"
        enabled = _configuration(haproxy, member_of(True), timeout=40000)
        haproxy.reload(enabled, _carried(haproxy, enabled))
        assert _server(haproxy).status.startswith("UP")
        assert request(_VIP, _PORT).startswith(b"HTTP/1.1 200")


def test_a_member_in_maintenance_stays_there() -> None:
    with web_servers([_LIVE], _MEMBER_PORT), Haproxy() as haproxy:
        haproxy.start(_configuration(haproxy, member("m", _LIVE, _MEMBER_PORT)))
        wanted = _configuration(haproxy, member("m", _LIVE, _MEMBER_PORT, admin_state_up=False), timeout=40000)
        haproxy.reload(wanted, _carried(haproxy, wanted))
        assert _server(haproxy).status == "MAINT"


@pytest.mark.parametrize("carried", [True, False], ids=["carried", "forgotten"])
def test_a_member_that_is_down_stays_down(carried: bool) -> None:
    """Until it has passed ten checks, a second apart; a process that knows nothing of it trusts it at once."""
    with Haproxy() as haproxy:
        haproxy.start(_configuration(haproxy, member("m", _DEAD, _MEMBER_PORT), rise=10))
        assert eventually(lambda: _server(haproxy).status, lambda status: status == "DOWN") == "DOWN"
        with web_servers([_DEAD], _MEMBER_PORT):
            wanted = _configuration(haproxy, member("m", _DEAD, _MEMBER_PORT), rise=10, timeout=40000)
            haproxy.reload(wanted, _carried(haproxy, wanted) if carried else "1\n")
            assert _server(haproxy).status.startswith("DOWN" if carried else "UP")


def test_a_member_that_moved_starts_afresh() -> None:
    with web_servers([_LIVE], _MEMBER_PORT), Haproxy() as haproxy:
        haproxy.start(_configuration(haproxy, member("m", _DEAD, _MEMBER_PORT)))
        assert eventually(lambda: _server(haproxy).status, lambda status: status == "DOWN") == "DOWN"
        wanted = _configuration(haproxy, member("m", _LIVE, _MEMBER_PORT), timeout=40000)
        haproxy.reload(wanted, _carried(haproxy, wanted))
        assert _server(haproxy).status.startswith("UP")
        assert request(_VIP, _PORT).startswith(b"HTTP/1.1 200")


def test_the_file_decides_weight_and_check_address() -> None:
    with web_servers([_LIVE], _MEMBER_PORT), Haproxy() as haproxy:
        first = _configuration(haproxy, member("m", _LIVE, _MEMBER_PORT, weight=5))
        haproxy.start(first)
        changed = _configuration(
            haproxy, member("m", _LIVE, _MEMBER_PORT, weight=9, monitor_address=_DEAD, monitor_port=1)
        )
        found = transition(first, changed)
        assert isinstance(found, Runtime)
        haproxy.apply(found.commands)
        wanted = _configuration(haproxy, member("m", _LIVE, _MEMBER_PORT, weight=5), timeout=40000)
        haproxy.reload(wanted, _carried(haproxy, wanted))
        row = haproxy.ask("show servers state").splitlines()[2].split()
        assert (row[7], row[8]) == ("5", "5")
        assert row[21:23] == ["0", "-"]
        assert eventually(lambda: _server(haproxy).check, lambda check: check == "L7OK") == "L7OK"


def test_a_member_keeps_its_health_when_others_come_before_it() -> None:
    """HAProxy numbers servers by their place; names have to decide whose health it is."""
    with web_servers([_LIVE], _MEMBER_PORT), Haproxy() as haproxy:
        haproxy.start(_configuration(haproxy, member("dead", _DEAD, _MEMBER_PORT), member("live", _LIVE, _MEMBER_PORT)))
        assert eventually(lambda: _server(haproxy).status, lambda status: status == "DOWN") == "DOWN"
        wanted = _configuration(
            haproxy, member("live", _LIVE, _MEMBER_PORT), member("dead", _DEAD, _MEMBER_PORT), timeout=40000
        )
        haproxy.reload(wanted, _carried(haproxy, wanted))
        assert _server(haproxy, 0).status.startswith("UP")
        assert _server(haproxy, 1).status.startswith("DOWN")
        assert request(_VIP, _PORT).startswith(b"HTTP/1.1 200")
