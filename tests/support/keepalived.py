"""keepalived's own checker for tests."""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

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
for file; do
    status=0
    keepalived -t -f "$file" > "$file.output" 2>&1 || status=$?
    echo "$status"
done
"""


def check(text: str) -> tuple[int, str]:
    """Exit status and output of ``keepalived -t``: 0 is good; 5 says that parts were wrong and left out."""
    return check_all([text])[0]


def check_all(texts: Sequence[str]) -> list[tuple[int, str]]:
    """``check`` of each, in namespaces that are made once: that takes longer than all the checks."""
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder, f"{number}.conf") for number in range(len(texts))]
        for file, text in zip(files, texts, strict=True):
            file.write_text(text)
        command = ["unshare", "--map-root-user", "--net", "--mount", "sh", "-c", _SCRIPT, "sh", *map(str, files)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        outputs = [file.with_suffix(".conf.output").read_text() for file in files]
    return list(zip(map(int, done.stdout.split()), outputs, strict=True))
