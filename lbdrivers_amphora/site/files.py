"""Locks and files of the site's folders.

Law: a lock file may be removed by whoever holds its lock, so a lock counts only when the file that
was locked is still the one under the path. What is written appears whole or not at all. Locks are
flock(2): the kernel frees them when their last holder ends, however it ends.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from lbdrivers.errors import TemporaryError

#: Seconds between two looks at something that another process is about to change.
GLANCE = 0.003


def private_folder(path: Path) -> None:
    """Make the folder, and those above it, for the owner alone."""
    for folder in reversed([path, *path.parents]):
        with contextlib.suppress(FileExistsError):
            folder.mkdir(mode=0o700)


def try_lock(path: Path) -> int | None:
    """An open file that holds the exclusive lock on ``path``, or None while somebody else holds it.

    The caller closes it; a child that inherits it goes on holding the lock.

    :raises FileNotFoundError: when the folder is not there.
    """
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            return None
        if _is_still_at(path, handle):
            return handle
        os.close(handle)


def _is_still_at(path: Path, handle: int) -> bool:
    with contextlib.suppress(FileNotFoundError):
        return os.path.samestat(path.stat(), os.fstat(handle))
    return False


@contextlib.contextmanager
def locked(path: Path, patience: float = 30.0) -> Iterator[int]:
    """Hold the exclusive lock on ``path``; its folder is made when it is not there.

    Gives the open file that holds it, for children that shall share it: a program that was started
    under the lock must not act any more when its starter was killed and somebody else has the lock.

    :param patience: seconds to wait for another holder.
    :raises TemporaryError: when the holder does not let go in that time.
    """
    deadline = time.monotonic() + patience
    while True:
        private_folder(path.parent)
        with contextlib.suppress(FileNotFoundError):  # removed again since the line above
            handle = try_lock(path)
            if handle is not None:
                break
        if time.monotonic() > deadline:
            raise TemporaryError(
                "the local site is busy", f"{path} has been locked for {patience:g} s by another process"
            )
        time.sleep(GLANCE)
    try:
        yield handle
    finally:
        os.close(handle)


def write_atomically(path: Path, content: bytes) -> None:
    """Replace the file by one of mode 0600 with this content; a reader sees the old or the new one."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
