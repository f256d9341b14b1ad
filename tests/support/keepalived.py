"""keepalived's own checker for tests."""

from __future__ import annotations

import subprocess
import tempfile

# VRRP needs its interface and its script to exist: both are made in namespaces of their own.
_SCRIPT = """
set -e
mount -t tmpfs tmpfs /var/lib
mkdir -p /var/lib/octavia/vrrp
printf '#!/bin/sh\\nexit 0\\n' > /var/lib/octavia/vrrp/check_script.sh
chmod 755 /var/lib/octavia/vrrp/check_script.sh
ip link add eth1 type bridge
ip link set eth1 up
exec keepalived -t -f "$1"
"""


def check(text: str) -> tuple[int, str]:
    """Exit status and output of ``keepalived -t``: 0 is good; 5 says that parts were wrong and left out."""
    with tempfile.NamedTemporaryFile(suffix=".conf") as file:
        file.write(text.encode())
        file.flush()
        command = ["unshare", "--map-root-user", "--net", "--mount", "sh", "-c", _SCRIPT, "sh", file.name]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout + done.stderr
