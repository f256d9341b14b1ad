"""L7 policies -> lines of a frontend.

Law: all conditions of a policy must hold; policies of one kind are tried in the order of their
position, and the kinds in the order in which HAProxy evaluates them: REJECT, redirects, pools. The
lines stand in that very order, so that the file reads as it works.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache

from lbdrivers.errors import UnsupportedError
from lbdrivers.model.resources import CompareType, L7Policy, L7Rule, Listener, PolicyAction, Pool, RuleType
from lbdrivers_amphora.haproxy.quote import Line, Word, literal, pattern, regex, token

_MATCH = {
    CompareType.REGEX: "reg",
    CompareType.STARTS_WITH: "beg",
    CompareType.ENDS_WITH: "end",
    CompareType.CONTAINS: "sub",
    CompareType.EQUAL_TO: "str",
}
_KEYED = {
    RuleType.HEADER: "req.hdr",
    RuleType.COOKIE: "req.cook",
    RuleType.SSL_DN_FIELD: "ssl_c_s_dn",
}
#: Kinds of action in the order in which HAProxy evaluates them (configuration manual, section 4.2).
_ORDER = (
    frozenset({PolicyAction.REJECT}),
    frozenset({PolicyAction.REDIRECT_TO_URL, PolicyAction.REDIRECT_PREFIX}),
    frozenset({PolicyAction.REDIRECT_TO_POOL}),
)
_DEFAULT_REDIRECT_CODE = 302
# HAProxy compares with 64-bit numbers; OpenSSL's verification results end far below this one.
_LARGEST_RESULT = 2**31 - 1


@lru_cache(maxsize=4096)
def words(text: str) -> Line:
    """A line, or the start of one, that this package itself wrote: words separated by blanks.

    Cached, as there are few of them, and each frontend and backend has most of them.
    """
    return tuple(map(literal, text.split()))


def policy_lines(listener: Listener, pools: Mapping[str, Pool], numbers: Iterator[int]) -> Iterator[Line]:
    """The listener's policies, without those that never match or lead to a pool that is not served.

    :param numbers: unused numbers for the lists of values that a running process can exchange.
    """
    policies = _effective(listener, pools)
    for kinds in _ORDER:
        for policy in policies:
            if policy.action in kinds:
                rules = [rule for rule in policy.rules if rule.admin_state_up]
                yield from (_acl(rule, next(numbers)) for rule in rules)
                yield (*_action(policy, listener), *words("if"), *map(_condition, rules))


def redirect_pool_ids(listener: Listener, pools: Mapping[str, Pool]) -> Iterator[str]:
    """Pools that the listener's policies lead to."""
    for policy in _effective(listener, pools):
        if policy.action is PolicyAction.REDIRECT_TO_POOL and policy.redirect_pool_id is not None:
            yield policy.redirect_pool_id


def _effective(listener: Listener, pools: Mapping[str, Pool]) -> list[L7Policy]:
    """By position; a policy without an enabled rule never matches."""
    return sorted(
        (
            policy
            for policy in listener.l7policies
            if policy.admin_state_up
            and any(rule.admin_state_up for rule in policy.rules)
            and (policy.action is not PolicyAction.REDIRECT_TO_POOL or policy.redirect_pool_id in pools)
        ),
        key=lambda policy: policy.position,
    )


def _action(policy: L7Policy, listener: Listener) -> Line:
    if policy.action is PolicyAction.REJECT:
        return words("http-request deny")
    if policy.action is PolicyAction.REDIRECT_TO_POOL:
        return (literal("use_backend"), token(f"{policy.redirect_pool_id}:{listener.id}"))
    # A redirect directive answers the exact text; only "http-request redirect" evaluates it first.
    code = policy.redirect_http_code or _DEFAULT_REDIRECT_CODE
    if policy.action is PolicyAction.REDIRECT_TO_URL:
        return (*words(f"redirect code {code} location"), token(policy.redirect_url or ""))
    return (*words(f"redirect code {code} prefix"), token(policy.redirect_prefix or ""))


def _condition(rule: L7Rule) -> Word:
    return token(f"!{rule.id}" if rule.invert else rule.id)


def numbered(number: int) -> Line:
    """The flag by which runtime commands find an ACL's values (section 7.1); values follow it."""
    return words(f"-u {number}")


def _acl(rule: L7Rule, number: int) -> Line:
    try:
        return (literal("acl"), token(rule.id), *_expression(rule, number))
    except ValueError as error:
        raise UnsupportedError(f"the rule {rule.id} cannot be carried out: {error}", object_id=rule.id) from error


def _expression(rule: L7Rule, number: int) -> Line:
    if rule.type is RuleType.SSL_CONN_HAS_CERT:
        return words("ssl_c_used")
    if rule.type is RuleType.SSL_VERIFY_RESULT:
        return words(f"ssl_c_verify eq {min(int(rule.value), _LARGEST_RESULT)}")
    value = regex(rule.value) if rule.compare_type is CompareType.REGEX else pattern(rule.value)
    value = (*numbered(number), *value)
    match = words(f"-m {_MATCH[rule.compare_type]}")
    if rule.type is RuleType.HOST_NAME:
        return (*words("req.hdr(host) -i"), *match, *value)
    if rule.type is RuleType.PATH:
        return (*words("path"), *match, *value)
    if rule.type is RuleType.FILE_TYPE:
        # The rule is about the last portion of the path, so that EQUAL_TO means "ends with".
        return (*words("path_end"), *(match if rule.compare_type is CompareType.REGEX else ()), *value)
    return (token(f"{_KEYED[rule.type]}({rule.key})"), *match, *value)
