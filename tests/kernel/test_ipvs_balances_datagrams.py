"""keepalived's files at work: UDP and SCTP through the IPVS of a kernel that has it, in a virtual machine."""

from __future__ import annotations

import sys

import pytest
from support import virtual_machine

#: crc32c first: what SCTP and IPVS need asks for it by name, not as a module.
_MODULES = ("crc32c_generic", "ip_vs", "sctp", "veth")
_SECONDS = 900


@pytest.mark.long
@pytest.mark.timeout(_SECONDS + 60)
def test_datagrams_are_balanced_and_members_checked() -> None:
    command = [sys.executable, "-m", "pytest", "-q", "--color=no", "-p", "no:cacheprovider", "-o", "timeout=600"]
    status, console = virtual_machine.run([*command, "tests/kernel/inside/ipvs.py"], _MODULES, _SECONDS)
    assert status == 0, console
    assert "7 passed" in console, console
