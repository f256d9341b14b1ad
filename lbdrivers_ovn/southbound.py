"""The southbound database: what OVN's monitors say of members."""

from __future__ import annotations

from lbdrivers_ovn.database import Database, Work
from lbdrivers_ovn.settings import DatabaseSettings
from lbdrivers_ovn.statuses import Monitor

_MONITORS = "Service_Monitor"
_TABLES = {
    _MONITORS: ("ip", "port", "protocol", "logical_port", "status"),
    # Nobody reads these; that they come and go tells that ports do.
    "Port_Binding": ("logical_port", "type"),
}


class Southbound:
    """OVN's southbound database."""

    def __init__(self, settings: DatabaseSettings) -> None:
        self.database = Database(settings, "OVN_Southbound", _TABLES)

    def monitors(self, addresses: frozenset[str]) -> tuple[Monitor, ...]:
        """The monitors of these addresses."""
        return self.database.look(lambda at: tuple(one for one in _monitors(at) if one.address in addresses))


def _monitors(at: Work) -> list[Monitor]:
    return [
        Monitor(
            port=row.logical_port,
            address=row.ip.strip("[]"),
            number=row.port,
            protocol=row.protocol[0] if row.protocol else "",
            status=row.status[0] if row.status else "",
        )
        for row in at.rows(_MONITORS)
    ]
