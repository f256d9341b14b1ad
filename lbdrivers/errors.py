"""The errors that drivers raise: an error's type answers "again?", its texts answer "whose words?".

Law: the engine alone retries, sleeps and writes status; it decides by the type and by nothing
else. ``str(error)`` is the text for the user; ``error.operator`` adds what an operator needs
(addresses, daemon output). Causes are chained with ``raise ... from``.
"""

from __future__ import annotations

from dataclasses import dataclass


class DriverError(Exception):
    """Base of every error of this library. Drivers raise one of the other three, never this one.

    :param user: one sentence for the owner of the load balancer; no addresses, no traces.
    :param operator: what an operator needs in addition; empty when the user's text says it all.
    """

    def __init__(self, user: str, operator: str = "") -> None:
        super().__init__(user)
        self.user = user
        self.operator = operator or user


class TemporaryError(DriverError):
    """The same call may succeed later: a machine is booting, a service does not answer.

    :param retry_after: seconds after which a new attempt makes sense; None leaves it to the engine.
    """

    def __init__(self, user: str, operator: str = "", *, retry_after: float | None = None) -> None:
        super().__init__(user, operator)
        self.retry_after = retry_after


class LeaseLostError(DriverError):
    """The run that calls has lost its load balancer to another run, and may do nothing for it any more.

    No ``TemporaryError``: whoever waits for something and tries again on these has nothing to wait for.
    """

    def __init__(self, load_balancer_id: str) -> None:
        super().__init__(
            "another run has taken over", f"the lease of {load_balancer_id} has gone to another run: this one ends here"
        )


class PermanentError(DriverError):
    """The same call will fail again until somebody changes something.

    :param object_id: id of the resource in the tree that caused it, when one can be named.
    """

    def __init__(self, user: str, operator: str = "", *, object_id: str | None = None) -> None:
        super().__init__(user, operator)
        self.object_id = object_id


class UnsupportedError(PermanentError):
    """The provider cannot do what the tree asks for; raised before anything is touched."""


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with an input.

    :param path: where it stands, in the input's own terms (``loadbalancer.listeners[0].protocol``).
    :param value: the offending value as text, shortened; empty when something is missing.
    :param message: what is wrong.
    :param remedy: what to write instead.
    :param location: file and line, when they are known (``web.yaml:12``).
    """

    path: str
    value: str
    message: str
    remedy: str = ""
    location: str = ""

    def __str__(self) -> str:
        text = ": ".join(part for part in (self.location, self.path, self.message) if part)
        if self.value:
            text += f" (got {self.value})"
        return f"{text}; {self.remedy}" if self.remedy else text


class InvalidInput(PermanentError):
    """An input from outside was refused; ``problems`` names every place, value and remedy."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems
