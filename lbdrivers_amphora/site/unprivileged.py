"""The embedded site for users who are not root: a user namespace in which they are.

Law: the fabric's user namespace is the site's. Every command of a user first enters it, so that all
of them see the same namespaces with the same rights; nothing outside is theirs to change. It happens
once, before anything else, in a process with one thread (setns(2) refuses others).
"""

from __future__ import annotations

import atexit
import contextlib
import os
import subprocess
from pathlib import Path

from lbdrivers.errors import DriverError, PermanentError, TemporaryError
from lbdrivers_amphora.site.fabric import Fabric
from lbdrivers_amphora.site.place import Site
from lbdrivers_amphora.site.settings import SiteSettings

#: Set in the environment of a command that has entered, so that it happens once.
MARK = "LBDRIVERS_USER_NAMESPACE"


def enter(state_path: Path, argv: list[str], *, site_path: Path | None = None) -> None:
    """Return at once for root; else execute ``argv`` anew inside the site's user namespace.

    The site's fabric is started when it does not run. In the command that is executed, the same call
    returns, and sees to it that a fabric which then serves nobody ends with the command.

    :param argv: the whole command line, its first word found on PATH: ``[sys.executable, *sys.orig_argv[1:]]``.
    :param site_path: the site's folder; default ``<state_path>/local``.
    :raises PermanentError: when this host does not let users make user namespaces.
    """
    state_path = state_path.absolute()
    site = Site(SiteSettings(path=site_path or state_path / "local", state_path=state_path))
    if MARK in os.environ:
        atexit.register(_leave, site)
        return
    if os.geteuid() == 0:
        return
    with site.locked():
        try:
            pid = Fabric(site).start(own_user_namespace=True)
        except TemporaryError as error:
            _explain(error)
            raise
        handle = os.open(f"/proc/{pid}/ns/user", os.O_RDONLY)
    os.set_inheritable(handle, True)
    command = ["nsenter", f"--user=/proc/self/fd/{handle}", "--preserve-credentials", "--", *argv]
    os.execvpe(command[0], command, os.environ | {MARK: "1"})  # noqa: S606 - to become another program is the purpose


def _leave(site: Site) -> None:
    with contextlib.suppress(DriverError):  # the command has said what it had to say; the next one tidies up
        site.release_if_unused()


def _explain(error: TemporaryError) -> None:
    """:raises PermanentError: when the reason is that user namespaces are not to be had."""
    probe = ["unshare", "--user", "--map-root-user", "--net", "--mount", "true"]
    done = subprocess.run(probe, capture_output=True, text=True, check=False)
    if done.returncode:
        text = (
            "this host does not let you make user namespaces; run as root, or have its administrator allow them "
            "(sysctl user.max_user_namespaces, kernel.unprivileged_userns_clone, "
            "kernel.apparmor_restrict_unprivileged_userns)"
        )
        raise PermanentError(text, f"{text}: {done.stderr.strip()}") from error
