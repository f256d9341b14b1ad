"""What every resource is made of.

Law: a value is frozen, and one that exists is valid; an unknown field is an error.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from lbdrivers.model.resources.enums import AlpnProtocol, TlsVersion
from lbdrivers.model.values import Flag, Text, Uuid

# Left out means "the default"; an empty list would mean that nothing may be spoken at all.
TlsVersions = Annotated[tuple[TlsVersion, ...], Field(min_length=1)]
AlpnProtocols = Annotated[tuple[AlpnProtocol, ...], Field(min_length=1)]


class Value(BaseModel):
    """A part of the tree."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class Resource(Value):
    """What every resource has. ``id`` is a UUID, given or made at the edge."""

    id: Uuid
    name: Text = ""
    admin_state_up: Flag = True
    tags: tuple[Text, ...] = ()


def label(resource: Resource) -> str:
    """What to call it in a message: its name, else its id."""
    return repr(resource.name) if resource.name else resource.id
