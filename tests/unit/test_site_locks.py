"""Locks: one holder, freed with its process, and safe against the removal of the lock file."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from lbdrivers.errors import TemporaryError
from lbdrivers_amphora.site.files import locked, try_lock, write_atomically


def test_one_holder_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    handle = try_lock(path)
    assert handle is not None
    assert try_lock(path) is None
    with pytest.raises(TemporaryError, match="busy"), locked(path, patience=0.01):
        raise AssertionError
    os.close(handle)
    with locked(path):
        assert try_lock(path) is None


def test_a_child_that_inherits_the_lock_holds_it_for_life(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    handle = try_lock(path)
    assert handle is not None
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=(handle,)) as child:
        os.close(handle)
        assert try_lock(path) is None
        child.communicate(b"\n")
    again = try_lock(path)
    assert again is not None
    os.close(again)


def test_a_lock_on_a_removed_file_does_not_count(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "lock"
    entered: list[int] = []
    inside = 0

    def work() -> None:
        nonlocal inside
        for _ in range(100):
            with locked(path):
                inside += 1
                entered.append(inside)
                inside -= 1
                path.unlink()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert entered == [1] * 400


def test_a_file_is_replaced_whole_and_private(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    write_atomically(path, b"new")
    assert path.read_text() == "new"
    assert path.stat().st_mode & 0o777 == 0o600
    assert [p.name for p in tmp_path.iterdir()] == ["file"]
