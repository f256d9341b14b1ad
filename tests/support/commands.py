"""The ``lbdrivers`` command as tests run it many times: in a process of its own each time, which begins where Python
has imported everything already. Most of a short command's time is the import; what a user starts is tried in
``test_without_root`` and in the demonstration."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path
from typing import IO

#: What a command that makes an amphora imports on its way.
_IMPORTED = (
    "lbdrivers.cli.run",
    "lbdrivers.cli.actions",
    "lbdrivers.cli.answers",
    "lbdrivers.cli.upkeep",
    "lbdrivers.reconcile.engine",
    "lbdrivers_amphora.certificates.local",
    "lbdrivers_amphora.certificates.secrets",
    "lbdrivers_amphora.client",
    "lbdrivers_amphora.compute.local",
    "lbdrivers_amphora.network.local",
    "lbdrivers_amphora.provider",
)


def _servers() -> ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(_IMPORTED))
    return context


def _run(arguments: Sequence[str], output: str, complaints: str) -> None:
    from lbdrivers.cli import main

    for path, flags, stream in ((os.devnull, os.O_RDONLY, 0), (output, os.O_WRONLY, 1), (complaints, os.O_WRONLY, 2)):
        opened = os.open(path, flags)
        os.dup2(opened, stream)
        os.close(opened)
    sys.exit(main(arguments))


class Command:
    """One command on its way."""

    def __init__(self, *arguments: str) -> None:
        self.arguments = arguments
        self._output, self._complaints = _file(), _file()
        names = (self._output.name, self._complaints.name)
        self._process: ForkServerProcess = _servers().Process(target=_run, args=(arguments, *names), daemon=True)
        self._process.start()

    @property
    def ended(self) -> bool:
        """Whether it has come to its end by now."""
        return self._process.exitcode is not None

    def pause(self) -> None:
        """SIGSTOP."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        assert self._process.pid is not None
        os.kill(self._process.pid, number)

    def kill(self) -> None:
        """SIGKILL, and wait for the end."""
        self._process.kill()
        self.wait(20)

    def wait(self, limit: float) -> subprocess.CompletedProcess[str]:
        """How it ended, and all that it said.

        :raises subprocess.TimeoutExpired: when it takes longer than so many seconds; it is killed then.
        """
        self._process.join(limit)
        status = self._process.exitcode
        if status is None:
            self._process.kill()
            self._process.join()
        said = [Path(file.name).read_text() for file in (self._output, self._complaints)]
        self._output.close()
        self._complaints.close()
        self._process.close()
        if status is None:
            raise subprocess.TimeoutExpired(self.arguments, limit, *said)
        return subprocess.CompletedProcess(self.arguments, status, *said)


def _file() -> IO[bytes]:
    return tempfile.NamedTemporaryFile(prefix="lbdrivers-command-")
