"""Interrupted before or after any change, or between any two writes, the next call completes the work."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from oslo_config import cfg

from lbdrivers.drivers.context import DriverContext, Record, Records
from lbdrivers.errors import PermanentError
from lbdrivers.memory.faults import Faults, nothing
from lbdrivers.memory.network import MemoryNetwork
from lbdrivers.memory.provider import MemoryProvider, operating_statuses
from lbdrivers.memory.records import MemoryRecords
from lbdrivers.model.infra import FixedAddress, PortRequest, Subnet
from lbdrivers.model.resources import LoadBalancer
from lbdrivers.testing.edits import histories
from lbdrivers.testing.surroundings import identity


class Cut(BaseException):
    """The process dies here."""


class Countdown:
    """Cuts at the n-th call."""

    def __init__(self, calls: int) -> None:
        self.left = calls

    def __call__(self, *_call: object) -> None:
        self.left -= 1
        if self.left < 0:
            raise Cut


def context_on(records: Records) -> DriverContext:
    return DriverContext(cfg.ConfigOpts(), records, load=lambda _group, _name: None)


@given(histories(longest=2), st.booleans())
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
def test_an_apply_cut_at_any_change_is_completed(history: tuple[LoadBalancer, ...], afterwards: bool) -> None:
    *earlier, desired = history
    for calls in range(100):
        context = context_on(MemoryRecords())
        for tree in earlier:
            MemoryProvider(context).apply(tree, None)
        cut = Countdown(calls)
        faults = Faults(nothing, cut) if afterwards else Faults(cut, nothing)
        try:
            MemoryProvider(context, faults).apply(desired, earlier[-1])
        except Cut:
            MemoryProvider(context).apply(desired, earlier[-1])
        else:
            return
        assert MemoryProvider(context).observe(desired.id).operating == operating_statuses(desired)
    pytest.fail("more hooks than this test looks at")


class CutRecords(MemoryRecords):
    """Records whose process dies at the n-th write, after it or before it."""

    def __init__(self) -> None:
        super().__init__()
        self.before = self.after = Countdown(10**9)

    def put(self, record: Record) -> Record:
        self.before()
        written = super().put(record)
        self.after()
        return written

    def remove(self, kind: str, record_id: str) -> None:
        self.before()
        super().remove(kind, record_id)
        self.after()


def addresses_in_use(network: MemoryNetwork) -> Mapping[str, str]:
    return dict(network.cloud.addresses.items())


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("calls", range(12))
def test_no_address_is_lost_wherever_a_port_is_cut(calls: int, moment: str) -> None:
    records = CutRecords()
    network = MemoryNetwork(context_on(records))
    wanted = PortRequest("port", "net", (FixedAddress(identity(1)), FixedAddress(identity(1))))
    other = network.ensure_port(PortRequest("other", "net", (FixedAddress(identity(1)),)))
    for verb in (lambda: network.ensure_port(wanted), lambda: network.remove_port("port")):
        setattr(records, moment, Countdown(calls))
        try:
            verb()
        except Cut:
            pass
        finally:
            records.before = records.after = Countdown(10**9)
        verb()
        held = {f"{fixed.subnet_id}/{fixed.address}" for port in network.ports() for fixed in port.fixed}
        assert set(addresses_in_use(network)) == held
    assert network.ports() == (other,)


def test_a_subnet_that_is_full_says_so() -> None:
    network = MemoryNetwork(context_on(MemoryRecords()))
    network.define(Subnet("tiny", "net", "192.0.2.0/30", "192.0.2.1"))
    network.ensure_port(PortRequest("one", "net", (FixedAddress("tiny"),)))
    with pytest.raises(PermanentError, match="full"):
        network.ensure_port(PortRequest("two", "net", (FixedAddress("tiny"),)))
    with pytest.raises(PermanentError, match="on the network net"):
        network.ensure_port(PortRequest("two", "elsewhere", (FixedAddress("tiny"),)))


def test_an_undefined_subnet_fits_itself_to_the_first_port() -> None:
    network = MemoryNetwork(context_on(MemoryRecords()))
    fixed = (FixedAddress(identity(1), "203.0.113.9"), FixedAddress(identity(2), "2001:db8::9"))
    port = network.ensure_port(PortRequest("vip", "net", fixed, bound=False))
    assert [one.address for one in port.fixed] == ["203.0.113.9", "2001:db8::9"]
    assert [subnet.cidr for subnet in network.network("net").subnets] == ["203.0.113.0/24", "2001:db8::/64"]
