"""What HAProxy says is cut to the members that the file has which it was given."""

from __future__ import annotations

from support.bundles import bundle, facts, member, pool, tree
from support.bundles import listener as front

from lbdrivers_amphora.agent import states
from lbdrivers_amphora.haproxy.render import render
from lbdrivers_amphora.haproxy.stats import BackendStatistics, ProcessStatistics, ServerStatistics
from lbdrivers_amphora.haproxy.translate import translate

UP = ServerStatistics("UP", "L4OK", 0)


def text(*ports: int) -> bytes:
    each = pool(members=tuple(member(f"m{port}", "192.0.2.1", port) for port in ports))
    return render(translate(bundle(tree((front("l", 80, default_pool_id=each.id),), (each,))), facts())).encode()


def said(*members: tuple[str, str]) -> ProcessStatistics:
    ((backend, _), *_) = members
    return ProcessStatistics(backends={backend: BackendStatistics("UP", {name: UP for _, name in members})})


def test_a_member_that_was_removed_and_has_a_connection_left_is_nobodys() -> None:
    known, before = states.servers(text(1)), states.servers(text(1, 2))
    assert known is not None and before is not None and known < before
    (reported,) = states.pool_reports(said(*before), known).values()
    assert reported.members.keys() == {name for _, name in known}


def test_of_a_file_that_is_not_ours_all_are_told() -> None:
    assert states.servers(b"global\n  daemon\n") is None
    assert states.servers(b"\xff") is None
    (reported,) = states.pool_reports(said(("p:l", "m"), ("p:l", "n")), None).values()
    assert reported.members.keys() == {"m", "n"}


def test_the_same_text_is_read_once() -> None:
    """It is asked at every heartbeat, and reading ten thousand members takes a fifth of a second."""
    states.servers(text(3))
    before = states.servers.cache_info()
    assert states.servers(text(3)) is states.servers(text(3))
    assert states.servers.cache_info().misses == before.misses
    assert states.servers(text(4)) != states.servers(text(3))
