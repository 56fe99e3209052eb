"""Pure: what one camera says becomes revisions of events and facts about the camera, whatever its brand.

================ ==================================================================================================
sighting         becomes
================ ==================================================================================================
begin            a confirmed event; while it is open, what comes again is the same one. A picture that comes later is
                 added to it (``updated``), once
end              the end of the open event: at once where the camera names its events, else when it has stayed away
                 for ``same_within_s``, so that what flickers is one event; ended when the camera said so
pulse            a confirmed event without an end; what comes again within ``same_within_s`` is the same one, unless the
                 camera's own times are further apart: then it tells late of two
heartbeat        nothing: the camera was heard
nothing any more an open event that was not heard of for ``longest_s`` is ended, and its note says why
================ ==================================================================================================

Times are the camera's where they can be right, else those of arrival, and the note says so. A sighting is first judged,
then, once what follows is committed, accepted: what could not be committed has not happened, and may come again.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Final, NamedTuple

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from edge.contract.camera_config import IGNORED, CameraConfig, CameraFault
from edge.contract.camera_tables import OWN_WORDS, Targets
from edge.contract.config_file import nearest
from edge.contract.event_classes import event_classes
from edge.contract.messages import Event, EventState, TimeMs
from edge.contract.readings import EARLIEST, LATEST, is_undated
from edge.drivers.cameras import MOST_TEXT, Refused, Sighting, Why

FAR_MS: Final = 600_000  # a clock that is further off is not believed; the cloud refuses what lies further ahead
LATEST_UNCHECKED_MS: Final = 3_786_912_000_000  # 2090: what is believed of a camera while the gateway has no time
MOST_OPEN: Final = 64  # of one camera
MOST_RECENT: Final = 4_096
LONGEST_NOTE: Final = 500  # the contract's
NEVER_ENDED: Final = "the camera never said that it ended: last heard of then"
TOO_MANY: Final = "ended here: too many events of this camera are open"
IMPOSSIBLE_TIME: Final = "camera's time cannot be right: stamped on arrival"
NOT_CONFIGURED: Final = "the camera is no longer configured on this gateway"


class Moment(NamedTuple):
    """Now, by both clocks, and the run of the machine."""

    now_ms: int
    monotonic_ms: int
    boot: str = ""

    def dated(self, at_ms: int) -> int:
        """Return a time with a date, where it was taken before the time was known and it is known now."""
        if is_undated(self.now_ms) or not is_undated(at_ms):
            return at_ms
        return min(at_ms - EARLIEST + self.now_ms - self.monotonic_ms, self.now_ms)


class OpenSight(Struct, frozen=True):
    """An event of a camera that has not ended; times of hearing are of the monotonic clock."""

    event: Event
    heard_ms: int
    heard_at: TimeMs
    ending_ms: int | None = None
    ending_at: TimeMs | None = None


class _Kept(Struct, frozen=True):
    """What is kept over a restart."""

    opened: dict[str, OpenSight]
    faults: list[str]


class Stamp(NamedTuple):
    """The time of a sighting, what a note must say of it, and how far the camera's clock is ahead of ours."""

    at_ms: int
    remark: str = ""
    is_own: bool = True  # the camera's
    is_believed: bool = True
    offset_ms: int | None = None

    @property
    def own_ms(self) -> int | None:
        """The camera's time, where it is that."""
        return self.at_ms if self.is_own else None


class _Pulse(NamedTuple):
    """The last of those that are one event; ``heard_ms`` is of the monotonic clock."""

    event_id: str
    heard_ms: int
    own_ms: int | None


class Step(NamedTuple):
    """What follows from a sighting: at most one event, or a fault of the camera that begins (True) or is over."""

    moment: Moment
    stamp: Stamp
    key: str = ""
    event: Event | None = None  # a revision to commit
    event_id: str | None = None
    opened: OpenSight | None = None  # what the key holds from then on; None with is_over: nothing
    is_over: bool = False
    is_pulse: bool = False
    fault: tuple[CameraFault, bool] | None = None


class Tracker:
    """All that is remembered of one camera between two sightings."""

    def __init__(self, camera: CameraConfig, *, gateway: str) -> None:
        self.camera = camera
        self._gateway = gateway
        self._targets = Targets(camera)
        self._opened: dict[str, OpenSight] = {}
        self._recent: dict[str, _Pulse] = {}
        self._faults: dict[str, int] = {}  # those that are there, and when they were last heard of
        self._same_ms = round(camera.same_within_s * 1000)
        self._longest_ms = round(camera.longest_s * 1000)

    @property
    def opened(self) -> int:
        """How many events are open."""
        return len(self._opened)

    def judge(self, sighting: Sighting, moment: Moment) -> Step:
        """Say what follows from a sighting. Raises Refused for a kind that no table knows."""
        stamp = stamp_of(sighting, moment)
        is_other = bool(self.camera.channel and sighting.channel) and sighting.channel != self.camera.channel
        target = self._targets.of(sighting.kind)
        if is_other or (sighting.state == "heartbeat" and target not in self._faults):
            return Step(moment, stamp)
        if sighting.state == "heartbeat":  # "videoloss inactive": what it was once the name of is over
            return Step(moment, stamp, fault=(target, False))  # type: ignore[arg-type]  # the name of a fault
        if self.camera.brand in OWN_WORDS and (target is None or ("." in target and target not in self.camera.classes)):
            raise Refused(Why.CONTENT, self._not_ours(sighting.kind[:MOST_TEXT]))
        if target is None:
            raise Refused(Why.UNMAPPED, f'"{sighting.kind[:MOST_TEXT]}" is in no table: say in map what it is')
        if "." not in target:
            is_fault = target != IGNORED
            fault: tuple[CameraFault, bool] = (target, sighting.state != "end")  # type: ignore[assignment]  # checked
            return Step(moment, stamp, fault=fault if is_fault else None)
        if target not in self.camera.classes:
            return Step(moment, stamp)
        key = f"{sighting.kind.casefold()}\n{sighting.channel}\n{sighting.id}"[:500]
        return self._judge(sighting, target, Step(moment, stamp, key))

    def accept(self, step: Step, event: Event | None = None) -> None:
        """Remember a step that is committed; ``event`` is what was committed, with the names of its pictures."""
        if step.fault is not None:
            name, is_there = step.fault
            if is_there:
                self._faults[name] = step.moment.monotonic_ms
            else:
                self._faults.pop(name, None)
        if step.is_pulse and step.event_id is not None:
            self._recent.pop(step.key, None)
            self._recent[step.key] = _Pulse(step.event_id, step.moment.monotonic_ms, step.stamp.own_ms)
            while len(self._recent) > MOST_RECENT:
                del self._recent[next(iter(self._recent))]
        self._opened = self._after(step, event)

    def state(self, step: Step | None = None, event: Event | None = None) -> str | None:
        """Return what is to be kept over a restart, as JSON: as it is, or as it is after a step. None: nothing."""
        opened = self._opened if step is None else self._after(step, event)
        if not opened and not self._faults:
            return None
        return msgspec.json.encode(_Kept(opened, list(self._faults))).decode()

    def restore(self, state: str, moment: Moment) -> None:
        """Go on with open events; raises msgspec.DecodeError for what is no state of ours."""
        kept = msgspec.json.decode(state, type=_Kept)
        self._opened = {key: _heard_before(one, moment) for key, one in kept.opened.items()}
        self._faults = dict.fromkeys(kept.faults, moment.monotonic_ms)

    def overdue(self, moment: Moment) -> Step | None:
        """Return the end of an event that is due by time alone, as a step to accept; None when none is."""
        for key, one in self._opened.items():
            if one.ending_ms is not None and moment.monotonic_ms - one.ending_ms >= self._same_ms:
                ended_at = one.event.updated_at if one.ending_at is None else one.ending_at
                return _ending(key, one, moment, ended_at)
            if moment.monotonic_ms - one.heard_ms >= self._longest_ms:
                return _ending(key, one, moment, one.heard_at, NEVER_ENDED)
        if len(self._opened) > MOST_OPEN:
            key, one = min(self._opened.items(), key=lambda item: item[1].heard_ms)
            return _ending(key, one, moment, one.heard_at, TOO_MANY)
        return None

    def faults(self, moment: Moment) -> set[str]:
        """Return what is wrong with the camera; what was not said again for ``longest_s`` is over."""
        self._faults = {
            name: heard for name, heard in self._faults.items() if moment.monotonic_ms - heard < self._longest_ms
        }
        return set(self._faults)

    def _not_ours(self, kind: str) -> str:
        classes = self.camera.classes
        if kind in event_classes() and event_classes()[kind].camera:
            return f'camera {self.camera.id} may not raise "{kind}": add it to classes in gateway.yaml if it should'
        hint = nearest(kind, classes) or f" (it may send {', '.join(classes)})"
        return f'class "{kind}" is not one of camera {self.camera.id}{hint}'

    def _judge(self, sighting: Sighting, class_code: str, step: Step) -> Step:
        one = self._opened.get(step.key)
        if sighting.state == "end":
            return step if one is None else self._end(sighting, one, step)
        if one is not None:
            return self._go_on(sighting, one, step)
        if sighting.state == "pulse":
            recent = self._recent.get(step.key)
            if recent is not None and self._is_same(recent, step):
                return step._replace(event_id=recent.event_id, is_pulse=True)
            event = self._event(sighting, class_code, step)
            return step._replace(event=event, event_id=event.id, is_pulse=True)
        event = self._event(sighting, class_code, step)
        opened = OpenSight(event, step.moment.monotonic_ms, step.moment.now_ms)
        return step._replace(event=event, event_id=event.id, opened=opened)

    def _is_same(self, recent: _Pulse, step: Step) -> bool:
        own_ms = step.stamp.own_ms
        apart_ms = 0 if own_ms is None or recent.own_ms is None else abs(own_ms - recent.own_ms)
        return max(step.moment.monotonic_ms - recent.heard_ms, apart_ms) < self._same_ms

    def _go_on(self, sighting: Sighting, one: OpenSight, step: Step) -> Step:
        moment = step.moment
        event = None
        if sighting.picture is not None and not one.event.blobs:
            event = replace(
                one.event,
                revision=one.event.revision + 1,
                state=EventState.UPDATED,
                began_at=moment.dated(one.event.began_at),
                updated_at=max(step.stamp.at_ms, moment.dated(one.event.began_at)),
            )
        opened = OpenSight(event or one.event, moment.monotonic_ms, moment.now_ms)
        return step._replace(event=event, event_id=one.event.id, opened=opened)

    def _end(self, sighting: Sighting, one: OpenSight, step: Step) -> Step:
        if sighting.id:
            return _ending(step.key, one, step.moment, step.stamp.at_ms)._replace(stamp=step.stamp)
        if one.ending_ms is not None:
            return step._replace(event_id=one.event.id, opened=one)
        opened = replace(one, ending_ms=step.moment.monotonic_ms, ending_at=step.stamp.at_ms)
        return step._replace(event_id=one.event.id, opened=opened)

    def _event(self, sighting: Sighting, class_code: str, step: Step) -> Event:
        stamp, camera = step.stamp, self.camera.id
        # With its time in it, the id is the same after a restart too, wherever the camera gives the time itself.
        parts = (camera, step.key, str(stamp.at_ms), "" if stamp.is_own else step.moment.boot)
        return Event(
            gateway=self._gateway,
            id=sha256("\n".join(parts).encode()).hexdigest()[:32],
            revision=1,
            state=EventState.CONFIRMED,
            class_code=class_code,
            device=camera,
            severity=event_classes()[class_code].severity,
            began_at=stamp.at_ms,
            updated_at=stamp.at_ms,
            note=note_of(sighting.note, stamp.remark),
        )

    def _after(self, step: Step, event: Event | None) -> dict[str, OpenSight]:
        if step.is_over:
            return {key: one for key, one in self._opened.items() if key != step.key}
        if step.opened is None:
            return self._opened
        opened = step.opened if event is None else replace(step.opened, event=event)
        return {**self._opened, step.key: opened}


def abandon(state: str, moment: Moment) -> list[Event]:
    """Return the ends of what was open of a camera that is no longer configured, by its state."""
    try:
        kept = msgspec.json.decode(state, type=_Kept)
    except msgspec.DecodeError:
        return []  # nobody can say any more what was open
    steps = [_ending(key, one, moment, moment.now_ms, NOT_CONFIGURED) for key, one in kept.opened.items()]
    return [step.event for step in steps if step.event is not None]


def stamp_of(sighting: Sighting, moment: Moment) -> Stamp:
    """Return when a sighting was: when the camera says, if that can be right, else now."""
    if sighting.at_ms is None:
        if not sighting.said_at:
            return Stamp(moment.now_ms, "camera sent no time: stamped on arrival", is_own=False)
        remark = f'camera\'s time "{sighting.said_at}" cannot be read: stamped on arrival'
        return Stamp(moment.now_ms, remark, is_own=False, is_believed=False)
    if is_undated(sighting.at_ms) or (is_undated(moment.now_ms) and sighting.at_ms > LATEST_UNCHECKED_MS):
        return Stamp(moment.now_ms, IMPOSSIBLE_TIME, is_own=False, is_believed=False)
    if is_undated(moment.now_ms):  # the camera may know what the gateway does not yet
        return Stamp(sighting.at_ms)
    ahead_ms = sighting.at_ms - moment.now_ms
    is_far = ahead_ms < -FAR_MS
    if -max(FAR_MS, sighting.late_ms) <= ahead_ms <= FAR_MS and sighting.at_ms <= LATEST:
        remark = f"told {_duration(-ahead_ms)} late" if is_far else ""
        return Stamp(sighting.at_ms, remark, offset_ms=None if sighting.late_ms else ahead_ms)
    remark = f"camera's clock is {_duration(abs(ahead_ms))} {'ahead' if ahead_ms > 0 else 'behind'}: stamped on arrival"
    return Stamp(moment.now_ms, remark, is_own=False, is_believed=False, offset_ms=ahead_ms)


def note_of(*parts: str) -> str:
    """Join what is to be said of an event, within what the contract takes."""
    return "; ".join(part for part in parts if part)[:LONGEST_NOTE]


def _ending(key: str, one: OpenSight, moment: Moment, ended_at: int, remark: str = "") -> Step:
    began_at = moment.dated(one.event.began_at)
    ended_at = max(moment.dated(ended_at), began_at)
    event = replace(
        one.event,
        revision=one.event.revision + 1,
        state=EventState.ENDED,
        began_at=began_at,
        updated_at=max(ended_at, moment.now_ms) if remark else ended_at,
        ended_at=ended_at,
        note=note_of(one.event.note[: LONGEST_NOTE - len(remark) - 2], remark),
    )
    return Step(moment, Stamp(ended_at), key, event=event, event_id=event.id, is_over=True)


def _heard_before(one: OpenSight, moment: Moment) -> OpenSight:
    """Move what was heard in another run of the agent to the monotonic clock of this one."""
    ago_ms = max(moment.now_ms - one.heard_at, 0) if not is_undated(one.heard_at) else 0
    ending_ms = None if one.ending_ms is None else moment.monotonic_ms
    return replace(one, heard_ms=moment.monotonic_ms - ago_ms, ending_ms=ending_ms)


def _duration(ms: int) -> str:
    minutes = ms // 60_000
    for size, unit in ((1440, "days"), (60, "h")):
        if minutes >= 2 * size:
            return f"{minutes // size} {unit}"
    return f"{minutes} min"
