"""Waiting until something that was set going has come about."""

from __future__ import annotations

import http.client
import time
from collections.abc import Callable
from typing import TypeVar

from lbdrivers.errors import TemporaryError

T = TypeVar("T")


def eventually(probe: Callable[[], T], good: Callable[[T], bool] = bool, limit: float = 20.0, pause: float = 0.01) -> T:
    """The first good value of the probe; the last one when none comes within ``limit`` seconds.

    What fails for now counts as "not yet", and is raised when it still does in the end.
    """
    deadline = time.monotonic() + limit
    while True:
        try:
            value = probe()
            if good(value) or time.monotonic() > deadline:
                return value
        except (TemporaryError, OSError, http.client.HTTPException):
            if time.monotonic() > deadline:
                raise
        time.sleep(pause)
