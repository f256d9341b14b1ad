"""What flavors and availability zones may say to a provider: schemas, and data read by them.

Law: pure. A schema is one class; its fields are the keys, with a description each. Data are read into
it once, and no key is taken in silence that means nothing.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

from lbdrivers.errors import UnsupportedError
from lbdrivers.model.provider_data import ProviderData


class ProfileKind(enum.StrEnum):
    """What data are of; the value is how people call it."""

    FLAVOR = "flavor"
    AVAILABILITY_ZONE = "availability zone"


class ProfileSchema(BaseModel):
    """Base of schemas. Every field has a default (the key is left out) and a description."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True)

    @field_validator("*", mode="before")
    @classmethod
    def _says_something(cls, value: Any) -> Any:
        if value is None:
            raise ValueError("is null; leave it out instead")
        return value


Schema = TypeVar("Schema", bound=ProfileSchema)


def capabilities(schema: type[ProfileSchema]) -> dict[str, str]:
    """Every key with its description."""
    return {name: field.description or "" for name, field in schema.model_fields.items()}


def read(kind: ProfileKind, schema: type[Schema], data: ProviderData | None) -> Schema:
    """The data by the schema; None gives the defaults.

    :raises UnsupportedError: it names every key that is unknown or has a wrong value.
    """
    try:
        return schema.model_validate({} if data is None else dict(data))
    except ValidationError as error:
        problems = "; ".join(_told(one["loc"], one["type"], one["msg"], schema) for one in error.errors())
        raise UnsupportedError(f"the {kind} does not fit the provider: {problems}") from error


def _told(place: tuple[int | str, ...], kind: str, message: str, schema: type[ProfileSchema]) -> str:
    name = ".".join(map(str, place))
    if kind == "extra_forbidden":
        return f"{name} is unknown; it takes {', '.join(schema.model_fields) or 'nothing'}"
    words = message.removeprefix("Value error, ")
    return f"{name}: {words[:1].lower()}{words[1:]}"


def validate(kind: ProfileKind, schemas: Mapping[ProfileKind, type[ProfileSchema]], data: ProviderData) -> None:
    """Refuse data that do not fit; for ``ProfileSchemas.validate_profile``. :raises UnsupportedError: see ``read``."""
    read(kind, schemas[kind], data)
