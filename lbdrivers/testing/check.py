"""What every check of the kit is made of: a law, what it needs, and patience.

Law: a check raises AssertionError and nothing else when a driver breaks its contract; what is
temporary is tried again, as the engine would; whatever else a driver raises is a breach.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, NoReturn, TypeVar

from lbdrivers.errors import PermanentError, TemporaryError
from lbdrivers.features import Feature

Fixture = TypeVar("Fixture")
Result = TypeVar("Result")

#: Longest pause between two tries, in seconds, whatever a driver proposes.
_PAUSE = 0.2


@dataclass(frozen=True)
class Patience:
    """How long a check waits for what is on its way.

    :param seconds: until a backend that is still not ready counts as broken.
    :param now: seconds, from any beginning.
    """

    seconds: float = 60.0
    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep

    def settled(self, verb: str, action: Callable[[], Result]) -> Result:
        """What ``action`` gives, tried again while it fails for now.

        :raises PermanentError: passes, for the check to judge.
        :raises AssertionError: when it never succeeds, or raises what no driver may.
        """
        deadline = self.now() + self.seconds
        while True:
            try:
                return action()
            except TemporaryError as error:
                if self.now() >= deadline:
                    fail(f"{verb} still fails after {self.seconds:g} s: {error.operator}", error)
                self.sleep(min(error.retry_after or _PAUSE, _PAUSE))
            except (PermanentError, AssertionError):
                raise
            except Exception as error:  # noqa: BLE001 whatever it is, the contract does not allow it
                fail(f"{verb} raised {type(error).__name__}, which the contract does not allow: {error}", error)

    def becomes(self, what: str, condition: Callable[[], bool]) -> None:
        """Wait until the condition holds. :raises AssertionError: when it never does."""
        deadline = self.now() + self.seconds
        while not self.settled(what, condition):
            if self.now() >= deadline:
                fail(f"{what}: not so after {self.seconds:g} s")
            self.sleep(_PAUSE)


@dataclass(frozen=True)
class Check(Generic[Fixture]):
    """One law with the function that checks it. Call it with a fixture.

    :param needs: features without which a driver need not keep it.
    :param proves: features of which it is the proof.
    """

    function: Callable[[Fixture], None]
    needs: frozenset[Feature] = field(default_factory=frozenset)
    proves: frozenset[Feature] = field(default_factory=frozenset)

    @property
    def name(self) -> str:
        """Name of the function, such as ``check_remove_leaves_nothing``."""
        return self.function.__name__

    @property
    def law(self) -> str:
        """The law in a sentence or two: the function's docstring."""
        return " ".join((self.function.__doc__ or "").split())

    def __call__(self, fixture: Fixture) -> None:
        self.function(fixture)

    def __str__(self) -> str:
        return self.name


def expect(condition: bool, text: str) -> None:
    """:raises AssertionError: with the text, unless the condition holds."""
    if not condition:
        fail(text)


def fail(text: str, cause: BaseException | None = None) -> NoReturn:
    """:raises AssertionError: always. The kit does not use the assert statement: ``python -O`` drops it."""
    raise AssertionError(text) from cause


def refused(what: str, action: Callable[[], object]) -> PermanentError:
    """The error. :raises AssertionError: unless the action raises a PermanentError."""
    try:
        action()
    except PermanentError as error:
        return error
    except Exception as error:  # noqa: BLE001 whatever it is, the contract names another
        fail(f"{what} raised {type(error).__name__} instead of a PermanentError: {error}", error)
    fail(f"{what} was not refused")
