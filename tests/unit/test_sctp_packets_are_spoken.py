"""SCTP's INIT and its answers, byte by byte (RFC 9260)."""

from __future__ import annotations

import struct

import pytest

from lbdrivers_amphora.agent.sctp import Answer, abort, answer, crc32c, init

_OWN, _PORT, _TAG = 50000, 3868, 0x01020304


def _reply(chunk: bytes, ports: tuple[int, int] = (_PORT, _OWN), tag: int = _TAG) -> bytes:
    return struct.pack("!HHLL", *ports, tag, 0) + chunk


_INIT_ACK = struct.pack("!BBHLLHHL", 2, 0, 20, 0x0A0B0C0D, 1, 1, 1, 1)


@pytest.mark.parametrize(
    ("data", "checksum"),
    # RFC 3720, appendix B.4, and the check value of CRC-32C.
    [(bytes(32), 0x8A9136AA), (b"\xff" * 32, 0x62A8AB43), (bytes(range(32)), 0x46DD794E), (b"123456789", 0xE3069283)],
)
def test_the_checksum_is_castagnolis(data: bytes, checksum: int) -> None:
    assert crc32c(data) == checksum


def test_an_init_asks_for_one_association() -> None:
    packet = init(_OWN, _PORT, _TAG)
    assert struct.unpack("!HHL", packet[:8]) == (_OWN, _PORT, 0)
    assert struct.unpack("!BBHL", packet[12:20]) == (1, 0, 20, _TAG)
    assert struct.unpack("<L", packet[8:12])[0] == crc32c(packet[:8] + bytes(4) + packet[12:])
    assert len(packet) == 32


def test_an_abort_has_the_other_sides_tag() -> None:
    assert struct.unpack("!HHL", abort(_OWN, _PORT, 7)[:8]) == (_OWN, _PORT, 7)
    assert abort(_OWN, _PORT, 7)[12:] == b"\x06\x00\x00\x04"


@pytest.mark.parametrize(
    ("chunk", "expected"),
    [
        (_INIT_ACK, (Answer.ACCEPTED, 0x0A0B0C0D)),
        (b"\x06\x00\x00\x04", (Answer.REFUSED, 0)),
        (b"\x03\x00\x00\x04", (Answer.OTHER, 0)),
        (_INIT_ACK[:10], (Answer.OTHER, 0)),
    ],
)
def test_an_answer_is_understood(chunk: bytes, expected: tuple[Answer, int]) -> None:
    assert answer(_reply(chunk), _OWN, _PORT, _TAG) == expected


@pytest.mark.parametrize(
    "packet",
    [
        b"",
        _reply(b""),
        _reply(_INIT_ACK, tag=_TAG + 1),
        _reply(_INIT_ACK, ports=(_OWN, _PORT)),
        _reply(_INIT_ACK, ports=(_PORT, _OWN + 1)),
        init(_OWN, _PORT, _TAG),
    ],
)
def test_what_is_not_for_us_is_passed_over(packet: bytes) -> None:
    assert answer(packet, _OWN, _PORT, _TAG) is None
