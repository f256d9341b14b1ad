"""Configuration of a UDP or SCTP listener -> text of its keepalived file.

Law: deterministic; every value passes ``quote``; the template holds layout and nothing else.
"""

from __future__ import annotations

from lbdrivers_amphora.keepalived.lvs_ir import Configuration
from lbdrivers_amphora.keepalived.template import load


def render(configuration: Configuration) -> str:
    """The text that keepalived reads, and agents for the ids in its comments.

    :raises ValueError: when a value cannot be written so that keepalived reads just that.
    """
    return load("lvs.conf.j2").render(configuration=configuration)
