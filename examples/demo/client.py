"""A client for demonstrations and tests: requests through a VIP, counted exactly.

Every request is a connection of its own, so that the load balancer's statistics can be compared
with what was sent. Sockets are opened inside the client's network namespace.
"""

from __future__ import annotations

import http.client
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Answer:
    """What became of one request. ``body`` is None when it failed; ``at`` is monotonic seconds."""

    at: float
    body: str | None
    error: str = ""


@dataclass
class Client:
    """Sends requests to one address and remembers every answer.

    :param opener: ``opener(address, port, timeout)`` gives a connected socket (in the right
        network namespace).
    """

    address: str
    port: int
    opener: Callable[[str, int, float], socket.socket]
    answers: list[Answer] = field(default_factory=list)

    def get(self, timeout: float = 5.0) -> Answer:
        """One request; its answer is remembered."""
        try:
            connection = http.client.HTTPConnection(self.address, self.port, timeout=timeout)
            connection.sock = self.opener(self.address, self.port, timeout)
            try:
                connection.request("GET", "/", headers={"Connection": "close"})
                response = connection.getresponse()
                body = response.read().decode().strip()
            finally:
                connection.close()
            ok = response.status == http.HTTPStatus.OK
            answer = Answer(time.monotonic(), body if ok else None, "" if ok else f"status {response.status}")
        except (OSError, http.client.HTTPException) as error:
            answer = Answer(time.monotonic(), None, f"{type(error).__name__}: {error}")
        self.answers.append(answer)
        return answer

    def burst(self, count: int) -> Counter[str]:
        """Several requests, one after the other: how many each member answered; "failed" counts the rest."""
        return Counter(self.get().body or "failed" for _ in range(count))

    def until_answered(self, limit: float, timeout: float = 0.05) -> Answer | None:
        """Ask again and again until there is an answer; None when the time is over."""
        end = time.monotonic() + limit
        while time.monotonic() < end:
            answer = self.get(timeout)
            if answer.body is not None:
                return answer
            time.sleep(0.002)
        return None


class SteadyLoad:
    """Several threads that keep asking while a ``with`` block runs."""

    def __init__(self, client: Client, threads: int = 4, pause: float = 0.005) -> None:
        self._client, self._pause = client, pause
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(threads)]
        self._first = 0

    def _run(self) -> None:
        while not self._stop.is_set():
            self._client.get()
            self._stop.wait(self._pause)

    def __enter__(self) -> SteadyLoad:
        self._first = len(self._client.answers)
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    @property
    def answers(self) -> list[Answer]:
        """What was answered since the start."""
        return self._client.answers[self._first :]

    def wait_for(self, condition: Callable[[list[Answer]], bool], limit: float = 10.0) -> bool:
        """Keep going until the answers satisfy the condition; False when the time is over."""
        end = time.monotonic() + limit
        while time.monotonic() < end:
            if condition(self.answers):
                return True
            time.sleep(0.01)
        return False
