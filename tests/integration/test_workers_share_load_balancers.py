"""Workers in processes of their own, over a real Redis: everything is done, once at a time, whoever dies."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, nullcontext
from pathlib import Path

import pytest
from oslo_config import cfg
from sqlalchemy import update
from support.servers import RedisServer, database

from lbdrivers.drivers.context import DriverContext
from lbdrivers.memory.provider import MemoryProvider
from lbdrivers.model.resources import LoadBalancer
from lbdrivers.model.secret import Secret
from lbdrivers.model.status import ProvisioningStatus
from lbdrivers.reconcile.engine import Engine
from lbdrivers.reconcile.jobs import Board
from lbdrivers.settings import JobboardSettings, Settings
from lbdrivers.store.schema import trees
from lbdrivers.store.store import Store
from lbdrivers.testing.surroundings import identity

#: Seconds until the claim of a dead worker lapses; long enough that a slow machine renews in time.
EXPIRATION = 2
COUNT = 200
STALLED = identity(COUNT // 2)

#: A memory provider that notes each apply, and two at once. On one load balancer it waits as long as
#: the file "stall" is there, so that the test can kill a worker in the middle of a run.
PROVIDER = """
import fcntl, os, pathlib, time
from lbdrivers.memory.provider import MemoryProvider

class Noting(MemoryProvider):
    def apply(self, desired, applied):
        with open(f"locks/{desired.id}", "w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # goes with a process that is killed
            except BlockingIOError:
                self.note(f"overlap {desired.id}")
            if desired.id == STALLED and pathlib.Path("stall").exists():
                pathlib.Path("stalled.new").write_text(str(os.getpid()))
                os.rename("stalled.new", "stalled")
                while pathlib.Path("stall").exists():
                    time.sleep(0.01)
            super().apply(desired, applied)
            self.note(f"applied {desired.id} {os.getpid()}")

    def note(self, line):
        notes = os.open("notes", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.write(notes, (line + "\\n").encode())
        os.close(notes)
"""
CONFIGURATION = """
[database]
connection = {database}
[api_settings]
default_provider_driver = noting
[lbdrivers]
worker_poll_seconds = 0.1
[task_flow]
jobboard_enabled = {enabled}
jobboard_backend_port = {redis.port}
jobboard_backend_password = {redis.password}
jobboard_backend_namespace = {namespace}
jobboard_expiration_time = {expiration}
"""


class Fleet:
    """Workers on one store and one board, in a folder with their notes."""

    def __init__(self, folder: Path, database: str, redis: RedisServer, *, jobs: bool) -> None:
        self.folder = folder
        self.store = Store(database)
        self.workers: list[subprocess.Popen[str]] = []
        settings = JobboardSettings(
            port=redis.port,
            password=Secret(redis.password.encode()),
            namespace=f"test-{folder.name}",
            expiration_seconds=EXPIRATION,
        )
        self.board = Board(settings, "test")
        (folder / "locks").mkdir()
        (folder / "noting.py").write_text(PROVIDER.replace("STALLED", repr(STALLED)))
        information = folder / "noting-1.dist-info"
        information.mkdir()
        (information / "METADATA").write_text("Metadata-Version: 2.1\nName: noting\nVersion: 1\n")
        (information / "entry_points.txt").write_text("[lbdrivers.providers]\nnoting = noting:Noting\n")
        values = {"database": database.replace("$", "$$"), "enabled": jobs, "redis": redis}
        text = CONFIGURATION.format(**values, namespace=settings.namespace, expiration=EXPIRATION)
        (folder / "lbdrivers.conf").write_text(text)
        context = DriverContext(cfg.ConfigOpts(), self.store.records, load=lambda _group, _name: None)
        core = Settings(folder, "", "noting", lease_seconds=30, retry_initial_seconds=0.1, retry_maximum_seconds=1)
        provider = MemoryProvider(context)
        self.engine = Engine(self.store, lambda _name: provider, core, board=self.board if jobs else None)

    def start(self) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "lbdrivers", "worker", "--config-file", "lbdrivers.conf"]
        environment = os.environ | {"PYTHONPATH": str(self.folder), "LBDRIVERS_STATE_PATH": str(self.folder)}
        log = (self.folder / f"log-{len(self.workers)}").open("w")
        with log:
            process = subprocess.Popen(command, cwd=self.folder, env=environment, stdout=log, stderr=log, text=True)
        self.workers.append(process)
        return process

    def submit(self, count: int = COUNT) -> list[str]:
        ids = [identity(number) for number in range(1, count + 1)]
        for one in ids:
            self.engine.submit(LoadBalancer(id=one, vip_subnet_id=identity(7_000)))
        return ids

    def notes(self) -> list[list[str]]:
        file = self.folder / "notes"
        return [line.split() for line in file.read_text().splitlines()] if file.exists() else []

    def logs(self) -> str:
        return "\n".join(file.read_text() for file in sorted(self.folder.glob("log-*")))

    def eventually(self, condition: Callable[[], bool]) -> None:
        limit = time.monotonic() + 60
        while not condition():
            assert time.monotonic() < limit, self.logs()
            time.sleep(0.05)

    def has_converged(self) -> bool:
        """Whether nothing is wanted any more and nobody is at anything."""
        return not self.store.due(1e12)

    def jobs_left(self) -> int:
        """Jobs on the board, claimed or not."""
        return int(self.board._board.job_count)

    def close(self) -> None:
        for process in self.workers:
            process.kill()
            process.wait()
        self.board.close()
        self.store.close()


@pytest.fixture
def database_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'store.sqlite'}"


@pytest.fixture
def make_fleet(tmp_path: Path, database_url: str, redis_server: RedisServer) -> Iterator[Callable[[bool], Fleet]]:
    made: list[Fleet] = []

    def make(jobs: bool) -> Fleet:
        made.append(Fleet(tmp_path, database_url, redis_server, jobs=jobs))
        return made[0]

    yield make
    for fleet in made:
        fleet.close()


def test_workers_share_and_one_that_is_killed_is_replaced_on_sqlite(make_fleet: Callable[[bool], Fleet]) -> None:
    check_that_a_killed_worker_is_replaced(make_fleet(True))


def test_workers_share_and_one_that_is_killed_is_replaced_on_postgresql(
    tmp_path: Path, postgresql_server: str, redis_server: RedisServer
) -> None:
    with database(postgresql_server) as url, closing(Fleet(tmp_path, url, redis_server, jobs=True)) as fleet:
        check_that_a_killed_worker_is_replaced(fleet)


def check_that_a_killed_worker_is_replaced(fleet: Fleet) -> None:
    (fleet.folder / "stall").touch()
    ids = fleet.submit()
    assert sorted(job.load_balancer_id for job in fleet.board.waiting()) == sorted(ids)
    fleet.start()
    fleet.start()
    stalled = fleet.folder / "stalled"
    fleet.eventually(stalled.exists)
    victim = next(one for one in fleet.workers if one.pid == int(stalled.read_text()))
    survivor = next(one for one in fleet.workers if one is not victim)
    victim.send_signal(signal.SIGKILL)
    (fleet.folder / "stall").unlink()
    fleet.eventually(fleet.has_converged)
    assert {entry.status for entry in fleet.store.list()} == {ProvisioningStatus.ACTIVE}
    # The job outlives its dead claim: it is taken as soon as that lapses, and there is none left then.
    fleet.eventually(lambda: fleet.jobs_left() == 0)
    survivor.send_signal(signal.SIGTERM)
    assert survivor.wait(30) == 0, fleet.logs()
    notes = fleet.notes()
    assert [note for note in notes if note[0] == "overlap"] == []
    assert set(Counter(note[1] for note in notes)) == set(ids)
    assert [note[2] for note in notes if note[1] == STALLED] == [str(survivor.pid)]
    assert "ended: " in fleet.logs()


def test_workers_without_a_jobboard_share_what_is_due(make_fleet: Callable[[bool], Fleet]) -> None:
    fleet = make_fleet(False)
    ids = fleet.submit(40)
    workers = [fleet.start(), fleet.start()]
    fleet.eventually(fleet.has_converged)
    for worker in workers:
        worker.send_signal(signal.SIGTERM)
    assert [worker.wait(30) for worker in workers] == [0, 0], fleet.logs()
    notes = fleet.notes()
    assert sorted(note[1] for note in notes) == ids, "each once, by one of them"


def test_edits_of_what_is_worked_on_are_not_lost(make_fleet: Callable[[bool], Fleet]) -> None:
    fleet = make_fleet(True)
    fleet.start()
    for number in range(30):
        fleet.engine.submit(LoadBalancer(id=identity(1), name=f"edit-{number}", vip_subnet_id=identity(7_000)))
    fleet.eventually(fleet.has_converged)
    entry = fleet.store.get(identity(1))
    assert entry is not None and entry.applied is not None
    assert (entry.applied.name, entry.applied_generation) == ("edit-29", 30)
    fleet.eventually(lambda: fleet.jobs_left() == 0)
    fleet.engine.delete(identity(1))
    fleet.eventually(lambda: fleet.store.get(identity(1)) is None)


def test_one_job_is_posted_for_many_wishes(make_fleet: Callable[[bool], Fleet]) -> None:
    fleet = make_fleet(True)
    for number in range(10):
        fleet.engine.submit(LoadBalancer(id=identity(1), name=f"edit-{number}", vip_subnet_id=identity(7_000)))
    fleet.engine.failover(identity(1))
    assert [job.load_balancer_id for job in fleet.board.waiting()] == [identity(1)]
    assert fleet.board.post(identity(1), identity(2)) == 1


def test_without_redis_work_goes_on(make_fleet: Callable[[bool], Fleet], redis_server: RedisServer) -> None:
    fleet = make_fleet(True)
    configuration = fleet.folder / "lbdrivers.conf"
    configuration.write_text(configuration.read_text().replace(f"_port = {redis_server.port}", "_port = 1"))
    fleet.submit(3)
    fleet.start()
    fleet.eventually(fleet.has_converged)
    assert "going on without jobs: the jobboard does not answer" in fleet.logs()


def test_a_worker_that_is_told_to_stop_finishes_what_it_has_begun(make_fleet: Callable[[bool], Fleet]) -> None:
    fleet = make_fleet(True)
    (fleet.folder / "stall").touch()
    fleet.engine.submit(LoadBalancer(id=STALLED, vip_subnet_id=identity(7_000)))
    worker = fleet.start()
    fleet.eventually((fleet.folder / "stalled").exists)
    fleet.engine.submit(LoadBalancer(id=identity(1), vip_subnet_id=identity(7_000)))
    worker.send_signal(signal.SIGTERM)
    with pytest.raises(subprocess.TimeoutExpired):
        worker.wait(0.5)
    (fleet.folder / "stall").unlink()
    assert worker.wait(30) == 0, fleet.logs()
    assert [note[1] for note in fleet.notes()] == [STALLED]
    assert [job.load_balancer_id for job in fleet.board.waiting()] == [identity(1)]


def test_a_claim_that_nobody_renews_lapses_and_its_late_holder_takes_nothing_away(redis_server: RedisServer) -> None:
    settings = JobboardSettings(
        port=redis_server.port,
        password=Secret(redis_server.password.encode()),
        namespace="test-lapse",
        expiration_seconds=1,
    )
    late = Board(settings, "late", heartbeat=lambda _renew, _seconds: nullcontext())
    quick = Board(settings, "quick")
    with closing(late), closing(quick):
        late.post(identity(1))
        (job,) = late.waiting()
        with late.claim(job) as ours:
            assert ours
            assert quick.waiting() == ()
            with quick.claim(job) as taken:
                assert not taken
            limit = time.monotonic() + 30
            while not quick.waiting():
                assert time.monotonic() < limit
                time.sleep(0.05)
            with quick.claim(job) as taken:
                assert taken
                late._finish(job, "consume")
                assert late.post(identity(1)) == 0, "the job is still there, and claimed"
        assert quick.post(identity(1)) == 1, "whoever had it last took it off the board"


def test_a_tree_that_cannot_be_read_stops_nobody(make_fleet: Callable[[bool], Fleet]) -> None:
    fleet = make_fleet(True)
    ids = fleet.submit(3)
    with fleet.store._database.write() as connection:
        connection.execute(update(trees).where(trees.c.load_balancer_id == ids[0]).values(document="{}"))
    fleet.start()
    fleet.eventually(lambda: fleet.store.due(1e12) == (ids[0],))
    fleet.eventually(lambda: "a stored load balancer cannot be read" in fleet.logs())
