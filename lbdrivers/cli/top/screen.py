"""Watches: measures in turns, shows what was measured, obeys keys; on something that is no terminal, reports once.

Law: it looks and changes nothing, but for the terminal's mode, which is given back however it ends. Measuring keeps
no key waiting.
"""

from __future__ import annotations

import os
import re
import select
import sys
import termios
import threading
import time
import tty
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.live import Live

from lbdrivers.cli import answers
from lbdrivers.cli.output import Output
from lbdrivers.cli.session import Session, now
from lbdrivers.cli.signals import until_signalled
from lbdrivers.cli.top import view
from lbdrivers.cli.top.rates import Meter
from lbdrivers.cli.top.view import Picture, View
from lbdrivers.errors import DriverError

#: Seconds between two looks at the keyboard.
_GLANCE = 0.1
_KEY = re.compile(r"\x1b\[[0-9;]*[A-Za-z~]|.", re.DOTALL)


def top(session: Session, output: Output, arguments: Namespace) -> int:
    """Show what goes on until ``q`` or a signal; once, where nobody watches."""
    looker = _Looker(session)
    console = output.terminal
    if arguments.once or console is None:
        # Two looks: there is no rate in one.
        looker.look()
        time.sleep(arguments.interval)
        picture = looker.look()
        output.answer(answers.top(picture.readings, picture.at))
        output.say(view.report(picture, output.width))
        return 0
    with until_signalled() as stop:
        looker.look()  # here, so that drivers are imported in the main thread
        measuring = threading.Thread(target=looker.keep_looking, args=(stop, arguments.interval), name="measuring")
        measuring.start()
        try:
            _watch(console, looker, stop)
        finally:
            stop.set()
            measuring.join()
    return 0


class _Looker:
    """Measures; ``picture`` is the newest."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._meter = Meter()
        self.picture = Picture((), now())

    def look(self) -> Picture:
        """Measure everything. :raises DriverError: when the store cannot be asked."""
        entries = self._session.store.list()
        observations = self._session.observe_all(entries)
        self._meter, readings = self._meter.look(entries, observations, time.monotonic())
        self.picture = Picture(readings, now())
        return self.picture

    def keep_looking(self, stop: threading.Event, interval: float) -> None:
        """Begin a look an interval after the last one began, until told to stop."""
        began = time.monotonic()
        while not stop.wait(max(_GLANCE, interval - (time.monotonic() - began))):
            began = time.monotonic()
            try:
                self.look()
            except DriverError as error:
                self.picture = Picture(self.picture.readings, self.picture.at, error.operator or str(error))


def _watch(console: Console, looker: _Looker, stop: threading.Event) -> None:
    chosen, shown, drawn = View(), looker.picture, 0.0
    with _keyboard() as keys, Live(console=console, screen=True, auto_refresh=False) as live:
        while not (stop.is_set() or chosen.ended):
            before = chosen
            for key in keys(_GLANCE):
                chosen = view.pressed(chosen, key)
            # Once a second for its own sake, too: the screen may have got another size.
            if looker.picture is not shown or chosen != before or time.monotonic() - drawn > 1:
                shown, drawn = looker.picture, time.monotonic()
                size = console.size
                live.update(view.screen(shown, chosen, size.width, size.height), refresh=True)


@contextmanager
def _keyboard() -> Iterator[_Keys]:
    """What is pressed, key by key, without waiting for a line's end; nothing where there is no keyboard."""
    descriptor = sys.stdin.fileno()
    if not os.isatty(descriptor):
        yield _Keys(None)
        return
    before = termios.tcgetattr(descriptor)
    try:
        tty.setcbreak(descriptor)
        yield _Keys(descriptor)
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


class _Keys:
    """Gives the keys that are pressed within some seconds. :param descriptor: of the keyboard, if there is one."""

    def __init__(self, descriptor: int | None) -> None:
        self._descriptor = descriptor

    def __call__(self, seconds: float) -> list[str]:
        if self._descriptor is None:
            time.sleep(seconds)
            return []
        ready, _, _ = select.select([self._descriptor], [], [], seconds)
        if not ready:
            return []
        text = os.read(self._descriptor, 256).decode(errors="replace")
        if not text:  # the terminal is gone
            return ["q"]
        return [view.KEYS.get(key, key) for key in _KEY.findall(text)]
