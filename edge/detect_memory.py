"""Pure: what a detector remembers, how that moves with a clock that is set, and goes on after a restart."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from msgspec import Struct

from edge.contract.messages import Event, EventState, encode_event
from edge.contract.readings import EARLIEST, LATEST, Reading, is_undated
from edge.detect_levels import Level, Peak
from edge.detect_measures import Rise, Total

TELL_AGAIN_MS: Final = 60_000  # an event that was told with times further off than this is told again


class OpenEvent(Struct, kw_only=True):
    """An event that is not over."""

    event: Event  # the last revision made
    readings: list[Reading]  # those that made the event, the first and the latest
    highest: str = ""  # name of the rule of the highest level that was confirmed
    is_told_wrong: bool = False  # with times of a clock that was wrong


class Memory(Struct, kw_only=True):
    """All a detector remembers."""

    open: OpenEvent | None = None
    levels: dict[str, Level] = {}  # by name of the rule
    rises: dict[int, Rise] = {}  # by window
    total: Total | None = None
    recent: list[tuple[int, float]] = []  # the latest samples, for forecasts
    offset_ms: int = 0  # of the clock whose times these are
    boot: str = ""  # the run of the machine in which that offset means something

    def shift(self, by_ms: int) -> None:
        """Move to a scale on which times are that much later.

        From the scale of a run of the machine that does not know the time yet, only its own times are moved.
        """
        was_undated = self.offset_ms == EARLIEST

        def move(at_ms: int) -> int:
            return at_ms + by_ms if is_undated(at_ms) is was_undated else at_ms

        for level in self.levels.values():
            level.since = move(level.since)
            level.clear_since = None if level.clear_since is None else move(level.clear_since)
        for rise in self.rises.values():
            rise.move(move)
        if self.total is not None:
            self.total.move(move)
        self.recent = [(move(at_ms), value) for at_ms, value in self.recent]
        self.offset_ms += by_ms
        if self.open is not None:
            one = self.open
            one.is_told_wrong |= abs(by_ms) >= TELL_AGAIN_MS and not was_undated
            one.readings = [_dated(each, by_ms) for each in one.readings]
            one.event = msgspec.structs.replace(
                one.event,
                began_at=move(one.event.began_at),
                updated_at=move(one.event.updated_at),
                readings=[_dated(each, by_ms) for each in one.event.readings],
            )

    def go_on(self, *, boot: str, offset_ms: int, now_ms: int) -> None:
        """Go on where the agent was stopped, perhaps in another run of the machine.

        Raises ContractError for an event that could not be told.
        """
        if boot == self.boot:
            self.shift(offset_ms - self.offset_ms)
        elif is_undated(last_at := self._last_at()):  # nobody will ever know when that was: at the latest, now
            self.shift(now_ms - last_at)
            if self.open is not None:
                self.open.is_told_wrong = True
        self.boot, self.offset_ms = boot, offset_ms
        if self.open is not None:
            encode_event(msgspec.structs.replace(self.open.event, readings=self.open.readings))

    def _last_at(self) -> int:
        if self.open is not None:
            return self.open.event.updated_at
        return self.recent[-1][0] if self.recent else LATEST


class _Before(Struct, kw_only=True):
    """What gateways of before kept: an open event of one rule."""

    event: Event
    readings: list[Reading]
    peak: Peak
    run: int
    trusted: bool
    clear_since: int | None = None
    is_told_wrong: bool = False
    offset_ms: int = 0
    boot: str = ""

    def as_memory(self) -> Memory:
        is_on = self.event.state is not EventState.SUSPECT
        level = Level(
            run=0 if is_on else self.run, since=self.event.began_at, is_trusted=self.trusted and not is_on,
            is_on=is_on, clear_since=self.clear_since, peak=self.peak,
        )  # fmt: skip
        name = self.event.rule
        one = OpenEvent(
            event=self.event, readings=self.readings, highest=name if is_on else "", is_told_wrong=self.is_told_wrong
        )
        return Memory(open=one, levels={name: level}, offset_ms=self.offset_ms, boot=self.boot)


def read_state(state: str) -> Memory:
    """Read what was kept of a detector; raises msgspec.DecodeError for a state that is not ours."""
    document: dict[str, Any] = msgspec.json.decode(state, type=dict)
    if "event" in document:
        return msgspec.convert(document, _Before).as_memory()
    return msgspec.json.decode(state, type=Memory)


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
        suspected_class=None,
        forecast=None,
        note="the rule is no longer configured on this gateway",
    )
