"""L7 policies and their rules: what is done with requests, by what they say."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, StrictInt, model_validator

from lbdrivers.model.resources.base import Resource, Value
from lbdrivers.model.resources.enums import CompareType, PolicyAction, RuleType
from lbdrivers.model.values import (
    Flag,
    Position,
    RedirectUrl,
    Text,
    Uuid,
    is_header_name,
    is_regular_expression,
    is_subject_field,
)

#: What a redirect to a URL or prefix answers unless it is told otherwise (v2 API).
DEFAULT_REDIRECT_CODE = 302
_CODED = (PolicyAction.REDIRECT_TO_URL, PolicyAction.REDIRECT_PREFIX)


class L7Rule(Value):
    """One condition of a policy. Its id is a UUID; rules of one policy are all required (AND)."""

    id: Uuid
    type: RuleType
    compare_type: CompareType
    key: Text | None = None
    value: Text
    invert: Flag = False
    admin_state_up: Flag = True
    tags: tuple[Text, ...] = ()

    @model_validator(mode="after")
    def _rules(self) -> Self:
        if self.value == "":
            raise ValueError("value is empty; nothing can be compared with it")
        if self.type in (RuleType.HEADER, RuleType.COOKIE, RuleType.SSL_DN_FIELD):
            if self.key is None or not is_header_name(self.key):
                raise ValueError(f"a {self.type} rule needs a key that is a name (RFC 9110 token without quotes)")
            if self.type is RuleType.SSL_DN_FIELD and not is_subject_field(self.key):
                raise ValueError("key of a SSL_DN_FIELD rule is letters, digits and dashes, such as CN")
        elif self.key is not None:
            raise ValueError(f"key does not belong to a {self.type} rule; remove it")
        if self.compare_type is CompareType.REGEX and not is_regular_expression(self.value):
            raise ValueError("value is not a regular expression")
        if self.type is RuleType.FILE_TYPE and self.compare_type not in (CompareType.REGEX, CompareType.EQUAL_TO):
            raise ValueError("a FILE_TYPE rule compares with REGEX or EQUAL_TO")
        if self.type in (RuleType.SSL_CONN_HAS_CERT, RuleType.SSL_VERIFY_RESULT):
            if self.compare_type is not CompareType.EQUAL_TO:
                raise ValueError(f"a {self.type} rule compares with EQUAL_TO")
            if self.type is RuleType.SSL_CONN_HAS_CERT and self.value.lower() != "true":
                raise ValueError("the value of a SSL_CONN_HAS_CERT rule is true; use invert for the opposite")
            if self.type is RuleType.SSL_VERIFY_RESULT and not (self.value.isascii() and self.value.isdigit()):
                raise ValueError("the value of a SSL_VERIFY_RESULT rule is a number")
        return self


class L7Policy(Resource):
    """What happens to requests that match all its rules. A policy without rules never matches."""

    description: Text = ""
    action: PolicyAction
    position: Position = 2147483647
    redirect_pool_id: Uuid | None = None
    redirect_url: RedirectUrl | None = None
    redirect_prefix: RedirectUrl | None = None
    redirect_http_code: StrictInt | None = None
    rules: Annotated[tuple[L7Rule, ...], Field(max_length=50)] = ()

    @model_validator(mode="before")
    @classmethod
    def _code_by_default(cls, data: object) -> object:
        if isinstance(data, dict) and data.get("action") in _CODED and data.get("redirect_http_code") is None:
            return {**data, "redirect_http_code": DEFAULT_REDIRECT_CODE}
        return data

    @model_validator(mode="after")
    def _rules(self) -> Self:
        targets = {
            PolicyAction.REDIRECT_TO_POOL: "redirect_pool_id",
            PolicyAction.REDIRECT_TO_URL: "redirect_url",
            PolicyAction.REDIRECT_PREFIX: "redirect_prefix",
        }
        for action, field in targets.items():
            given = getattr(self, field) is not None
            if action is self.action and not given:
                raise ValueError(f"action {action} needs {field}")
            if action is not self.action and given:
                raise ValueError(f"{field} belongs to the action {action}, not to {self.action}")
        if self.redirect_http_code is not None:
            if self.action not in _CODED:
                raise ValueError("redirect_http_code belongs to redirects to a URL or prefix")
            if self.redirect_http_code not in (301, 302, 303, 307, 308):
                raise ValueError("redirect_http_code is 301, 302, 303, 307 or 308")
        return self
