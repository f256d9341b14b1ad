"""The engine on a virtual clock: generations, coalescing, leases, retries, deletes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import pytest
from oslo_config import cfg

from lbdrivers.drivers.context import DriverContext, Record
from lbdrivers.drivers.provider import Provider
from lbdrivers.errors import LeaseLostError, PermanentError, TemporaryError, UnsupportedError
from lbdrivers.features import ALL, Feature
from lbdrivers.memory.faults import Faults, Hook, nothing
from lbdrivers.memory.provider import MemoryProvider
from lbdrivers.model.resources import LoadBalancer
from lbdrivers.model.status import ProvisioningStatus
from lbdrivers.reconcile.engine import Engine
from lbdrivers.reconcile.outcome import PATIENCE, Done, Failed, Retry
from lbdrivers.reconcile.statuses import object_statuses
from lbdrivers.settings import Settings
from lbdrivers.store.entry import Entry
from lbdrivers.store.store import Store
from lbdrivers.testing.examples import rebuilt
from lbdrivers.testing.surroundings import identity

TREE = LoadBalancer.model_validate(
    {
        "id": identity(1),
        "name": "web",
        "vip_subnet_id": identity(7),
        "pools": [{"id": identity(2), "protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN"}],
    }
)


def named(name: str) -> LoadBalancer:
    tree: LoadBalancer = rebuilt(TREE, name=name)
    return tree


class Lab:
    """A store on a file, a memory provider with faults, an engine on a clock that only sleeping moves."""

    def __init__(self, folder: Path) -> None:
        self.time = 1000.0
        self.store = Store(f"sqlite:///{folder / 'store.sqlite'}", now=lambda: self.time)
        self.hook: Hook = nothing
        self.after: Hook = nothing
        self.calls: list[str] = []
        self.renewals: list[Callable[[], bool]] = []
        faults = Faults(lambda verb, arguments: self._before(verb, arguments), lambda *call: self.after(*call))
        context = DriverContext(cfg.ConfigOpts(), self.store.records, load=_no_other_driver)
        self.provider: Provider = MemoryProvider(context, faults)
        self.engine = self.new_engine()

    def new_engine(self, holder: str | None = None) -> Engine:
        return Engine(
            self.store,
            lambda _name: self.provider,
            Settings(
                Path("/nowhere"), "", "memory", lease_seconds=30, retry_initial_seconds=1, retry_maximum_seconds=60
            ),
            now=lambda: self.time,
            sleep=self.sleep,
            holder=holder,
            heartbeat=self._heartbeat,
            jitter=lambda: 0.0,
        )

    def sleep(self, seconds: float) -> None:
        assert seconds >= 0
        self.time += seconds

    def entry(self) -> Entry:
        entry = self.store.get(TREE.id)
        assert entry is not None
        return entry

    def fail_with(self, error: Exception, verb: str = "apply", times: int = 10**6) -> None:
        left = [times]

        def hook(called: str, _arguments: tuple[object, ...]) -> None:
            if called == verb and left[0]:
                left[0] -= 1
                raise error

        self.hook = hook

    def _before(self, verb: str, arguments: tuple[object, ...]) -> None:
        if verb in ("apply", "remove", "failover"):
            self.calls.append(verb)
        self.hook(verb, arguments)

    @contextmanager
    def _heartbeat(self, renew: Callable[[], bool], seconds: float) -> Iterator[None]:
        assert seconds == 10
        self.renewals.append(renew)
        yield


def _no_other_driver(group: str, name: str) -> Any:
    raise AssertionError(f"{group} {name}")


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(tmp_path)


def test_a_tree_is_applied_and_active(lab: Lab) -> None:
    assert lab.engine.submit(TREE) == 1
    assert lab.entry().status is ProvisioningStatus.PENDING_CREATE
    assert lab.engine.run(TREE.id) == Done()
    entry = lab.entry()
    assert (entry.status, entry.applied, entry.applied_generation) == (ProvisioningStatus.ACTIVE, TREE, 1)
    assert (entry.lease, entry.settled) == (None, True)
    assert lab.provider.observe(TREE.id).exists


def test_a_settled_one_costs_no_call(lab: Lab) -> None:
    lab.engine.submit(TREE)
    lab.engine.run(TREE.id)
    lab.engine.submit(TREE)
    assert lab.engine.run(TREE.id) == Done()
    assert lab.engine.run(identity(99)) == Done()
    assert lab.calls == ["apply"]


def test_what_the_provider_cannot_do_is_refused_before_anything_is_written(lab: Lab) -> None:
    class Narrow(MemoryProvider):
        def features(self) -> frozenset[Feature]:
            return ALL - {Feature.ALGORITHM_ROUND_ROBIN, Feature.FAILOVER}

    lab.provider = Narrow(DriverContext(cfg.ConfigOpts(), lab.store.records, load=_no_other_driver))
    with pytest.raises(UnsupportedError, match="algorithm-round-robin"):
        lab.engine.submit(TREE)
    assert lab.store.list() == ()
    lab.engine.submit(rebuilt(TREE, pools=()))
    with pytest.raises(UnsupportedError, match="failover"):
        lab.engine.failover(TREE.id)


def test_a_thousand_edits_during_a_run_end_in_two_further_runs_at_most(lab: Lab) -> None:
    edits = iter(range(1000))

    def edit_during_the_first_apply(verb: str, _arguments: tuple[object, ...]) -> None:
        if verb == "apply":
            for number in edits:
                lab.engine.submit(named(f"edit {number}"))
                if number % 250 == 0:
                    assert isinstance(lab.new_engine("another").run(TREE.id), Retry)

    lab.hook = edit_during_the_first_apply
    lab.engine.submit(TREE)
    assert lab.engine.run(TREE.id) == Done()
    assert lab.calls.count("apply") <= 3
    entry = lab.entry()
    assert entry.applied is not None
    assert (entry.applied.name, entry.generation, entry.applied_generation) == ("edit 999", 1001, 1001)
    assert entry.status is ProvisioningStatus.ACTIVE


def test_an_edit_after_the_last_look_is_not_forgotten(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """Submitted between the last look at the entry and the end of the lease, by somebody who was told
    that a run is on."""
    release = lab.store.release
    late = [named("late")]

    def release_after_an_edit(load_balancer_id: str, holder: str) -> ProvisioningStatus | None:
        if late:
            lab.engine.submit(late.pop())
            assert isinstance(lab.new_engine("another").run(TREE.id), Retry)
        return release(load_balancer_id, holder)

    monkeypatch.setattr(lab.store, "release", release_after_an_edit)  # a window that cannot be hit otherwise
    lab.engine.submit(TREE)
    assert lab.engine.run(TREE.id) == Done()
    assert lab.entry().applied == named("late")


def test_a_failure_for_now_keeps_its_cause_and_waits_longer_each_time(lab: Lab) -> None:
    lab.fail_with(TemporaryError("not yet", "10.0.0.1 refused"))
    lab.engine.submit(TREE)
    waits = []
    for attempt in range(1, 9):
        outcome = lab.engine.run(TREE.id)
        assert isinstance(outcome, Retry)
        entry = lab.entry()
        assert entry.cause is not None and entry.next_attempt is not None
        assert (entry.cause.user, entry.cause.operator) == ("not yet", "10.0.0.1 refused")
        assert (entry.attempts, entry.next_attempt) == (attempt, lab.time + outcome.after)
        patient = attempt < PATIENCE
        assert entry.status is (ProvisioningStatus.PENDING_CREATE if patient else ProvisioningStatus.ERROR)
        assert lab.store.due(lab.time) == ()
        waits.append(outcome.after)
        lab.time = entry.next_attempt
        assert lab.store.due(lab.time) == (TREE.id,)
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60]
    lab.hook = nothing
    assert lab.engine.run(TREE.id) == Done()
    entry = lab.entry()
    assert (entry.status, entry.cause, entry.attempts, entry.next_attempt) == (ProvisioningStatus.ACTIVE, None, 0, None)


def test_the_driver_knows_best_when_to_come_back(lab: Lab) -> None:
    lab.fail_with(TemporaryError("booting", retry_after=0.25))
    lab.engine.submit(TREE)
    outcome = lab.engine.run(TREE.id)
    assert isinstance(outcome, Retry) and outcome.after == 0.25


def test_a_failure_for_good_is_an_error_with_cause_object_and_next_attempt(lab: Lab) -> None:
    lab.fail_with(PermanentError("the pool is wrong", object_id=identity(2)))
    lab.engine.submit(TREE)
    outcome = lab.engine.run(TREE.id)
    assert isinstance(outcome, Failed) and outcome.object_id == identity(2)
    entry = lab.entry()
    assert entry.status is ProvisioningStatus.ERROR
    assert entry.cause is not None and entry.cause.object_id == identity(2)
    assert entry.next_attempt == lab.time + 60
    statuses = object_statuses(entry)
    assert statuses == {TREE.id: ProvisioningStatus.ERROR, identity(2): ProvisioningStatus.ERROR}


def test_an_edit_is_due_at_once_after_a_failure(lab: Lab) -> None:
    lab.fail_with(PermanentError("no"), times=1)
    lab.engine.submit(TREE)
    lab.engine.run(TREE.id)
    assert lab.store.due(lab.time) == ()
    lab.engine.submit(TREE)
    assert lab.store.due(lab.time) == (TREE.id,), "asking again for the same is asking to try again"
    lab.engine.submit(named("better"))
    assert lab.engine.run_due() == {TREE.id: Done()}
    assert lab.entry().status is ProvisioningStatus.ACTIVE


def test_a_failure_of_an_older_wish_does_not_delay_a_newer_one(lab: Lab) -> None:
    def fail_and_edit(verb: str, arguments: tuple[object, ...]) -> None:
        if verb == "apply" and arguments[0] == TREE:
            lab.engine.submit(named("good"))
            raise PermanentError("bad")

    lab.hook = fail_and_edit
    lab.engine.submit(TREE)
    assert lab.engine.run(TREE.id) == Done()
    assert lab.calls == ["apply", "apply"]
    assert lab.entry().cause is None


def test_a_defect_of_a_driver_is_retried_and_kept_from_its_user(lab: Lab, caplog: pytest.LogCaptureFixture) -> None:
    lab.fail_with(KeyError("secret internals"))
    lab.engine.submit(TREE)
    outcome = lab.engine.run(TREE.id)
    assert isinstance(outcome, Retry)
    assert "secret" not in outcome.cause.user and "secret internals" in outcome.cause.operator
    assert "Traceback" in caplog.text
    assert lab.entry().lease is None


def test_running_until_settled_waits_and_tries_again(lab: Lab) -> None:
    lab.fail_with(TemporaryError("not yet"), times=3)
    lab.engine.submit(TREE)
    assert lab.engine.run_until_settled(TREE.id, timeout=60) == Done()
    assert lab.time == 1000 + 1 + 2 + 4


def test_running_until_settled_ends_with_the_time(lab: Lab) -> None:
    lab.fail_with(TemporaryError("not yet"))
    lab.engine.submit(TREE)
    outcome = lab.engine.run_until_settled(TREE.id, timeout=10)
    assert isinstance(outcome, Retry)
    assert lab.time == 1010
    lab.fail_with(PermanentError("never"))
    assert isinstance(lab.engine.run_until_settled(TREE.id, timeout=10), Failed)
    assert lab.time == 1010


def test_deleting_removes_everything(lab: Lab) -> None:
    lab.engine.submit(TREE)
    lab.engine.run(TREE.id)
    lab.store.records.put(Record("driver", "1", {}, owner=TREE.id))
    lab.engine.delete(TREE.id)
    assert lab.engine.run(TREE.id) == Done()
    assert lab.store.get(TREE.id) is None
    assert lab.store.records.list("driver") == ()
    assert lab.provider.known() == frozenset()
    lab.engine.delete(TREE.id)
    assert lab.engine.run(TREE.id) == Done()


def test_what_was_never_applied_is_deleted_without_being_made(lab: Lab) -> None:
    lab.engine.submit(TREE)
    lab.engine.delete(TREE.id)
    assert lab.engine.run(TREE.id) == Done()
    assert lab.calls == ["remove"]


def test_a_delete_that_fails_keeps_the_entry_and_says_why(lab: Lab) -> None:
    lab.engine.submit(TREE)
    lab.engine.run(TREE.id)
    lab.fail_with(PermanentError("stuck"), "remove", times=1)
    lab.engine.delete(TREE.id)
    assert isinstance(lab.engine.run(TREE.id), Failed)
    entry = lab.entry()
    assert entry.status is ProvisioningStatus.ERROR and entry.cause is not None
    assert lab.engine.run_until_settled(TREE.id, timeout=1) == Done()
    assert lab.store.get(TREE.id) is None


def test_several_failover_requests_are_one_and_none_is_lost(lab: Lab) -> None:
    lab.engine.submit(TREE)
    lab.engine.run(TREE.id)
    for _ in range(3):
        lab.engine.failover(TREE.id)
    assert lab.entry().status is ProvisioningStatus.PENDING_UPDATE
    once_more = [True]

    def ask_again(verb: str, _arguments: tuple[object, ...]) -> None:
        if verb == "failover" and once_more:
            once_more.pop()
            lab.engine.failover(TREE.id)

    lab.hook = ask_again
    assert lab.engine.run(TREE.id) == Done()
    assert lab.calls == ["apply", "failover", "failover"]
    assert lab.entry().status is ProvisioningStatus.ACTIVE
    with pytest.raises(PermanentError, match="no load balancer"):
        lab.engine.failover(identity(99))


def test_an_edit_gets_through_while_a_failover_cannot(lab: Lab) -> None:
    lab.engine.submit(TREE)
    lab.engine.run(TREE.id)
    lab.fail_with(PermanentError("no machine left"), "failover")
    lab.engine.failover(TREE.id)
    lab.engine.submit(named("edited"))
    assert isinstance(lab.engine.run(TREE.id), Failed)
    entry = lab.entry()
    assert entry.applied == named("edited")
    assert entry.status is ProvisioningStatus.ERROR and entry.cause is not None
    lab.hook = nothing
    assert lab.engine.run(TREE.id) == Done()
    assert lab.entry().cause is None


def test_one_that_is_created_and_cannot_be_failed_over_was_created(lab: Lab) -> None:
    lab.fail_with(TemporaryError("no machine yet"), "failover", times=1)
    lab.engine.submit(TREE)
    lab.engine.failover(TREE.id)
    assert isinstance(lab.engine.run(TREE.id), Retry)
    entry = lab.entry()
    assert (entry.status, entry.applied) == (ProvisioningStatus.PENDING_UPDATE, TREE)
    assert lab.engine.run(TREE.id) == Done()


def test_a_run_of_a_living_other_holder_is_not_disturbed(lab: Lab) -> None:
    lab.engine.submit(TREE)
    assert lab.store.acquire(TREE.id, "elsewhere", lab.time, 30)
    outcome = lab.engine.run(TREE.id)
    assert isinstance(outcome, Retry) and outcome.after <= 0.5
    entry = lab.entry()
    assert entry.lease is not None and (entry.lease.holder, entry.cause) == ("elsewhere", None)
    assert lab.calls == []


def test_a_silent_holder_is_replaced_when_its_lease_expires(lab: Lab) -> None:
    lab.engine.submit(TREE)
    assert lab.store.acquire(TREE.id, "elsewhere", lab.time, 30)
    assert lab.engine.run_until_settled(TREE.id, timeout=60) == Done()
    assert 1030 <= lab.time <= 1031


def test_the_heartbeat_keeps_the_lease_of_a_long_run(lab: Lab) -> None:
    def take_long(verb: str, _arguments: tuple[object, ...]) -> None:
        if verb == "apply":
            for _ in range(10):
                lab.time += 10
                assert lab.renewals[-1]()
                assert isinstance(lab.new_engine("another").run(TREE.id), Retry)

    lab.hook = take_long
    lab.engine.submit(TREE)
    assert lab.engine.run(TREE.id) == Done()
    assert lab.calls == ["apply"]


def test_a_run_that_lost_its_lease_writes_nothing(lab: Lab) -> None:
    def lose(verb: str, arguments: tuple[object, ...]) -> None:
        if verb == "apply" and arguments[0] == TREE:
            lab.hook = nothing
            lab.time += 31
            lab.engine.submit(named("newer"))
            assert lab.new_engine("another").run(TREE.id) == Done()

    lab.hook = lose
    lab.engine.submit(TREE)
    assert isinstance(lab.engine.run(TREE.id), Retry)
    entry = lab.entry()
    assert (entry.applied, entry.lease) == (named("newer"), None)
    # What it did last may have come after all that the other one did.
    assert (entry.status, lab.store.due(lab.time)) == (ProvisioningStatus.PENDING_UPDATE, (TREE.id,))
    assert lab.engine.run(TREE.id) == Done()
    assert (lab.calls, lab.entry().status) == (["apply"] * 3, ProvisioningStatus.ACTIVE)


def test_a_run_that_lost_its_lease_to_a_removal_brings_nothing_back(lab: Lab) -> None:
    def lose(verb: str, _arguments: tuple[object, ...]) -> None:
        if verb == "apply":
            lab.hook = nothing
            lab.time += 31
            lab.engine.delete(TREE.id)
            assert lab.new_engine("another").run(TREE.id) == Done()

    lab.hook = lose
    lab.engine.submit(TREE)
    lab.engine.run(TREE.id)
    assert lab.store.list() == ()


def test_a_fence_asks_only_when_the_lease_was_not_renewed_in_time(lab: Lab) -> None:
    def stall(verb: str, _arguments: tuple[object, ...]) -> None:
        if verb == "apply":
            fence = lab.engine.fence(TREE.id)
            assert fence is not None
            lab.time += 10
            fence.check()
            lab.time += 10
            fence.check()  # it is still ours, and prolonged
            lab.time += 31
            assert lab.store.acquire(TREE.id, "another", lab.time, 30)
            with pytest.raises(LeaseLostError):
                fence.check()
            with pytest.raises(LeaseLostError):
                fence.records.put(Record("kind", "id", {}, TREE.id))
            assert lab.store.records.get("kind", "id") is None

    lab.hook = stall
    lab.engine.submit(TREE)
    lab.engine.run(TREE.id)
    assert lab.calls == ["apply"]
    assert lab.engine.fence(TREE.id) is None


def test_one_engine_runs_once_at_a_time_at_a_load_balancer(lab: Lab) -> None:
    """Its lease bears the same name in all its threads, and may have expired while its run is still on."""
    answers = []

    def again(verb: str, _arguments: tuple[object, ...]) -> None:
        if verb == "apply":
            lab.time += 31
            answers.append(lab.engine.run(TREE.id))

    lab.hook = again
    lab.engine.submit(TREE)
    lab.engine.run(TREE.id)
    assert [type(answer) for answer in answers] == [Retry]


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_run_cut_off_anywhere_is_completed_by_the_next(lab: Lab, moment: str) -> None:
    class Killed(BaseException):
        """What no handler catches, as SIGKILL."""

    def kill(verb: str, _arguments: tuple[object, ...]) -> None:
        if verb in ("apply", "change"):
            lab.hook = lab.after = nothing
            raise Killed

    if moment == "before":
        lab.hook = kill
    else:
        lab.after = kill
    lab.engine.submit(TREE)
    with pytest.raises(Killed):
        lab.engine.run(TREE.id)
    assert lab.engine.run(TREE.id) == Done()
    assert set(lab.provider.observe(TREE.id).operating) == {TREE.id, identity(2)}


def test_the_status_of_each_object_follows_from_the_two_trees(lab: Lab) -> None:
    lab.engine.submit(TREE)
    lab.engine.run(TREE.id)
    assert set(object_statuses(lab.entry()).values()) == {ProvisioningStatus.ACTIVE}
    pool = {"id": identity(3), "protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN"}
    lab.engine.submit(rebuilt(TREE, pools=(pool,)))
    assert object_statuses(lab.entry()) == {
        TREE.id: ProvisioningStatus.PENDING_UPDATE,
        identity(2): ProvisioningStatus.PENDING_DELETE,
        identity(3): ProvisioningStatus.PENDING_CREATE,
    }
    lab.engine.delete(TREE.id)
    assert set(object_statuses(lab.entry()).values()) == {ProvisioningStatus.PENDING_DELETE}


def test_an_unknown_provider_is_a_cause_like_any_other(lab: Lab) -> None:
    def load(_name: str) -> Provider:
        raise PermanentError("there is no provider 'x'")

    lab.engine.submit(TREE)
    settings = Settings(Path("/nowhere"), "", "memory", 30, 1, 60)
    engine = Engine(lab.store, load, settings, now=lambda: lab.time, heartbeat=lambda *_: nullcontext())
    assert isinstance(engine.run(TREE.id), Failed)
