"""Checks a member that keepalived itself cannot: ``amphora-health-checker sctp -t SECONDS ADDRESS PORT``.

Law: the exit status is the verdict, as that of Octavia's program of this name: 0 the member accepts an
association, 1 it refuses, 2 it is silent, 3 it says something else. Nothing is left open at the member.
"""

from __future__ import annotations

import argparse
import secrets
import socket
import sys
import time

from lbdrivers_amphora.agent import sctp

_SILENT = 2
_LONGEST_PACKET = 65535
_EPHEMERAL = range(49152, 65536)


def check_sctp(address: str, port: int, seconds: float) -> int:
    """The exit status. Works without SCTP in the kernel, as it speaks it itself."""
    own, tag = secrets.choice(_EPHEMERAL), secrets.randbits(31) + 1
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    deadline = time.monotonic() + seconds
    with socket.socket(family, socket.SOCK_RAW, socket.IPPROTO_SCTP) as raw:
        try:
            raw.connect((address, 0))
            raw.send(sctp.init(own, port, tag))
            while (left := deadline - time.monotonic()) > 0:
                raw.settimeout(left)
                packet = raw.recv(_LONGEST_PACKET)
                found = sctp.answer(_payload(packet, family), own, port, tag)
                if found is not None:
                    verdict, other = found
                    if verdict is sctp.Answer.ACCEPTED:
                        raw.send(sctp.abort(own, port, other))
                    return verdict.value
        except TimeoutError:
            return _SILENT
        except OSError as error:
            # ICMP says that nobody is there, or nobody who speaks SCTP.
            sys.stderr.write(f"{address} port {port}: {error}\n")
            return sctp.Answer.REFUSED.value
    return _SILENT


def _payload(packet: bytes, family: socket.AddressFamily) -> bytes:
    """Behind the header of IPv4, which raw sockets give along (raw(7))."""
    return packet[(packet[0] & 15) * 4 :] if family == socket.AF_INET and packet else packet


def main() -> None:
    """See above."""
    parser = argparse.ArgumentParser(prog="amphora-health-checker", description=__doc__.partition("\n")[0])
    kinds = parser.add_subparsers(required=True)
    kind = kinds.add_parser("sctp")
    kind.add_argument("-t", "--timeout", type=float, default=3.0)
    kind.add_argument("address")
    kind.add_argument("port", type=int)
    given = parser.parse_args()
    sys.exit(check_sctp(given.address, given.port, given.timeout))


if __name__ == "__main__":
    main()
