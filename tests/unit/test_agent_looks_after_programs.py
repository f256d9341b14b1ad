"""What keepalived remarks is no error, what it complains of is; the exporter's program runs while it is wanted."""

from __future__ import annotations

from typing import Any

import pytest

from lbdrivers_amphora.agent import effects, exporter
from lbdrivers_amphora.agent.effects import Effect, Finished, Program
from lbdrivers_amphora.agent.layout import Layout
from lbdrivers_amphora.agent.responses import Response, failure, success
from lbdrivers_amphora.agent.vrrp import harmless
from lbdrivers_amphora.wire.agent_config import AgentConfig

_LAYOUT = Layout(AgentConfig("a1c1ba86-6f99-4f60-b469-a4a29d7384c5"))
_DRAINED = (
    "Warning - quorum 1 for [ipv4-group]:0 exceeds total weight of real servers 0, reducing quorum to 0\n"
    "Virtual server [ipv4-group]:0: hysteresis 0 >= quorum 0; setting hysteresis to 4294967295\n"
)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (_DRAINED, True),
        (_DRAINED + "(x.conf: Line 3) Unknown protocol XX - ignoring\n", False),
        ("(x.conf: Line 3) Invalid lvs_scheduler 'foo' - ignoring\n", False),
        ("", False),
    ],
)
def test_remarks_are_told_from_errors(words: str, expected: bool) -> None:
    assert harmless(words) is expected


def _performed(
    text: bytes, running: bool, outcome: Finished, response: Response
) -> tuple[Response, list[type[Effect[Any]]]]:
    """The response, and which verbs of service managers were used."""
    used: list[type[Effect[Any]]] = []

    def perform(effect: Effect[Any]) -> Any:
        match effect:
            case effects.ServicePid():
                return 7 if running else None
            case effects.ListFolder():
                return ("lb", "other")
            case effects.Exists(path):
                return "/lb/" in path
            case effects.ReadFile(path):
                return text if path == _LAYOUT.haproxy_applied("lb") else None
            case effects.StartService() | effects.StopService():
                used.append(type(effect))
                return outcome
        raise AssertionError(effect)

    def change() -> Program[Response]:
        yield from ()
        return response

    return effects.run(exporter.beside(_LAYOUT, change()), perform), used


_WITH = b"frontend x\n\nbackend prometheus-exporter-internal\n    mode http\n"
_WITHOUT = b"frontend prometheus-exporter-internal\n    log-format 'backend prometheus-exporter-internal'\n"
_GOOD = success(202)


@pytest.mark.parametrize(
    ("text", "running", "used"),
    [
        (_WITH, False, [effects.StartService]),
        (_WITH, True, []),
        (_WITHOUT, True, [effects.StopService]),
        (_WITHOUT, False, []),
    ],
)
def test_the_program_runs_while_a_configuration_leads_to_it(text: bytes, running: bool, used: list[Any]) -> None:
    assert _performed(text, running, Finished(ok=True), _GOOD) == (_GOOD, used)


def test_a_program_that_does_not_start_is_told_unless_something_worse_is() -> None:
    told, _ = _performed(_WITH, False, Finished(ok=False, words="no port"), _GOOD)
    assert (told.status, told.body) == (500, failure(500, "Error starting prometheus-proxy", "no port").body)
    worse = failure(400, "Invalid request", "x")
    assert _performed(_WITH, False, Finished(ok=False, words="no port"), worse)[0] == worse
