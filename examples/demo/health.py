"""The demonstration's health manager: the real command, in the background."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

#: The controller's address on the packaged management network (``site/networks.yaml``).
PLACE = "10.211.0.1", 5555

CONFIGURATION = f"""\
[health_manager]
bind_ip = {PLACE[0]}
bind_port = {PLACE[1]}
controller_ip_port_list = {PLACE[0]}:{PLACE[1]}
heartbeat_key = {{key}}
# A demonstration is in a hurry; the defaults are 10, 60 and 3 seconds.
heartbeat_interval = 1
heartbeat_timeout = 3
health_check_interval = 0.2
flush_interval = 0.2
"""


class HealthManager:
    """Runs while the demonstration does.

    :param program: the ``lbdrivers`` command; :param environment: names the state folder.
    """

    def __init__(self, program: str, configuration: Path, environment: dict[str, str]) -> None:
        self._log = configuration.with_suffix(".log")
        with self._log.open("wb") as log:
            command = [program, "--config-file", str(configuration), "health-manager"]
            self._process = subprocess.Popen(
                command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
            )

    def says(self, words: str, limit: float) -> bool:
        """Whether it says that within so many seconds."""
        end = time.monotonic() + limit
        while words not in self._log.read_text(errors="replace"):
            if time.monotonic() > end or self._process.poll() is not None:
                return False
            time.sleep(0.01)
        return True

    def close(self) -> None:
        """End it, and what it wrote."""
        self._process.terminate()
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.unlink(missing_ok=True)


def write_configuration(state: Path) -> Path:
    """A configuration file beside the state folder, with a heartbeat key of its own."""
    path = state.with_name(f"{state.name}.conf")
    path.touch(mode=0o600)
    path.write_text(CONFIGURATION.format(key=os.urandom(32).hex()))
    return path
