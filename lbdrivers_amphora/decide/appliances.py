"""Amphorae as people look at them.

Law: pure; each says in one line what is unusual about it, and what to do.
"""

from __future__ import annotations

from lbdrivers.drivers.amphora import ApplianceReport
from lbdrivers.drivers.provider import Appliance, Statistics
from lbdrivers_amphora.records import Amphora, AmphoraStatus


def reported(amphora: Amphora, report: ApplianceReport | None, proxied: bool) -> Appliance:
    """An amphora that serves, by what it reported; None when it did not answer.

    :param proxied: whether there is anything for HAProxy to serve.
    """
    status, address = amphora.status, amphora.management_address
    if report is None:
        counted = sum(amphora.statistics.values(), Statistics())
        return Appliance(amphora.id, amphora.role, "ERROR", address, None, "does not answer; run a failover", counted)
    remark = "HAProxy is not running" if proxied and report.haproxy != "RUNNING" else ""
    counted = sum((statistics for _, statistics in report.listeners.values()), Statistics())
    return Appliance(amphora.id, amphora.role, status, address, report.holds_vip, remark, counted)


def unfinished(amphora: Amphora) -> Appliance:
    """An amphora that does not serve yet, or not any more."""
    remark = "is being built" if amphora.status is AmphoraStatus.PENDING_CREATE else "is being removed"
    return Appliance(amphora.id, amphora.role, amphora.status, amphora.management_address, None, remark)
