"""JSON-RPC to a database server, read with Python's own JSON parser.

Without its optional C part, the ovs library reads JSON character by character in Python; that is most of what a
connection costs. Law: only how text becomes messages is ours; reconnecting, probing and the protocol are the library's.
"""

from __future__ import annotations

import codecs
import errno
import json
from typing import Any

from ovs import jsonrpc
from ovs.stream import Stream

from lbdrivers.errors import TemporaryError

#: Bytes that are read at once.
_CHUNK = 65536


class QuickConnection(jsonrpc.Connection):  # type: ignore[misc] # the library has no types
    """The library's connection but for ``recv``."""

    input: str

    def __init__(self, stream: Any) -> None:
        super().__init__(stream)
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._complete = False

    def recv(self) -> tuple[int, Any]:
        """See the library: an error number and None, or 0 and a message."""
        while not self.status:
            found = self._message() if self._complete else None
            if found is not None:
                return 0, found
            self._complete = False
            if self.status:
                break
            error, data = self.stream.recv(_CHUNK)
            if error == errno.EAGAIN:
                return error, None
            if error or not data:
                self.error(error or jsonrpc.EOF)
                break
            self.received_bytes += len(data)
            try:
                self.input += self._decoder.decode(data)
            except UnicodeDecodeError:
                self.error(errno.EILSEQ)
            # Messages are objects: only where one may end here, it is worth parsing.
            self._complete = data.endswith(b"}")
        return self.status, None

    def recv_wait(self, poller: Any) -> None:
        """See the library."""
        if self.status or self._complete:
            poller.immediate_wake()
        else:
            self.stream.recv_wait(poller)

    def _message(self) -> Any:
        """The first message of what was received; None when there is none yet, or it is none at all."""
        text = self.input.lstrip()
        if not text:
            self.input = ""
            return None
        try:
            value, end = _DECODER.raw_decode(text)
        except json.JSONDecodeError:
            return None
        self.input = text[end:]
        message = jsonrpc.Message.from_json(value)
        if not isinstance(message, jsonrpc.Message):
            self.error(errno.EPROTO)
            return None
        return message


_DECODER = json.JSONDecoder()


class QuickSession(jsonrpc.Session):  # type: ignore[misc] # the library has no types
    """The library's session, whose connections are quick ones."""

    rpc: Any

    @classmethod
    def instead_of(cls, session: Any) -> QuickSession:
        """What the library has opened and not yet used."""
        found = cls(session.reconnect, None, session.remotes)
        found.next_remote = session.next_remote
        return found

    def run(self) -> None:
        """See the library."""
        super().run()
        if self.rpc is not None and not isinstance(self.rpc, QuickConnection):
            self.rpc = QuickConnection(self.rpc.stream)


def fetch_schema(remote: str, schema: str, timeout: float) -> Any:
    """The schema of a database, from the first of its servers that answers.

    :param timeout: seconds for each server to be reached.
    :raises TemporaryError: when none does.
    """
    causes = []
    for server in remote.split(","):
        error, stream = Stream.open_block(Stream.open(server), round(timeout * 1000))
        if error:
            causes.append(f"{server}: {errno.errorcode.get(error, error)}")
            continue
        connection = QuickConnection(stream)
        request = jsonrpc.Message.create_request("get_schema", [schema])
        error, reply = connection.transact_block(request)
        connection.close()
        if not error and not reply.error:
            return reply.result
        causes.append(f"{server}: {errno.errorcode.get(error, error) if error else reply.error}")
    raise TemporaryError("OVN's database does not answer", f"{schema} cannot be read: {'; '.join(causes)}")
