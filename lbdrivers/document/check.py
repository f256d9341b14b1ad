"""Drafts to the tree: every value judged by the model, every problem told in the document's terms.

Law: children are judged before their parents and apart from them, so that one bad member hides no
other problem; a load balancer comes out only when there is none.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from lbdrivers.document.draft import Draft, Problems, did_you_mean, shorten, walk
from lbdrivers.document.normalise import canonical
from lbdrivers.document.source import show_path
from lbdrivers.model.resources import COMPATIBLE_POOLS, DATAGRAM_POOLS, ListenerProtocol, LoadBalancer, PoolProtocol
from lbdrivers.model.values import family

_P = TypeVar("_P", ListenerProtocol, PoolProtocol)
_HEADER = re.compile(r"the header (\S+) ")
_FIRST_WORD = re.compile(r"[a-z][a-z0-9_]*")


def build(root: Draft, problems: Problems) -> LoadBalancer | None:
    """The tree, or None when there are problems (all of them are noted then)."""
    _check_identities(root, problems)
    _check_ports(root, problems)
    _check_pools(root, problems)
    _check_vips(root, problems)
    _check_families(root, problems)
    _check_security_groups(root, problems)
    _check_direct_members(root, problems)
    fields = _with_children(root, problems)
    if problems.found:
        for name in (
            "listeners",
            "pools",
            "additional_vips",
        ):  # incomplete; its own fields are judged
            fields.pop(name, None)
    tree = _validate(root, fields, problems)
    return tree if isinstance(tree, LoadBalancer) and not problems.found else None


def _with_children(draft: Draft, problems: Problems) -> dict[str, Any]:
    """The draft's fields with its children judged; those that failed are left out."""
    fields = dict(draft.fields)
    for name, children in draft.lists.items():
        made = (_validate(child, _with_children(child, problems), problems) for child in children)
        fields[name] = tuple(child for child in made if child is not None)
    for name, child in draft.objects.items():
        fields[name] = _validate(child, _with_children(child, problems), problems)
    return fields


def _validate(draft: Draft, fields: Mapping[str, Any], problems: Problems) -> BaseModel | None:
    try:
        return draft.model.model_validate(fields)
    except ValidationError as error:
        for detail in error.errors(include_url=False):
            _translate(draft, detail, problems)
        return None


# --- rules between resources -----------------------------------------------------------------


def _check_identities(root: Draft, problems: Problems) -> None:
    seen: dict[str, Draft] = {}

    def visit(draft: Draft) -> None:
        identity = canonical(draft.text("id"))
        if not identity:
            return
        if identity in seen and not (draft.derived and seen[identity].derived):  # those have a cause told elsewhere
            first = show_path(seen[identity].path)
            problems.add(
                draft.place("id"), f"is the id of {first} too", "give each resource an id of its own", identity
            )
        seen.setdefault(identity, draft)

    walk(root, visit)


def _check_ports(root: Draft, problems: Problems) -> None:
    seen: dict[tuple[str, int], Draft] = {}
    for listener in root.lists["listeners"]:
        protocol = _protocol(ListenerProtocol, listener)
        port = listener.fields.get("protocol_port")
        if protocol is None or not isinstance(port, int):
            continue
        first = seen.setdefault((protocol.transport, port), listener)
        if first is not listener:
            message = f"is taken by {show_path(first.path)} ({protocol.transport} port {port})"
            problems.add(listener.place("protocol_port"), message, "choose another port", str(port))


def _check_pools(root: Draft, problems: Problems) -> None:
    """Every pool that is referred to is there and speaks a protocol that the listener can use."""
    pools = {canonical(pool.text("id")): pool for pool in root.lists["pools"]}
    for listener in root.lists["listeners"]:
        protocol = _protocol(ListenerProtocol, listener)
        for owner, field in _references(listener):
            place, identity = owner.place(field), owner.text(field)
            pool = pools.get(canonical(identity))
            if pool is None:
                problems.add(
                    place,
                    "is not the id of a pool of this document",
                    "define the pool, or refer to one by name: default_pool: {name: ...}",
                    shorten(identity),
                )
                del owner.fields[field]
                owner.broken = True
                continue
            pool_protocol = _protocol(PoolProtocol, pool)
            if protocol is None or pool_protocol is None or pool_protocol in COMPATIBLE_POOLS[protocol]:
                continue
            usable = ", ".join(sorted(COMPATIBLE_POOLS[protocol])) or "no pool at all"
            message = f"is a pool of the protocol {pool_protocol}, which listeners of {protocol} cannot use"
            problems.add(place, message, f"they use {usable}")


def _check_vips(root: Draft, problems: Problems) -> None:
    """No two VIPs share a subnet or an address."""
    for field, own, words in (
        ("subnet_id", "vip_subnet_id", "is the subnet of another VIP"),
        ("ip_address", "vip_address", "is the address of another VIP"),
    ):
        seen = {_spelled(root.text(own))} - {""}
        for vip in root.lists.get("additional_vips", []):
            value = _spelled(vip.text(field))
            if value in seen:
                problems.add(vip.place(field), words, "give each VIP its own", vip.text(field))
            seen |= {value} - {""}


def _spelled(text: str) -> str:
    """The one spelling of an id or an address; other text stays as it is."""
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return canonical(text)


def _check_families(root: Draft, problems: Problems) -> None:
    """Allowed networks, and members that get datagrams as they are, are of a VIP's family, where all are known."""
    vips = [root.text("vip_address"), *(vip.text("ip_address") for vip in root.lists.get("additional_vips", []))]
    if not all(vips):
        return
    families = {family(address) for address in vips}
    message, remedy = (
        "is of another family than the VIP",
        f"write an address of the family {' or '.join(sorted(families))}",
    )
    used = {
        canonical(owner.text(field)) for listener in root.lists["listeners"] for owner, field in _references(listener)
    }
    for listener in root.lists["listeners"]:
        cidrs = listener.fields.get("allowed_cidrs")
        for index, cidr in enumerate(cidrs if isinstance(cidrs, list) else ()):
            if isinstance(cidr, str) and family(cidr) not in families:
                problems.add((*listener.place("allowed_cidrs"), index), message, remedy, cidr)
    for pool in root.lists["pools"]:
        if _protocol(PoolProtocol, pool) in DATAGRAM_POOLS and canonical(pool.text("id")) in used:
            for member in pool.lists.get("members", []):
                if (address := member.text("address")) and family(address) not in families:
                    problems.add(member.place("address"), message, remedy, address)


def _check_security_groups(root: Draft, problems: Problems) -> None:
    """The VIP's groups are its owner's, or follow from the networks that listeners allow."""
    if not root.fields.get("vip_sg_ids"):
        return
    for listener in root.lists["listeners"]:
        if listener.fields.get("allowed_cidrs"):
            remedy = "let the groups of vip_sg_ids say it, or remove those"
            problems.add(listener.place("allowed_cidrs"), "excludes vip_sg_ids", remedy)


def _check_direct_members(root: Draft, problems: Problems) -> None:
    """SR-IOV ports of members are for the flavor to allow, where it is written down."""
    flavor = root.fields.get("flavor_data")
    if (flavor is None and "flavor_id" in root.fields) or not isinstance(flavor, dict | None):
        return
    if not (flavor or {}).get("allow_member_sriov"):
        for pool in root.lists["pools"]:
            for member in pool.lists.get("members", []):
                if member.fields.get("request_sriov") is True:
                    problems.add(
                        member.place("request_sriov"), "needs a flavor with allow_member_sriov", "remove it", "true"
                    )


def _references(listener: Draft) -> list[tuple[Draft, str]]:
    """Every reference to a pool: who refers, and in which field."""
    owners = [(listener, "default_pool_id"), *((p, "redirect_pool_id") for p in listener.lists.get("l7policies", []))]
    return [(owner, field) for owner, field in owners if owner.text(field)]


def _protocol(kind: type[_P], draft: Draft) -> _P | None:
    try:
        return kind(draft.text("protocol"))
    except ValueError:
        return None


# --- pydantic's errors in our words ----------------------------------------------------------


def _translate(draft: Draft, detail: ErrorDetails, problems: Problems) -> None:
    """Note one of pydantic's errors at its place in the document."""
    location: Sequence[str | int] = detail["loc"]
    if not location:
        if not draft.broken:
            _rule(draft, _sentence(detail), problems)
        return
    name = str(location[0])
    place = (*draft.place(name), *location[1:])
    if name == "insert_headers" and len(location) > 1 and isinstance(headers := draft.fields.get(name), dict):
        place = (*draft.place(name), sorted(headers)[int(location[1])])  # pairs in the tree, a mapping in the document
    if detail["type"] == "missing":
        if not draft.broken:
            problems.add(place, "is missing", f"a {draft.noun} needs it")
        return
    message, remedy = _words(detail)
    problems.add(place, message, remedy, shorten(detail["input"]))


def _rule(draft: Draft, sentence: str, problems: Problems) -> None:
    """A rule about a whole resource: named at the field that it speaks of first, if that is there."""
    message, _, remedy = sentence.partition("; ")
    word = _FIRST_WORD.match(message)
    header = _HEADER.match(message)
    path, value = draft.path, ""
    if header is not None and isinstance(headers := draft.fields.get("insert_headers"), dict):
        path, value = (*draft.place("insert_headers"), header[1]), shorten(headers.get(header[1]))
    elif word is not None and word[0] in draft.fields:
        path, value = draft.place(word[0]), shorten(draft.fields[word[0]])
        if not message.startswith(f"{word[0]} and "):
            message = message.removeprefix(word[0]).lstrip()
    problems.add(path, message, remedy, value)


def _sentence(detail: ErrorDetails) -> str:
    cause = detail.get("ctx", {}).get("error")
    return str(cause) if cause is not None else detail["msg"]


def _words(detail: ErrorDetails) -> tuple[str, str]:
    """What is wrong and what to write instead."""
    context = detail.get("ctx", {})
    kind = detail["type"]
    if kind == "value_error":
        message, _, remedy = _sentence(detail).partition("; ")
        return message, remedy
    if kind == "enum":
        return _not_one_of(str(context.get("expected", "")), detail["input"])
    if kind in _PLAIN:
        return _PLAIN[kind]
    if kind in ("too_short", "too_long") and isinstance(detail["input"], str):
        kind = f"string_{kind}"
    if kind in _LIMITS:
        name, message = _LIMITS[kind]
        return message.format(context[name]), ""
    return detail["msg"][:1].lower() + detail["msg"][1:], ""


def _not_one_of(expected: str, given: object) -> tuple[str, str]:
    words = re.findall(r"'([^']*)'", expected)
    remedy = did_you_mean(given, words) if isinstance(given, str) else f"choose from {', '.join(words)}"
    return "is not one of the known words", remedy


_PLAIN: Mapping[str, tuple[str, str]] = {
    "int_type": ("is not a whole number", "write it in digits, without quotes"),
    "int_parsing": ("is not a whole number", "write it in digits, without quotes"),
    "int_from_float": ("is not a whole number", "write it without a fraction"),
    "float_type": ("is not a number", "write it in digits, without quotes"),
    "float_parsing": ("is not a number", "write it in digits, without quotes"),
    "bool_type": ("is neither true nor false", "write true or false, without quotes"),
    "string_type": ("is not text", "write one line of text"),
    "string_unicode": ("is not valid Unicode", "remove the lone surrogate"),
    "tuple_type": ("is not a list", "start each item with a dash (-)"),
    "list_type": ("is not a list", "start each item with a dash (-)"),
}
_LIMITS: Mapping[str, tuple[str, str]] = {
    "greater_than_equal": ("ge", "is too small: the least is {}"),
    "less_than_equal": ("le", "is too large: the most is {}"),
    "string_too_long": ("max_length", "is too long: at most {} characters"),
    "string_too_short": ("min_length", "is too short: at least {} characters"),
    "too_short": ("min_length", "has too few items: at least {}"),
    "too_long": ("max_length", "has too many items: at most {}"),
}
