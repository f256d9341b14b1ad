"""A small server for demonstrations and tests: TCP and UDP on one port, IPv4 and IPv6.

To every line, and every datagram, it answers with its name and the address of whoever asked.

Usage: member.py NAME PORT
"""

from __future__ import annotations

import asyncio
import sys
from typing import cast


def answer(name: str, source: str) -> bytes:
    """What is said to somebody there."""
    return f"{name} {source.removeprefix('::ffff:')}\n".encode()


class Datagrams(asyncio.DatagramProtocol):
    """Answers each datagram."""

    def __init__(self, name: str) -> None:
        self._name = name

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio."""
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, source: tuple[str, int]) -> None:  # noqa: ARG002 asyncio's signature
        """See asyncio."""
        self._transport.sendto(answer(self._name, source[0]), source)


async def serve(name: str, port: int) -> None:
    """Serve until ended."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.readline():
            writer.write(answer(name, writer.get_extra_info("peername")[0]))
            await writer.drain()
        writer.close()

    loop = asyncio.get_running_loop()
    await loop.create_datagram_endpoint(lambda: Datagrams(name), local_addr=("::", port))
    # None: every family has a socket of its own.
    server = await asyncio.start_server(talk, None, port, backlog=1024)
    print("ready", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1], int(sys.argv[2])))
