"""Settings: oslo.config options, read once into frozen typed values.

Law: this package and its namesakes in the provider packages are the only ones that touch option
objects; everybody else gets a frozen dataclass. Section and option names are those of octavia.conf
where the meaning is the same; what is ours alone stands in ``[lbdrivers]``. A file is checked when it
is loaded (``check``); a value is judged when it is read, by the one that uses it.
"""

from __future__ import annotations

from lbdrivers.settings.check import Findings
from lbdrivers.settings.core import OPTIONS, Settings, default_state_path, examine, load, read
from lbdrivers.settings.refusal import refusal
from lbdrivers.settings.scale import BoardKind, JobboardSettings, PoolSettings, SentinelSettings

__all__ = [
    "OPTIONS",
    "BoardKind",
    "Findings",
    "JobboardSettings",
    "PoolSettings",
    "SentinelSettings",
    "Settings",
    "default_state_path",
    "examine",
    "load",
    "read",
    "refusal",
]
