"""Tells a heartbeat that is new from one that was seen before.

Law: pure. A number is admitted once; numbers may overtake each other within the window. A life of the
agent (epoch) that has been replaced by a later one is over: nothing of it is admitted any more.

The algorithm is that of IPsec's anti-replay window (RFC 4303, appendix A2).
"""

from __future__ import annotations

from dataclasses import dataclass

#: How far behind the newest one a late datagram may be.
WIDTH = 64
_MASK = (1 << WIDTH) - 1


@dataclass(frozen=True, slots=True)
class ReplayWindow:
    """What was seen of one sender; ``seen`` has bit n set when ``newest - n`` was."""

    epoch: int = -1
    newest: int = -1
    seen: int = 0

    def admit(self, epoch: int, sequence: int) -> ReplayWindow | None:
        """The window with this number in it, or None when it is repeated or too old."""
        if epoch != self.epoch:
            return ReplayWindow(epoch, sequence, 1) if epoch > self.epoch else None
        ahead = sequence - self.newest
        if ahead > 0:
            # What is shifted out is too old to be told apart, and is not admitted any more.
            seen = (self.seen << ahead) & _MASK if ahead < WIDTH else 0
            return ReplayWindow(epoch, sequence, seen | 1)
        bit = 1 << -ahead
        if -ahead >= WIDTH or self.seen & bit:
            return None
        return ReplayWindow(epoch, self.newest, self.seen | bit)

    def is_newest(self, epoch: int, sequence: int) -> bool:
        """Whether this number is the newest that was seen: an overtaken one says nothing of now."""
        return (epoch, sequence) == (self.epoch, self.newest)
