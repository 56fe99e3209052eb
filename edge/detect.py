"""Pure: one detector per device and rule turns readings into revisions of events.

A sample is a reading flagged 1, 2 or 3. Missing (9) and failed (4) readings neither confirm, clear nor withdraw.

========== ==================================================================================================
revision   made when
========== ==================================================================================================
suspect    the first sample over the threshold
confirmed  the run of samples over the threshold reached the rule's ``samples`` and lasted its ``hold``. Revision 1
           where one sample is enough
withdrawn  a suspect's next sample is not over the threshold; the next crossing is a new event
updated    the peak moved by a tenth since the last revision, at most once a minute; or the clock was set by a minute
ended      a sample at least ``clear_hold`` after the first one of an unbroken run of clear samples. A sample that is
           not clear breaks the run: crossings within the hold are one event
========== ==================================================================================================

A reading flagged 3 (suspect) never blocks an alarm and never raises one alone: a run of nothing but 3s needs one
sample more. All times are those of the samples, so a replay gives the same events.

Where the clock is set, what an open event remembers is moved with it (:meth:`Detector.shift`): so durations stay right,
and an event is dated by the clock as it is now. Readings that have been dated keep the time that they were sent with.

*Over* and *clear* by comparison: ``at_least``: value >= threshold, value < clear; ``below``: value < threshold,
value >= clear; ``equals``: value == threshold, value != threshold.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from msgspec import Struct

from edge.contract.gateway_config import DeviceRule
from edge.contract.messages import MAX_EVENT_READINGS, Event, EventState
from edge.contract.readings import EARLIEST, Flag, Reading, is_undated

UPDATE_STEP = 0.1  # of the last peak sent
UPDATE_EVERY_MS = 60_000
FIRST_READINGS = 16  # kept from the beginning of an event; the rest of the 64 are its latest
TELL_AGAIN_MS = 60_000  # an event that was told with times further off than this is told again


class OpenEvent(Struct, kw_only=True):
    """All a detector remembers; nothing of it exists while no event is open."""

    event: Event  # the last revision made
    readings: list[Reading]  # those that made the event, the first and the latest
    peak: float | int
    run: int  # samples over the threshold in a row, counted until the event is confirmed
    trusted: bool  # at least one of them was not flagged 3
    clear_since: int | None = None  # first of the present run of clear samples
    is_told_wrong: bool = False  # with times of a clock that was wrong
    offset_ms: int = 0  # of the clock whose times these are
    boot: str = ""  # the run of the machine in which that offset means something

    def shift(self, by_ms: int) -> None:
        """Move to a scale on which times are that much later.

        From the scale of a run of the machine that does not know the time yet, only its own times are moved.
        """
        was_undated = self.offset_ms == EARLIEST

        def move(at_ms: int) -> int:
            return at_ms + by_ms if is_undated(at_ms) is was_undated else at_ms

        self.is_told_wrong |= abs(by_ms) >= TELL_AGAIN_MS and not was_undated
        self.readings = [_dated(one, by_ms) for one in self.readings]
        self.clear_since = None if self.clear_since is None else move(self.clear_since)
        self.offset_ms += by_ms
        self.event = msgspec.structs.replace(
            self.event,
            began_at=move(self.event.began_at),
            updated_at=move(self.event.updated_at),
            readings=[_dated(one, by_ms) for one in self.event.readings],
        )

    def go_on(self, *, boot: str, offset_ms: int, now_ms: int) -> None:
        """Go on where the agent was stopped, perhaps in another run of the machine."""
        if boot == self.boot:
            self.shift(offset_ms - self.offset_ms)
        elif is_undated(self.event.updated_at):  # nobody will ever know when that was: at the latest, now
            self.shift(now_ms - self.event.updated_at)
            self.is_told_wrong = True
        self.boot, self.offset_ms = boot, offset_ms


def is_over(rule: DeviceRule, value: float) -> bool:
    """Say whether the value meets the rule's condition."""
    if rule.comparison == "at_least":
        return value >= rule.threshold
    if rule.comparison == "below":
        return value < rule.threshold
    return value == rule.threshold


def is_clear(rule: DeviceRule, value: float) -> bool:
    """Say whether the value is on the safe side of the hysteresis."""
    if rule.comparison == "at_least":
        return value < rule.clear
    if rule.comparison == "below":
        return value >= rule.clear
    return value != rule.threshold


class Detector:
    """Feeds on the readings of one point of one device, in the order in which they were taken."""

    def __init__(
        self, rule: DeviceRule, *, gateway: str, device: str, new_id: Callable[[], str], boot: str = ""
    ) -> None:
        """Start with no event open; ``new_id`` gives 32 hexadecimal digits, new each time."""
        self.rule = rule
        self.gateway = gateway
        self.device = device
        self.boot = boot
        self.offset_ms = 0
        self._new_id = new_id
        self.open: OpenEvent | None = None

    @property
    def key(self) -> str:
        """Name of this detector's state, unique within the gateway."""
        return f"{self.device}/{self.rule.name}"

    def state(self) -> str | None:
        """Return the open event as JSON text, None when none is open."""
        return None if self.open is None else msgspec.json.encode(self.open).decode()

    def restore(self, open_event: OpenEvent) -> None:
        """Go on with an open event."""
        self.open, self.offset_ms = open_event, open_event.offset_ms

    def shift(self, offset_ms: int) -> None:
        """Take what follows as of a clock with this offset, and move to its scale."""
        if self.open is not None:
            self.open.shift(offset_ms - self.offset_ms)
        self.offset_ms = offset_ms

    def feed(self, reading: Reading) -> Event | None:
        """Take the next reading; return the revision it made, if any."""
        if reading.value is None or reading.flag == Flag.FAIL:
            return None
        over = is_over(self.rule, reading.value)
        if self.open is None:
            return self._begin(reading, reading.value) if over else None
        self._remember(self.open, reading, reading.value)
        if self.open.event.state is EventState.SUSPECT:
            return self._judge(self.open, reading) if over else self._finish(self.open, reading, EventState.WITHDRAWN)
        return self._follow(self.open, reading, reading.value)

    def _begin(self, reading: Reading, value: float | int) -> Event:
        event = Event(
            gateway=self.gateway,
            id=self._new_id(),
            revision=0,
            state=EventState.SUSPECT,
            class_code=self.rule.class_code,
            device=self.device,
            point=self.rule.point,
            severity=self.rule.severity,
            began_at=reading.taken_at,
            updated_at=reading.taken_at,
            unit=self.rule.unit,
            threshold=self.rule.threshold,
            rule=self.rule.name,
            rule_version=self.rule.version,
        )
        self.open = OpenEvent(
            event=event, readings=[reading], peak=value, run=0, trusted=False, offset_ms=self.offset_ms, boot=self.boot
        )
        return self._judge(self.open, reading) or self._revise(self.open, reading, EventState.SUSPECT)

    def _judge(self, open_event: OpenEvent, reading: Reading) -> Event | None:
        """Count one more sample over the threshold; confirm when there are enough."""
        open_event.run += 1
        open_event.trusted |= reading.flag != Flag.SUSPECT
        enough = open_event.run >= self.rule.samples + (not open_event.trusted)
        if enough and reading.taken_at - open_event.event.began_at >= 1000 * self.rule.hold_s:
            return self._revise(open_event, reading, EventState.CONFIRMED)
        return None

    def _follow(self, open_event: OpenEvent, reading: Reading, value: float | int) -> Event | None:
        """Watch a confirmed event for its end, or for a change worth telling."""
        if not is_clear(self.rule, value):
            open_event.clear_since = None
        elif open_event.clear_since is None:
            open_event.clear_since = reading.taken_at
        if open_event.clear_since is not None:
            if reading.taken_at - open_event.clear_since >= 1000 * self.rule.clear_hold_s:
                return self._finish(open_event, reading, EventState.ENDED)
            return None
        if self._is_notable(open_event, reading.taken_at):
            return self._revise(open_event, reading, EventState.UPDATED)
        return None

    def _is_notable(self, open_event: OpenEvent, now: int) -> bool:
        last = open_event.event
        if open_event.is_told_wrong:
            return True
        if last.value is None or now - last.updated_at < UPDATE_EVERY_MS:
            return False
        moved = abs(open_event.peak - last.value)
        return moved > 0 and moved >= UPDATE_STEP * abs(last.value)

    def _remember(self, open_event: OpenEvent, reading: Reading, value: float | int) -> None:
        if len(open_event.readings) == MAX_EVENT_READINGS:
            del open_event.readings[FIRST_READINGS]
        open_event.readings.append(reading)
        worst = min if self.rule.comparison == "below" else max
        open_event.peak = worst(open_event.peak, value)

    def _revise(self, open_event: OpenEvent, reading: Reading, state: EventState) -> Event:
        ended = state in (EventState.ENDED, EventState.WITHDRAWN)
        open_event.is_told_wrong = False
        open_event.event = msgspec.structs.replace(
            open_event.event,
            revision=open_event.event.revision + 1,
            state=state,
            updated_at=reading.taken_at,
            ended_at=reading.taken_at if ended else None,
            value=open_event.peak,
            readings=list(open_event.readings),
        )
        return open_event.event

    def _finish(self, open_event: OpenEvent, reading: Reading, state: EventState) -> Event:
        self.open = None
        return self._revise(open_event, reading, state)


def read_state(state: str) -> OpenEvent:
    """Read what :meth:`Detector.state` gave; raises msgspec.DecodeError for a state that is not ours."""
    return msgspec.json.decode(state, type=OpenEvent)


def _dated(reading: Reading, by_ms: int) -> Reading:
    if not is_undated(reading.taken_at):
        return reading
    return msgspec.structs.replace(reading, taken_at=reading.taken_at + by_ms)


def abandon(open_event: OpenEvent, *, now_ms: int) -> Event:
    """Return the last revision of an open event whose rule is no longer configured."""
    event = open_event.event
    at = now_ms if now_ms >= event.began_at else event.updated_at  # the clock may not be set yet
    is_suspect = event.state is EventState.SUSPECT
    return msgspec.structs.replace(
        event,
        revision=event.revision + 1,
        state=EventState.WITHDRAWN if is_suspect else EventState.ENDED,
        updated_at=at,
        ended_at=at,
        note="the rule is no longer configured on this gateway",
    )
