"""What HAProxy's answers to runtime commands mean.

Law: an answer that is not known to be good is a failure. Source: HAProxy 2.6, src/server.c and src/map.c.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import zip_longest

# What HAProxy 2.6 answers; every other answer is a complaint.
_GOOD_ANSWERS = (
    ("add server ", re.compile(r"New server registered\.")),
    ("del server ", re.compile(r"Server deleted\.|No such server\.")),
    ("prepare acl ", re.compile(r"New version created: [0-9]+")),
)
_ADDRESS_ANSWER = re.compile(r"(?:no need to change the addr|IP changed from |port changed from ).*")
_CONNECTIONS_ANSWER = "still has connections attached"
_SILENCE = re.compile("")


def failures(commands: Sequence[str], answers: Sequence[str]) -> tuple[str, ...]:
    """Which of the answers mean that a command was not carried out, as "command: answer".

    A removal that is refused because connections still use the server has done its work, the
    server takes nothing new: see ``lingering``. A missing answer is a failure.
    """
    return tuple(
        f"{command}: {(answer or '').strip() or 'no answer'}"
        for command, answer in zip_longest(commands, answers)
        if command is not None and not _succeeded(command, answer) and not _still_used(command, answer)
    )


def lingering(commands: Sequence[str], answers: Sequence[str]) -> frozenset[tuple[str, str]]:
    """(backend, server) of removals that wait for the last connection; they stay in maintenance."""
    found = set()
    for command, answer in zip(commands, answers, strict=False):
        if _still_used(command, answer):
            backend, _, server = command.removeprefix("del server ").rpartition("/")
            found.add((backend, server))
    return frozenset(found)


def _still_used(command: str, answer: str | None) -> bool:
    return command.startswith("del server ") and _CONNECTIONS_ANSWER in (answer or "")


def _succeeded(command: str, answer: str | None) -> bool:
    if answer is None:
        return False
    good = next((good for start, good in _GOOD_ANSWERS if command.startswith(start)), None)
    if good is None:
        # "set server NAME addr" tells what it changed; all other commands succeed in silence.
        good = _ADDRESS_ANSWER if command.startswith("set server ") and " addr " in command else _SILENCE
    return good.fullmatch(answer.strip()) is not None
