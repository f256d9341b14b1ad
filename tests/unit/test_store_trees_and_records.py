"""The store keeps trees, generations, wishes and records: on SQLite, PostgreSQL and MariaDB alike."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import create_engine, event, select

from lbdrivers.drivers.context import Conflict, Record
from lbdrivers.errors import InvalidInput, LeaseLostError, PermanentError, TemporaryError
from lbdrivers.model.resources import LoadBalancer
from lbdrivers.model.status import ProvisioningStatus
from lbdrivers.store.entry import Cause
from lbdrivers.store.schema import trees
from lbdrivers.store.store import Store
from lbdrivers.testing.examples import rebuilt
from lbdrivers.testing.surroundings import identity

WORKER = "worker"


def make_tree(number: int = 1, name: str = "web", members: int = 1) -> LoadBalancer:
    base = number * 1000
    pool = {
        "id": identity(base + 1),
        "protocol": "HTTP",
        "lb_algorithm": "ROUND_ROBIN",
        "members": [
            {"id": identity(base + 100 + n), "address": f"192.0.2.{n + 1}", "protocol_port": 80} for n in range(members)
        ],
    }
    return LoadBalancer.model_validate(
        {"id": identity(base), "name": name, "vip_subnet_id": identity(7), "pools": [pool]}
    )


@pytest.fixture
def url(database_url: str) -> str:
    return database_url


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    store = Store(url, now=lambda: 100.0)
    yield store
    store.close()


def test_a_submitted_tree_comes_back_equal(store: Store, url: str) -> None:
    tree = make_tree(members=3)
    assert store.submit(tree, "memory") == 1
    for one in (store, Store(url)):
        entry = one.get(tree.id)
        assert entry is not None
        assert (entry.desired, entry.generation, entry.applied) == (tree, 1, None)
        assert (entry.status, entry.provider, entry.settled) == (ProvisioningStatus.PENDING_CREATE, "memory", False)
        assert entry.created_at == 100.0


def test_the_same_tree_is_no_new_generation(store: Store) -> None:
    tree = make_tree()
    assert store.submit(tree, "memory") == 1
    assert store.submit(LoadBalancer.model_validate_json(tree.model_dump_json()), "memory") == 1
    assert store.submit(rebuilt(tree, name="other"), "memory") == 2


def test_what_failed_and_is_wanted_once_more_is_pending_and_due_at_once(store: Store) -> None:
    tree = make_tree()
    store.submit(tree, "memory")
    seen = store.acquire(tree.id, WORKER, now=0, seconds=10)
    assert seen is not None
    store.finish_failure(seen, WORKER, Cause("no quota", "no quota"), ProvisioningStatus.ERROR, next_attempt=30.0)
    store.release(tree.id, WORKER)
    assert store.submit(tree, "memory") == 1
    entry = store.get(tree.id)
    assert entry is not None
    assert (entry.status, entry.next_attempt, entry.attempts) == (ProvisioningStatus.PENDING_CREATE, None, 0)
    assert store.due(10.0) == (tree.id,)


def test_entries_are_found_by_name_and_listed(store: Store) -> None:
    web, mail = make_tree(1, "web"), make_tree(2, "mail")
    store.submit(web, "memory")
    store.submit(mail, "memory")
    found = store.get("mail")
    assert found is not None and found.id == mail.id
    assert [entry.name for entry in store.list()] == ["mail", "web"]
    assert store.get("nobody") is None
    assert store.get("") is None


def test_a_name_that_several_have_is_refused(store: Store) -> None:
    store.submit(make_tree(1), "memory")
    store.submit(make_tree(2), "memory")
    with pytest.raises(PermanentError, match="give the id"):
        store.get("web")
    store.submit(make_tree(3, name=make_tree(2).id), "memory")
    found = store.get(make_tree(2).id)
    assert found is not None and found.id == make_tree(2).id, "an id goes before a name"


def test_objects_lead_to_their_load_balancer(store: Store) -> None:
    tree = make_tree(members=2)
    store.submit(tree, "memory")
    gone = tree.pools[0].members[1]
    assert store.owner_of(gone.id) == tree.id
    pool = rebuilt(tree.pools[0], members=tree.pools[0].members[:1])
    store.submit(rebuilt(tree, pools=(pool,)), "memory")
    assert store.owner_of(gone.id) is None
    assert store.owner_of(pool.id) == tree.id


def test_an_id_belongs_to_one_load_balancer_only(store: Store) -> None:
    first, second = make_tree(1), make_tree(2)
    store.submit(first, "memory")
    with pytest.raises(PermanentError, match="used in another one"):
        store.submit(rebuilt(second, pools=first.pools), "memory")
    assert store.get(second.id) is None


def test_the_provider_of_a_load_balancer_stays(store: Store) -> None:
    store.submit(make_tree(), "memory")
    with pytest.raises(PermanentError, match="belongs to the provider memory"):
        store.submit(make_tree(name="new"), "other")


def test_what_is_being_deleted_takes_no_new_tree(store: Store) -> None:
    tree = make_tree()
    store.submit(tree, "memory")
    store.request_delete(tree.id)
    store.request_delete(tree.id)
    for refused in (lambda: store.submit(tree, "memory"), lambda: store.request_failover(tree.id)):
        with pytest.raises(PermanentError, match="being deleted"):
            refused()
    entry = store.get(tree.id)
    assert entry is not None and entry.status is ProvisioningStatus.PENDING_DELETE


def test_deleting_and_failing_over_what_is_not_there(store: Store) -> None:
    store.request_delete(identity(5))
    with pytest.raises(PermanentError, match="no load balancer"):
        store.request_failover(identity(5))


def test_a_lease_is_held_by_one_and_expires(store: Store) -> None:
    tree = make_tree()
    store.submit(tree, "memory")
    assert store.acquire(tree.id, "a", now=0, seconds=10)
    assert not store.acquire(tree.id, "b", now=9.9, seconds=10)
    assert not store.acquire(tree.id, "a", now=9.9, seconds=10), "two runs of one holder exclude each other too"
    assert store.renew(tree.id, "a", now=9.9, seconds=10)
    assert not store.acquire(tree.id, "b", now=15, seconds=10)
    assert store.acquire(tree.id, "b", now=20, seconds=10)
    assert not store.renew(tree.id, "a", now=20, seconds=10)
    assert store.release(tree.id, "a") is None
    assert store.release(tree.id, "b") is ProvisioningStatus.PENDING_CREATE


def test_a_holder_known_to_be_dead_is_replaced_and_nobody_else(store: Store) -> None:
    tree = make_tree()
    store.submit(tree, "memory")
    assert store.acquire(tree.id, "dead", now=0, seconds=10)
    assert not store.acquire(tree.id, "b", now=1, seconds=10, instead_of="another")
    assert store.acquire(tree.id, "b", now=1, seconds=10, instead_of="dead")
    assert not store.acquire(tree.id, "c", now=1, seconds=10, instead_of="dead")


def test_a_write_without_the_lease_changes_nothing(store: Store) -> None:
    tree = make_tree()
    store.submit(tree, "memory")
    store.acquire(tree.id, "late", now=0, seconds=1)
    seen = store.get(tree.id)
    assert seen is not None
    store.acquire(tree.id, WORKER, now=2, seconds=10)
    cause = Cause("x", "x")
    assert not store.finish_apply(seen, "late")
    assert not store.finish_failover(seen, "late")
    assert not store.finish_remove(tree.id, "late")
    assert not store.finish_failure(seen, "late", cause, ProvisioningStatus.ERROR, 5.0)
    entry = store.get(tree.id)
    assert entry is not None
    assert (entry.applied, entry.cause, entry.status) == (None, None, ProvisioningStatus.PENDING_CREATE)


def test_records_under_a_lease_are_written_as_long_as_it_is_held(store: Store) -> None:
    tree = make_tree()
    store.submit(tree, "memory")
    ours = store.records_under(tree.id, WORKER)
    with pytest.raises(LeaseLostError):
        ours.put(Record("kind", "one", {}, tree.id))
    assert store.acquire(tree.id, WORKER, now=100, seconds=30)
    one = ours.put(Record("kind", "one", {}, tree.id))
    assert store.acquire(tree.id, "another", now=131, seconds=30)
    theirs = store.records_under(tree.id, "another").put(Record("kind", "one", {"by": "another"}, tree.id, one.version))
    with pytest.raises(LeaseLostError):
        ours.put(Record("kind", "one", {"by": "us"}, tree.id, theirs.version))
    with pytest.raises(LeaseLostError):
        ours.remove("kind", "one")
    assert store.records.get("kind", "one") == ours.get("kind", "one") == theirs
    assert store.finish_remove(tree.id, "another")
    with pytest.raises(LeaseLostError):
        store.records_under(tree.id, "another").put(Record("kind", "two", {}, tree.id))
    assert store.records.list("kind") == ()


def test_an_applied_generation_that_is_no_longer_the_newest_leaves_work(store: Store) -> None:
    tree, newer = make_tree(), make_tree(members=2)
    store.submit(tree, "memory")
    seen = store.acquire(tree.id, WORKER, now=0, seconds=10)
    assert seen is not None and seen == store.get(tree.id)
    store.submit(newer, "memory")
    entry = store.finish_apply(seen, WORKER)
    assert entry is not None and entry == store.get(tree.id)
    assert (entry.applied, entry.desired, entry.applied_generation) == (tree, newer, 1)
    assert entry.status is ProvisioningStatus.PENDING_UPDATE
    entry = store.finish_apply(entry, WORKER)
    assert entry is not None and entry.settled and entry == store.get(tree.id)
    assert (entry.applied, entry.status) == (newer, ProvisioningStatus.ACTIVE)


def test_of_all_trees_those_two_are_kept_that_are_needed(store: Store, url: str) -> None:
    engine = create_engine(url)

    def generations() -> list[int]:
        with engine.connect() as connection:
            return sorted(connection.execute(select(trees.c.generation)).scalars())

    first = make_tree()
    store.submit(first, "memory")
    seen = store.acquire(first.id, WORKER, now=0, seconds=10)
    assert seen is not None
    for members in range(2, 7):
        store.submit(make_tree(members=members), "memory")
    assert generations() == [6], "nobody needs what was wanted in between, and what is worked on is remembered"
    seen = store.finish_apply(seen, WORKER)
    assert seen is not None and (seen.applied, seen.desired) == (first, make_tree(members=6))
    assert generations() == [1, 6]
    store.request_apply(first.id)
    seen = store.finish_apply(seen, WORKER)
    assert seen is not None and seen.applied == seen.desired and not seen.settled
    assert generations() == [6], "the same tree once more is no other tree"
    cause = Cause("x", "x")
    store.submit(make_tree(members=7), "memory")
    failed = store.finish_failure(seen, WORKER, cause, ProvisioningStatus.ERROR, 5.0)
    assert failed is not None and failed == store.get(first.id) and failed.cause is None, "it speaks of an older wish"
    store.submit(make_tree(members=6), "memory")
    entry = store.get(first.id)
    assert entry is not None and entry.desired == entry.applied and generations() == [6, 9]
    assert store.finish_remove(first.id, WORKER)
    assert generations() == []
    engine.dispose()


def test_due_are_those_with_work_whose_time_has_come(store: Store) -> None:
    one, two, three, four = (make_tree(number, f"lb{number}") for number in range(1, 5))
    for tree in (one, two, three, four):
        store.submit(tree, "memory")
    store.acquire(two.id, WORKER, now=0, seconds=50)
    store.acquire(three.id, WORKER, now=0, seconds=50)
    seen = store.get(three.id)
    assert seen is not None
    store.finish_failure(seen, WORKER, Cause("x", "x"), ProvisioningStatus.ERROR, next_attempt=30.0)
    store.release(three.id, WORKER)
    seen = store.acquire(four.id, WORKER, now=0, seconds=1)
    assert seen is not None
    store.finish_apply(seen, WORKER)
    assert store.due(10.0) == (one.id,)
    assert set(store.due(30.0)) == {one.id, three.id}
    assert set(store.due(50.0)) == {one.id, two.id, three.id}
    store.request_failover(four.id)
    assert four.id in store.due(10.0)


def test_removing_takes_the_objects_and_the_drivers_records_along(store: Store) -> None:
    tree = make_tree()
    store.submit(tree, "memory")
    store.records.put(Record("amphora", "a1", {}, owner=tree.id))
    store.records.put(Record("amphora", "a2", {}, owner="other"))
    store.acquire(tree.id, WORKER, now=0, seconds=10)
    assert store.finish_remove(tree.id, WORKER)
    assert store.get(tree.id) is None
    assert store.owner_of(tree.pools[0].id) is None
    assert [record.id for record in store.records.list("amphora")] == ["a2"]
    assert store.submit(tree, "memory") == 1


def test_records_are_compare_and_set(store: Store) -> None:
    records = store.records
    first = records.put(Record("kind", "1", {"a": [1]}, owner="lb"))
    assert first.version == 1
    assert records.get("kind", "1") == first
    with pytest.raises(Conflict):
        records.put(Record("kind", "1", {}))
    second = records.put(Record("kind", "1", {"a": [2]}, owner="lb", version=1))
    with pytest.raises(Conflict):
        records.put(first)
    assert records.list("kind") == (second,) == records.list("kind", owner="lb")
    assert records.list("kind", owner="other") == ()
    records.remove("kind", "1")
    records.remove("kind", "1")
    assert records.get("kind", "1") is None
    with pytest.raises(Conflict):
        records.put(second)


def test_a_database_file_is_private(tmp_path: Path) -> None:
    Store(f"sqlite:///{tmp_path / 'state' / 'store.sqlite'}").submit(make_tree(), "memory")
    folder = tmp_path / "state"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    files = list(folder.iterdir())
    assert files
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}


def test_words_that_some_database_would_refuse_are_kept_readable(store: Store) -> None:
    store.submit(make_tree(), "memory")
    tree = make_tree()
    store.acquire(tree.id, WORKER, now=0, seconds=10)
    seen = store.get(tree.id)
    assert seen is not None
    words = "bytes \0 and \udcff, ünïcode, " + "🙂" * 20_000
    cause = Cause(words, words, object_id="x" * 100)
    assert store.finish_failure(seen, WORKER, cause, ProvisioningStatus.ERROR, next_attempt=30.0)
    entry = store.get(tree.id)
    assert entry is not None and entry.cause is not None
    assert entry.cause.user.startswith("bytes \\x00 and \\udcff, ünïcode, 🙂🙂")
    assert len(entry.cause.operator.encode()) <= 60_000


def test_names_differ_by_case(store: Store) -> None:
    store.submit(make_tree(1, "web"), "memory")
    store.submit(make_tree(2, "Web"), "memory")
    found = store.get("Web")
    assert found is not None and found.id == make_tree(2).id


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ("sqlite://", "without a file"),
        ("nonsense", "cannot be used"),
        ("sqlite:////proc/no/x", "cannot be made"),
        ("oracle://x", "choose of sqlite, postgresql"),
    ],
)
def test_a_bad_address_is_refused_with_a_remedy(bad: str, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        Store(bad).list()


@pytest.mark.parametrize("members", [1, 2000])
def test_loading_costs_one_select_whatever_its_size(store: Store, members: int) -> None:
    pools = [
        {
            "id": identity(10 + number),
            "protocol": "HTTP",
            "lb_algorithm": "ROUND_ROBIN",
            "members": [
                {"id": identity(10_000 * (number + 1) + n), "address": "192.0.2.1", "protocol_port": n + 1}
                for n in range(members // 4 or 1)
            ],
        }
        for number in range(4)
    ]
    tree = LoadBalancer.model_validate({"id": identity(1), "vip_subnet_id": identity(7), "pools": pools})
    store.submit(tree, "memory")
    statements: list[str] = []
    engine = store._database._engine
    event.listen(engine, "before_cursor_execute", lambda *call: statements.append(call[2]))
    found = store.get(tree.id)
    assert found is not None and found.desired == tree
    assert [text.split()[0] for text in statements if text != "BEGIN"] == ["SELECT"]


@pytest.mark.parametrize("scheme", ["postgresql", "postgresql+psycopg", "mariadb", "mysql+pymysql"])
def test_a_server_that_is_away_may_be_back_later_and_no_password_is_told(scheme: str) -> None:
    with pytest.raises(TemporaryError, match="does not answer") as caught:
        Store(f"{scheme}://somebody:hidden@127.0.0.1:1/store").list()
    assert "hidden" not in caught.value.operator


def test_measurements_are_written_together_whatever_was_there(store: Store) -> None:
    first = store.records.put(Record("kind", "a", {"n": 1}, "owner"))
    store.records.put_all([Record("kind", "b", {"n": 2}, "other"), Record("kind", "a", {"n": 3}, "owner")])
    assert store.records.get("kind", "a") == Record("kind", "a", {"n": 3}, "owner", first.version + 1)
    assert store.records.versions("kind") == {"a": ("owner", 2), "b": ("other", 1)}
    with pytest.raises(Conflict):
        store.records.put(replace(first, data={}))
    store.records.put_all([])
    assert store.records.versions("nothing") == {}


def test_several_are_read_by_their_ids(store: Store) -> None:
    store.records.put_all([Record("kind", f"{number:04}", {"n": number}) for number in range(1200)])
    store.records.put_all([Record("other", "0001", {})])
    wanted = {f"{number:04}" for number in range(600, 1300)}
    assert [one.data["n"] for one in store.records.several("kind", wanted)] == list(range(600, 1200))
    assert store.records.several("kind", []) == () == store.records.several("nothing", wanted)


def test_how_all_stand_is_told_without_their_trees(store: Store) -> None:
    tree = make_tree()
    store.submit(tree, "memory")
    assert store.standings() == {tree.id: (1, ProvisioningStatus.PENDING_CREATE)}
    assert store.desired([tree.id, identity(9)]) == (tree,)
