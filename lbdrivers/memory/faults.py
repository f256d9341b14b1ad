"""Faults for tests: what happens right before and right after a verb of a memory driver.

Law: without a fault given, nothing happens. ``before`` raising means that the verb did nothing;
``after`` raising means that it was done and that its caller never heard of it, as after a crash.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeAlias

#: ``hook(verb, arguments)``, for example ``("ensure", (request,))``.
Hook: TypeAlias = Callable[[str, tuple[object, ...]], None]


def nothing(_verb: str, _arguments: tuple[object, ...]) -> None:
    """No fault."""


@dataclass(frozen=True)
class Faults:
    """The two hooks of one driver."""

    before: Hook = nothing
    after: Hook = nothing

    @contextmanager
    def around(self, verb: str, *arguments: object) -> Iterator[None]:
        """The place of a verb's work."""
        self.before(verb, arguments)
        yield
        self.after(verb, arguments)
