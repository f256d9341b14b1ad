"""Probes members from inside the namespace of traffic: sockets and timers, nothing else.

Law: what a probe means is decided in ``nftables.checks``; here it is only carried out. One thread with
an event loop does all of them, so that a thousand members that keep silent cost no threads. A turn of
a member's health is told until somebody took it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from lbdrivers_amphora.agent import probes
from lbdrivers_amphora.agent.namespace import Namespace
from lbdrivers_amphora.nftables.checks import Health, Standing, Target, probed

_LOG = logging.getLogger(__name__)

#: Seconds between the first probes of two members, so that they do not all go out at once.
_STAGGER = 0.01
#: Seconds until a turn is told again to somebody who could not take it.
_AGAIN = 1.0


@dataclass
class _Watch:
    """One load balancer: its targets with their tasks, and how members stand."""

    targets: dict[str, Target] = field(default_factory=dict)
    tasks: dict[str, asyncio.Task[None]] = field(default_factory=dict)
    healths: dict[str, Health] = field(default_factory=dict)
    details: dict[str, str] = field(default_factory=dict)
    telling: bool = False

    def down(self) -> dict[str, Target]:
        return {name: self.targets[name] for name, one in self.healths.items() if one.standing is Standing.DOWN}


class Prober:
    """Probes whom it is told to.

    :param turned: called in a thread of its own with a load balancer's id and whoever is down now, as
        it was probed; returns whether that was taken.
    """

    def __init__(self, namespace: Namespace, turned: Callable[[str, Mapping[str, Target]], bool]) -> None:
        self._namespace, self._turned = namespace, turned
        self._watches: dict[str, _Watch] = {}
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._messenger = ThreadPoolExecutor(1, "prober-messenger")

    def probe(self, balancer: str, targets: Mapping[str, Target], down: frozenset[str]) -> None:
        """From now on probe these members of the load balancer and no others of it."""
        loop = self._started() if targets or self._loop is not None else None
        if loop is not None:
            loop.call_soon_threadsafe(self._change, balancer, dict(targets), down)

    def details(self, balancer: str) -> dict[str, str]:
        """What the last probe of each member said."""
        watch = self._watches.get(balancer)
        return {} if watch is None else dict(watch.details)

    def _started(self) -> asyncio.AbstractEventLoop:
        """The loop; its thread is born with the first member to probe."""
        with self._lock:
            if self._loop is None:
                ready = threading.Event()
                threading.Thread(
                    target=self._namespace.inside, args=(lambda: self._run(ready),), name="prober", daemon=True
                ).start()
                ready.wait()
            assert self._loop is not None
            return self._loop

    def _run(self, ready: threading.Event) -> None:
        async def forever() -> None:
            self._loop = asyncio.get_running_loop()
            ready.set()
            await asyncio.Event().wait()

        asyncio.run(forever())

    # --- in the loop

    def _change(self, balancer: str, targets: dict[str, Target], down: frozenset[str]) -> None:
        watch = self._watches.setdefault(balancer, _Watch())
        for name, target in watch.targets.items():
            if targets.get(name) != target:
                watch.tasks.pop(name).cancel()
        fresh = [name for name, target in targets.items() if watch.targets.get(name) != target]
        for name in fresh:
            watch.healths[name] = Health(Standing.DOWN if name in down else Standing.UP)
        watch.targets = targets
        for kept in (watch.healths, watch.details):
            for name in [name for name in kept if name not in targets]:
                del kept[name]
        for position, name in enumerate(fresh):
            watch.tasks[name] = asyncio.ensure_future(
                self._probe(balancer, name, targets[name], min(position * _STAGGER, targets[name].monitor.delay))
            )

    async def _probe(self, balancer: str, name: str, target: Target, pause: float) -> None:
        loop, watch = asyncio.get_running_loop(), self._watches[balancer]
        with contextlib.closing(probes.Probe(target)) as probe:
            while True:
                await asyncio.sleep(pause)
                begun = loop.time()
                good, watch.details[name] = await probe.ask()
                before, now = watch.healths[name], probed(watch.healths[name], good, target.monitor)
                watch.healths[name] = now
                if now.standing is not before.standing:
                    _LOG.warning("member %s at %s port %d is %s: %s", name, target.address, target.port,
                                 now.standing, watch.details[name])  # fmt: skip
                    self._tell(balancer)
                pause = max(0.0, begun + target.monitor.delay - loop.time())

    def _tell(self, balancer: str) -> None:
        watch = self._watches[balancer]
        if watch.telling:
            return
        watch.telling = True
        assert self._loop is not None
        self._loop.call_soon(self._send, balancer)

    def _send(self, balancer: str) -> None:
        """Hand over who is down now; later turns are told later."""
        watch, loop = self._watches[balancer], self._loop
        assert loop is not None
        watch.telling = False
        task = loop.run_in_executor(self._messenger, self._turned, balancer, watch.down())

        def done(result: asyncio.Future[bool]) -> None:
            if result.exception() is not None or not result.result():
                loop.call_later(_AGAIN, self._tell, balancer)

        task.add_done_callback(done)
