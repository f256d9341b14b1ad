"""Jobs: which load balancers wait for a worker, on a board that many machines share.

Law: a job names a load balancer and nothing else. What is wanted, who is at it and when it is tried
again stands in the store alone, so a board that loses its jobs, or has one twice, harms nothing: due
work is posted again, and a load balancer that needs nothing is done at once. A claim lapses when its
worker is silent.

One of the two files that know taskflow, whose jobboards this speaks to; nobody sees its types. Redis is
tested. ZooKeeper and etcd are configured as taskflow wants them, and not tested.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from taskflow import exceptions
from taskflow.jobs import backends

from lbdrivers.errors import InvalidInput, Problem, TemporaryError
from lbdrivers.reconcile.heartbeat import Heartbeat, beat_in_thread
from lbdrivers.settings import BoardKind, JobboardSettings, SentinelSettings

LOG = logging.getLogger(__name__)

#: taskflow's own names of the kinds, also of the extras that install what it needs for them.
_NAMES: Mapping[BoardKind, str] = MappingProxyType(
    {BoardKind.REDIS: "redis", BoardKind.ZOOKEEPER: "zookeeper", BoardKind.ETCD: "etcd"}
)


#: Seconds that Redis may take to answer; it needs a thousandth of one.
_PATIENCE = 5.0
#: Seconds for which a board that did not answer is not asked again: redis-py takes some to give up, and
#: meanwhile whoever submits would wait for nothing, as work goes on without the board.
_LEFT_ALONE = 10.0


@dataclass(frozen=True)
class Job:
    """One job as it was seen on the board; ``handle`` is taskflow's."""

    load_balancer_id: str
    handle: Any


class Board:
    """Jobs on a jobboard.

    :param owner: name under which jobs are claimed; unique among all workers.
    :param heartbeat: keeps a claim alive.
    :param clock: seconds that never go back.
    """

    def __init__(
        self,
        settings: JobboardSettings,
        owner: str,
        *,
        heartbeat: Heartbeat = beat_in_thread,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._owner = owner
        self._heartbeat = heartbeat
        self._clock = clock
        self._board: Any = None
        self._left_alone_until = 0.0

    def close(self) -> None:
        """Close the connection; the next use opens a new one."""
        board, self._board = self._board, None
        if board is not None:
            with suppress(exceptions.TaskFlowException):
                board.close()

    def post(self, *load_balancer_ids: str) -> int:
        """Post a job for each one that has none; two who do so at the same moment may post two.

        :returns: how many were posted.
        :raises TemporaryError: when the board does not answer.
        """
        missing = dict.fromkeys(load_balancer_ids)
        with self._connected() as board:
            for handle in board.iterjobs(ensure_fresh=True):
                missing.pop(handle.name, None)
                if not missing:
                    break
            for load_balancer_id in missing:
                board.post(load_balancer_id)
        return len(missing)

    def post_new(self, load_balancer_id: str) -> None:
        """Post a job for one of which it is known that it has none: the board need not be searched.

        :raises TemporaryError: when the board does not answer.
        """
        with self._connected() as board:
            board.post(load_balancer_id)

    def waiting(self) -> tuple[Job, ...]:
        """The jobs that nobody has claimed, oldest first.

        :raises TemporaryError: when the board does not answer.
        """
        with self._connected() as board:
            handles = list(board.iterjobs(only_unclaimed=True, ensure_fresh=True))
        return tuple(Job(handle.name, handle) for handle in sorted(handles, key=lambda handle: handle.sequence))

    @contextmanager
    def claim(self, job: Job) -> Iterator[bool]:
        """Whether the job is ours for the block; it is kept claimed, and at the end taken off the board.

        When the block raises, the job stays for others.

        :raises TemporaryError: when the board does not answer.
        """
        if not self._claim(job):
            yield False
            return
        try:
            with self._alive(job):
                yield True
        except BaseException:
            with suppress(TemporaryError):
                self._finish(job, "abandon")
            raise
        self._finish(job, "consume")

    def _claim(self, job: Job) -> bool:
        # ZooKeeper's claims have no time: they end with the connection of the one who claimed.
        timed = self._settings.kind is not BoardKind.ZOOKEEPER
        expiry = {"expiry": self._settings.expiration_seconds} if timed else {}
        with self._connected() as board:
            try:
                board.claim(job.handle, self._owner, **expiry)
            except (exceptions.UnclaimableJob, exceptions.NotFound):  # another worker was quicker
                return False
        return True

    def _finish(self, job: Job, how: str) -> None:
        with self._connected() as board:
            try:
                getattr(board, how)(job.handle, self._owner)
            except (exceptions.NotFound, exceptions.JobFailure) as error:
                if error.cause is not None:  # the board's own failure
                    raise
                # Our claim had lapsed; the job, if it is still there, belongs to others.
                LOG.warning("the job of %s is no longer ours: %s", job.load_balancer_id, error)

    def _alive(self, job: Job) -> AbstractContextManager[None]:
        if self._settings.kind is BoardKind.ZOOKEEPER:
            return nullcontext()
        seconds = self._settings.expiration_seconds

        def renew() -> bool:
            with self._connected():
                return bool(job.handle.extend_expiry(seconds))

        # A third: two beats may be lost before the claim is.
        return self._heartbeat(renew, seconds / 3)

    @contextmanager
    def _connected(self) -> Iterator[Any]:
        message = "the jobboard does not answer"
        if self._clock() < self._left_alone_until:
            raise TemporaryError(message, f"{message}, and is asked again in {_LEFT_ALONE:g} s")
        try:
            if self._board is None:
                self._board = self._connect()
            yield self._board
        except exceptions.TaskFlowException as error:
            self._left_alone_until = self._clock() + _LEFT_ALONE
            raise TemporaryError(message, f"{message}: {error.pformat()}") from error

    def _connect(self) -> Any:
        name = _NAMES[self._settings.kind]
        try:
            board = backends.fetch(self._settings.namespace, configuration(self._settings))
        except (ImportError, exceptions.NotFound) as error:
            remedy = f"install what taskflow needs for it: pip install 'taskflow[{name}]'"
            place, message = "[task_flow] jobboard_backend_driver", f"cannot be loaded: {error}"
            raise InvalidInput((Problem(place, self._settings.kind.value, message, remedy),)) from error
        board.connect()
        return board


def configuration(settings: JobboardSettings) -> dict[str, Any]:
    """The settings as taskflow's board of the kind wants them. Passwords are in it: it is not for logs."""
    made = {BoardKind.REDIS: _redis, BoardKind.ZOOKEEPER: _zookeeper, BoardKind.ETCD: _etcd}[settings.kind]
    values = {"board": _NAMES[settings.kind], **made(settings)}
    return {name: value for name, value in values.items() if value is not None}


def _redis(settings: JobboardSettings) -> dict[str, Any]:
    values: dict[str, Any] = {
        "host": settings.hosts[0],
        "port": settings.port,
        "username": settings.username,
        "password": settings.password.reveal().decode() if settings.password else None,
        "db": settings.database,
        "namespace": settings.namespace,
        "socket_timeout": _PATIENCE,
        "socket_connect_timeout": _PATIENCE,
        **settings.ssl,
    }
    if settings.sentinel is not None:
        values["sentinel"] = settings.sentinel.service
        values["sentinel_fallbacks"] = [f"{_bracketed(host)}:{settings.port}" for host in settings.hosts[1:]]
        values["sentinel_kwargs"] = _sentinel(settings.sentinel)
    return values


def _sentinel(settings: SentinelSettings) -> dict[str, Any]:
    values: dict[str, Any] = {
        "username": settings.username,
        "password": settings.password.reveal().decode() if settings.password else None,
    }
    if _is_true(settings.ssl.get("ssl", "")):  # taskflow takes any text for true here
        values |= {**settings.ssl, "ssl": True}
    return {name: value for name, value in values.items() if value is not None}


def _zookeeper(settings: JobboardSettings) -> dict[str, Any]:
    hosts = ",".join(f"{_bracketed(host)}:{settings.port}" for host in settings.hosts)
    # taskflow would ask for the version by a command that ZooKeeper answers to nobody by default since 3.5; the
    # oldest that it works with is 3.4.
    return {"hosts": hosts, "path": f"/{settings.namespace}/jobs", "check_compatible": False, **settings.ssl}


def _etcd(settings: JobboardSettings) -> dict[str, Any]:
    ssl = dict(settings.ssl)
    secure = _is_true(ssl.pop("use_ssl", ""))
    return {
        "host": settings.hosts[0],
        "port": settings.port,
        "path": settings.namespace,
        "protocol": "https" if secure else "http",
        "timeout": settings.timeout_seconds,
        "api_path": settings.api_path,
        **(ssl if secure else {}),
    }


def _is_true(text: str) -> bool:
    """As oslo.config reads a boolean."""
    return text.strip().lower() in ("true", "1", "yes", "on")


def _bracketed(host: str) -> str:
    """An IPv6 address before a port stands in brackets."""
    return f"[{host}]" if ":" in host else host
