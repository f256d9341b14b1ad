"""One command's session: configuration, store, drivers and engine, opened as they are needed.

Law: a command pays for what it uses and no more; what was opened is closed.
"""

from __future__ import annotations

import atexit
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from lbdrivers import registry, settings
from lbdrivers.document.source import MAXIMUM_SIZE
from lbdrivers.drivers.context import DriverContext, Progress
from lbdrivers.drivers.provider import Observation, Provider
from lbdrivers.errors import DriverError, InvalidInput, PermanentError, Problem
from lbdrivers.store.entry import Entry
from lbdrivers.store.store import Store

if TYPE_CHECKING:
    from oslo_config.cfg import ConfigOpts

    from lbdrivers.reconcile.engine import Engine

#: Load balancers that ``list`` asks at one time; each waits for its own appliances.
_OBSERVERS = 8
#: Beginning of the names of temporary state folders.
_TEMPORARY = "lbdrivers-conformance-"


class Session:
    """Everything that the commands share.

    :param files: configuration files; :param state_path: overrides the configured folder.
    :param report: receives the steps of drivers.
    :param notice: receives a line for people while there is nothing to do but wait.
    """

    def __init__(
        self,
        files: Sequence[Path],
        state_path: Path | None,
        report: Callable[[Progress], None],
        notice: Callable[[str], None],
    ) -> None:
        self.configuration: ConfigOpts = settings.load(files, state_path)
        self.settings = settings.read(self.configuration)
        self._report = report
        self._notice = notice
        self._settling = ""

    def start(self) -> None:
        """Run what must run before the first thread, see ``registry.START``."""
        # A hook may start this command anew as another user, whose default folder is another.
        os.environ["LBDRIVERS_STATE_PATH"] = str(self.settings.state_path.absolute())
        registry.run_start_hooks(self.settings.state_path, [sys.executable, *sys.orig_argv[1:]])

    def close(self) -> None:
        """Give back what was opened."""
        if "store" in self.__dict__:
            self.store.close()

    @cached_property
    def store(self) -> Store:
        """The store of the state folder."""
        return Store(self.settings.database, pool=self.settings.pool)

    @cached_property
    def context(self) -> DriverContext:
        """What drivers are given."""
        return registry.make_context(
            self.configuration, self.store.records, self._report, lambda identity: self.engine.fence(identity)
        )

    @cached_property
    def engine(self) -> Engine:
        """The engine, in this process, for as long as the command lasts."""
        from lbdrivers.reconcile.engine import Engine

        return Engine(self.store, self.provider, self.settings, sleep=self._wait)

    def provider(self, name: str) -> Provider:
        """The provider of that name, one instance a session."""
        provider: Provider = self.context.load(registry.PROVIDERS, name)
        return provider

    def entry(self, subject: str) -> Entry:
        """The load balancer of that id or name. :raises InvalidInput: when there is none."""
        try:
            entry = self.store.get(subject)
        except PermanentError as error:
            raise InvalidInput((Problem("", "", error.user),)) from error
        if entry is None:
            names = [entry.name or entry.id for entry in self.store.list()]
            known = (
                f"there are: {', '.join(names)}" if names else "there is none yet; make one with: lbdrivers apply FILE"
            )
            raise InvalidInput((Problem("", subject, "there is no load balancer of that name or id", known),))
        return entry

    def settle(self, load_balancer_id: str, timeout: float) -> Entry | None:
        """Work until it is as wanted, cannot be, or the seconds are up; the entry then, None when it is gone."""
        self._settling = load_balancer_id
        self.engine.run_until_settled(load_balancer_id, timeout)
        return self.store.get(load_balancer_id)

    def _wait(self, seconds: float) -> None:
        """The engine waits for its next attempt: say why, then wait."""
        entry = self.store.get(self._settling)
        if entry is not None and entry.cause is not None:
            detail = "" if entry.cause.operator in ("", entry.cause.user) else f" ({entry.cause.operator})"
            self._notice(f"{entry.cause.user}{detail}; again in {seconds:.1f} s")
        time.sleep(seconds)

    def observe(self, entry: Entry) -> tuple[Observation | None, str]:
        """What the backend says, or None and why it could not be asked."""
        try:
            return self.provider(entry.provider).observe(entry.id), ""
        except DriverError as error:
            return None, error.user

    def observe_all(self, entries: Sequence[Entry]) -> Mapping[str, Observation | None]:
        """The same for several at once, by id."""
        if not entries:
            return {}
        for name in {entry.provider for entry in entries}:
            self._warm(name)
        with ThreadPoolExecutor(max_workers=min(_OBSERVERS, len(entries))) as pool:
            found = pool.map(lambda entry: self.observe(entry)[0], entries)
            return dict(zip((entry.id for entry in entries), found, strict=True))

    def _warm(self, name: str) -> None:
        """Import the provider in the main thread; a broken one is told by each observation."""
        try:
            self.provider(name)
        except DriverError:
            return


def read_document(name: str) -> str:
    """The text of a file, or of standard input for ``-``. :raises InvalidInput: when it cannot be read."""
    limit = 4 * MAXIMUM_SIZE  # bytes: UTF-8 takes at most four a character
    try:
        if name == "-":
            content = sys.stdin.buffer.read(limit + 1)
        else:
            with Path(name).open("rb") as file:
                content = file.read(limit + 1)
    except OSError as error:
        raise InvalidInput(
            (Problem(name, "", f"cannot be read: {error.strerror}", "name a YAML or JSON file"),)
        ) from error
    if len(content) > limit:
        raise InvalidInput((Problem(name, "", f"has more than {limit} bytes", "a load balancer needs far less"),))
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        problem = Problem(
            "", f"byte 0x{content[error.start]:02x}", "is not UTF-8", "save it as UTF-8", f"{name}:{line}"
        )
        raise InvalidInput((problem,)) from error


def temporary_state() -> Path:
    """A state folder for this command alone; it goes when the command ends, unless drivers left something in it.

    A command that a start hook runs anew gets the folder that it had before.
    """
    inherited = Path(os.environ.get("LBDRIVERS_STATE_PATH", ""))
    if inherited.name.startswith(_TEMPORARY) and inherited.is_dir():
        folder = inherited
    else:
        folder = Path(tempfile.mkdtemp(prefix=_TEMPORARY))
    # Registered first, so run last: after what start hooks have registered for their own leaving.
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def now() -> float:
    """Seconds since the epoch."""
    return time.time()
