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
from sqlalchemy import Engine, create_engine, inspect, text

from lbdrivers.errors import PermanentError
from lbdrivers.store import migrations
from lbdrivers.store.schema import REVISION, load_balancers, metadata
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
