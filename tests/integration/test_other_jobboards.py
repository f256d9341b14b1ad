"""Jobs on ZooKeeper and etcd: the laws that a worker counts on, on real servers. Redis: with the workers themselves."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing

import pytest
from support.servers import etcd_server, zookeeper_server

from lbdrivers.reconcile.jobs import Board
from lbdrivers.settings import BoardKind, JobboardSettings
from lbdrivers.testing.surroundings import identity, new_id

#: Seconds until the claim of a silent worker lapses.
EXPIRATION = 2
#: Seconds for anything that has to come about.
PATIENCE = 60.0
SERVERS = {BoardKind.ETCD: etcd_server, BoardKind.ZOOKEEPER: zookeeper_server}

#: A worker that claims the first job and never comes to its end.
CLAIMS = """
import sys, time
from lbdrivers.reconcile.jobs import Board
from lbdrivers.settings import BoardKind, JobboardSettings
kind, port, namespace, expiration = sys.argv[1:]
settings = JobboardSettings(BoardKind(kind), port=int(port), namespace=namespace, expiration_seconds=int(expiration))
board = Board(settings, "dies")
with board.claim(board.waiting()[0]) as ours:
    print(ours, flush=True)
    time.sleep(600)
"""

pytestmark = pytest.mark.long


@pytest.fixture(scope="module", params=list(SERVERS), ids=lambda kind: kind.name.lower())
def server(request: pytest.FixtureRequest) -> Iterator[JobboardSettings]:
    with SERVERS[request.param]() as port:
        yield JobboardSettings(request.param, port=port, expiration_seconds=EXPIRATION)


@pytest.fixture
def settings(server: JobboardSettings) -> JobboardSettings:
    """A namespace of the test's own."""
    return JobboardSettings(
        server.kind, port=server.port, namespace=f"test-{new_id()}", expiration_seconds=server.expiration_seconds
    )


def ids(board: Board) -> list[str]:
    return [job.load_balancer_id for job in board.waiting()]


def test_a_job_is_one_workers_until_it_is_done(settings: JobboardSettings) -> None:
    first, second = identity(1), identity(2)
    with closing(Board(settings, "one")) as one, closing(Board(settings, "two")) as two:
        assert one.post(first, second) == 2
        assert two.post(second, first) == 0, "each has its job already"
        (job, _) = two.waiting()
        assert ids(two) == ids(one) == [first, second]
        with two.claim(job) as ours:
            assert ours
            with one.claim(job) as also:
                assert not also
            time.sleep(EXPIRATION * 1.5)  # a claim that is renewed outlives its time
            assert ids(one) == [second]
        assert ids(one) == [second]
        assert one.post(first) == 1, "it was taken off the board"


def test_a_job_stays_for_others_when_its_work_fails(settings: JobboardSettings) -> None:
    with closing(Board(settings, "one")) as one:
        one.post_new(identity(1))
        (job,) = one.waiting()
        with pytest.raises(RuntimeError), one.claim(job):
            raise RuntimeError("the work failed")
        assert ids(one) == [identity(1)]


def test_the_claim_of_a_dead_worker_lapses(settings: JobboardSettings) -> None:
    with closing(Board(settings, "lives")) as board:
        board.post(identity(1))
        command = [sys.executable, "-c", CLAIMS, settings.kind, str(settings.port), settings.namespace, str(EXPIRATION)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as worker:
            try:
                assert worker.stdout is not None
                assert worker.stdout.readline() == "True\n"
                assert ids(board) == []
            finally:
                worker.kill()
        deadline = time.monotonic() + PATIENCE
        while ids(board) != [identity(1)]:
            assert time.monotonic() < deadline, "nobody else may ever take it"
            time.sleep(0.1)
        (job,) = board.waiting()
        with board.claim(job) as ours:
            assert ours
