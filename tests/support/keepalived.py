"""keepalived's own checker for tests."""

from __future__ import annotations

import re
import subprocess
import tempfile

#: What is said, with status 6, where scripts run and ``enable_script_security`` is missing.
UNSECURED = tuple(
    (6, f"SECURITY VIOLATION - {kind} are being executed but script_security not enabled.\n")
    for kind in ("scripts", "check scripts")
)

# What is said where every member of a virtual server drains. The quorum decides about sorry servers and
# scripts, which there are none of.
_DRAINED = re.compile(
    r"Warning - quorum 1 for \S+ exceeds total weight of real servers 0, reducing quorum to \d+\n"
    r"|Virtual server \S+: hysteresis 0 >= quorum 0; setting hysteresis to \d+\n"
)


def without_drained(output: str) -> str:
    """What ``keepalived -t`` said besides that all members drain."""
    return _DRAINED.sub("", output)


# VRRP needs its interface and the scripts to exist, IPVS its network namespace: without that, keepalived
# says nothing and finds everything good. All are made in namespaces of their own.
_SCRIPT = """
set -e
mount -t tmpfs tmpfs /run
ip netns add amphora-haproxy
mount -t tmpfs tmpfs /var/lib
mount -t tmpfs tmpfs /usr/local/bin
mkdir -p /var/lib/octavia/vrrp /var/lib/octavia/lvs/check
for program in /var/lib/octavia/vrrp/check_script.sh /var/lib/octavia/lvs/check/udp_check.sh \\
        /usr/local/bin/amphora-health-checker; do
    printf '#!/bin/sh\\nexit 0\\n' > "$program"
    chmod 755 "$program"
done
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
