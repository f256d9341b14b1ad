"""``lbdrivers ovn-agent``: hears what happens in OVN and has it followed.

Law: an event is a trigger and nothing else; what is done about it is decided on what is there. Switches, routers, ports
or floating IPs have changed: load balancers that would be written otherwise now are applied anew, by the engine. A
monitor says something: what it says is written into the rows, where others look for it. What no event has told is found
by looking at everything now and then. Several agents may run: they find nothing to do, one after the other.
"""

from __future__ import annotations

import random
import threading
import time

from lbdrivers.errors import DriverError, PermanentError
from lbdrivers.reconcile.daemon import DaemonContext
from lbdrivers.reconcile.exposure import Health, Metric
from lbdrivers.reconcile.outcome import Backoff, Done
from lbdrivers_ovn.database import Row, concerns
from lbdrivers_ovn.provider import OvnProvider
from lbdrivers_ovn.settings import read

#: Seconds between two looks at everything, event or not.
_LOOK_AT_ALL = 600.0
#: Seconds in which events are gathered before they are followed: one change of a cloud comes as several.
_GATHER = 0.1
#: Seconds between two looks at whether the agent shall end.
_GLANCE = 0.5
#: table -> columns whose change may attach load balancers otherwise, or have members probed otherwise; None: any.
_PLACES: dict[str, tuple[str, ...] | None] = {
    "Logical_Switch": ("name", "ports", "external_ids"),
    "Logical_Switch_Port": ("addresses", "type", "options"),
    "Logical_Router": ("name", "ports", "nat"),
    "Logical_Router_Port": None,
    "NAT": ("external_ip", "logical_ip", "external_mac", "type"),
    "Port_Binding": ("type",),
}


def run(context: DaemonContext) -> None:
    """Until ``context.stop`` is set. :raises PermanentError: when ``ovn`` is another provider here."""
    Agent(context).serve()


class Agent:
    """Listens and follows."""

    def __init__(self, context: DaemonContext) -> None:
        self._context = context
        provider = context.drivers.load("lbdrivers.providers", OvnProvider.name)
        if not isinstance(provider, OvnProvider):
            raise PermanentError(
                f"the provider {OvnProvider.name} is {type(provider).__name__} here, which has no agent"
            )
        self._provider = provider
        self._backoff = Backoff(1.0, float(read(context.drivers.configuration).longest_wait))
        self._heard = threading.Event()
        self._lock = threading.Lock()
        self._monitored: set[str] = set()
        self._moved = True
        self._looked = 0.0
        self._failures = 0
        self._followed = {"places": 0, "monitors": 0}
        context.exposure.metrics.append(self._metrics)
        context.exposure.health = self._health

    def serve(self) -> None:
        """Follow events, and look at everything now and then."""
        stop = self._context.stop
        self._provider.subscribe(self.hear)
        while not stop.is_set():
            try:
                self._provider.listen()
                self.follow()
            except DriverError as error:
                self._failures += 1
                wait = self._backoff.wait(self._failures, random.random())  # noqa: S311 spreads attempts, no secret
                self._context.complain(f"events are not heard: {error.operator}; again in {wait:.0f} s")
                self._moved = True  # whatever is missed meanwhile
                stop.wait(wait)
                continue
            self._failures = 0
            if self._heard.wait(_GLANCE):
                stop.wait(_GATHER)

    def hear(self, _event: str, table: str, row: Row, old: Row | None) -> None:
        """Note an event, in the thread of a connection."""
        with self._lock:
            if table == "Service_Monitor":
                if concerns(("status",), old):
                    self._monitored.add(row.ip.strip("[]"))
                    self._heard.set()
            elif table in _PLACES and concerns(_PLACES[table], old):
                self._moved = True
                self._heard.set()

    def follow(self) -> None:
        """Do what is to be done about the events since the last time, or about everything if it is time."""
        with self._lock:
            moved, monitored = self._moved, frozenset(self._monitored)
            self._moved, self._monitored = False, set()
            self._heard.clear()
        try:
            if moved or time.monotonic() - self._looked > _LOOK_AT_ALL:
                self._follow_places()
                self._looked = time.monotonic()
            if monitored:
                new = self._provider.record(monitored)
                self._followed["monitors"] += len(new)
                for load_balancer_id in sorted(new):
                    self._context.say(f"{load_balancer_id}: members have other statuses")
        except DriverError:
            with self._lock:
                self._moved |= moved
                self._monitored |= monitored
            raise

    def _follow_places(self) -> None:
        """Apply anew what would be written otherwise now."""
        for entry in self._context.store.list():
            if self._context.stop.is_set():
                return
            if entry.provider != self._provider.name or not entry.settled:
                continue
            actions = self._provider.plan(entry.desired, entry.applied)
            if not actions:
                continue
            self._context.say(f"{entry.name or entry.id}: {'; '.join(one.action for one in actions)}")
            self._context.engine.repair(entry.id)
            outcome = self._context.engine.run(entry.id)
            if isinstance(outcome, Done):
                self._followed["places"] += 1
            else:
                self._context.complain(f"{entry.name or entry.id}: {outcome.cause.operator}")

    def _metrics(self) -> list[Metric]:
        values = [((what,), float(count)) for what, count in self._followed.items()]
        return [Metric("ovn_followed", "Load balancers that were changed after events.", values, ("events",), True)]

    def _health(self) -> Health:
        return Health(self._failures == 0, {"failures": self._failures, **self._followed})
