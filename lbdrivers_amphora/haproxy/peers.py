"""The name by which an amphora's HAProxy is known to its fellows.

Law: controller and agent compute it independently and must agree: the controller writes it into the
peers section, the agent starts HAProxy with ``-L <name>``. Octavia's amphorae use the same names.
"""

from __future__ import annotations

import base64
import hashlib


def peer_name(amphora_id: str) -> str:
    """SHA-1 of the id in URL-like base64 without padding; a leading dash would look like an option."""
    digest = hashlib.sha1(amphora_id.encode(), usedforsecurity=False).digest()
    text = base64.b64encode(digest, altchars=b"_-").decode().rstrip("=")
    return "x" + text[1:] if text.startswith("-") else text
