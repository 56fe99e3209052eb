"""The gateway's agent: polls, judges, records, sends; every part a task of one group.

    async with open_agent(config, clock=SystemClock()) as agent:
        await agent.run()            # until agent.stop(): then nothing that was taken is lost

A replay drives the same agent by itself: ``agent.run(is_polling=False)`` beside ``await agent.poll("road-1")``.

What the parts raise (OutboxError, JournalError, ConfigurationError) comes out of ``run`` in an exception group. A
device that does not answer is no error: its points are missing, and the other devices do not notice.
"""

from __future__ import annotations

import asyncio
import itertools
import secrets
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec
import structlog

from edge.clock_state import ClockWatch
from edge.contract.camera_config import CAMERA_KEY
from edge.contract.clock import Clock
from edge.contract.event_classes import event_classes
from edge.contract.gateway_config import DeviceConfig, GatewayConfig
from edge.contract.messages import ContractError, Event, EventState, Lane, Reading, Severity
from edge.detect_memory import Memory, abandon, read_state
from edge.devices import drivers_for, inventory_of, pipeline_for
from edge.drivers import ConfigurationError, Driver
from edge.drivers.modbus import ModbusLinks
from edge.expiry import watch_expiry
from edge.health import AGENT_POINTS
from edge.journal import Journal
from edge.learned import Learned, Learner
from edge.limits_told import Limits
from edge.missing_log import MissingLog
from edge.outbox import Outbox
from edge.outbox_drafts import Origin
from edge.outbox_salvage import Salvaged
from edge.pipeline import Taken
from edge.quality.neighbour import Board
from edge.recorder import Recorder
from edge.stamps import Marks
from edge.timeline import STEP_MS, Timeline
from edge.uplink import Uplink

if TYPE_CHECKING:
    from edge.cameras import Cameras

MIB: Final = 1024 * 1024
DAY_MS: Final = 86_400_000
TOGETHER_MS: Final = 100
LOOK_S: Final = 1.0  # real seconds between two looks at the machine's clock
MARKS_EVERY: Final = 10  # looks: then the highest stamps are kept
MARKS_KEY: Final = "agent/stamps"  # where, beside the open events
MARKS_BEHIND_MS: Final = 60_000  # more than may be stamped from one keeping, committed with the next batch, to the next

_log = structlog.get_logger()


class _Device:
    """One device of the agent: how it is read, how it is judged, and what was last said about it."""

    def __init__(self, config: DeviceConfig, agent: Agent) -> None:
        self.config = config
        self.drivers = agent.drivers_for(config)
        gateway = agent.config.gateway
        self.pipeline = pipeline_for(
            config, gateway=gateway, new_id=agent.new_id, board=agent.board, boot=agent.clock.boot
        )
        self.skipped = 0  # polls left out because the one before took too long
        self.missing_log = MissingLog(config.id)


class Agent:
    """One gateway at work; made by :func:`open_agent`."""

    def __init__(
        self, config: GatewayConfig, *, clock: Timeline, outbox: Outbox, links: ModbusLinks, new_id: Callable[[], str]
    ) -> None:
        self.config = config
        self.clock = clock
        self.links = links
        self.new_id = new_id
        self.board = Board()
        self._outbox = outbox
        self._clock_watch = ClockWatch(clock)
        devices = (*config.devices, *config.camera_devices)
        self._kinds = {device.id: device.device_profile.kind for device in devices}
        self._uplink = Uplink(
            outbox,
            config.broker,
            inventory_of(config),
            clock=clock,
            clock_state=self._clock_watch.state,
            status_s=config.status_s,
            limits=self.limits,
        )
        self._recorder = Recorder(
            outbox,
            origin=self._origin,
            kinds=self._kinds,
            lane=lambda: Lane.LIVE if self._uplink.is_current else Lane.BACKLOG,
            on_commit=self._uplink.notify,
            on_give_up=self._forget,
            clock=clock,
            batch_s=config.batch_s,
        )
        kept = outbox.open_events()
        self.marks = _read_marks(kept.pop(MARKS_KEY, ""), clock)
        self._cameras = self._open_cameras() if config.cameras else None
        self._devices = {device.id: _Device(device, self) for device in devices}
        learners = [Learner(device, one.pipeline.judges) for device, one in self._devices.items()]
        self._learned = Learned(learners, clock, keep=self._recorder.keep_state)
        self._learned.restore(kept)
        self._restore_cameras(kept)
        self._stopping = asyncio.Event()
        self._restore(kept)
        if outbox.salvaged is not None:
            self._say_salvaged(outbox.salvaged)
        if clock.is_known and outbox.has_undated:
            self._date()

    @property
    def counts(self) -> Mapping[str, Callable[[], int]]:
        """What the gateway says of itself as a device, beside what its machine tells: AGENT_POINTS."""
        return dict(zip(AGENT_POINTS, (self.waiting, self.skipped), strict=True))

    def drivers_for(self, device: DeviceConfig) -> dict[float, Driver]:
        """Return what reads the device, by seconds between two polls."""
        if self._cameras is not None and device.id in self._cameras.intakes:
            return {device.poll_s: self._cameras.health_of(device.id)}
        return drivers_for(
            device, self.config, links=self.links, clock=self.clock, agent=self.counts, used=self.marks.highest
        )

    def skipped(self) -> int:
        """Polls that were left out because the ones before took too long, of all devices since the start."""
        return sum(device.skipped for device in self._devices.values())

    def limits(self) -> Limits:
        """What was learned of the sensors, by device and point."""
        return {device: one.pipeline.judges.limits() for device, one in self._devices.items()}

    def waiting(self) -> int:
        """Messages in the outbox."""
        return sum(self._outbox.waiting(lane) for lane in Lane)

    def stop(self) -> None:
        """Let :meth:`run` end: stop polling, commit what was taken, send for at most 5 s what waits."""
        self._stopping.set()

    async def run(self, *, is_polling: bool = True) -> None:
        """Work until :meth:`stop`."""
        async with asyncio.TaskGroup() as group:
            recording = group.create_task(self._recorder.run(), name="recorder")
            group.create_task(self._uplink.run(), name="uplink")
            async with AsyncExitStack() as listening:
                if self._cameras is not None:
                    await listening.enter_async_context(self._cameras.listening())
                devices = list(self._devices.values()) if is_polling else []
                polling = [
                    group.create_task(self._poll_for_ever(one, poll_s, share=index / len(devices)), name=one.config.id)
                    for index, one in enumerate(devices)
                    for poll_s in one.drivers
                ]
                polling.append(group.create_task(self._watch_clock(), name="clock"))
                if self._cameras is not None:
                    polling.append(group.create_task(self._cameras.run(), name="cameras"))
                tls = self.config.broker.tls
                if tls is not None and tls.certificate_file is not None:
                    watching = watch_expiry(tls.certificate_file, self.clock)
                    polling.append(group.create_task(watching, name="expiry"))
                _log.info("agent runs", gateway=self.config.gateway, devices=len(self._devices))
                try:
                    await self._stopping.wait()
                finally:
                    self._stopping.set()
                    for task in polling:
                        task.cancel()
                # Being cancelled may not be enough: asyncio.wait_for of Python 3.11, in pymodbus, loses that when an
                # answer comes at the same moment. What such a poll has read is kept like any other.
                await asyncio.gather(*polling, return_exceptions=True)
            for one in self._devices.values():
                self._recorder.take(one.pipeline.release())
            self._learned.keep_all()
            self._keep_marks()
            self._recorder.stop()
            await recording
            self._uplink.stop()
        _log.info("agent stopped", waiting=self.waiting())

    async def poll(self, device: str) -> Taken:
        """Read all points of a device once, now, and hand over what it says; raises KeyError for an unknown device."""
        one = self._devices[device]
        taken = [await self._poll(one, driver) for driver in one.drivers.values()]
        return taken[0] if len(taken) == 1 else Taken.of_all(taken)

    async def _poll(self, one: _Device, driver: Driver) -> Taken:
        self._look_at_clock()
        snapshot = await driver.read()
        for part in snapshot.parts:
            self.marks.note(part.taken_at)
        taken = one.pipeline.take(snapshot)
        self._recorder.take(taken)
        one.missing_log.note(snapshot, time.monotonic())
        for event in taken.revisions:
            _log.info(f"event {event.state}", device=one.config.id, id=event.id, rule=event.rule, value=event.value)
        return taken

    async def _poll_for_ever(self, one: _Device, poll_s: float, *, share: float) -> None:
        """Poll at once, then on a fixed grid, on which the devices are spread by their ``share`` of the interval."""
        driver, interval_ms, now_ms = one.drivers[poll_s], round(poll_s * 1000), self.clock.monotonic_ms
        await self._poll(one, driver)
        # In step with the time of day as it is now; when that is set, the rhythm stays.
        phase = phase_ms(share, interval_ms) - self.clock.offset_ms()
        due_ms = next_slot(phase, now_ms() + interval_ms // 2, interval_ms)
        while not self._stopping.is_set():
            await self.clock.sleep(max(due_ms - now_ms(), 0) / 1000)
            began_ms = now_ms()
            await self._poll(one, driver)
            next_ms = next_slot(due_ms, now_ms(), interval_ms)
            self._count_skipped(one, (next_ms - next_slot(due_ms, began_ms, interval_ms)) // interval_ms)
            due_ms = next_ms

    async def _watch_clock(self) -> None:
        if not self.clock.is_known:
            _log.warning("the time is not known yet: what is read is kept, and dated when it is")
        for looks in itertools.count(1):
            self._look_at_clock()
            if looks % MARKS_EVERY == 0:
                self._keep_marks()
            self._learned.keep_due(looks)
            await asyncio.sleep(LOOK_S)

    def _keep_marks(self) -> None:
        self._recorder.keep_state(MARKS_KEY, _marks_text(self.marks, self.clock))

    def _look_at_clock(self) -> None:
        if self.clock.look():
            _log.info("the time is known: what was read before is dated now")
            self._date()

    def _date(self) -> None:
        """Let what was taken in this run of the machine before the time was known have its time."""
        known_since = self.clock.known_since or self.clock.now_ms()
        self._recorder.date(self.clock.to_date_ms, known_since)
        self.marks.highest[1] = max(self.marks.highest[1], self.clock.known_since or 0)

    def _count_skipped(self, one: _Device, skipped: int) -> None:
        if skipped and not one.skipped:
            _log.warning("polls take longer than poll_s: some are left out", device=one.config.id)
        one.skipped += skipped

    def _forget(self, readings: Sequence[Reading]) -> None:
        for reading in readings:
            self._devices[reading.device].pipeline.forget(reading)

    def _origin(self) -> Origin:
        clock_state, since = self._clock_watch.state()
        return Origin(self.config.gateway, self.config.config_hash, clock_state, since)

    def _restore(self, states: dict[str, str]) -> None:
        """Let detectors go on with their open events, and end the events of those that are no longer configured."""
        detectors = {key: d for one in self._devices.values() for d in one.pipeline.detectors for key in d.keys}
        now_ms, offset_ms = self.clock.now_ms(), self.clock.offset_ms()
        memories = self._memories(states, offset_ms=offset_ms, now_ms=now_ms)
        for key, memory in sorted(memories.items(), key=_least_urgent_last):
            detector = detectors.get(key)
            if detector is not None and detector.open is None:
                detector.restore(memory)
                if key != detector.key:  # kept by a gateway of before, rule by rule
                    self._recorder.keep_state(key, None)
                    self._recorder.keep_state(detector.key, detector.state())
            elif memory.open is not None:
                self._recorder.close_event(key, abandon(memory.open, now_ms=now_ms))
            else:
                self._recorder.keep_state(key, None)

    def _memories(self, states: dict[str, str], *, offset_ms: int, now_ms: int) -> dict[str, Memory]:
        """Return what can be gone on with of the states; the others are dropped."""
        memories = {}
        for key, state in states.items():
            try:
                memory = read_state(state)
                memory.go_on(boot=self.clock.boot, offset_ms=offset_ms, now_ms=now_ms)
                memories[key] = memory
            except (msgspec.DecodeError, ContractError) as error:
                _log.error("what was kept of an open event cannot be read: it is dropped", key=key, reason=str(error))
                self._recorder.keep_state(key, None)
        return memories

    def _say_salvaged(self, salvaged: Salvaged) -> None:
        """Let people know that the disk of this gateway goes bad, if the gateway is one of its own devices."""
        own = next((device for device, kind in self._kinds.items() if kind == "gateway"), None)
        if own is None:
            return
        now_ms = self.clock.now_ms()
        event = Event(
            gateway=self.config.gateway,
            id=self.new_id(),
            revision=1,
            state=EventState.CONFIRMED,
            class_code="DEV.OUTBOX",
            device=own,
            severity=event_classes()["DEV.OUTBOX"].severity,
            began_at=now_ms,
            updated_at=now_ms,
            note=f"taken over: {salvaged.messages} messages, {salvaged.drafts} drafts; lost: {salvaged.lost} readings",
        )
        self._recorder.take(Taken([], [], 0, [event], {}))

    def _open_cameras(self) -> Cameras:
        from edge.cameras import Cameras, Keeper  # noqa: PLC0415 -- a gateway without cameras needs nothing of that

        def hand_over(event: Event, states: dict[str, str | None]) -> None:
            self._recorder.take(Taken([], [], 0, [event], states))

        keeper = Keeper(self._recorder.store, hand_over, self._recorder.keep_state, asyncio.Semaphore(1))
        return Cameras(self.config, clock=self.clock, keeper=keeper, used=self.marks.highest)

    def _restore_cameras(self, kept: dict[str, str]) -> None:
        """Let cameras go on with their open events; those of cameras that are gone end as those of rules do."""
        if self._cameras is None and any(key.startswith(CAMERA_KEY) for key in kept):
            self._cameras = self._open_cameras()
        if self._cameras is not None:
            self._cameras.restore(kept)


def _least_urgent_last(kept: tuple[str, Memory]) -> int:
    """Sort by severity, so that of several events that are levels of one now the gravest goes on."""
    memory = kept[1]
    return len(Severity) if memory.open is None else tuple(Severity).index(memory.open.event.severity)


class _Kept(msgspec.Struct, frozen=True):
    """The highest stamps that were used, and by which clock."""

    boot: str
    offset_ms: int
    highest: list[int]


def _marks_text(marks: Marks, clock: Timeline) -> str:
    return msgspec.json.encode(_Kept(clock.boot, clock.offset_ms(), marks.highest)).decode()


def _read_marks(text: str, clock: Timeline) -> Marks:
    """Return the highest stamps used before; more may have been used since that was written."""
    if not text:
        return Marks()
    try:
        kept = msgspec.json.decode(text, type=_Kept)
    except msgspec.DecodeError as error:
        _log.error("what was kept of the highest stamps cannot be read: they go on after now", reason=str(error))
        return Marks([clock.now_ms() + MARKS_BEHIND_MS])
    is_same_clock = kept.boot == clock.boot and abs(kept.offset_ms - clock.offset_ms()) < STEP_MS
    return Marks(kept.highest if is_same_clock else [mark + MARKS_BEHIND_MS for mark in kept.highest])


def phase_ms(share: float, interval_ms: int) -> int:
    """Return when in its interval a device is polled: at that share of it, together with others within ``TOGETHER_MS``.

    To wake up for one poll takes a gateway longer than the poll, so many that are due at nearly one time share that.
    """
    return round(share * interval_ms) // TOGETHER_MS * TOGETHER_MS


def next_slot(due_ms: int, now_ms: int, interval_ms: int) -> int:
    """Return the next time of the grid through ``due_ms`` that is after ``now_ms``.

    A wake-up that was early by less than a tenth of the interval counts as on time.
    """
    passed = (now_ms + interval_ms // 10 - due_ms) // interval_ms
    return due_ms + (passed + 1) * interval_ms


def _open_outbox(config: GatewayConfig, clock: Timeline, journal: Journal | None) -> Outbox:
    return Outbox.open(
        config.data_dir / "outbox.sqlite",
        max_bytes=config.outbox.max_mb * MIB,
        max_age_ms=config.outbox.max_days * DAY_MS,
        clock=clock,
        on_commit=None if journal is None else journal.record,
        boot=clock.boot,
    )


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(f"data_dir: cannot make {folder}: {error.strerror}") from error


def _new_id() -> str:
    return secrets.token_hex(16)


@asynccontextmanager
async def open_agent(
    config: GatewayConfig,
    *,
    clock: Clock,
    journal: Path | None = None,
    new_id: Callable[[], str] = _new_id,
    is_made_up: Callable[[int], bool] = lambda _: False,
) -> AsyncIterator[Agent]:
    """Open the outbox (and the journal) for an agent, and close them after it.

    ``is_made_up``: whether what the clock shows is no time, see :class:`edge.timeline.Timeline`.
    Raises ConfigurationError, OutboxError, JournalError.
    """
    await asyncio.to_thread(_make_folder, config.data_dir)
    async with AsyncExitStack() as open_parts:
        kept = None
        if journal is not None:
            kept = await asyncio.to_thread(Journal, journal)
            open_parts.callback(kept.close)
        timeline = Timeline(clock, is_made_up=is_made_up)
        outbox = await asyncio.to_thread(_open_outbox, config, timeline, kept)
        open_parts.push_async_callback(asyncio.to_thread, outbox.close)
        links = await open_parts.enter_async_context(ModbusLinks())
        yield Agent(config, clock=timeline, outbox=outbox, links=links, new_id=new_id)
