"""Real database servers and Redis for tests: private, unprivileged, gone at the end.

Law: a server lives in a folder of its own under the temporary folder and listens on a socket in it and
nowhere else; it dies with the process that started it, and its folder goes with it.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pymysql
import redis
from sqlalchemy import create_engine, make_url, text
from sqlalchemy.exc import OperationalError

#: Seconds for a server to start, on a machine that is busy with other tests.
LIMIT = 60.0


class ServerEnded(Exception):
    """A server ended while it should have started; with its log."""


@contextmanager
def _folder(name: str, user: str) -> Iterator[Path]:
    """A folder that belongs to the server's user; short, as a socket's path has at most 107 bytes."""
    folder = Path(tempfile.mkdtemp(prefix=f"lbdrivers-{name}-"))
    if os.geteuid() == 0:
        shutil.chown(folder, user, user)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _as_user(user: str, end: str) -> list[str]:
    """Servers refuse root. ``end`` is the signal that ends them when we die first."""
    if os.geteuid() != 0:
        return ["setpriv", "--pdeathsig", end]
    account = pwd.getpwnam(user)
    identity = [f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}", "--clear-groups"]
    return ["setpriv", *identity, "--pdeathsig", end]


def _make(command: Sequence[str | Path], folder: Path) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command[0]}: {done.stdout}\n{done.stderr}"


@contextmanager
def _running(
    command: Sequence[str | Path], folder: Path, end: signal.Signals, ready: Callable[[], bool]
) -> Iterator[int]:
    """The server, from when it answers until the end of the block; its pid."""
    log = folder / "log"
    with log.open("ab") as output:
        process = subprocess.Popen(command, cwd=folder, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    try:
        limit = time.monotonic() + LIMIT
        while not ready():
            if process.poll() is not None:
                raise ServerEnded(log.read_text(errors="replace"))
            assert time.monotonic() < limit, log.read_text(errors="replace")
            time.sleep(0.02)
        yield process.pid
    finally:
        process.send_signal(end)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _answers(url: str) -> bool:
    engine = create_engine(url)
    try:
        with engine.connect():
            return True
    except (OperationalError, pymysql.Error):
        return False
    finally:
        engine.dispose()


class Postgresql:
    """PostgreSQL with a life: it runs, is stopped, frozen, and runs again with what it has.

    :ivar url: of its first database.
    """

    def __init__(self, url: str, run: Callable[[], AbstractContextManager[int]]) -> None:
        self.url = url
        self._run = run
        self._running = ExitStack()
        self._pid = self._running.enter_context(run())

    def stop(self) -> None:
        """End it and every connection."""
        self._running.close()

    def start(self) -> None:
        """Again, until it answers."""
        self._pid = self._running.enter_context(self._run())

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """It answers nobody, and refuses nobody."""
        children = Path(f"/proc/{self._pid}/task/{self._pid}/children").read_text().split()
        pids = [self._pid, *map(int, children)]
        try:
            for pid in pids:
                os.kill(pid, signal.SIGSTOP)
            yield
        finally:
            for pid in pids:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)


@contextmanager
def postgresql() -> Iterator[str]:
    """PostgreSQL; the URL of its first database."""
    with mortal_postgresql() as server:
        yield server.url


@contextmanager
def mortal_postgresql() -> Iterator[Postgresql]:
    """PostgreSQL that a test stops and starts."""
    programs = max(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
    with _folder("postgresql", "postgres") as folder:
        # SIGINT: it ends at once, whoever is connected.
        user, data = _as_user("postgres", "INT"), folder / "data"
        options = ["--auth=trust", "--username=postgres", "--encoding=UTF8", "--locale=C", "--no-sync"]
        _make([*user, programs / "initdb", *options, "--no-instructions", "-D", data], folder)
        quick = [part for one in ("fsync=off", "listen_addresses=", "max_connections=50") for part in ("-c", one)]
        command = [*user, programs / "postgres", "-D", data, "-k", folder, *quick]
        url = f"postgresql+psycopg://postgres@/postgres?host={folder}"
        server = Postgresql(url, lambda: _running(command, folder, signal.SIGINT, lambda: _answers(url)))
        try:
            yield server
        finally:
            server.stop()


@contextmanager
def mariadb() -> Iterator[str]:
    """MariaDB; the URL of its first database."""
    with _folder("mariadb", "mysql") as folder:
        user, data, path = _as_user("mysql", "TERM"), folder / "data", folder / "socket"
        small = ["--no-defaults", f"--datadir={data}", "--innodb-log-file-size=8M", "--innodb-buffer-pool-size=32M"]
        options = ["--auth-root-authentication-method=normal", "--skip-test-db", "--skip-name-resolve"]
        _make([*user, "mariadb-install-db", *small, *options], folder)
        quick = ["--skip-networking", "--innodb-flush-log-at-trx-commit=0", "--innodb-flush-method=nosync"]
        places = [f"--socket={path}", f"--pid-file={folder / 'pid'}"]
        command = [*user, "mariadbd", *small, *quick, *places]
        url = f"mariadb+pymysql://root@localhost/mysql?unix_socket={path}"
        with _running(command, folder, signal.SIGTERM, lambda: _answers(url)):
            yield url


@dataclass(frozen=True)
class RedisServer:
    """Where Redis listens on the loopback."""

    port: int
    password: str


@contextmanager
def redis_server() -> Iterator[RedisServer]:
    """Redis, keeping nothing on disk."""
    with _folder("redis", "redis") as folder, ExitStack() as stack:
        user, password = _as_user("redis", "TERM"), uuid.uuid4().hex
        for _ in range(10):  # somebody else may be quicker to take a port that is free
            found = RedisServer(_free_port(), password)
            command = [*user, "redis-server", "--port", str(found.port), "--bind", "127.0.0.1", "--save", ""]
            command += ["--dir", str(folder), "--appendonly", "no", "--requirepass", password]
            try:
                stack.enter_context(_running(command, folder, signal.SIGTERM, partial(_is_ours, found)))
            except ServerEnded:
                continue
            yield found
            return
        raise ServerEnded("no port is free for Redis")


def _is_ours(server: RedisServer) -> bool:
    try:
        with redis.Redis(port=server.port, password=server.password) as client:
            return bool(client.ping())
    except redis.RedisError:  # nobody there yet, or another one with another password
        return False


@contextmanager
def etcd_server() -> Iterator[int]:
    """etcd, alone; its port on the loopback."""
    with _folder("etcd", "etcd") as folder, _on_a_free_port(lambda port: _etcd(folder, port), folder) as port:
        yield port


def _etcd(folder: Path, port: int) -> list[str]:
    client, peer = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{_free_port()}"
    options = ["--data-dir", str(folder / str(port)), "--unsafe-no-fsync"]
    options += ["--listen-client-urls", client, "--advertise-client-urls", client]
    options += [
        "--listen-peer-urls",
        peer,
        "--initial-advertise-peer-urls",
        peer,
        "--initial-cluster",
        f"default={peer}",
    ]
    return [*_as_user("etcd", "TERM"), "etcd", *options]


@contextmanager
def zookeeper_server() -> Iterator[int]:
    """ZooKeeper, alone, with what it allows by default; its port on the loopback."""
    with (
        _folder("zookeeper", "zookeeper") as folder,
        _on_a_free_port(lambda port: _zookeeper(folder, port), folder) as port,
    ):
        yield port


def _zookeeper(folder: Path, port: int) -> list[str]:
    text = f"""
tickTime=500
dataDir={folder}
clientPort={port}
clientPortAddress=127.0.0.1
admin.enableServer=false
"""
    (folder / "zoo.cfg").write_text(text)
    program = ["java", "-Xmx128m", "-cp", "/usr/share/java/*", "org.apache.zookeeper.server.quorum.QuorumPeerMain"]
    return [*_as_user("zookeeper", "TERM"), *program, str(folder / "zoo.cfg")]


@contextmanager
def _on_a_free_port(command: Callable[[int], list[str]], folder: Path) -> Iterator[int]:
    """The server that the command for a port starts, on one that nobody took meanwhile."""
    with ExitStack() as stack:
        for _ in range(10):
            port = _free_port()
            try:
                stack.enter_context(_running(command(port), folder, signal.SIGTERM, partial(_listens, port)))
            except ServerEnded:
                continue
            yield port
            return
        raise ServerEnded(f"no port is free: {(folder / 'log').read_text(errors='replace')[-2000:]}")


def _listens(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def database(server: str) -> Iterator[str]:
    """A new database on the server; dropped at the end."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    engine = create_engine(server, isolation_level="AUTOCOMMIT")
    force = " WITH (FORCE)" if engine.dialect.name == "postgresql" else ""
    try:
        with engine.connect() as connection:
            connection.execute(text(f"CREATE DATABASE {name}"))
        yield make_url(server).set(database=name).render_as_string(hide_password=False)
        with engine.connect() as connection:
            connection.execute(text(f"DROP DATABASE {name}{force}"))
    finally:
        engine.dispose()
