"""What is known of every amphora and load balancer, in memory: who was heard when, what they say, what they count.

Law: no I/O; ``now`` is an argument and comes from a clock that never jumps. What has changed since it was
last taken is gathered by amphora and load balancer, so that however many heartbeats come, no more than one
write each is left to do.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from lbdrivers.model.status import OperatingStatus
from lbdrivers_amphora.decide import counting
from lbdrivers_amphora.decide.counting import Counted
from lbdrivers_amphora.decide.failover import EVERYWHERE, Subject
from lbdrivers_amphora.decide.health import Outline, View, is_complete, statuses, view_of_beat
from lbdrivers_amphora.health.findings import Heard, Operating
from lbdrivers_amphora.heartbeat_keys import Way
from lbdrivers_amphora.wire.heartbeat import Header, Heartbeat

#: object id -> status before (None: none was known) and after.
Changed = Mapping[str, tuple[OperatingStatus | None, OperatingStatus]]


@dataclass(frozen=True)
class Expected:
    """An amphora that should be heard. ``way`` is how it was told to speak."""

    amphora_id: str
    load_balancer_id: str
    way: Way = Way.CURRENT


@dataclass(frozen=True)
class Standing:
    """How a load balancer stands with the engine.

    :param generation: of its wanted tree.
    :param pending: whether somebody is bringing it about, or has failed to: what amphorae should report is open.
    :param busy: whether it must not be asked for a failover now.
    """

    generation: int
    pending: bool
    busy: bool


@dataclass
class _Amphora:
    expected: Expected
    since: float
    """When it was first expected."""
    heard: float | None = None
    """When it was last heard and healthy."""
    at: float = 0.0
    """The same on the wall's clock."""
    elsewhere: float | None = None
    """When another health manager was found to have heard it."""
    stamp: float = 0.0
    """What that one wrote."""
    epoch: int = 0
    sequence: int = -1
    view: View | None = None
    counted: Mapping[str, Counted] = field(default_factory=dict)
    asked: float | None = None
    silent: bool = False

    @property
    def last(self) -> float | None:
        """When anybody heard it last; None when nobody ever did."""
        return max(self.heard or 0.0, self.elsewhere or 0.0) or None


@dataclass
class _Balancer:
    amphorae: set[str] = field(default_factory=set)
    standing: Standing | None = None
    zone: str = EVERYWHERE
    """Its availability zone, once its tree was seen."""
    outline: Outline | None = None
    """Of its wanted tree; None when that must be looked at (again)."""
    required: tuple[str, ...] = ()
    """The listeners that each amphora must report; none while that is unknown or open."""
    statuses: Mapping[str, OperatingStatus] = field(default_factory=dict)


@dataclass(frozen=True)
class Changes:
    """What has to be written down."""

    heard: tuple[Heard, ...]
    operating: tuple[Operating, ...]


class Watch:
    """The memory of a health manager.

    :param timeout: seconds after which what an amphora said counts no more.
    """

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout
        self._amphorae: dict[str, _Amphora] = {}
        self._balancers: dict[str, _Balancer] = {}
        self._touched: set[str] = set()
        self._unsettled: set[str] = set()
        self._changed: set[str] = set()
        self.incomplete: set[str] = set()

    # -- what is expected -------------------------------------------------------------------------

    def expect(self, expected: Iterable[Expected], standings: Mapping[str, Standing], now: float) -> None:
        """Watch these amphorae and no others."""
        wanted = {one.amphora_id: one for one in expected}
        for name in self._amphorae.keys() - wanted.keys():
            gone = self._amphorae.pop(name)
            self._touched.discard(name)
            self.incomplete.discard(name)
            self._unsettled.add(gone.expected.load_balancer_id)
        for name, one in wanted.items():
            known = self._amphorae.get(name)
            if known is None:
                self._amphorae[name] = _Amphora(one, now)
            elif known.expected != one:
                known.expected = one
        members: dict[str, set[str]] = {}
        for name, one in wanted.items():
            members.setdefault(one.load_balancer_id, set()).add(name)
        for identity in self._balancers.keys() - members.keys():
            del self._balancers[identity]
        for identity, amphorae in members.items():
            balancer = self._balancers.setdefault(identity, _Balancer())
            standing = standings.get(identity)
            if balancer.standing != standing or balancer.amphorae != amphorae:
                balancer.standing, balancer.required, balancer.outline = standing, (), None
                self._unsettled.add(identity)
            balancer.amphorae = amphorae
        self._unsettled &= self._balancers.keys()

    def restore(self, heard: Iterable[Heard], operating: Iterable[Operating]) -> None:
        """Take up what an earlier life wrote down. Nobody counts as heard by that."""
        for one in heard:
            amphora = self._amphorae.get(one.amphora_id)
            if amphora is not None:
                amphora.counted, amphora.at, amphora.silent = one.counted, one.at, one.silent
                amphora.epoch, amphora.sequence = one.epoch, one.sequence
        for found in operating:
            balancer = self._balancers.get(found.load_balancer_id)
            if balancer is not None:
                balancer.statuses = found.statuses

    # -- what is heard ----------------------------------------------------------------------------

    def hear(self, beat: Heartbeat | Header, now: float, wall: float) -> None:
        """One heartbeat, of an amphora that is expected; of others nothing is kept."""
        amphora = self._amphorae.get(beat.amphora_id)
        if amphora is None:
            return
        if beat.epoch or not amphora.epoch:
            # In Octavia's form there is no epoch; what was heard in ours before must not be heard again.
            amphora.epoch, amphora.sequence = beat.epoch, beat.sequence
        balancer = self._balancers[amphora.expected.load_balancer_id]
        if isinstance(beat, Header):
            # Under overload only this is known: it lives, and was healthy when it was last looked at.
            if beat.amphora_id in self.incomplete:
                return
        else:
            self._listen(amphora, beat)
            if not all(listener in beat.listeners for listener in balancer.required):
                self.incomplete.add(beat.amphora_id)
                self._touched.add(beat.amphora_id)
                return
            self.incomplete.discard(beat.amphora_id)
        if amphora.silent:
            amphora.silent, amphora.asked = False, None
            self._unsettled.add(amphora.expected.load_balancer_id)
        amphora.heard, amphora.at = now, wall
        self._touched.add(beat.amphora_id)

    def _listen(self, amphora: _Amphora, beat: Heartbeat) -> None:
        amphora.counted = counting.count_all(amphora.counted, beat)
        view = amphora.view
        # Compared first by what may be long: in a steady fleet this is all that is done about states.
        if view is None or view.pools != beat.pools or view.holds_vip != beat.holds_vip or _words(view, beat):
            amphora.view = view_of_beat(beat)
            self._unsettled.add(amphora.expected.load_balancer_id)

    def heard_elsewhere(self, found: Heard, now: float) -> bool:
        """This is what was written of an amphora last: if neither we wrote it nor was it there when we looked last,
        another health manager has heard it since. Clocks of several machines are not compared.

        :returns: whether that is so.
        """
        amphora = self._amphorae.get(found.amphora_id)
        if amphora is None or found.silent or found.at in (amphora.at, amphora.stamp):
            return False
        amphora.stamp, amphora.elsewhere = found.at, now
        return True

    # -- what follows -----------------------------------------------------------------------------

    def wanting_trees(self) -> tuple[str, ...]:
        """Load balancers whose statuses must be found and whose tree must be looked at for it.

        One that was never heard has nothing to be found; looking at its tree would be for nothing.
        """
        return tuple(
            one
            for one in self._unsettled
            if self._balancers[one].outline is None and self._is_heard(self._balancers[one])
        )

    def _is_heard(self, balancer: _Balancer) -> bool:
        return balancer.standing is not None and any(self._amphorae[name].view for name in balancer.amphorae)

    def look(self, outline: Outline) -> None:
        """This is the tree of its load balancer."""
        balancer = self._balancers.get(outline.id)
        if balancer is None or balancer.standing is None:
            return
        balancer.outline, balancer.zone = outline, outline.zone or EVERYWHERE
        balancer.required = () if balancer.standing.pending else outline.required

    def settle(self, now: float, most: int = 1 << 30) -> Changed:
        """Find the statuses that may have changed, of so many load balancers; those that did, by object id."""
        changed: dict[str, tuple[OperatingStatus | None, OperatingStatus]] = {}
        ready = [one for one in self._unsettled if self._balancers[one].outline is not None]
        for identity in ready[:most]:
            self._unsettled.discard(identity)
            changed |= self._settle(identity, self._balancers[identity], now)
        return changed

    @property
    def waiting(self) -> int:
        """Load balancers whose statuses could be found now."""
        return sum(self._balancers[one].outline is not None for one in self._unsettled)

    def _settle(self, identity: str, balancer: _Balancer, now: float) -> Changed:
        if balancer.outline is None or not self._is_heard(balancer):
            return {}
        views = self._views(balancer.outline, balancer, now)
        if self._is_told_elsewhere(balancer, views, now):
            return {}
        found, before = statuses(balancer.outline, views, balancer.statuses), balancer.statuses
        changed = {one: (before.get(one), status) for one, status in found.items() if before.get(one) is not status}
        if changed or before.keys() != found.keys():
            balancer.statuses = found
            self._changed.add(identity)
        return changed

    def _is_told_elsewhere(self, balancer: _Balancer, views: Iterable[View], now: float) -> bool:
        """Whether the one that is to be believed speaks to another health manager, whose word this is then."""
        if any(view.holds_vip for view in views):
            return False
        others = (self._amphorae[name].elsewhere for name in balancer.amphorae)
        return any(heard is not None and now - heard <= self._timeout for heard in others)

    def _views(self, outline: Outline, balancer: _Balancer, now: float) -> list[View]:
        """What counts: said by amphorae that are not silent, if they report all listeners; else by any of them."""
        fresh = []
        for name in sorted(balancer.amphorae):
            amphora = self._amphorae[name]
            recent = amphora.heard is not None and now - amphora.heard <= self._timeout
            if amphora.view is not None and (recent or name in self.incomplete):
                fresh.append(amphora.view)
        pending = balancer.standing is None or balancer.standing.pending
        return [view for view in fresh if is_complete(outline, view, pending=pending)] or fresh

    def subjects(self, now: float, beyond: float = -1.0) -> tuple[tuple[Subject, ...], Counter[str]]:
        """Those that have not been heard for so many seconds, as a decision about failovers wants them; and how many
        others there are, by zone. Of a large fleet these are nearly all, so that no more is made of them."""
        quiet = {name: one for name, one in self._amphorae.items() if now - (one.last or one.since) > beyond}
        others: Counter[str] = Counter()
        for balancer in self._balancers.values():
            others[balancer.zone] += len(balancer.amphorae)
        found = tuple(self._subject(name, one, now) for name, one in quiet.items())
        others.subtract(one.zone for one in found)
        return found, others

    def _subject(self, name: str, amphora: _Amphora, now: float) -> Subject:
        balancer, last = self._balancers[amphora.expected.load_balancer_id], amphora.last
        return Subject(
            name,
            amphora.expected.load_balancer_id,
            balancer.zone,
            now - (last or amphora.since),
            heard=last is not None,
            asked=None if amphora.asked is None else now - amphora.asked,
            busy=balancer.standing is None or balancer.standing.busy or amphora.expected.way is Way.OTHER,
        )

    def mark_silent(self, amphorae: Iterable[str]) -> bool:
        """These have been found silent: their word counts no more. :returns: whether that is new of any."""
        fresh = False
        for name in amphorae:
            amphora = self._amphorae[name]
            if not amphora.silent:
                fresh = amphora.silent = True
                self.incomplete.discard(name)
                self._touched.add(name)
                self._unsettled.add(amphora.expected.load_balancer_id)
        return fresh

    def mark_asked(self, amphora_id: str, now: float) -> None:
        """A failover of this one has been asked for."""
        self._amphorae[amphora_id].asked = now

    def take_changes(self) -> Changes:
        """What has changed since this was asked last."""
        touched, self._touched = self._touched, set()
        changed, self._changed = self._changed, set()
        return Changes(
            tuple(self._heard(name, self._amphorae[name]) for name in touched if name in self._amphorae),
            tuple(Operating(one, self._balancers[one].statuses) for one in changed if one in self._balancers),
        )

    def give_back(self, changes: Changes) -> None:
        """These could not be written: they have changed still."""
        self._touched.update(one.amphora_id for one in changes.heard if one.amphora_id in self._amphorae)
        self._changed.update(
            one.load_balancer_id for one in changes.operating if one.load_balancer_id in self._balancers
        )

    def spoken(self) -> Counter[Way]:
        """How many were told to speak in which way."""
        return Counter(one.expected.way for one in self._amphorae.values())

    def __len__(self) -> int:
        return len(self._amphorae)

    @staticmethod
    def _heard(name: str, amphora: _Amphora) -> Heard:
        view = amphora.view
        return Heard(
            name,
            amphora.expected.load_balancer_id,
            amphora.at,
            amphora.epoch,
            amphora.sequence,
            None if view is None else view.holds_vip,
            amphora.silent,
            amphora.counted,
        )


def _words(view: View, beat: Heartbeat) -> bool:
    """Whether a listener is called otherwise than before."""
    said = view.listeners
    return len(said) != len(beat.listeners) or any(
        said.get(name) != listener.status for name, listener in beat.listeners.items()
    )
