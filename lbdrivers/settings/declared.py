"""The options that installed drivers declare: entry points of the group ``lbdrivers.options``.

Law: looked at only when a file has a name that the core does not know. An entry point refers to a
mapping from section to oslo.config options; one that fails to import hides no other.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from importlib.metadata import entry_points
from typing import Any

LOG = logging.getLogger(__name__)

GROUP = "lbdrivers.options"


def declared() -> dict[str, set[str]]:
    """Section -> names of options, of every installed driver."""
    found: dict[str, set[str]] = {}
    for point in sorted(set(entry_points(group=GROUP)), key=lambda point: (point.name, point.value)):
        try:
            options: Mapping[str, Sequence[Any]] = point.load()
        except (ImportError, AttributeError) as error:
            LOG.warning("the options of %s (%s) cannot be read: %s", point.name, point.value, error)
            continue
        for section, listed in names_of(options).items():
            found.setdefault(section, set()).update(listed)
    return found


def names_of(options: Mapping[str, Sequence[Any]]) -> dict[str, frozenset[str]]:
    """Section -> names, of oslo.config options."""
    return {section: frozenset(option.dest for option in listed) for section, listed in options.items()}
