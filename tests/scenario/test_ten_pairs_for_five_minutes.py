"""Ten pairs on this host at once, for five minutes: members change, amphorae are killed and failed over, clients ask.

No request fails but in the moment of a takeover; in the end every pair is whole, and nothing is left of them.
"""

from __future__ import annotations

import json
import os
import random
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from scenario.conftest import Lab, document

from examples.demo.client import Answer, Client

PAIRS = int(os.environ.get("LBDRIVERS_SOAK_PAIRS") or 10)
SECONDS = float(os.environ.get("LBDRIVERS_SOAK_SECONDS") or 300)
#: Seconds after a kill in which requests may fail: the takeover's budget, and what a busy machine adds.
TAKEOVER = 1.0 + 2.0
#: Seconds between two kills, and between two edits.
KILLS_EVERY, EDITS_EVERY = 6.0, 1.0
TIMEOUT = 1.0


@dataclass
class Pair:
    """One load balancer with its client, and what befell it."""

    lab: Lab
    number: int
    kills: list[float] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.name = f"pair-{self.number}"
        self.vip = f"10.211.16.{20 + self.number}"
        self.client = Client(self.vip, 80, self.lab.world.open_from_client)
        self.file = self.lab.state.with_name(f"{self.lab.state.name}-{self.name}.yaml")

    def apply(self, members: int = 2, weights: tuple[int, ...] = ()) -> None:
        """As a document that differs from the others by name and address."""
        body: dict[str, Any] = document(members, name=self.name, vip_address=self.vip)
        pool = body["loadbalancer"]["listeners"][0]["default_pool"]
        for member, weight in zip(pool["members"], weights, strict=False):
            member["weight"] = weight
        self.file.write_text(yaml.safe_dump(body))
        self.command("apply", str(self.file))

    def command(self, *arguments: str) -> str:
        """:raises AssertionError: when it fails."""
        return self.lab.run(*arguments, limit=200).stdout

    def ask(self) -> None:
        """One request; its answer is remembered."""
        self.client.get(TIMEOUT)

    def appliances(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(self.command("show", self.name, "--json"))["appliances"]
        return found

    def kill_and_fail_over(self, chance: random.Random) -> None:
        """One of a pair that is whole dies, and is replaced as a health manager would have it."""
        with self.lock:
            victim = chance.choice(self.appliances())["id"]
            self.kills.append(time.monotonic())
            self.lab.world.kill_amphora(victim)
            self.command("failover", self.name)

    def edit(self, chance: random.Random) -> None:
        """Other members, other weights; one always takes requests."""
        with self.lock:
            members = chance.randint(1, 3)
            self.apply(members, (1, *(chance.randint(0, 5) for _ in range(members - 1))))

    def failed_for_no_reason(self) -> list[Answer]:
        """Requests that failed although nobody was killed right before. One is noted when it gives up."""
        return [
            answer
            for answer in self.client.answers
            if answer.body is None and not any(kill <= answer.at <= kill + TAKEOVER + TIMEOUT for kill in self.kills)
        ]


@contextmanager
def repeated(act: Callable[[], None], pause: float, troubles: list[BaseException]) -> Iterator[None]:
    """Do it again and again in a thread while in here; what goes wrong ends it and is noted."""
    over = threading.Event()

    def work() -> None:
        try:
            while not over.wait(pause):
                act()
        except BaseException as error:  # noqa: BLE001 a thread's failure is the test's
            troubles.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_pairs_live_through_edits_and_deaths(lab: Lab) -> None:
    seed = int(os.environ.get("LBDRIVERS_SEED") or time.time_ns() % 10**9)
    print(f"LBDRIVERS_SEED={seed}")
    pairs = [Pair(lab, number) for number in range(PAIRS)]
    troubles: list[BaseException] = []
    try:
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(Pair.apply, pairs))
        assert all(pair.client.until_answered(limit=60) is not None for pair in pairs)
        for pair in pairs:
            pair.client.answers.clear()
        _live(pairs, random.Random(seed), troubles)
        assert troubles == []
        asked = sum(len(pair.client.answers) for pair in pairs)
        failed = sum(answer.body is None for pair in pairs for answer in pair.client.answers)
        kills = sum(len(pair.kills) for pair in pairs)
        print(f"{asked} requests, {failed} failed in {kills} takeovers")
        assert kills >= SECONDS / KILLS_EVERY / 8
        for pair in pairs:
            assert pair.failed_for_no_reason() == [], pair.name
            assert [one["status"] for one in pair.appliances()] == ["ALLOCATED"] * 2
            pair.command("observe", pair.name)
        assert json.loads(pairs[0].command("orphans", "--json"))["orphans"] == []
        for pair in pairs:
            pair.command("delete", pair.name)
        assert (lab.machines(), lab.ports()) == (set(), [])
    finally:
        for pair in pairs:
            Path(pair.file).unlink(missing_ok=True)


def _live(pairs: list[Pair], chance: random.Random, troubles: list[BaseException]) -> None:
    """Everything at once, for as long as the test is meant to take."""
    killer, editor = random.Random(chance.random()), random.Random(chance.random())
    with ExitStack() as acts:
        acts.enter_context(repeated(lambda: killer.choice(pairs).kill_and_fail_over(killer), KILLS_EVERY, troubles))
        acts.enter_context(repeated(lambda: editor.choice(pairs).edit(editor), EDITS_EVERY, troubles))
        for pair in pairs:
            acts.enter_context(repeated(pair.ask, 0.05, troubles))
        threading.Event().wait(SECONDS)
