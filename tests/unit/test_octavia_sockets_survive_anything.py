"""The driver agent's sockets: the exact wire format, and nothing that comes in ends them."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from lbdrivers.drivers.context import Record
from lbdrivers.errors import TemporaryError
from lbdrivers.memory.records import MemoryRecords
from lbdrivers.octavia.desk import Desk
from lbdrivers.octavia.sockets import LARGEST, AgentSocket, is_served


def echoed(request: Mapping[str, Any]) -> Mapping[str, Any]:
    if request.get("fail"):
        raise RuntimeError("a defect of ours")
    return {"heard": request}


@pytest.fixture
def path(tmp_path: Path) -> Iterator[Path]:
    served = AgentSocket(tmp_path / "status.sock", echoed)
    yield tmp_path / "status.sock"
    served.close()
    assert not (tmp_path / "status.sock").exists()


def exchanged(path: Path, *parts: bytes, ended: bool = True) -> bytes:
    """Everything that is answered to the parts, up to the end of the connection."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.settimeout(20)
        client.connect(str(path))
        try:
            for part in parts:
                client.sendall(part)
            if ended:
                client.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # closed in our face, which is an answer
        answer = b""
        try:
            while chunk := client.recv(4096):
                answer += chunk
        except ConnectionResetError:
            pass
        return answer


def framed(text: bytes) -> bytes:
    return b"%d\n" % len(text) + text


def test_count_newline_and_json_both_ways(path: Path) -> None:
    request = '{"object": "pools", "name": "Zürich"}'.encode()
    count, _, body = exchanged(path, framed(request), ended=False).partition(b"\n")
    assert int(count) == len(body)
    assert json.loads(body) == {"heard": {"object": "pools", "name": "Zürich"}}


def test_a_request_may_come_in_crumbs(path: Path) -> None:
    request = framed(b'{"a": 1}')
    assert exchanged(path, *(request[place : place + 1] for place in range(len(request)))).endswith(
        b'{"heard": {"a": 1}}'
    )


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"",
        b"12",
        b"\n",
        b"-1\n{}",
        b"2.0\n{}",
        "٣\n{}".encode(),
        b"100\n{}",
        b"2\n{x",
        b"3\n\xff\xff\xff",
        framed(b"[]"),
        framed(b"null"),
        framed(b"[" * 100_000),
        framed(b'{"fail": true}'),
        b"9" * 1000,
        b"%d\n" % (LARGEST + 1),
        b"GET / HTTP/1.1\r\n\r\n",
    ],
    ids=lambda value: repr(value[:12]),
)
def test_what_is_no_request_is_closed_without_an_answer_and_the_next_one_is_answered(
    path: Path, request_bytes: bytes
) -> None:
    assert exchanged(path, request_bytes) == b""
    assert exchanged(path, framed(b"{}")).endswith(b'{"heard": {}}')


def test_those_who_wait_keep_nobody_else_waiting(path: Path) -> None:
    silent = [socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) for _ in range(8)]
    try:
        for client in silent:
            client.connect(str(path))
            client.sendall(b"1")
        assert exchanged(path, framed(b"{}")).endswith(b'{"heard": {}}')
    finally:
        for client in silent:
            client.close()


def test_a_path_is_served_once_and_a_file_left_behind_is_replaced(path: Path, tmp_path: Path) -> None:
    with pytest.raises(TemporaryError, match="another process serves"):
        AgentSocket(path, echoed)
    left = tmp_path / "left.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as dead:
        dead.bind(str(left))
    served = AgentSocket(left, echoed)
    assert exchanged(left, framed(b"{}")).endswith(b'{"heard": {}}')
    served.close()


def test_one_that_closes_leaves_the_file_of_who_took_its_place(tmp_path: Path) -> None:
    path = tmp_path / "status.sock"
    first = AgentSocket(path, echoed)
    path.unlink()  # as by somebody who cleans up
    assert not first.is_found()
    second = AgentSocket(path, echoed)
    first.close()
    assert second.is_found()
    assert exchanged(path, framed(b"{}")).endswith(b'{"heard": {}}')
    second.close()


def test_a_crowd_at_the_door_does_not_look_like_an_empty_house(tmp_path: Path) -> None:
    """A full backlog refuses connections, too; who took that for a dead server would take its place."""
    path = tmp_path / "busy.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as busy:
        busy.bind(str(path))
        busy.listen(0)
        waiting = []
        try:
            while not waiting or connected(waiting[-1], path):
                waiting.append(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
            assert is_served(path)
        finally:
            for client in waiting:
                client.close()
    assert not is_served(path)


def connected(client: socket.socket, path: Path) -> bool:
    client.setblocking(False)
    try:
        client.connect(str(path))
    except BlockingIOError:
        return False
    return True


def test_who_has_connected_is_answered_while_it_closes(tmp_path: Path) -> None:
    path = tmp_path / "closing.sock"
    served = AgentSocket(path, echoed)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.connect(str(path))
        served.close()
        client.settimeout(20)
        client.sendall(framed(b"{}"))
        assert client.recv(4096).endswith(b'{"heard": {}}')


class OutOfReach(MemoryRecords):
    """Records in a database that does not answer."""

    def list(self, kind: str, owner: str | None = None) -> tuple[Record, ...]:
        raise TemporaryError("the database does not answer")


@pytest.mark.parametrize("socket_", ["status", "statistics"])
def test_what_cannot_be_written_now_is_answered_and_not_waited_for(socket_: str) -> None:
    answer = getattr(Desk(OutOfReach()), socket_)({"listeners": [{"id": "1", "operating_status": "ONLINE"}]})
    assert answer == {"status_code": 500, "fault_string": "the database does not answer"}


def test_a_system_without_threads_to_spare_is_served_again_later(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as exhausted:
        exhausted.setattr(threading.Thread, "start", refused)
        assert exchanged(path, framed(b"{}")) == b""
    assert exchanged(path, framed(b"{}")).endswith(b'{"heard": {}}')
