"""An appliance as a value: the agent's programs are carried out on it instead of on a machine."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, TypeVar

from lbdrivers_amphora.agent import core, effects
from lbdrivers_amphora.agent.effects import Effect, Finished
from lbdrivers_amphora.agent.layout import Layout
from lbdrivers_amphora.agent.responses import Response
from lbdrivers_amphora.wire.agent_config import AgentConfig
from lbdrivers_amphora.wire.request import Request

AMPHORA = "a1c1ba86-6f99-4f60-b469-a4a29d7384c5"
GOOD = Finished(ok=True)
E = TypeVar("E", bound=Effect[Any])


@dataclass
class Table:
    """Its files, which services run, and every effect of the last program.

    What else there is to an appliance, a test adds in ``other``.
    """

    layout: Layout = field(default_factory=lambda: Layout(AgentConfig(AMPHORA)))
    files: dict[str, bytes] = field(default_factory=dict)
    running: set[str] = field(default_factory=set)
    done: list[Effect[Any]] = field(default_factory=list)

    def ask(self, request: Request) -> Response:
        """The agent's answer."""
        return self.run(core.program(self.layout, request))

    def run(self, program: effects.Program[Any]) -> Any:
        """What a program returns."""
        self.done.clear()
        return effects.run(program, self.perform)

    def did(self, kind: type[E]) -> list[E]:
        """Effects of that kind."""
        return [effect for effect in self.done if isinstance(effect, kind)]

    def perform(self, effect: Effect[Any]) -> Any:
        """Note it, and do it."""
        self.done.append(effect)
        match effect:
            case effects.ReadFile(path):
                return self.files.get(path)
            case effects.WriteFile(path, content, _):
                self.files[path] = content
            case effects.Rename(source, target):
                self.files[target] = self.files.pop(source)
            case effects.Remove(path):
                self.files = {
                    name: text for name, text in self.files.items() if not (name + "/").startswith(path + "/")
                }
            case effects.Exists(path):
                return path in self.files
            case effects.ListFolder(path):
                inside = (name.removeprefix(path + "/") for name in self.files if name.startswith(path + "/"))
                return tuple(sorted({name.partition("/")[0] for name in inside}))
            case effects.StartService(service):
                self.running.add(service.name)
                self.files.update({copy: self.files[source] for source, copy in service.applied})
                return GOOD
            case effects.StopService(service):
                self.running.discard(service.name)
                return GOOD
            case effects.ServicePid(service):
                return 7 if service.name in self.running else None
            case _:
                return self.other(effect)
        return None

    def other(self, effect: Effect[Any]) -> Any:
        """What neither files nor services answer; nothing, if a test does not say."""
