"""Octavia's jobboard options become what taskflow's boards want; all three kinds."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from lbdrivers import settings
from lbdrivers.errors import InvalidInput, TemporaryError
from lbdrivers.reconcile.jobs import Board, configuration
from lbdrivers.settings import BoardKind, JobboardSettings, Settings


def read(folder: Path, text: str) -> Settings:
    file = folder / "octavia.conf"
    file.write_text(text)
    return settings.read(settings.load([file]))


def board(folder: Path, text: str) -> JobboardSettings:
    found = read(folder, f"[task_flow]\njobboard_enabled = true\n{text}").jobboard
    assert found is not None
    return found


def test_there_is_no_jobboard_unless_it_is_enabled(tmp_path: Path) -> None:
    assert read(tmp_path, "[task_flow]\njobboard_backend_port = 1\n").jobboard is None
    assert read(tmp_path, "[task_flow]\njobboard_enabled = true\n").jobboard == JobboardSettings()


def test_redis(tmp_path: Path) -> None:
    found = board(
        tmp_path,
        """
jobboard_backend_hosts = 192.0.2.1,192.0.2.2
jobboard_backend_port = 6380
jobboard_backend_username = lb
jobboard_backend_password = hidden
jobboard_backend_namespace = one
jobboard_redis_backend_db = 3
jobboard_redis_backend_ssl_options = ssl:true,ssl_ca_certs:/etc/ca.pem
jobboard_expiration_time = 7
""",
    )
    assert "hidden" not in repr(found)
    assert found.expiration_seconds == 7
    made = configuration(found)
    assert (
        made.items()
        >= {
            "board": "redis",
            "host": "192.0.2.1",
            "port": 6380,
            "username": "lb",
            "password": "hidden",
            "namespace": "one",
            "db": 3,
            "ssl": "true",
            "ssl_ca_certs": "/etc/ca.pem",
        }.items()
    )
    assert "sentinel" not in made


def test_redis_behind_sentinels(tmp_path: Path) -> None:
    found = board(
        tmp_path,
        """
jobboard_backend_hosts = 192.0.2.1,2001:db8::1
jobboard_backend_port = 26379
jobboard_redis_sentinel = main
jobboard_redis_sentinel_password = hidden
jobboard_redis_sentinel_ssl_options = ssl:false,ssl_ca_certs:/etc/ca.pem
""",
    )
    made = configuration(found)
    assert (made["host"], made["sentinel"]) == ("192.0.2.1", "main")
    assert made["sentinel_fallbacks"] == ["[2001:db8::1]:26379"]
    assert made["sentinel_kwargs"] == {"password": "hidden"}


def test_zookeeper(tmp_path: Path) -> None:
    found = board(
        tmp_path,
        """
jobboard_backend_driver = zookeeper_taskflow_driver
jobboard_backend_hosts = a,b
jobboard_backend_port = 2181
jobboard_zookeeper_ssl_options = use_ssl:true,certfile:/c.pem
""",
    )
    assert configuration(found) == {
        "board": "zookeeper",
        "hosts": "a:2181,b:2181",
        "path": "/octavia_jobboard/jobs",
        "check_compatible": False,
        "use_ssl": "true",
        "certfile": "/c.pem",
    }


def test_etcd(tmp_path: Path) -> None:
    found = board(
        tmp_path,
        """
jobboard_backend_driver = etcd_taskflow_driver
jobboard_backend_port = 2379
jobboard_etcd_ssl_options = use_ssl:true,ca_cert:/ca.pem
jobboard_etcd_timeout = 4
jobboard_etcd_api_path = /v3/
""",
    )
    assert configuration(found) == {
        "board": "etcd",
        "host": "127.0.0.1",
        "port": 2379,
        "path": "octavia_jobboard",
        "protocol": "https",
        "timeout": 4.0,
        "api_path": "/v3/",
        "ca_cert": "/ca.pem",
    }


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("jobboard_backend_driver = sqlite", "jobboard_backend_driver"),
        ("jobboard_backend_hosts =", "name at least one host"),
        ("jobboard_expiration_time = 0", "jobboard_expiration_time"),
        ("jobboard_redis_sentinle = x", "did you mean jobboard_redis_sentinel"),
    ],
)
def test_bad_options_are_refused_by_name(tmp_path: Path, line: str, words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        board(tmp_path, line)


def test_a_kind_that_is_not_installed_is_refused_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "kazoo", None)  # as if it were not, wherever this runs
    monkeypatch.delitem(sys.modules, "taskflow.jobs.backends.impl_zookeeper", raising=False)
    with pytest.raises(InvalidInput, match=r"pip install 'taskflow\[zookeeper\]'"):
        Board(JobboardSettings(kind=BoardKind.ZOOKEEPER), "test").waiting()


def test_a_board_that_does_not_answer_is_left_alone_for_a_while() -> None:
    moment = [100.0]
    away = Board(JobboardSettings(port=1), "test", clock=lambda: moment[0])
    for words in ("Failed to connect to redis", "asked again in 10 s"):
        with pytest.raises(TemporaryError) as caught:
            away.post("a")
        assert words in caught.value.operator
        moment[0] += 5
    away.close()


def test_the_pool_of_connections(tmp_path: Path) -> None:
    text = "[database]\nmax_pool_size = 2\nmax_overflow = 3\npool_timeout = 4\nconnection_recycle_time = 5\n"
    assert read(tmp_path, text).pool == settings.PoolSettings(2, 3, 4.0, 5)


def test_no_password_is_shown(tmp_path: Path) -> None:
    text = "[database]\nconnection = postgresql://lb:hidden@db/lb\n"
    text += "[task_flow]\njobboard_enabled = true\njobboard_backend_password = hidden\n"
    found = read(tmp_path, text)
    assert found.database.endswith("hidden@db/lb")
    assert "hidden" not in repr(found)
