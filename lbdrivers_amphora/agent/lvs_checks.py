"""The programs by which keepalived checks members of UDP and SCTP listeners, as files of the appliance.

Law: pure. Paths and behaviour are those of Octavia's appliances, as the configurations of either side name them.
"""

from __future__ import annotations

import shlex
import sys

#: ``udp_check.sh ADDRESS PORT``: a byte is sent; silence is a good answer, an ICMP error is not. bash alone, so
#: that a check costs no interpreter. ``read`` ends with more than 128 when its time is over (bash(1)).
UDP_CHECK = """\
#!/bin/bash
exec 3<>"/dev/udp/$1/$2" || exit 1
printf x >&3 || exit 1
read -r -n 1 -t 1 -u 3
status=$?
[ "$status" -eq 0 ] || [ "$status" -gt 128 ]
"""


def health_checker() -> str:
    """``amphora-health-checker``, for what a shell cannot."""
    return f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m lbdrivers_amphora.agent.health_checker "$@"\n'
