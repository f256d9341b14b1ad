"""A demonstration told step by step on the terminal, with the time that each step took."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator
from typing import Any

from rich.console import Console
from rich.text import Text


class Broken(Exception):
    """A step did not hold."""


class Story:
    """Tells the steps on the terminal, with the time that each took."""

    def __init__(self) -> None:
        self.console = Console(highlight=False)
        self.failures: list[str] = []
        self._number = 0

    @contextlib.contextmanager
    def step(self, title: str) -> Iterator[None]:
        """One numbered step; a Broken inside marks it and ends the story."""
        self._number += 1
        self.console.print()
        self.console.print(Text.assemble((f" {self._number} ", "bold reverse"), (f" {title}", "bold")))
        started = time.monotonic()
        try:
            yield
        except Broken as error:
            self.failures.append(str(error))
            self.say(f"failed: {error}", "bold red", "✗")
            raise
        finally:
            self.say(f"{time.monotonic() - started:.2f} s", "dim", "⏱")

    def say(self, text: str, style: str = "", mark: str = "·") -> None:
        """One line below the current step."""
        self.console.print(Text.assemble(("     ", ""), (f"{mark} ", "cyan"), (text, style)), soft_wrap=True)

    def ok(self, text: str) -> None:
        """One line about something that held."""
        self.say(text, "", "✓")

    def end(self, figures: dict[str, Any], left_over: list[str]) -> int:
        """The verdict, and the figures as one JSON object on the last line; the exit status.

        :param left_over: what is still there of the demonstration; anything is a failure.
        """
        figures["left_over"] = left_over
        if left_over:
            self.failures.append(f"left over: {left_over}")
        held = not self.failures
        self.console.print()
        words, style = ("every step held", "bold green") if held else (f"FAILED: {self.failures[0]}", "bold red")
        self.console.print(Text(words, style))
        print(json.dumps(figures))
        return 0 if held else 1

    def quote(self, text: str) -> None:
        """Output of a command, indented."""
        for line in text.rstrip().splitlines():
            self.console.print(Text("     ").append_text(Text.from_ansi(line)), soft_wrap=True)


def require(condition: bool, otherwise: str) -> None:
    """The step holds only if the condition does."""
    if not condition:
        raise Broken(otherwise)


def milliseconds(seconds: float) -> int:
    """Rounded for people."""
    return round(seconds * 1000)
