"""A database gets its tables at first use, follows from revision to revision, and is refused when it is newer."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, create_engine, event, func, inspect, select, text

from lbdrivers.errors import PermanentError
from lbdrivers.store import migrations
from lbdrivers.store.schema import REVISION, load_balancers, metadata, objects, trees
from lbdrivers.store.store import Store
from lbdrivers.testing.surroundings import identity

#: A database as the store made it before there were revisions.
LAYOUT_1 = Path(__file__).parent / "data" / "store_layout_1.sql"


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    Store(database_url).close()
    if database_url.startswith("sqlite"):
        Path(database_url.removeprefix("sqlite:///")).parent.mkdir(exist_ok=True)
    engine = create_engine(database_url)
    yield engine
    engine.dispose()


def revision(engine: Engine) -> str:
    with engine.connect() as connection:
        return str(connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one())


def differences(engine: Engine) -> list[object]:
    """What alembic would change to make the tables those of the schema."""
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        return list(compare_metadata(context, metadata))


def test_the_newest_revision_is_the_one_that_the_schema_names() -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    assert ScriptDirectory.from_config(config).get_current_head() == REVISION


def test_an_empty_database_gets_the_tables_at_once(database_url: str, engine: Engine) -> None:
    store = Store(database_url)
    store.migrate()
    store.migrate()
    store.close()
    assert (revision(engine), differences(engine)) == (REVISION, [])


def test_all_revisions_lead_to_the_same_tables(engine: Engine) -> None:
    with engine.connect() as connection:
        migrations._migrate(connection, None)
        connection.commit()
    assert (revision(engine), differences(engine)) == (REVISION, [])


#: Load balancers as revision 0001 had them: generations and trees wanted and applied.
REVISION_1 = {
    "new": (1, "first", 0, None),
    "settled": (4, "fourth", 4, "fourth"),
    "edited": (7, "seventh", 5, "fifth"),
    "to be repaired": (3, "same", 2, "same"),
}


def fill_revision_1(engine: Engine) -> None:
    with engine.connect() as connection:
        migrations._migrate(connection, None, "0001")
        for name, (generation, desired, applied_generation, applied) in REVISION_1.items():
            connection.execute(
                text(
                    "INSERT INTO load_balancers (id, name, provider, generation, desired, applied_generation, applied, "
                    "status, attempts, delete_wanted, failovers_wanted, failovers_done, created_at, updated_at) VALUES "
                    "(:id, :id, 'memory', :generation, :desired, :applied_generation, :applied, 'ACTIVE', 0, "
                    "false, 0, 0, 1.0, 1.0)"
                ),
                {
                    "id": name,
                    "generation": generation,
                    "desired": desired,
                    "applied_generation": applied_generation,
                    "applied": applied,
                },
            )
            connection.execute(
                text("INSERT INTO objects VALUES (:object, 'pool', :id)"), {"object": f"of {name}", "id": name}
            )
        connection.commit()


def moved(engine: Engine) -> dict[str, tuple[int, str, int, str | None]]:
    """The same as it stands in the present tables."""
    with engine.connect() as connection:
        texts = {(row.load_balancer_id, row.generation): row.document for row in connection.execute(select(trees))}
        found = {
            row.id: (
                row.generation,
                texts[row.id, row.desired_tree],
                row.applied_generation,
                None if row.applied_tree is None else texts[row.id, row.applied_tree],
            )
            for row in connection.execute(select(load_balancers))
        }
        assert len(texts) == 6
        assert connection.execute(select(func.count()).select_from(objects)).scalar() == len(found)
    return found


def test_trees_move_to_their_own_table(database_url: str, engine: Engine) -> None:
    fill_revision_1(engine)
    Store(database_url).migrate()
    assert (revision(engine), differences(engine), moved(engine)) == (REVISION, [], REVISION_1)


@pytest.mark.parametrize("statements", range(1, 9))
def test_a_process_that_dies_while_trees_move_does_no_harm(database_url: str, engine: Engine, statements: int) -> None:
    fill_revision_1(engine)
    done = 0

    def die(connection: Connection, cursor: object, statement: str, *_: object) -> None:
        nonlocal done
        if statement.split()[0] in ("CREATE", "ALTER", "INSERT", "UPDATE"):
            if done == statements:
                raise RuntimeError("killed")
            done += 1

    event.listen(engine, "before_cursor_execute", die)
    with engine.connect() as connection, pytest.raises(RuntimeError, match="killed"):
        migrations._migrate(connection, "0001")
    event.remove(engine, "before_cursor_execute", die)
    Store(database_url).migrate()
    assert (revision(engine), differences(engine), moved(engine)) == (REVISION, [], REVISION_1)


def test_a_process_that_died_while_it_made_the_tables_does_no_harm(database_url: str, engine: Engine) -> None:
    with engine.begin() as connection:
        load_balancers.create(connection)
    store = Store(database_url)
    assert store.list() == ()
    store.close()
    assert (revision(engine), differences(engine)) == (REVISION, [])


def test_a_database_from_before_revisions_is_taken_over_whole(tmp_path: Path) -> None:
    file = tmp_path / "old.sqlite"
    with sqlite3.connect(file) as connection:
        connection.executescript(LAYOUT_1.read_text())
    connection.close()
    store = Store(f"sqlite:///{file}")
    entry = store.get("web")
    assert entry is not None
    assert (entry.id, entry.settled, entry.applied) == (identity(1000), True, entry.desired)
    record = store.records.get("amphora", "a1")
    assert record is not None and (record.owner, record.data) == (entry.id, {"state": "READY"})
    assert store.owner_of(entry.id) == entry.id
    store.close()
    engine = create_engine(f"sqlite:///{file}")
    assert revision(engine) == REVISION
    assert not inspect(engine).has_table("schema_version")
    assert differences(engine) == []
    engine.dispose()


def test_a_newer_database_is_refused_and_left_alone(database_url: str, engine: Engine) -> None:
    Store(database_url).migrate()
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '99'"))
    with pytest.raises(PermanentError, match="revision 99, this program knows"):
        Store(database_url).list()
    assert revision(engine) == "99"


def test_a_newer_layout_from_before_revisions_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "old.sqlite"
    with sqlite3.connect(file) as connection:
        connection.executescript(LAYOUT_1.read_text().replace("VALUES(1);", "VALUES(2);"))
    connection.close()
    with pytest.raises(PermanentError, match="layout 2"):
        Store(f"sqlite:///{file}").list()
