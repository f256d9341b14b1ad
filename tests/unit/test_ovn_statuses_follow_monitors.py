"""What OVN's monitors say becomes operating statuses: of members, and of all that is above them."""

from __future__ import annotations

from typing import Any

import pytest
from support.ovn import identity, listener, member, monitor, pool, tree

from lbdrivers.model.resources import LoadBalancer
from lbdrivers_ovn.statuses import Monitor, operating_statuses

A, B = member(31, "10.212.32.11"), member(32, "10.212.32.12")
BOTH = frozenset({"10.212.32.11", "10.212.32.12"})


def watched(*members: dict[str, Any], **fields: Any) -> LoadBalancer:
    return tree([pool(10, list(members), healthmonitor=monitor(12), **fields)], [listener(20, 80, 10)])


def heard(**statuses: str) -> list[Monitor]:
    """What is heard of a and b; of another port and protocol there is something else."""
    addresses = {"a": "10.212.32.11", "b": "10.212.32.12"}
    found = [Monitor(name, addresses[name], 80, "tcp", status) for name, status in statuses.items()]
    return [*found, Monitor("a", addresses["a"], 81, "tcp", "error"), Monitor("a", addresses["a"], 80, "udp", "error")]


def words(desired: LoadBalancer, monitors: list[Monitor], probed: frozenset[str] = BOTH) -> dict[str, str]:
    names = {
        identity(31): "a",
        identity(32): "b",
        identity(10): "pool",
        identity(12): "monitor",
        identity(20): "listener",
    }
    names[identity(1)] = "balancer"
    return {names[key]: value.value for key, value in operating_statuses(desired, monitors, probed).items()}


@pytest.mark.parametrize(
    ("statuses", "a", "b", "above"),
    [
        ({"a": "online", "b": "online"}, "ONLINE", "ONLINE", "ONLINE"),
        ({"a": "", "b": "online"}, "ONLINE", "ONLINE", "ONLINE"),
        ({"b": "online"}, "ONLINE", "ONLINE", "ONLINE"),
        ({"a": "offline", "b": "online"}, "ERROR", "ONLINE", "DEGRADED"),
        ({"a": "offline", "b": "error"}, "ERROR", "ERROR", "ERROR"),
    ],
)
def test_members_and_what_is_above_them(statuses: dict[str, str], a: str, b: str, above: str) -> None:
    found = words(watched(A, B), heard(**statuses))
    assert (found["a"], found["b"], found["monitor"]) == (a, b, "ONLINE")
    assert [found[one] for one in ("pool", "listener", "balancer")] == [above] * 3


def test_a_member_whom_nobody_can_ask_is_in_error() -> None:
    found = words(watched(A, B), heard(a="online", b="online"), frozenset({"10.212.32.11"}))
    assert (found["a"], found["b"], found["pool"]) == ("ONLINE", "ERROR", "DEGRADED")


def test_disabled_ones_are_offline_and_spoil_nothing() -> None:
    found = words(watched(A, B | {"admin_state_up": False}), heard(a="online"))
    assert (found["b"], found["pool"]) == ("OFFLINE", "ONLINE")
    found = words(watched(A | {"admin_state_up": False}), heard())
    assert (found["a"], found["pool"]) == ("OFFLINE", "ONLINE")
    found = words(watched(A, admin_state_up=False), heard(a="offline"))
    assert (found["pool"], found["listener"]) == ("OFFLINE", "ONLINE")


def test_without_a_monitor_nothing_is_known_of_members() -> None:
    off = tree([pool(10, [A], healthmonitor=monitor(12, admin_state_up=False))], [listener(20, 80, 10)])
    assert words(off, heard(a="offline")) == {
        "a": "NO_MONITOR",
        "pool": "ONLINE",
        "monitor": "OFFLINE",
        "listener": "ONLINE",
        "balancer": "ONLINE",
    }


def test_what_nobody_uses_or_is_switched_off_is_offline() -> None:
    assert words(tree([pool(10, [A])]), [])["pool"] == "OFFLINE"
    disabled = tree([pool(10, [A])], [listener(20, 80, 10)], admin_state_up=False)
    assert set(words(disabled, []).values()) == {"OFFLINE", "NO_MONITOR"}
    assert words(tree([], [listener(20, 80)]), [])["listener"] == "ONLINE"
