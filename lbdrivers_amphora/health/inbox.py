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
    """Why a datagram does not count. OUTDATED: in the previous way, of an amphora that was told the current one."""

    MALFORMED = "malformed"
    OTHER_FORM = "other_form"
    UNKNOWN = "unknown"
    FORGED = "forged"
    OUTDATED = "outdated"
    REPLAYED = "replayed"
    OVERTAKEN = "overtaken"


#: Strangers that are remembered until somebody asks for them.
_STRANGERS = 1000


class _Speakers:
    """Who may speak, and what was heard of them, in whichever way; and who has spoken with a key of ours besides."""

    def __init__(self) -> None:
        self.known: frozenset[str] = frozenset()
        self.windows: dict[str, ReplayWindow] = {}
        self.strangers: set[str] = set()

    def note_stranger(self, name: str) -> None:
        """Somebody who is not known has a key of ours."""
        if len(self.strangers) < _STRANGERS:
            self.strangers.add(name)


class _Way:
    """Understands one form with one key.

    :param reason: why those who may not speak in this way do not count.
    """

    def __init__(self, settings: HeartbeatSettings, speakers: _Speakers, reason: Drop) -> None:
        self.form = settings.form
        self.allowed: frozenset[str] = frozenset()
        self._settings = settings
        self._speakers = speakers
        self._reason = reason
        self._shared = settings.key.reveal() if settings.form is Form.OCTAVIA and settings.key else b""
        self._keys: dict[str, bytes] = {}

    def allow(self, amphorae: frozenset[str]) -> None:
        """These and no others."""
        self.allowed = amphorae
        self._keys = {name: key for name, key in self._keys.items() if name in amphorae}

    def judge(self, datagram: bytes, alive_only: bool) -> Heartbeat | Header | Drop:
        """What a datagram of this form proves."""
        return self._own(datagram, alive_only) if self.form is Form.OWN else self._octavia(datagram)

    def _own(self, datagram: bytes, alive_only: bool) -> Heartbeat | Header | Drop:
        header = heartbeat.header_of(datagram)
        name = header.amphora_id
        if name not in self.allowed:
            if name in self._speakers.known:
                return self._reason
            if heartbeat.is_authentic_own(datagram, self._settings.key_of(name).reveal()):
                self._speakers.note_stranger(name)
            return Drop.UNKNOWN
        window = self._speakers.windows.get(name, ReplayWindow())
        after = window.admit(header.epoch, header.sequence)
        if after is None:
            return Drop.REPLAYED
        if not heartbeat.is_authentic_own(datagram, self._key(name)):
            return Drop.FORGED
        beat = header if alive_only else heartbeat.open_own(datagram, header)
        self._speakers.windows[name] = after
        # A late one says nothing of now, and its totals are in the one that has overtaken it.
        return beat if after.is_newest(header.epoch, header.sequence) else Drop.OVERTAKEN

    def _octavia(self, datagram: bytes) -> Heartbeat | Drop:
        stream = heartbeat.stream_octavia(datagram, self._shared)
        if stream is None:
            return Drop.FORGED
        beat = heartbeat.open_octavia(stream)
        if beat.amphora_id in self.allowed:
            return beat
        if beat.amphora_id in self._speakers.known:
            return self._reason
        self._speakers.note_stranger(beat.amphora_id)
        return Drop.UNKNOWN

    def _key(self, amphora_id: str) -> bytes:
        key = self._keys.get(amphora_id)
        if key is None:
            key = self._keys[amphora_id] = self._settings.key_of(amphora_id).reveal()
        return key


class Inbox:
    """Takes datagrams and gives what they prove.

    While amphorae change over to another form or key, those that were not told yet are understood in the previous way,
    too; of one that was told, nothing but the current way counts, so that nobody who has the previous key, or has
    recorded what was said with it, can speak for it.

    ``dropped`` counts by reason; ``accepted`` counts the rest.
    """

    def __init__(self, settings: HeartbeatSettings) -> None:
        self._speakers = _Speakers()
        self._current = _Way(settings, self._speakers, Drop.UNKNOWN)
        self._previous = None if settings.previous is None else _Way(settings.previous, self._speakers, Drop.OUTDATED)
        self.accepted = 0
        self.dropped: Counter[Drop] = Counter()

    def counts(self) -> dict[str, int]:
        """Datagrams by what became of them."""
        return {"accepted": self.accepted, **{reason.value: number for reason, number in self.dropped.items()}}

    def take_strangers(self) -> frozenset[str]:
        """Who is not known and has spoken with a key of ours, since this was asked last; a thousand at most."""
        found, self._speakers.strangers = frozenset(self._speakers.strangers), set()
        return found

    def know(
        self,
        amphorae: Iterable[str],
        floors: Mapping[str, tuple[int, int]] | None = None,
        untold: Iterable[str] = (),
    ) -> None:
        """Let these amphorae and no others speak.

        :param floors: epoch and sequence that were heard before this process began; nothing up to them counts.
        :param untold: those that may speak in the previous way still.
        """
        speakers = self._speakers
        known = speakers.known = frozenset(amphorae)
        speakers.windows = {name: window for name, window in speakers.windows.items() if name in known}
        self._current.allow(known)
        if self._previous is not None:
            self._previous.allow(known & frozenset(untold))
        for name, (epoch, sequence) in (floors or {}).items():
            if name in known:
                speakers.windows.setdefault(name, ReplayWindow(epoch, sequence, -1 & (1 << 64) - 1))

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
        current, previous = self._current, self._previous
        form = heartbeat.form_of(datagram)
        found: Heartbeat | Header | Drop = Drop.OTHER_FORM
        try:
            if form is current.form:
                found = current.judge(datagram, alive_only)
                if found not in (Drop.FORGED, Drop.UNKNOWN):
                    return found
            if previous is not None and form is previous.form:
                earlier = previous.judge(datagram, alive_only)
                # An unknown one stays that: it was asked for the previous key, too, so as to be remembered by it. With
                # one form, what is neither the one nor the other's is forged, of whomever it speaks.
                if found is Drop.OTHER_FORM or (found is Drop.FORGED and earlier is not Drop.OUTDATED):
                    found = earlier
        except Malformed:
            return Drop.MALFORMED
        return found
