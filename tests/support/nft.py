"""The real nft for tests, in a network namespace of its own."""

from __future__ import annotations

import contextlib
import re
import subprocess
from collections.abc import Iterator


class Nft:
    """A namespace of which nobody knows, and nft in it."""

    def __init__(self, pid: int) -> None:
        self._enter = ["nsenter", "-t", str(pid), "-n", "--"]

    def run(self, *words: str, text: str = "") -> tuple[int, str]:
        """Exit status and output of ``nft``."""
        done = subprocess.run(
            [*self._enter, "nft", *words], input=text, capture_output=True, text=True, timeout=60, check=False
        )
        return done.returncode, done.stdout + done.stderr

    def load(self, text: str) -> None:
        """One transaction, which must succeed."""
        assert self.run("-f", "-", text=text) == (0, "")

    def tables(self) -> frozenset[str]:
        """What there is, without counts, in an order that does not depend on history."""
        status, text = self.run("--stateless", "list", "ruleset")
        assert status == 0, text
        blocks = re.split(r"\n\n|(?<=\{)\n(?=\t\w)", text)
        return frozenset(
            " ".join(_ordered(block).replace("}\n}", "}").split()) for block in blocks if block.strip("}\n")
        )


def _ordered(block: str) -> str:
    def sort(found: re.Match[str]) -> str:
        return "elements = { " + ", ".join(sorted(" ".join(one.split()) for one in found[1].split(","))) + " }"

    return re.sub(r"elements = \{([^}]*)\}", sort, block)


@contextlib.contextmanager
def a_namespace() -> Iterator[Nft]:
    """A namespace that ends with the block."""
    holder = subprocess.Popen(
        ["unshare", "--map-root-user", "--net", "sh", "-c", "echo; exec cat"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert holder.stdin is not None and holder.stdout is not None
    try:
        holder.stdout.readline()
        yield Nft(holder.pid)
    finally:
        holder.stdin.close()
        holder.wait(10)
        holder.stdout.close()


def check(text: str) -> tuple[int, str]:
    """Exit status and output of ``nft --check``."""
    with a_namespace() as nft:
        return nft.run("--check", "-f", "-", text=text)
