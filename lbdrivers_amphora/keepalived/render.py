"""Configuration -> text of keepalived.conf.

Law: deterministic; every value passes ``quote``; the template holds layout and nothing else.
"""

from __future__ import annotations

from lbdrivers_amphora.keepalived.ir import Configuration
from lbdrivers_amphora.keepalived.template import load
from lbdrivers_amphora.keepalived.translate import TABLE


def render(configuration: Configuration) -> str:
    """The text that keepalived reads. It may hold the VRRP password: write it 0600.

    :raises ValueError: when a value cannot be written so that keepalived reads just that.
    """
    return load("keepalived.conf.j2").render(configuration=configuration, table=TABLE)
