"""Text and number types of the model: each parses by a grammar to one canonical value, or refuses.

Law: what validates is what is stored and rendered. A type refuses what its context cannot carry
literally (controls, CR, LF, NUL everywhere); escaping for a daemon is the renderer's business
(``lbdrivers_amphora.haproxy.quote``), never done here.

Sources: Octavia's v2 API (ranges, defaults), RFC 3986 (paths, URLs), RFC 6265 (cookies),
RFC 9110 section 5.6.2 (token), RFC 1123 (host names).
"""

from __future__ import annotations

import ipaddress
import re
import uuid
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, StrictBool, StrictInt, StringConstraints

# Unicode categories that never belong into one line of text: C0/C1 controls, line and paragraph
# separators, byte order mark, and lone surrogates (which cannot be encoded at all).
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ufeff\ud800-\udfff]")
# RFC 9110 token, less the single quote: inside HAProxy's fetch arguments a quote opens a string.
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&*+.^_`|~-]+")
# RFC 3986 section 3.3 path with an optional query; percent signs must start an escape.
_PATH = re.compile(r"/(?:[A-Za-z0-9\-._~!$&'()*+,;=:@/?]|%[0-9A-Fa-f]{2})*")
_COOKIE_NAME = re.compile(r"[A-Za-z0-9!#$%&*+.^_`|~-]+")
_LABEL = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?")
_LAST_LABEL = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")
_CODES = re.compile(r"[0-9]{3}(?:\s*,\s*[0-9]{3})*|[0-9]{3}-[0-9]{3}")
_CIPHERS = re.compile(r"[A-Za-z0-9\-+!:@=_.]+")
# The v2 API's word for a field of a certificate's subject, such as CN.
_DN_FIELD = re.compile(r"[A-Za-z][A-Za-z0-9-]*")
_URL_REST = re.compile(r"(?:[A-Za-z0-9\-._~!$&'()*+,;=:@/?#\[\]{}|^`\"<>\\]|%)*")


def one_line(text: str) -> str:
    """The text itself. :raises ValueError: when it is not one line of printable text."""
    if found := _UNPRINTABLE.search(text):
        raise ValueError(f"contains the character U+{ord(found[0]):04X}; use printable characters on one line")
    return text


def _full(pattern: re.Pattern[str], what: str) -> AfterValidator:
    def check(text: str) -> str:
        if not pattern.fullmatch(text):
            raise ValueError(f"is not {what}")
        return text

    return AfterValidator(check)


def _text(value: Any) -> Any:
    """YAML reads ``name: 12`` as a number; a text field says so rather than guessing."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        raise ValueError("is a number where text is wanted; put it in quotes")
    return value


def _uuid(value: Any) -> str:
    if isinstance(value, uuid.UUID):
        return str(value)
    if not isinstance(value, str):
        raise ValueError("is not a UUID")
    try:
        return str(uuid.UUID(value))
    except ValueError:
        raise ValueError("is not a UUID; write it as 8-4-4-4-12 hexadecimal digits") from None


def _address(value: str) -> str:
    try:
        address = ipaddress.ip_address(value)
    except ValueError:
        raise ValueError("is not an IPv4 or IPv6 address") from None
    if getattr(address, "scope_id", None):
        raise ValueError("has a scope id; link-local scopes mean nothing to another machine")
    return str(address)


def _member_address(value: str) -> str:
    address = _address(value)
    mapped = getattr(ipaddress.ip_address(address), "ipv4_mapped", None)
    if str(mapped or address) in RESERVED_ADDRESSES:
        raise ValueError("is reserved: the metadata service of clouds answers there; name a server of your own")
    return address


def _netmask(value: str) -> str:
    """One bits first, then zero bits only, as keepalived's persistence_granularity wants it."""
    address = ipaddress.ip_address(_address(value))
    bits = f"{int(address):0{address.max_prefixlen}b}"
    if "01" in bits:
        raise ValueError("is not a netmask such as 255.255.255.0")
    return str(address)


def _cidr(value: str) -> str:
    try:
        return str(ipaddress.ip_network(value, strict=False))
    except ValueError:
        raise ValueError("is not a CIDR such as 192.0.2.0/24") from None


def _host_name(value: str) -> str:
    *labels, last = value.split(".")
    if len(value) > 253 or not _LAST_LABEL.fullmatch(last) or not all(_LABEL.fullmatch(label) for label in labels):
        raise ValueError("is not a host name (RFC 1123; labels of 1 to 63 characters, 253 in all)")
    return value


def _expected_codes(value: str) -> str:
    if not _CODES.fullmatch(value):
        raise ValueError("is neither a list such as 200,202 nor one range such as 200-204")
    codes = re.sub(r"\s", "", value)
    if "-" in codes:
        low, high = codes.split("-")
        if int(low) > int(high):
            raise ValueError("is a range whose end is before its start")
    return codes


def _redirect_url(value: str) -> str:
    try:
        parts = urlsplit(value)
        host, _port = parts.hostname, parts.port
    except ValueError:
        raise ValueError("is not a URL") from None
    if parts.scheme not in ("http", "https") or not host:
        raise ValueError("is not an absolute http or https URL with a host")
    if " " in value or not value.isascii() or not _URL_REST.fullmatch(value):
        raise ValueError("has a blank or a non-ASCII character; percent-encode it")
    return value


#: Addresses that no member may have: the metadata service, which would hand an appliance's
#: credentials to whoever can make it send requests (Octavia's [networking] reserved_ips).
RESERVED_ADDRESSES = frozenset({"169.254.169.254"})

Uuid = Annotated[str, BeforeValidator(_uuid)]
Text = Annotated[str, BeforeValidator(_text), StringConstraints(max_length=255), AfterValidator(one_line)]
Reference = Annotated[str, StringConstraints(min_length=1, max_length=255), AfterValidator(one_line)]
Flag = StrictBool
PortNumber = Annotated[StrictInt, Field(ge=1, le=65535)]
Weight = Annotated[StrictInt, Field(ge=0, le=256)]
ConnectionLimit = Annotated[StrictInt, Field(ge=-1, le=2147483647)]
#: Seconds of a timer: 24 days, as below.
Seconds = Annotated[StrictInt, Field(ge=0, le=2073600)]
#: Seconds that a browser remembers; no timer of ours.
MaximumAge = Annotated[StrictInt, Field(ge=0, le=2147483647)]
#: Milliseconds; 24 days, the limit of HAProxy's timers.
Milliseconds = Annotated[StrictInt, Field(ge=0, le=2073600000)]
Threshold = Annotated[StrictInt, Field(ge=1, le=10)]
Position = Annotated[StrictInt, Field(ge=1, le=2147483647)]
IpAddress = Annotated[str, AfterValidator(_address)]
MemberAddress = Annotated[str, AfterValidator(_member_address)]
Netmask = Annotated[str, AfterValidator(_netmask)]
Cidr = Annotated[str, AfterValidator(_cidr)]
HostName = Annotated[str, StringConstraints(min_length=1, max_length=255), AfterValidator(_host_name)]
HeaderName = Annotated[str, StringConstraints(max_length=255), _full(_TOKEN, "a header name (RFC 9110 token)")]
CookieName = Annotated[str, StringConstraints(max_length=255), _full(_COOKIE_NAME, "a cookie name (RFC 6265)")]
UrlPath = Annotated[
    str,
    StringConstraints(max_length=255),
    _full(_PATH, "a URL path: it starts with / and percent-encodes blanks and non-ASCII (RFC 3986)"),
]
RedirectUrl = Annotated[str, StringConstraints(max_length=255), AfterValidator(_redirect_url)]
ExpectedCodes = Annotated[
    str, BeforeValidator(_text), StringConstraints(max_length=64), AfterValidator(_expected_codes)
]
CipherList = Annotated[
    str,
    StringConstraints(min_length=1, max_length=2048),
    _full(_CIPHERS, "an OpenSSL cipher list (letters, digits and -+!:@=_.)"),
]


def family(address: str) -> str:
    """IPv4 or IPv6, of an address or a network."""
    return "IPv6" if ":" in address else "IPv4"


def is_header_name(text: str) -> bool:
    """Whether the text can name a header or a cookie in a rule (token without quotes)."""
    return bool(_TOKEN.fullmatch(text))


def is_subject_field(text: str) -> bool:
    """Whether the text can name a field of a certificate's subject."""
    return bool(_DN_FIELD.fullmatch(text))


def is_regular_expression(text: str) -> bool:
    """Whether the text compiles."""
    try:
        re.compile(text)
    except re.error:
        return False
    return True
