"""Flavors and availability zones, with the profiles that say what they stand for.

Law: a profile's data belong to one provider, which alone knows its keys. Load balancers name flavors by
id and zones by name; a control plane turns both into data (``lbdrivers.model.catalog``).
"""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from lbdrivers.model.provider_data import ProviderData
from lbdrivers.model.resources.base import Value
from lbdrivers.model.values import Flag, Text, Uuid

#: The id that stands for "deleted" in the v2 API.
NOTHING = "00000000-0000-0000-0000-000000000000"


def _not_nothing(identity: str) -> str:
    if identity == NOTHING:
        raise ValueError("stands for what was deleted; give it an id of its own")
    return identity


_Identity = Annotated[Uuid, AfterValidator(_not_nothing)]
_Name = Annotated[Text, Field(min_length=1)]


class FlavorProfile(Value):
    """What flavors stand for with one provider."""

    id: _Identity
    name: _Name
    provider_name: _Name
    flavor_data: ProviderData


class Flavor(Value):
    """A kind of load balancer that an operator offers. One that is not ``enabled`` is given to nobody new."""

    id: _Identity
    name: _Name
    description: Text = ""
    enabled: Flag = True
    flavor_profile_id: Uuid


class AvailabilityZoneProfile(Value):
    """What availability zones stand for with one provider."""

    id: _Identity
    name: _Name
    provider_name: _Name
    availability_zone_data: ProviderData


class AvailabilityZone(Value):
    """A place where load balancers can be; its name is its identity. See ``Flavor`` for ``enabled``."""

    name: _Name
    description: Text = ""
    enabled: Flag = True
    availability_zone_profile_id: Uuid
