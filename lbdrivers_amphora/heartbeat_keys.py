"""Keys of heartbeats: one for each amphora, derived from the master key; what is no key; who was told which.

Law: an amphora's key says nothing of the master key or of other amphorae's (HKDF, RFC 5869), so who
breaks into one appliance speaks for that one alone.
"""

from __future__ import annotations

import enum

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from lbdrivers.errors import InvalidInput, Problem
from lbdrivers.model.secret import Secret

#: Bytes; as many as the hash gives.
_LENGTH = 32
_PURPOSE = b"lbdrivers heartbeat 1 "
_FINGERPRINTS = b"lbdrivers heartbeat fingerprint 1 "
#: Bytes of a fingerprint.
_FINGERPRINT = 8
MINIMUM_LENGTH = 32
#: Keys out of examples and installation guides, which are keys for nobody.
KNOWN_EXAMPLES = frozenset({"insecure", "insecure-key-do-not-use-this-key", "default_heartbeat_key_0123456789"})


class Way(enum.StrEnum):
    """In which way an amphora was told to send heartbeats, as we are configured.

    PREVIOUS: it was not told the current one yet. OTHER: somebody told it one that we do not know.
    """

    CURRENT = "current"
    PREVIOUS = "previous"
    OTHER = "other"


def amphora_key(master: Secret, amphora_id: str) -> Secret:
    """The key of one amphora, as text in hex: the agent uses the text's bytes, as it does a shared key's."""
    derived = HKDF(SHA256(), _LENGTH, salt=None, info=_PURPOSE + amphora_id.lower().encode()).derive(master.reveal())
    return Secret(derived.hex().encode())


def fingerprint(master: Secret, form: str) -> str:
    """What tells this key, used in this form, from others, and says nothing of it."""
    derived = HKDF(SHA256(), _FINGERPRINT, salt=None, info=_FINGERPRINTS + form.encode()).derive(master.reveal())
    return f"{form}-{derived.hex()}"


def check_key(key: str, *, weak_allowed: bool, option: str = "heartbeat_key") -> Secret:
    """The key, fit to be used.

    :param option: that it stands in.
    :raises InvalidInput: when it is short or out of an example, unless that is allowed.
    """
    where = f"[health_manager] {option}"
    remedy = "set a random one: openssl rand -hex 32"
    if not key:
        raise InvalidInput((Problem(where, "", "is not set", remedy),))
    if not weak_allowed:
        if key.lower() in KNOWN_EXAMPLES or len(set(key)) < 8:
            raise InvalidInput((Problem(where, "", "is an example that everybody knows", remedy),))
        if len(key) < MINIMUM_LENGTH:
            message = f"has {len(key)} characters, {MINIMUM_LENGTH} are needed"
            raise InvalidInput((Problem(where, "", message, remedy),))
    return Secret(key.encode())
