"""SCTP packets of a health check: an INIT that asks for an association, and what its answer means.

Law: pure. Only an answer to our own INIT counts: it comes back with the ports swapped and with the tag that the
INIT gave away.

Source: RFC 9260, sections 3 (packets and chunks), 6.8 and appendix A (CRC32c).
"""

from __future__ import annotations

import enum
import struct

_HEADER = struct.Struct("!HHLL")
_CHUNK = struct.Struct("!BBH")
# Initiate tag, receiver's window, streams out, streams in, first sequence number.
_INIT = struct.Struct("!LLHHL")
_INIT_CHUNK, _INIT_ACK_CHUNK, _ABORT_CHUNK = 1, 2, 6
_WINDOW, _STREAMS = 65536, 1
_POLYNOMIAL = 0x82F63B78


class Answer(enum.Enum):
    """What came back. The values are exit statuses, as Octavia's checker has them."""

    ACCEPTED = 0
    REFUSED = 1
    OTHER = 3


def crc32c(data: bytes) -> int:
    """The checksum of SCTP (Castagnoli)."""
    value = 0xFFFFFFFF
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ (_POLYNOMIAL if value & 1 else 0)
    return value ^ 0xFFFFFFFF


def _packet(source: int, target: int, tag: int, chunk: bytes) -> bytes:
    checksum = crc32c(_HEADER.pack(source, target, tag, 0) + chunk)
    # The one number in an SCTP packet that is written with its low byte first.
    swapped = int.from_bytes(checksum.to_bytes(4, "little"), "big")
    return _HEADER.pack(source, target, tag, swapped) + chunk


def init(source: int, target: int, tag: int) -> bytes:
    """A packet that asks for an association; answers carry ``tag``, which is not 0."""
    body = _INIT.pack(tag, _WINDOW, _STREAMS, _STREAMS, tag)
    return _packet(source, target, 0, _CHUNK.pack(_INIT_CHUNK, 0, _CHUNK.size + _INIT.size) + body)


def abort(source: int, target: int, tag: int) -> bytes:
    """A packet that ends what the other side began; ``tag`` is its own."""
    return _packet(source, target, tag, _CHUNK.pack(_ABORT_CHUNK, 0, _CHUNK.size))


def answer(packet: bytes, source: int, target: int, tag: int) -> tuple[Answer, int] | None:
    """What the packet says to our INIT, and the other side's tag (0 for none); None when it is not for us."""
    if len(packet) < _HEADER.size + _CHUNK.size:
        return None
    if _HEADER.unpack_from(packet)[:3] != (target, source, tag):
        return None
    kind, _, _ = _CHUNK.unpack_from(packet, _HEADER.size)
    place = _HEADER.size + _CHUNK.size
    if kind == _INIT_ACK_CHUNK and len(packet) >= place + _INIT.size:
        return Answer.ACCEPTED, int(_INIT.unpack_from(packet, place)[0])
    return (Answer.REFUSED if kind == _ABORT_CHUNK else Answer.OTHER), 0
