"""What people and scripts read: lines, drawings, live steps, one JSON object, errors.

Law: standard output carries the answer, standard error what went wrong and, while it lasts, what is
going on; with ``--json`` standard output carries one object and nothing else.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from rich.console import Console, RenderableType
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from lbdrivers import drawing
from lbdrivers.drivers.context import Progress
from lbdrivers.errors import DriverError, InvalidInput

#: Columns when standard output is no terminal: wide, so that no line is folded for a script.
_WIDE = 240


class Output:
    """Where a command says things.

    :param as_json: whether the answer is one JSON object.
    :param verbose: whether errors are told with their whole chain.
    """

    def __init__(self, *, as_json: bool, verbose: bool) -> None:
        for stream in (sys.stdout, sys.stderr):
            if reconfigure := getattr(stream, "reconfigure", None):
                reconfigure(errors="replace")  # a terminal that cannot show a symbol still shows the rest
        self._json = as_json
        self._verbose = verbose
        self._console = _console(stderr=False)
        self._errors = _console(stderr=True)
        self.steps = Steps(None if as_json else self._console)

    @property
    def terminal(self) -> Console | None:
        """Where a picture can be kept up to date: a terminal that is looked at by people."""
        return None if self._json or not self._console.is_terminal else self._console

    @property
    def width(self) -> int:
        """Columns that a line may have."""
        return self._console.width

    def say(self, *renderables: RenderableType) -> None:
        """For people; nothing with ``--json``."""
        if not self._json:
            for renderable in renderables:
                self._console.print(renderable)

    def answer(self, value: Mapping[str, Any]) -> None:
        """For scripts: the one object; nothing without ``--json``."""
        if self._json:
            sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")

    def fail(self, error: BaseException) -> None:
        """Tell an error: one line each, no traceback; the chain when asked for."""
        texts = [str(problem) for problem in error.problems] if isinstance(error, InvalidInput) else [str(error)]
        for text in texts:
            self.complain(text)
        if self._verbose:
            for line in _chain(error):
                self._errors.print(drawing.literal(f"  {line}", "dim"))
        if isinstance(error, InvalidInput):
            problems = [
                {"path": p.path, "location": p.location, "value": p.value, "message": p.message, "remedy": p.remedy}
                for p in error.problems
            ]
            self.answer({"error": "invalid input", "problems": problems})
        else:
            self.answer({"error": str(error), "problems": []})

    def notice(self, text: str) -> None:
        """A line for people about what is going on."""
        self.say(Text("  wait  ", style="yellow") + drawing.literal(text))

    def warn(self, text: str) -> None:
        """One line on standard error about what is done nevertheless; an empty text is none."""
        if text:
            self._errors.print(Text("warning: ", style="bold yellow") + drawing.literal(text), soft_wrap=True)

    def complain(self, text: str, operator: str = "") -> None:
        """One line on standard error, and one with what an operator needs in addition: who works at
        the command line is the operator."""
        self._errors.print(Text("error: ", style="bold red") + drawing.literal(text), soft_wrap=True)
        if operator not in ("", text):
            self._errors.print(drawing.literal(f"  {operator}", "dim"), soft_wrap=True)


def _console(*, stderr: bool) -> Console:
    console = Console(stderr=stderr, highlight=False, markup=False, emoji=False)
    if not console.is_terminal:
        console = Console(stderr=stderr, highlight=False, markup=False, emoji=False, width=_WIDE)
    return console


def _chain(error: BaseException) -> Iterator[str]:
    """What an operator needs: the driver's own words, then every cause."""
    current: BaseException | None = error
    while current is not None:
        text = current.operator if isinstance(current, DriverError) else str(current)
        prefix = "" if current is error else "caused by "
        if current is not error or text != str(current):
            yield f"{prefix}{type(current).__name__}: {text}"
        current = current.__cause__ or (None if current.__suppress_context__ else current.__context__)


class Steps:
    """Shows steps while they run; may be told of them from several threads.

    On a terminal the running ones turn below the finished ones; elsewhere each is a line when it ends.

    :param console: None keeps silent and only remembers.
    """

    def __init__(self, console: Console | None) -> None:
        self._console = console
        self._lock = threading.Lock()
        self._running: dict[tuple[str, str], float] = {}
        self.finished: list[Progress] = []

    def report(self, progress: Progress) -> None:
        """One step started, is done or failed."""
        key = (progress.step, progress.subject)
        with self._lock:
            if progress.state == "started":
                self._running[key] = time.monotonic()
                return
            self._running.pop(key, None)
            self.finished.append(progress)
        if self._console is not None:
            self._console.print(_step(progress))

    @contextmanager
    def shown(self) -> Iterator[None]:
        """While in here, running steps are shown if there is a terminal."""
        if self._console is None or not self._console.is_terminal:
            yield
            return
        with Live(get_renderable=self._draw, console=self._console, transient=True, refresh_per_second=10):
            yield

    def _draw(self) -> RenderableType:
        with self._lock:
            running = list(self._running.items())
        table = Table.grid(padding=(0, 2))
        for (step, subject), since in running:
            elapsed = Text(drawing.duration(time.monotonic() - since), style="dim")
            name, target = drawing.literal(step), drawing.literal(subject, "dim")
            table.add_row(Spinner("dots", style="cyan"), name, target, elapsed)
        return table


def _step(progress: Progress) -> Text:
    mark = Text("  ok  ", style="green") if progress.state == "done" else Text("  failed  ", style="bold red")
    time_taken = Text(f"  {drawing.duration(progress.seconds)}", style="dim")
    # Steps have names of some ten to twenty letters: padded, the subjects stand below each other.
    return mark + drawing.literal(f"{progress.step:<20}") + drawing.literal(f"  {progress.subject}", "dim") + time_taken
