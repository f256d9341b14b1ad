"""Health monitors: how the members of a pool are probed."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import BeforeValidator, Field, model_validator

from lbdrivers.model.resources.base import Resource
from lbdrivers.model.resources.enums import HttpMethod, MonitorType
from lbdrivers.model.values import ExpectedCodes, HostName, Seconds, Threshold, UrlPath

#: What probes over HTTP say unless they are told otherwise (v2 API).
_HTTP_DEFAULTS = {"http_method": HttpMethod.GET, "url_path": "/", "expected_codes": "200"}
_HTTP = (MonitorType.HTTP, MonitorType.HTTPS)
#: Seconds between two probes of UDP-CONNECT at least (Octavia's udp_connect_min_interval_health_monitor):
#: it takes silence for an answer, and an ICMP error needs time to arrive.
UDP_CONNECT_MINIMUM_DELAY = 3


def _number(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("is not a number; write 1.0 or 1.1")
    return value


class HealthMonitor(Resource):
    """How a pool's members are probed. ``delay`` and ``timeout`` in seconds; None means "not set".

    Method, path and codes of HTTP and HTTPS monitors are always set, by default to GET, / and 200.
    """

    type: MonitorType
    delay: Annotated[Seconds, Field(ge=1)]
    timeout: Annotated[Seconds, Field(ge=1)]
    max_retries: Threshold
    max_retries_down: Threshold = 3
    http_method: HttpMethod | None = None
    url_path: UrlPath | None = None
    expected_codes: ExpectedCodes | None = None
    http_version: Annotated[float, Field(strict=False), BeforeValidator(_number)] | None = None
    domain_name: HostName | None = None

    @model_validator(mode="before")
    @classmethod
    def _http_by_default(cls, data: object) -> object:
        if isinstance(data, dict) and data.get("type") in _HTTP:
            return _HTTP_DEFAULTS | {name: value for name, value in data.items() if value is not None}
        return data

    @model_validator(mode="after")
    def _rules(self) -> Self:
        http = self.type in _HTTP
        for field in ("http_method", "url_path", "expected_codes", "http_version", "domain_name"):
            if not http and getattr(self, field) is not None:
                raise ValueError(f"{field} belongs to monitors of type HTTP and HTTPS only; remove it")
        if self.type is MonitorType.UDP_CONNECT and self.delay < UDP_CONNECT_MINIMUM_DELAY:
            raise ValueError(f"delay of a UDP-CONNECT monitor is {UDP_CONNECT_MINIMUM_DELAY} seconds at least")
        if self.http_version not in (None, 1.0, 1.1):
            raise ValueError("http_version is 1.0 or 1.1")
        if self.domain_name is not None and self.http_version != 1.1:
            raise ValueError("domain_name needs http_version 1.1")
        return self
