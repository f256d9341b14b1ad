"""Every option that this package reads, by section: what the entry point ``lbdrivers.options`` refers to.

Law: complete. An option that is missing here is refused in files, as one that nobody knows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from oslo_config import cfg

from lbdrivers_amphora import client_settings, heartbeat_settings, settings
from lbdrivers_amphora.certificates import local as certificates
from lbdrivers_amphora.certificates import secrets
from lbdrivers_amphora.site import settings as site

OPTIONS: Mapping[str, Sequence[cfg.Opt]] = {
    section: [
        option
        for declared in (
            settings.OPTIONS,
            client_settings.OPTIONS,
            heartbeat_settings.OPTIONS,
            certificates.OPTIONS,
            secrets.OPTIONS,
            site.OPTIONS,
        )
        for option in declared.get(section, ())
    ]
    for section in (
        "amphora_agent",
        "certificates",
        "controller_worker",
        "haproxy_amphora",
        "health_manager",
        "house_keeping",
        "keepalived_vrrp",
        "local",
        "task_flow",
    )
}
