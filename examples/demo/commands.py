"""The ``lbdrivers`` command, run in front of an audience or behind the scenes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from rich.text import Text

from examples.demo.story import Broken, Story


class Commands:
    """Runs the ``lbdrivers`` command as a user would.

    :param state: its state folder.
    """

    def __init__(self, story: Story, state: Path, configuration: Path) -> None:
        self._story = story
        self.configuration = configuration
        self.environment = {**os.environ, "LBDRIVERS_STATE_PATH": str(state), "COLUMNS": "110"}
        if story.console.is_terminal:
            self.environment["FORCE_COLOR"] = "1"
        self.program = str(Path(sys.executable).parent / "lbdrivers")

    def show(self, *arguments: str) -> None:
        """Run it in front of the audience."""
        self._story.console.print(Text(f"     $ lbdrivers {' '.join(arguments)}", "bold green"))
        result = self._run(*arguments)
        self._story.quote(result.stdout + result.stderr)
        if result.returncode != 0:
            raise Broken(f"lbdrivers {arguments[0]} ended with exit status {result.returncode}")

    def ask(self, *arguments: str) -> dict[str, Any]:
        """Run it with --json behind the scenes."""
        result = self._run(*arguments, "--json")
        if result.returncode != 0:
            raise Broken(f"lbdrivers {arguments[0]}: {result.stderr.strip()}")
        answer: dict[str, Any] = json.loads(result.stdout)
        return answer

    def _run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [self.program, "--config-file", str(self.configuration), *arguments]
        return subprocess.run(command, env=self.environment, capture_output=True, text=True, check=False, timeout=180)
