"""Puts this folder on the import path, so that tests share what is in ``support``; servers for a session."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from support.servers import RedisServer


def pytest_configure() -> None:
    """A job that a shell put into the background ignores SIGINT, and so would every program that it starts."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[str]:
    """The URL of a private PostgreSQL."""
    from support.servers import postgresql

    with postgresql() as url:
        yield url


@pytest.fixture(scope="session")
def mariadb_server() -> Iterator[str]:
    """The URL of a private MariaDB."""
    from support.servers import mariadb

    with mariadb() as url:
        yield url


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """A private Redis."""
    from support.servers import redis_server

    with redis_server() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql", "mariadb"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A new, empty database of each kind that the store supports."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'state' / 'store.sqlite'}"
        return
    from support.servers import database

    with database(request.getfixturevalue(f"{request.param}_server")) as url:
        yield url


@pytest.fixture(scope="module", params=["2.6", "3.0"])
def each_haproxy(request: pytest.FixtureRequest) -> Iterator[str]:
    """Every test of the module on the floor, and on a later HAProxy."""
    from support.haproxy import CHOICE, VERSIONS

    assert request.param in VERSIONS
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(CHOICE, request.param)
        yield request.param
