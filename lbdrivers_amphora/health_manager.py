"""``lbdrivers health-manager``: hears heartbeats until it is told to stop.

Law: two threads. One receives and never waits for anything but datagrams; the other, the clerk, writes, looks
what there is to watch, and decides. A database that is away costs nothing but fresh news: what could not
be written is kept, one entry for each amphora and load balancer, and is written when it is back. Times
between events come from a clock that never jumps.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from lbdrivers.drivers.compute import Vantage
from lbdrivers.errors import DriverError, PermanentError, TemporaryError
from lbdrivers.reconcile.daemon import DaemonContext
from lbdrivers_amphora.decide.failover import Decision, Observer, decide
from lbdrivers_amphora.decide.health import Outline
from lbdrivers_amphora.health.findings import Listening
from lbdrivers_amphora.health.inbox import Inbox
from lbdrivers_amphora.health.journal import Journal
from lbdrivers_amphora.health.load import Load
from lbdrivers_amphora.health.receiver import Receiver
from lbdrivers_amphora.health.watch import Watch
from lbdrivers_amphora.heartbeat_settings import read_manager
from lbdrivers_amphora.settings import read

_LOG = logging.getLogger(__name__)

#: Seconds after which the receiving thread looks up even if nothing comes.
_IDLE = 0.2
#: Load balancers whose statuses are found at one time while nothing is received.
_ROUND = 200
#: Seconds between two removals of what was left behind.
_TIDYING = 60.0


def run(context: DaemonContext) -> None:
    """Serve until ``context.stop`` is set.

    :raises DriverError: when it can never work as configured.
    """
    HealthManager(context).serve()


class HealthManager:
    """One process that listens."""

    def __init__(self, context: DaemonContext) -> None:
        self._context = context
        self._settings, heartbeats = read_manager(context.drivers.configuration)
        amphora = read(context.drivers.configuration)
        compute = context.drivers.load("lbdrivers.compute", amphora.compute_driver)
        self._vantages = compute if isinstance(compute, Vantage) else None
        self._journal = Journal(context.store, context.store.records)
        self._inbox = Inbox(heartbeats)
        self._watch = Watch(self._settings.policy.timeout)
        self._lock = threading.Lock()
        self._load = Load()
        self._name = f"{socket.gethostname()}-{os.getpid()}"
        self._listening_since: float | None = None
        self._lost = 0
        self._told = Decision()
        self._trouble = ""
        self._tidied = time.monotonic()
        threads = self._settings.failover_threads
        self._workers = ThreadPoolExecutor(threads, thread_name_prefix="failover") if threads else None

    def serve(self) -> None:
        """Listen and decide until told to stop."""
        clerk = threading.Thread(target=self._keep, name="clerk")
        clerk.start()
        try:
            self._listen()
        finally:
            self._context.stop.set()
            clerk.join()
            if self._workers is not None:
                self._workers.shutdown(wait=True, cancel_futures=True)

    # -- the thread that receives -----------------------------------------------------------------

    def _listen(self) -> None:
        receiver: Receiver | None = None
        vantage, looked = None, 0.0
        while not self._context.stop.is_set():
            now = time.monotonic()
            if receiver is None or now - looked > 1.0:
                receiver, vantage = self._bound(receiver, vantage)
                looked = now
            if receiver is None:
                self._context.stop.wait(_IDLE)
                continue
            datagrams = receiver.receive(_IDLE)
            self._note_pace(receiver, now)
            self._take(datagrams)
        if receiver is not None:
            receiver.close()

    def _bound(self, receiver: Receiver | None, vantage: str | None) -> tuple[Receiver | None, str | None]:
        """The receiver, at the place from which amphorae can be heard now."""
        current = None if self._vantages is None else self._vantages.vantage()
        if receiver is not None and current == vantage:
            return receiver, vantage
        if receiver is not None:
            receiver.close()
        self._listening_since = None
        if self._vantages is not None and current is None:
            return None, None  # no machine yet, so nobody to hear
        settings = self._settings
        try:
            made = Receiver(settings.bind_ip, settings.bind_port, settings.buffer_bytes, current)
        except (OSError, TemporaryError) as error:
            self._tell(f"cannot listen at {settings.bind_ip} port {settings.bind_port}: {error}")
            return None, None
        self._lost = 0
        self._listening_since = time.monotonic()
        self._context.say(f"listening at {settings.bind_ip} port {settings.bind_port}")
        return made, current

    def _note_pace(self, receiver: Receiver, began: float) -> None:
        """Who was late itself, or was told that it lost something, begins to listen anew (law: blind is not dead)."""
        now = time.monotonic()
        if now - began > max(1.0, self._settings.policy.timeout / 4):
            self._tell(f"this process was held up for {now - began:.1f} s; who is silent is judged anew")
            self._listening_since = now
        if (lost := receiver.lost) > self._lost:
            self._tell(f"{lost - self._lost} datagrams found no room; who is silent is judged anew")
            self._lost, self._listening_since = lost, now

    def _take(self, datagrams: list[bytes]) -> None:
        shedding = self._load.note(len(datagrams))
        if self._load.changed:
            self._tell("overloaded: statistics wait, only life is noted" if shedding else "no longer overloaded")
        if not datagrams:
            return
        now, wall = time.monotonic(), self._context.drivers.now()
        take, hear = self._inbox.take, self._watch.hear
        with self._lock:
            for datagram in datagrams:
                beat = take(datagram, alive_only=shedding)
                if beat is not None:
                    hear(beat, now, wall)

    # -- the clerk --------------------------------------------------------------------------------

    def _keep(self) -> None:
        settings, stop = self._settings, self._context.stop
        restored, checked = False, 0.0
        while not stop.is_set():
            began = time.monotonic()
            try:
                if not restored:
                    self._begin()
                    restored, checked = True, began
                self._settle()
                self._flush()
                if began - checked >= settings.check_interval:
                    checked = began
                    self._look()
                    self._decide()
                self._trouble = ""
            except TemporaryError as error:
                self._tell(f"the database is away: {error.operator}")
                self._trouble = "the database is away"
                checked = began
            except DriverError as error:
                self._tell(error.operator)
            pause = min(settings.flush_interval, settings.check_interval)
            stop.wait(max(0.0, pause - (time.monotonic() - began)))
        try:
            self._flush()
        except DriverError as error:
            self._tell(f"not written: {error.operator}")

    def _begin(self) -> None:
        self._context.store.migrate()
        heard, operating = self._journal.restore()
        expected, standings = self._journal.expected()
        with self._lock:
            self._watch.expect(expected, standings, time.monotonic())
            self._watch.restore(heard, operating)
            floors = {one.amphora_id: (one.epoch, one.sequence) for one in heard}
            self._inbox.know((one.amphora_id for one in expected), floors)
        self._context.say(f"watching {len(expected)} amphorae")

    def _look(self) -> None:
        """See what there is to watch now."""
        expected, standings = self._journal.expected()
        with self._lock:
            self._watch.expect(expected, standings, time.monotonic())
            self._inbox.know(one.amphora_id for one in expected)
        now = time.monotonic()
        if now - self._tidied > _TIDYING:
            self._tidied = now
            self._journal.forget_others(one.amphora_id for one in expected)
            self._journal.forget_listeners(self._context.drivers.now() - 10 * _TIDYING)

    def _settle(self) -> None:
        """Find the statuses that may have changed; in pieces, so that receiving is never kept waiting for long."""
        with self._lock:
            wanting = self._watch.wanting_trees()
        for identity in wanting:
            tree = self._journal.tree(identity)
            if tree is not None:
                with self._lock:
                    self._watch.look(Outline.of(tree))
        while True:
            with self._lock:
                changed = self._watch.settle(time.monotonic(), _ROUND)
                waiting = self._watch.waiting
            if _LOG.isEnabledFor(logging.INFO):
                for name, (before, after) in changed.items():
                    _LOG.info("%s is %s, was %s", name, after, before)
            if not waiting:
                return

    def _flush(self) -> None:
        with self._lock:
            changes, counts = self._watch.take_changes(), self._inbox.counts()
        listening = Listening(self._name, self._context.drivers.now(), self._trouble, counts)
        try:
            self._journal.write(changes, listening)
        except BaseException:
            with self._lock:
                self._watch.give_back(changes)
            raise

    def _decide(self) -> None:
        now = time.monotonic()
        since = self._listening_since
        with self._lock:
            subjects = self._watch.subjects(now)
        policy = self._settings.policy
        decision = decide(policy, Observer(0.0 if since is None else now - since), subjects)
        if self._ask_others(decision, now):
            with self._lock:
                subjects = self._watch.subjects(now)
            decision = decide(policy, Observer(0.0 if since is None else now - since), subjects)
        self._report(decision)
        if decision.blind:
            return
        with self._lock:
            self._watch.mark_silent(decision.silent)
        self._settle()
        self._flush()
        balancers = {one.amphora_id: one.load_balancer_id for one in subjects}
        for amphora_id in decision.failovers:
            self._fail_over(amphora_id, balancers[amphora_id], now)

    def _ask_others(self, decision: Decision, now: float) -> bool:
        """Whether another health manager has heard one that is silent here."""
        found = False
        for amphora_id in decision.failovers:
            heard = self._journal.heard(amphora_id)
            with self._lock:
                own = self._watch.stamp(amphora_id)
                if heard is not None and heard.at != own and not heard.silent:
                    self._watch.heard_elsewhere(amphora_id, now, heard.at)
                    found = True
        return found

    def _fail_over(self, amphora_id: str, load_balancer_id: str, now: float) -> None:
        with self._lock:
            self._watch.mark_asked(amphora_id, now)
        try:
            self._context.engine.failover(load_balancer_id)
        except PermanentError as error:
            self._tell(f"{load_balancer_id}: no failover: {error.operator}")
            return
        self._context.say(f"amphora {amphora_id} of {load_balancer_id} is silent: failover")
        if self._workers is not None:
            self._workers.submit(self._context.engine.run, load_balancer_id)

    def _report(self, decision: Decision) -> None:
        """Say what is new of it."""
        before, self._told = self._told, decision
        if decision.blind and decision.silent and decision.blind != before.blind:
            self._tell(f"no failover: this health manager {decision.blind}")
        for zone, why in decision.open.items():
            if zone not in before.open:
                self._tell(f"no failover {f'in zone {zone}' if zone else 'anywhere'}: {why}; breaker open")
        for zone in before.open.keys() - decision.open.keys():
            self._context.say(f"breaker closed {f'in zone {zone}' if zone else 'everywhere'}")
        fresh = set(decision.silent) - set(before.silent)
        if self._settings.policy.dry_run and fresh and not decision.blind:
            self._tell(f"silent, and failed over but for dry_run: {', '.join(sorted(fresh))}")

    def _tell(self, words: str) -> None:
        self._context.complain(words)
