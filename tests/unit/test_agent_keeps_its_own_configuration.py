"""The agent's own files: a new configuration or certificate is kept only when it fits."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from lbdrivers_amphora.agent import core, effects
from lbdrivers_amphora.agent.effects import Effect, Finished
from lbdrivers_amphora.agent.layout import Layout
from lbdrivers_amphora.agent.responses import Response
from lbdrivers_amphora.wire import agent_config, routes
from lbdrivers_amphora.wire.agent_config import AgentConfig
from lbdrivers_amphora.wire.request import Request

AMPHORA = "a1c1ba86-6f99-4f60-b469-a4a29d7384c5"


@dataclass
class Table:
    """What these requests do to an appliance: files, and the configuration that was taken over."""

    credential: Finished
    files: dict[str, bytes] = field(default_factory=dict)
    taken_over: list[bytes] = field(default_factory=list)

    def ask(self, request: Request) -> Response:
        layout = Layout(AgentConfig(AMPHORA, agent_server_cert="/etc/server.pem"))
        return effects.run(core.program(layout, request), self.perform)

    def perform(self, effect: Effect[Any]) -> Any:
        match effect:
            case effects.Reconfigure(content):
                self.taken_over.append(content)
            case effects.CheckCredential():
                return self.credential
            case effects.WriteFile(path, content):
                self.files[path] = content
            case _:
                raise AssertionError(f"nothing of these requests asks for {effect}")
        return None


def configured(amphora_id: str) -> bytes:
    return agent_config.render(AgentConfig(amphora_id, heartbeat_interval=3)).encode()


@pytest.mark.parametrize(
    ("content", "status", "words"),
    [
        (configured(AMPHORA), 202, ""),
        (configured("11111111-1111-4111-8111-111111111111"), 500, "this is amphora"),
        (b"[amphora_agent\n", 500, "Unable to update"),
        (b"\xff", 500, "Unable to update"),
    ],
)
def test_a_configuration(content: bytes, status: int, words: str) -> None:
    table = Table(Finished(ok=True))
    answer = table.ask(routes.PutConfig(content))
    assert answer.status == status and words in str(answer.body)
    assert table.taken_over == ([content] if status == 202 else [])


@pytest.mark.parametrize(("ok", "status"), [(True, 202), (False, 400)])
def test_a_certificate_without_its_key_is_not_kept(ok: bool, status: int) -> None:
    table = Table(Finished(ok=ok, words="" if ok else "the key is missing"))
    answer = table.ask(routes.PutServerCertificate(b"PEM"))
    assert answer.status == status
    assert table.files == ({"/etc/server.pem": b"PEM"} if ok else {})


def test_the_version_is_told() -> None:
    answer = Table(Finished(ok=True)).ask(routes.DiscoverVersion())
    assert answer == Response(200, {"api_version": "1.0"})


def test_every_look_has_a_program() -> None:
    assert core.served() > core.LOOKS
