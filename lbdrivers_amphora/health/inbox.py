"""Which datagrams count: each is authenticated, in order, and of an amphora that is known, or dropped by name.

Law: no I/O, no clock. Nothing is unpacked before it is proved; what fails, fails at its cheapest check, so
that a bad datagram never costs more than a good one.
"""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Iterable, Mapping

from lbdrivers_amphora.heartbeat_settings import HeartbeatSettings
from lbdrivers_amphora.wire import heartbeat
from lbdrivers_amphora.wire.fields import Malformed
from lbdrivers_amphora.wire.heartbeat import Form, Header, Heartbeat
from lbdrivers_amphora.wire.replay import ReplayWindow


class Drop(enum.StrEnum):
    """Why a datagram does not count."""

    MALFORMED = "malformed"
    OTHER_FORM = "other_form"
    UNKNOWN = "unknown"
    FORGED = "forged"
    REPLAYED = "replayed"
    OVERTAKEN = "overtaken"


class Inbox:
    """Takes datagrams and gives what they prove.

    ``dropped`` counts by reason; ``accepted`` counts the rest.
    """

    def __init__(self, settings: HeartbeatSettings) -> None:
        self._settings = settings
        self._shared = settings.key.reveal() if settings.form is Form.OCTAVIA and settings.key else b""
        self._keys: dict[str, bytes] = {}
        self._windows: dict[str, ReplayWindow] = {}
        self._known: frozenset[str] = frozenset()
        self.accepted = 0
        self.dropped: Counter[Drop] = Counter()

    def counts(self) -> dict[str, int]:
        """Datagrams by what became of them."""
        return {"accepted": self.accepted, **{reason.value: number for reason, number in self.dropped.items()}}

    def know(self, amphorae: Iterable[str], floors: Mapping[str, tuple[int, int]] | None = None) -> None:
        """Let these amphorae and no others speak.

        :param floors: epoch and sequence that were heard before this process began; nothing up to them counts.
        """
        self._known = frozenset(amphorae)
        self._keys = {name: key for name, key in self._keys.items() if name in self._known}
        self._windows = {name: window for name, window in self._windows.items() if name in self._known}
        for name, (epoch, sequence) in (floors or {}).items():
            if name in self._known:
                self._windows.setdefault(name, ReplayWindow(epoch, sequence, -1 & (1 << 64) - 1))

    def take(self, datagram: bytes, *, alive_only: bool = False) -> Heartbeat | Header | None:
        """What the datagram proves, or None when it is dropped.

        :param alive_only: be content with the proof that the amphora lives, where the form allows it.
        """
        found = self._judge(datagram, alive_only)
        if isinstance(found, Drop):
            self.dropped[found] += 1
            return None
        self.accepted += 1
        return found

    def _judge(self, datagram: bytes, alive_only: bool) -> Heartbeat | Header | Drop:
        if heartbeat.form_of(datagram) is not self._settings.form:
            return Drop.OTHER_FORM
        try:
            return self._own(datagram, alive_only) if self._settings.form is Form.OWN else self._octavia(datagram)
        except Malformed:
            return Drop.MALFORMED

    def _own(self, datagram: bytes, alive_only: bool) -> Heartbeat | Header | Drop:
        header = heartbeat.header_of(datagram)
        name = header.amphora_id
        if name not in self._known:
            return Drop.UNKNOWN
        window = self._windows.get(name, ReplayWindow())
        after = window.admit(header.epoch, header.sequence)
        if after is None:
            return Drop.REPLAYED
        if not heartbeat.is_authentic_own(datagram, self._key(name)):
            return Drop.FORGED
        beat = header if alive_only else heartbeat.open_own(datagram, header)
        self._windows[name] = after
        # A late one says nothing of now, and its totals are in the one that has overtaken it.
        return beat if after.is_newest(header.epoch, header.sequence) else Drop.OVERTAKEN

    def _octavia(self, datagram: bytes) -> Heartbeat | Drop:
        stream = heartbeat.stream_octavia(datagram, self._shared)
        if stream is None:
            return Drop.FORGED
        beat = heartbeat.open_octavia(stream)
        return beat if beat.amphora_id in self._known else Drop.UNKNOWN

    def _key(self, amphora_id: str) -> bytes:
        key = self._keys.get(amphora_id)
        if key is None:
            key = self._keys[amphora_id] = self._settings.key_of(amphora_id).reveal()
        return key
