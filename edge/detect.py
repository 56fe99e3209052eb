"""Pure: one detector per device, point and ladder turns readings into revisions of events.

A sample is a reading flagged 1, 2 or 3. Missing (9) and failed (4) readings neither confirm, clear nor withdraw. The
rules of a detector are the levels of its events (:mod:`edge.detect_levels`), often only one.

========== ==================================================================================================
revision   made when
========== ==================================================================================================
suspect    the first sample that meets the condition of any level; and when the highest level that is met changes
confirmed  a level is on. Revision 1 where one sample is enough
withdrawn  a suspect's next sample meets no condition; the next crossing is a new event
updated    the event climbs to another level or steps down; a higher level becomes suspected, or is no longer; the peak
           moved by a tenth since the last revision, or the forecast has changed, at most once a minute; or the clock
           was set by a minute
ended      no level is on, nor runs
========== ==================================================================================================

Class, severity, threshold and rule of a revision are those of the highest level that is on; of a suspect, of the
highest that is met. All times are those of the samples, so a replay gives the same events.

Where the clock is set, what is remembered is moved with it (:meth:`Detector.shift`): so durations stay right, and an
event is dated by the clock as it is now. Readings that have been dated keep the time that they were sent with.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from edge.contract.messages import MAX_EVENT_READINGS, Event, EventState, Forecast
from edge.contract.readings import Flag, Reading
from edge.contract.rules import DeviceRule
from edge.detect_forecast import RECENT, forecast_of, is_news
from edge.detect_levels import Level
from edge.detect_measures import Rise, Total
from edge.detect_memory import Memory, OpenEvent

UPDATE_STEP: Final = 0.1  # of the last peak sent
UPDATE_EVERY_MS: Final = 60_000
FIRST_READINGS: Final = 16  # kept from the beginning of an event; the rest of the 64 are its latest


class Detector:
    """Feeds on the readings of one point of one device, in the order in which they were taken."""

    def __init__(
        self,
        rules: Sequence[DeviceRule],
        *,
        gateway: str,
        device: str,
        new_id: Callable[[], str],
        boot: str = "",
        ahead: Sequence[DeviceRule] = (),
    ) -> None:
        """Start with no event open.

        Args:
            rules: the levels of one event, lowest first; at least one.
            gateway: whose events these are.
            device: where they are.
            new_id: gives 32 hexadecimal digits, new each time.
            boot: the run of the machine.
            ahead: levels of other events of the same point, which a forecast may be for.

        """
        self.rules = tuple(rules)
        self.point = rules[0].point
        self.gateway = gateway
        self.device = device
        self._new_id = new_id
        self._ahead = sorted(
            (one for one in (*rules, *ahead) if one.measure == "value" and one.comparison == "at_least"),
            key=lambda rule: rule.threshold,
        )
        self._memory = self._fitting(Memory(boot=boot))
        self._levels = [self._memory.levels[rule.name] for rule in rules]

    def _fitting(self, memory: Memory) -> Memory:
        """Return the memory with a place for each rule, and for no other."""
        memory.levels = {rule.name: memory.levels.get(rule.name, Level()) for rule in self.rules}
        windows = {round(1000 * rule.over_s) for rule in self.rules if rule.measure == "rise"}
        memory.rises = {window: memory.rises.get(window, Rise(window)) for window in windows}
        longest = max((round(1000 * rule.over_s) for rule in self.rules if rule.measure == "sum"), default=0)
        memory.total = (memory.total or Total(longest)) if longest else None
        if memory.total is not None:
            memory.total.keep_ms = longest
        return memory

    @property
    def key(self) -> str:
        """Name of this detector's state, unique within the gateway."""
        return f"{self.device}/{self.rules[0].name if len(self.rules) == 1 else self.rules[0].family}"

    @property
    def keys(self) -> frozenset[str]:
        """The names under which something of this detector may have been kept: as a ladder, or rule by rule."""
        names = (self.rules[0].family, *(rule.name for rule in self.rules))
        return frozenset(f"{self.device}/{name}" for name in names)

    @property
    def open(self) -> OpenEvent | None:
        """The event that is open."""
        return self._memory.open

    @property
    def is_kept(self) -> bool:
        """Whether there is something to go on with after a restart."""
        memory = self._memory
        return memory.open is not None or memory.total is not None or bool(memory.rises)

    def state(self) -> str | None:
        """Return what is remembered as JSON text, None when a restart needs nothing of it."""
        return msgspec.json.encode(self._memory).decode() if self.is_kept else None

    def restore(self, memory: Memory) -> None:
        """Go on with what was kept."""
        self._memory = self._fitting(memory)
        self._levels = [memory.levels[rule.name] for rule in self.rules]

    def shift(self, offset_ms: int) -> None:
        """Take what follows as of a clock with this offset, and move to its scale."""
        if offset_ms != self._memory.offset_ms:
            self._memory.shift(offset_ms - self._memory.offset_ms)

    def feed(self, reading: Reading) -> Event | None:
        """Take the next reading; return the revision it made, if any."""
        if reading.value is None or reading.flag == Flag.FAIL:
            return None
        self._look_at(reading, reading.value)
        active = [index for index, level in enumerate(self._levels) if level.is_active]
        is_on = [index for index in active if self._levels[index].is_on]
        open_event = self._memory.open
        if open_event is None:
            return self._begin(reading, active, is_on) if active else None
        _remember(open_event, reading)
        was_suspect = open_event.event.state is EventState.SUSPECT
        if not active:
            return self._finish(open_event, reading, EventState.WITHDRAWN if was_suspect else EventState.ENDED)
        if was_suspect and is_on:
            return self._climb(open_event, reading, EventState.CONFIRMED, active, is_on)
        if was_suspect:
            is_same = self.rules[active[-1]].name == open_event.event.rule
            return None if is_same else self._revise(open_event, reading, EventState.SUSPECT, active[-1])
        return self._follow(open_event, reading, active, is_on)

    def _look_at(self, reading: Reading, value: float) -> None:
        """Let every level see what its rule looks at."""
        memory, at_ms = self._memory, reading.taken_at
        memory.recent.append((at_ms, value))
        del memory.recent[:-RECENT]
        rises = {window: rise.feed(at_ms, value) for window, rise in memory.rises.items()}
        if memory.total is not None:
            memory.total.feed(at_ms, value)
        for rule, level in zip(self.rules, self._levels, strict=True):
            seen: float | None = value
            if rule.measure == "rise":
                seen = rises[round(1000 * rule.over_s)]
            elif rule.measure == "sum" and memory.total is not None:
                seen = memory.total.over(round(1000 * rule.over_s), at_ms)
            if seen is not None:
                level.feed(rule, seen, reading)
                level.note_peak(rule, seen)
                if memory.open is None and not level.is_active:
                    level.peak = None

    def _begin(self, reading: Reading, active: Sequence[int], is_on: Sequence[int]) -> Event:
        rule = self.rules[active[-1]]
        event = Event(
            gateway=self.gateway,
            id=self._new_id(),
            revision=0,
            state=EventState.SUSPECT,
            class_code=rule.class_code,
            device=self.device,
            point=rule.point,
            severity=rule.severity,
            began_at=reading.taken_at,
            updated_at=reading.taken_at,
        )
        self._memory.open = open_event = OpenEvent(event=event, readings=[reading])
        if is_on:
            return self._climb(open_event, reading, EventState.CONFIRMED, active, is_on)
        return self._revise(open_event, reading, EventState.SUSPECT, active[-1])

    def _climb(
        self, open_event: OpenEvent, reading: Reading, state: EventState, active: Sequence[int], is_on: Sequence[int]
    ) -> Event:
        """Tell that the event is at the highest level that is on."""
        at = is_on[-1]
        if at >= self._height(open_event.highest):
            open_event.highest = self.rules[at].name
        return self._revise(open_event, reading, state, at, suspected=active[-1])

    def _follow(
        self, open_event: OpenEvent, reading: Reading, active: Sequence[int], is_on: Sequence[int]
    ) -> Event | None:
        """Watch a confirmed event for another level, or for a change worth telling."""
        event = open_event.event
        at = is_on[-1] if is_on else self._height(event.rule)
        suspected = self.rules[active[-1]].class_code if active[-1] > at else None
        if self.rules[at].name != event.rule or suspected != event.suspected_class:
            return self._climb(open_event, reading, EventState.UPDATED, active, [at])
        if self._levels[at].clear_since is None and self._is_notable(open_event, reading, at):
            return self._revise(open_event, reading, EventState.UPDATED, at, suspected=active[-1])
        return None

    def _height(self, rule: str) -> int:
        """Which level a rule is; the lowest for one that is not configured any more."""
        return next((index for index, one in enumerate(self.rules) if one.name == rule), 0)

    def _is_notable(self, open_event: OpenEvent, reading: Reading, at: int) -> bool:
        last = open_event.event
        if open_event.is_told_wrong:
            return True
        peak, now = self._levels[at].peak, reading.taken_at
        if last.value is None or peak is None or now - last.updated_at < UPDATE_EVERY_MS:
            return False
        moved = abs(peak - last.value)
        if moved > 0 and moved >= UPDATE_STEP * abs(last.value):
            return True
        return is_news(self._forecast(at), last.forecast, passed_ms=now - last.updated_at)

    def _forecast(self, at: int) -> Forecast | None:
        """Say when the next level will be reached, where the samples tell it."""
        reached = self._memory.recent[-1][1]
        standing = self.rules[at]
        floor = max(reached, standing.threshold) if standing in self._ahead else reached
        ahead = next((rule for rule in self._ahead if rule.threshold > floor), None)
        return None if ahead is None else forecast_of(self._memory.recent, ahead)

    def _revise(
        self, open_event: OpenEvent, reading: Reading, state: EventState, at: int, *, suspected: int | None = None
    ) -> Event:
        """Make the next revision, with the event at one of its levels."""
        is_over = state in (EventState.ENDED, EventState.WITHDRAWN)
        rule, highest = self.rules[at], self._height(open_event.highest)
        has_stepped_down = bool(open_event.highest) and highest > at
        open_event.is_told_wrong = False
        open_event.event = msgspec.structs.replace(
            open_event.event,
            revision=open_event.event.revision + 1,
            state=state,
            class_code=rule.class_code,
            severity=rule.severity,
            updated_at=reading.taken_at,
            ended_at=reading.taken_at if is_over else None,
            value=self._levels[at].peak,
            unit=rule.unit,
            threshold=rule.threshold,
            rule=rule.name,
            rule_version=rule.version,
            readings=list(open_event.readings),
            highest_class=self.rules[highest].class_code if has_stepped_down else None,
            highest_severity=self.rules[highest].severity if has_stepped_down else None,
            suspected_class=self.rules[suspected].class_code if suspected is not None and suspected > at else None,
            forecast=None if is_over else self._forecast(at),
        )
        return open_event.event

    def _finish(self, open_event: OpenEvent, reading: Reading, state: EventState) -> Event:
        last = self._revise(open_event, reading, state, self._height(open_event.event.rule))
        self._memory.open = None
        for level in self._levels:
            level.begin_anew()
        return last


def _remember(open_event: OpenEvent, reading: Reading) -> None:
    if len(open_event.readings) == MAX_EVENT_READINGS:
        del open_event.readings[FIRST_READINGS]
    open_event.readings.append(reading)
