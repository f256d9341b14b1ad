"""``lbdrivers health-manager``: hears heartbeats until it is told to stop.

Law: two threads. One receives and never waits for anything but datagrams; the other, the clerk, writes, looks
what there is to watch, and decides. A database that is away costs nothing but fresh news: what could not
be written is kept, one entry for each amphora and load balancer, and is written when it is back. Times
between events come from a clock that never jumps.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor

from lbdrivers.drivers.compute import Vantage
from lbdrivers.errors import DriverError, PermanentError, TemporaryError
from lbdrivers.reconcile.daemon import DaemonContext
from lbdrivers.reconcile.exposure import Health, Metric
from lbdrivers.reconcile.outcome import Done
from lbdrivers_amphora.decide.damping import Damper
from lbdrivers_amphora.decide.failover import Decision, Observer, decide
from lbdrivers_amphora.decide.health import Outline
from lbdrivers_amphora.health import words
from lbdrivers_amphora.health.findings import Listening
from lbdrivers_amphora.health.journal import Fleet, Journal
from lbdrivers_amphora.health.listener import Batch, Crew, Floors, Listener
from lbdrivers_amphora.health.sinks import Sinks
from lbdrivers_amphora.health.strays import Strays
from lbdrivers_amphora.health.watch import Expected, Watch
from lbdrivers_amphora.health.words import Word
from lbdrivers_amphora.heartbeat_keys import Way
from lbdrivers_amphora.heartbeat_settings import read_manager
from lbdrivers_amphora.provider import AmphoraProvider
from lbdrivers_amphora.settings import read

#: Load balancers whose statuses are found at one time while nothing is received.
_ROUND = 200
#: Trees that are read at one time, so that writing is not kept waiting either.
_TREES = 1000
#: Seconds after which it is looked what there is to watch, even if nobody is silent; a shorter timeout shortens it.
_LOOK = 5.0
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
        # Who asks for a failover asks the provider whether it can: imported now, and not while somebody is dead.
        context.drivers.load("lbdrivers.providers", AmphoraProvider.name)
        self._journal = Journal(context.store, context.store.records, heartbeats)
        vantages = compute if isinstance(compute, Vantage) else None
        settings, wall = self._settings, context.drivers.now

        def listener() -> Listener:
            return Listener(settings, heartbeats, vantages, wall)

        self._listener = listener()
        self._crew = Crew(settings.processes, listener) if settings.processes > 1 else None
        self._listening: dict[int, float | None] = {}
        self._counts: dict[int, Mapping[str, int]] = {}
        self._trouble_heard = ""
        self._watch = Watch(self._settings.policy.timeout)
        self._fleet: Fleet | None = None
        self._lock = threading.Lock()
        self._ways: Counter[Way] = Counter()
        self._changing_over = heartbeats.previous is not None
        self._name = f"{socket.gethostname()}-{os.getpid()}"
        self._told = Decision()
        self._damper = Damper()
        self._written = time.monotonic()
        timeout = self._settings.policy.timeout
        self._look_interval = max(self._settings.check_interval, min(_LOOK, timeout / 12))
        self._longest_gap = self._look_interval + max(1.0, timeout / 4)
        self._seen = self._seeing = 0.0
        self._sinks = Sinks(context, self._settings.sinks)
        context.exposure.metrics.append(self._metrics)
        context.exposure.health = self._health
        self._trouble = ""
        self._hurry = False
        self._failovers = 0
        self._tidied = time.monotonic()
        threads = self._settings.failover_threads
        self._workers = ThreadPoolExecutor(threads, thread_name_prefix="failover") if threads else None
        self._strays = Strays(context, self._journal, self._settings.policy, self._workers, self._say)

    def serve(self) -> None:
        """Listen and decide until told to stop."""
        failures: list[BaseException] = []

        def keep() -> None:
            try:
                self._keep()
            except BaseException as error:  # noqa: BLE001 - raised again below: half a health manager is none
                failures.append(error)
            finally:
                self._context.stop.set()

        clerk = threading.Thread(target=keep, name="clerk")
        clerk.start()
        try:
            self._listen()
        finally:
            self._context.stop.set()
            clerk.join()
            if self._workers is not None:
                self._workers.shutdown(wait=True, cancel_futures=True)
        if failures:
            raise failures[0]

    # -- the thread that receives -----------------------------------------------------------------

    def _listen(self) -> None:
        if self._crew is None:
            while not self._context.stop.is_set():
                self._hear(0, self._listener.listen())
            self._listener.close()
            return
        while not self._context.stop.is_set():
            for number, batch in self._crew.listen():
                self._hear(number, batch)
        self._crew.close()

    def _hear(self, number: int, batch: Batch) -> None:
        if batch.news:
            self._context.say(batch.news)
        if batch.trouble and batch.trouble != self._trouble_heard:
            self._context.complain(f"{batch.trouble}; who is silent is judged anew")
        if batch.listening or batch.trouble:  # what keeps it from listening is told once
            self._trouble_heard = batch.trouble
        since = self._listening.get(number)
        if not batch.listening:
            self._listening[number] = None
        elif since is None or batch.trouble:
            self._listening[number] = batch.now
        if batch.strangers:
            self._strays.note(batch.strangers, batch.now)
        if batch.counts:
            self._counts[number] = batch.counts
        if batch.beats:
            hear = self._watch.hear
            with self._lock:
                for beat in batch.beats:
                    hear(beat, batch.now, batch.wall)

    def _know(self, expected: Iterable[Expected], floors: Floors | None = None) -> None:
        amphorae = frozenset(one.amphora_id for one in expected)
        untold = frozenset(one.amphora_id for one in expected if one.way is Way.PREVIOUS)
        (self._crew or self._listener).know(amphorae, floors, untold)
        before = self._ways
        with self._lock:
            self._ways = self._watch.spoken()
        self._say(words.of_ways(before, self._ways, changing_over=self._changing_over))

    def _observer(self, now: float) -> Observer:
        """How long everybody who listens has done so, and others have been seen to."""
        began = [self._listening.get(number) for number in range(self._settings.processes)]
        return Observer(min((0.0 if since is None else now - max(since, self._seeing)) for since in began))

    def _see(self, now: float) -> None:
        """What others heard is in the store: while that was out of reach, for whatever reason, they went unheard."""
        gap, self._seen = now - self._seen, now
        if gap > self._longest_gap:
            self._seeing = now
            self._tell(f"the store was out of reach for {gap:.0f} s; who is silent is judged anew")

    # -- the clerk --------------------------------------------------------------------------------

    def _keep(self) -> None:
        settings, stop = self._settings, self._context.stop
        pause = min(settings.flush_interval, settings.check_interval)
        restored, due = False, 0.0
        while not stop.is_set():
            began = time.monotonic()
            try:
                if not restored:
                    self._begin()
                    restored, due = True, began
                # First of all, as whoever is dead waits for it; a round that is due within half a pause is due.
                if began > due - pause / 2:
                    due = max(due + settings.check_interval, began)
                    self._decide()
                self._settle()
                self._flush()
                if time.monotonic() - self._seen >= self._look_interval:
                    self._look()
                self._in_trouble("")
            except TemporaryError as error:
                self._in_trouble(f"the database is away: {error.operator}")
            except PermanentError as error:
                if not restored:
                    raise
                self._in_trouble(error.operator)
            stop.wait(0.0 if self._hurry else max(0.0, pause - (time.monotonic() - began)))
        try:
            self._flush()
        except DriverError as error:
            self._tell(f"not written: {error.operator}")

    def _in_trouble(self, text: str) -> None:
        """What keeps the clerk from its work, told once; nothing when it is over."""
        if text != self._trouble:
            if text:
                self._tell(text)
            else:
                self._context.say("the database is back")
        self._trouble = text

    def _begin(self) -> None:
        self._context.store.migrate()
        heard, operating = self._journal.restore()
        fleet = self._fleet = self._journal.fleet()
        self._seen = time.monotonic()
        with self._lock:
            self._watch.expect(fleet.expected, fleet.standings, self._seen)
            self._watch.restore(heard, operating)
        floors = {one.amphora_id: (one.epoch, one.sequence) for one in heard}
        self._know(fleet.expected, floors)
        self._context.say(f"watching {len(fleet.expected)} amphorae")

    def _look(self) -> None:
        """See what there is to watch now."""
        fleet = self._journal.fleet()
        now = time.monotonic()
        self._see(now)
        if fleet is not self._fleet:
            self._fleet = fleet
            with self._lock:
                self._watch.expect(fleet.expected, fleet.standings, now)
            self._know(fleet.expected)
        self._ask_others(self._told.silent, now)
        self._strays.look(now)
        if now - self._tidied > _TIDYING:
            self._tidied = now
            self._journal.forget_others(one.amphora_id for one in fleet.expected)
            self._journal.forget_listeners(self._context.drivers.now() - 10 * _TIDYING)

    def _settle(self) -> None:
        """Find the statuses that may have changed; in pieces, so that receiving is never kept waiting for long."""
        with self._lock:
            wanting = self._watch.wanting_trees()[:_TREES]
        for begin in range(0, len(wanting), _ROUND):
            outlines = [Outline.of(tree) for tree in self._journal.trees(wanting[begin : begin + _ROUND])]
            with self._lock:
                for outline in outlines:
                    self._watch.look(outline)
        self._hurry = len(wanting) == _TREES
        while True:
            with self._lock:
                changed = self._watch.settle(time.monotonic(), _ROUND)
                waiting = self._watch.waiting
            self._damper = self._damper.note(changed, time.monotonic())
            if not waiting:
                break
        self._damper, news = self._damper.due(time.monotonic(), self._settings.damping)
        for name, (before, after) in news.items():
            if before is not None:  # what is known for the first time is no change
                self._context.say(f"{name} is {after}, was {before}")

    def _flush(self) -> None:
        with self._lock:
            changes = self._watch.take_changes()
        counts: Counter[str] = Counter()
        for one in list(self._counts.values()):
            counts.update(one)
        listening = Listening(self._name, self._context.drivers.now(), self._trouble, counts)
        try:
            self._journal.write(changes, listening)
        except BaseException:
            with self._lock:
                self._watch.give_back(changes)
            raise
        self._written = time.monotonic()
        for trouble in self._sinks.send(changes.heard):
            self._tell(trouble)

    def _decide(self) -> None:
        policy, now = self._settings.policy, time.monotonic()
        if now - self._seen > self._longest_gap:
            self._look()
        decision = self._judge(now)
        # Of those that it matters for now; of all who are silent, at each look.
        asked = {*decision.failovers, *set(decision.silent) - set(self._told.silent)}
        if asked and self._ask_others(asked, now):
            decision = self._judge(now)
        before, self._told = self._told, decision
        self._say(words.of_decision(before, decision, dry_run=policy.dry_run))
        if decision.blind:
            return
        with self._lock:
            fresh = self._watch.mark_silent(decision.silent)
        if fresh:
            self._settle()
            self._flush()
        if decision.failovers:
            due = self._journal.still_due(decision.failovers)
            for amphora_id in decision.failovers:
                if amphora_id in due:
                    self._fail_over(amphora_id, due[amphora_id], now)

    def _ask_others(self, amphorae: Collection[str], now: float) -> bool:
        """Whether another health manager has heard any of these since it was asked last."""
        heard = self._journal.heard(amphorae)
        with self._lock:
            news = [self._watch.heard_elsewhere(one, now) for one in heard]
        return any(news)

    def _judge(self, now: float) -> Decision:
        policy = self._settings.policy
        with self._lock:
            subjects, others = self._watch.subjects(now, policy.overdue)
        return decide(policy, self._observer(now), subjects, self._told.memory, now, others)

    def _fail_over(self, amphora_id: str, load_balancer_id: str, now: float) -> None:
        self._failovers += 1
        with self._lock:
            self._watch.mark_asked(amphora_id, now)
        try:
            self._context.engine.failover(load_balancer_id)
        except PermanentError as error:
            self._tell(f"{load_balancer_id}: no failover: {error.operator}")
            return
        self._context.say(f"amphora {amphora_id} of {load_balancer_id} is silent: failover")
        if self._workers is not None:
            self._workers.submit(self._work, load_balancer_id)

    def _work(self, load_balancer_id: str) -> None:
        """Carry the failover out; one that fails is asked for again later, or is taken up by a worker."""
        outcome = self._context.engine.run(load_balancer_id)
        if isinstance(outcome, Done):
            self._context.say(f"{load_balancer_id} is as it is wanted")
        else:
            self._tell(f"{load_balancer_id}: {outcome.cause.operator}")

    def _say(self, words: Iterable[Word]) -> None:
        for word in words:
            (self._context.complain if word.trouble else self._context.say)(word.text)

    # -- what others may see ----------------------------------------------------------------------

    def _metrics(self) -> Iterable[Metric]:
        now, told = time.monotonic(), self._told
        counts: Counter[str] = Counter()
        for one in list(self._counts.values()):
            counts.update(one)
        found = [((result,), float(number)) for result, number in counts.items()]
        yield Metric("heartbeats", "Datagrams by what became of them.", found, ("result",), counter=True)
        states = [(("expected",), len(self._watch)), (("silent",), len(told.silent))]
        states.append((("incomplete",), len(self._watch.incomplete)))
        states += [(("previous_way",), self._ways[Way.PREVIOUS]), (("other_way",), self._ways[Way.OTHER])]
        states.append((("zombie",), len(self._strays)))
        yield Metric("amphorae", "Amphorae by state.", states, ("state",))
        zones = [((zone or "all",), 1.0) for zone in told.open]
        yield Metric("breaker_open", "Zones in which too many are silent for any failover.", zones, ("zone",))
        yield Metric("blind", "1 while silence is not acted upon.", [((), float(bool(told.blind)))])
        yield Metric("listening_seconds", "Since silence is judged.", [((), self._observer(now).listening)])
        yield Metric("unwritten_seconds", "Since the last write to the store.", [((), now - self._written)])
        yield Metric("failovers", "Failovers that were asked for.", [((), float(self._failovers))], counter=True)

    def _health(self) -> Health:
        now, told = time.monotonic(), self._told
        listening = self._observer(now).listening
        stale = now - self._written > max(30.0, 10 * self._settings.flush_interval)
        details = {
            "listening_seconds": round(listening, 1),
            "amphorae": len(self._watch),
            "silent": len(told.silent),
            "zombies": len(self._strays),
            "blind": told.blind,
            "breaker_open": {zone or "all": why for zone, why in told.open.items()},
            "trouble": self._trouble,
        }
        return Health(listening > 0 and not stale and not told.open and not self._trouble, details)

    def _tell(self, text: str) -> None:
        self._context.complain(text)
