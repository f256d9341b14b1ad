"""Drivers as one run has them: each call asks the run's fence first.

Law: a run that has lost its load balancer to another one calls no driver any more, wherever in a step it stalled.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def fenced(load: Callable[[str, str], Any], check: Callable[[], None]) -> Callable[[str, str], Any]:
    """A loader of the same drivers, whose every verb begins with that check."""
    return lambda group, name: _Fenced(load(group, name), check)


class _Fenced:
    """A driver behind a fence; what is no verb passes."""

    def __init__(self, driver: Any, check: Callable[[], None]) -> None:
        self._driver, self._check = driver, check

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._driver, name)
        if not callable(found):
            return found

        def call(*arguments: Any, **named: Any) -> Any:
            self._check()
            return found(*arguments, **named)

        return call
