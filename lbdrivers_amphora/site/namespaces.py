"""Working inside another network namespace without leaving one's own.

Law: only a fresh thread moves, and it ends with the function; the caller's threads stay where they
are. A socket belongs for life to the namespace in which it was made, and a process that the function
starts is born in the thread's.
"""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

from lbdrivers.errors import TemporaryError

_CLONE_NEWNET = 0x40000000  # <linux/sched.h>

T = TypeVar("T")


class _Excursion(threading.Thread, Generic[T]):
    """A thread that joins a namespace, calls, and keeps what came of it."""

    def __init__(self, namespace: int, call: Callable[[], T]) -> None:
        super().__init__(name="namespace", daemon=True)
        self._namespace, self._call = namespace, call
        self._result: list[T] = []
        self._error: BaseException | None = None

    def run(self) -> None:
        try:
            _join(self._namespace)
            self._result.append(self._call())
        except BaseException as error:  # noqa: BLE001 - handed to the caller's thread as it is
            self._error = error

    def outcome(self) -> T:
        """What the call returned, or its exception raised."""
        self.start()
        self.join()
        if self._error is not None:
            raise self._error
        return self._result[0]


def _join(namespace: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(namespace, _CLONE_NEWNET):
        number = ctypes.get_errno()
        raise OSError(number, f"cannot enter the network namespace: {os.strerror(number)}")


def in_namespace(path: str | Path, function: Callable[..., T], *arguments: object) -> T:
    """Call ``function(*arguments)`` in the network namespace at ``path``, in a thread of its own.

    :param path: such as ``/proc/<pid>/ns/net`` or ``/run/netns/<name>``.
    :returns: what the function returns; what it raises is raised here.
    :raises TemporaryError: when there is no namespace at ``path`` (its processes have ended).
    :raises OSError: when the kernel refuses to let us in (not root there).
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except (FileNotFoundError, ProcessLookupError) as error:
        raise TemporaryError("the machine's network is gone", f"there is no network namespace at {path}") from error
    try:
        return _Excursion(handle, lambda: function(*arguments)).outcome()
    finally:
        os.close(handle)
