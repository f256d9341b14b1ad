"""Sends heartbeats: one thread in the agent, one datagram an interval, to the controllers in turn.

Law: nothing is decided here (``beat`` decides). Configuration is looked at before every heartbeat, so that
a new one works at once; nothing that fails ends the thread, and a network that is not up yet is no failure.
"""

from __future__ import annotations

import logging
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from typing import Any

from lbdrivers_amphora.agent import beat, effects
from lbdrivers_amphora.agent.effects import Effect, WriteFile
from lbdrivers_amphora.agent.layout import Layout

_LOG = logging.getLogger(__name__)


class Beacon:
    """The sender of heartbeats.

    :param layout: gives the current layout, with the current configuration.
    :param perform: performs effects on this appliance.
    """

    def __init__(
        self, layout: Callable[[], Layout], perform: Callable[[Effect[Any]], Any], now: Callable[[], float] = time.time
    ) -> None:
        self._layout = layout
        self._perform = perform
        self._now = now
        self._changed = threading.Event()
        self._ended = False
        self._sender: beat.Sender | None = None
        self._configured: tuple[str, ...] = ()
        self._destinations: list[tuple[str, int]] = []
        self._sockets: dict[int, socket.socket] = {}
        self._quiet = ""

    def start(self) -> None:
        """Begin to send, in a thread that ends with the process."""
        threading.Thread(target=self._run, name="heartbeats", daemon=True).start()

    def reconfigured(self) -> None:
        """Send the next heartbeat now, as the configuration says now."""
        self._changed.set()

    def end(self) -> None:
        """Send no more."""
        self._ended = True
        self._changed.set()

    def _run(self) -> None:
        while not self._ended:
            try:
                self.send()
            except (OSError, ValueError, subprocess.SubprocessError) as error:
                self._say(f"no heartbeat: {type(error).__name__}: {error}")
            self._changed.wait(self._layout().config.heartbeat_interval)
            self._changed.clear()
        for one in self._sockets.values():
            one.close()

    def send(self) -> bool:
        """Send one heartbeat; whether one has left.

        :raises OSError: when what it says cannot be measured; likewise ValueError, SubprocessError.
        """
        layout = self._layout()
        destination = self._next_destination(layout.config.controller_ip_port_list)
        if destination is None or not layout.config.heartbeat_key:
            return False
        if self._sender is None:
            self._sender = effects.run(beat.next_life(layout, self._now()), self._perform)
            self._remember(layout, self._sender)
        report = effects.run(beat.measure(layout), self._perform)
        if report is None:
            self._say("no heartbeat: keepalived should run and does not")
            return False
        datagram, after = beat.seal(self._sender, layout.config, report)
        if not self._give(datagram, destination):
            return False
        if after.sent != self._sender.sent:
            self._remember(layout, after)
        self._sender = after
        self._quiet = ""
        return True

    def _remember(self, layout: Layout, sender: beat.Sender) -> None:
        self._perform(WriteFile(layout.heartbeat, sender.to_json(), 0o640))

    def _next_destination(self, configured: tuple[str, ...]) -> tuple[str, int] | None:
        if configured != self._configured:
            good, bad = beat.destinations(configured)
            if bad:
                _LOG.error("controller_ip_port_list: not address:port, and left out: %s", ", ".join(bad))
            self._configured, self._destinations = configured, list(good)
        if not self._destinations:
            return None
        self._destinations.append(first := self._destinations.pop(0))
        return first

    def _give(self, datagram: bytes, destination: tuple[str, int]) -> bool:
        try:
            family, _, _, _, address = socket.getaddrinfo(*destination, type=socket.SOCK_DGRAM)[0]
            # Kept, so that one port of ours leads to one of the receiver's processes.
            sender = self._sockets.get(family)
            if sender is None:
                sender = self._sockets[family] = socket.socket(family, socket.SOCK_DGRAM)
            sender.sendto(datagram, address)
        except OSError as error:
            self._say(f"no heartbeat to {destination[0]}: {error}")
            return False
        return True

    def _say(self, words: str) -> None:
        """Once, until something changes."""
        if words != self._quiet:
            _LOG.warning("%s", words)
            self._quiet = words
