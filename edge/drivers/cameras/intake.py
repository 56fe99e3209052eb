"""From sightings of one camera to what is committed: judged by its tracker, its pictures masked, its health counted."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, NamedTuple

import msgspec
import structlog

from edge.contract.camera_config import CAMERA_KEY, CameraConfig
from edge.contract.clock import Clock
from edge.contract.messages import MAX_BLOB, BlobPiece, Event, split_blob
from edge.drivers.cameras import JPEG_START, MOST_TEXT, Refused, Sighting
from edge.drivers.cameras.health import CameraHealth
from edge.drivers.cameras.mask import MaskError, masked
from edge.drivers.cameras.tracker import Moment, Step, Tracker, note_of
from edge.drivers.cameras.witness import UNWATCHED, Witness

NO_JPEG: Final = "its picture was no JPEG: left out"
TOO_LARGE: Final = "its picture was too large: left out"

_log = structlog.get_logger()


class Keeper(NamedTuple):
    """How what cameras say is kept."""

    store: Callable[[Event, Sequence[BlobPiece], dict[str, str | None]], Awaitable[None]]
    """Commits an event, its picture and the camera's state together, or raises NotStoredError."""
    hand_over: Callable[[Event, dict[str, str | None]], None]
    """Lets the next commit take along an event that nobody waits for, and the camera's state."""
    keep_state: Callable[[str, str | None], None]
    """Lets the next commit keep a state."""
    masking: asyncio.Semaphore
    """Held while a picture is in memory as pixels."""


class CameraIntake:
    """Takes in what one camera says; one at a time."""

    def __init__(
        self,
        camera: CameraConfig,
        *,
        gateway: str,
        clock: Clock,
        keeper: Keeper,
        used: Sequence[int] = (),
        witness: Witness = UNWATCHED,
    ) -> None:
        """``used``: stamps that its readings may have had before, see :class:`edge.stamps.Stamps`."""
        self.camera = camera
        self.tracker = Tracker(camera, gateway=gateway)
        self.health = CameraHealth(self.tracker, clock=clock, used=used)
        self._gateway = gateway
        self._clock = clock
        self._keeper = keeper
        self._witness = witness
        self._lock = asyncio.Lock()
        self._log = _log.bind(camera=camera.id)

    @property
    def key(self) -> str:
        """Name of its state among those that are kept."""
        return CAMERA_KEY + self.camera.id

    async def take(self, sighting: Sighting) -> str | None:
        """Commit what follows from a sighting, and return the id of its event, None where it is none.

        Raises Refused, counted, and NotStoredError: then nothing has happened, and it may come again.
        """
        self.hear()
        async with self._lock:
            self._end_overdue()
            try:
                step = self.tracker.judge(sighting, self._moment())
            except Refused as refused:
                self._refuse(refused, sighting.kind)
                raise
            if step.event is None:
                self._accept(step)
                event = None
            else:
                event = await self._commit(step, step.event, sighting.picture)
            self.health.note_time(step.stamp)
            self._witness.took(self.camera.id, sighting, step, event)
            return step.event_id

    def refuse(self, refused: Refused) -> None:
        """Count and log a refusal, once."""
        if not refused.is_counted:
            self._refuse(refused)

    def _refuse(self, refused: Refused, kind: str = "") -> None:
        refused.is_counted = True
        self.health.refuse(refused.why)
        self._log.warning("camera refused", why=str(refused.why), error=str(refused)[: 2 * MOST_TEXT])
        self._witness.refused(self.camera.id, refused, kind)

    def hear(self) -> None:
        """Note that the camera was heard."""
        self.health.hear()
        self._witness.heard(self.camera.id)

    def lose(self, reason: str) -> None:
        """Note that the camera cannot be reached."""
        if self.health.lose():
            self._log.warning("camera lost", reason=reason[: 2 * MOST_TEXT])
        self._witness.lost(self.camera.id, reason)

    def doubt(self, address: str) -> None:
        """Note that the camera was asked to post and has not."""
        self._log.warning("camera posts nothing though it was asked to: can it reach us?", url=address)
        self._witness.doubted(self.camera.id)

    def restore(self, state: str) -> None:
        """Go on with what was open when the agent stopped."""
        try:
            self.tracker.restore(state, self._moment())
        except msgspec.DecodeError as error:
            self._log.error("what was kept of a camera cannot be read: it is dropped", reason=str(error))
            self._keeper.keep_state(self.key, None)

    async def end_overdue(self) -> None:
        """End what is due by time alone."""
        async with self._lock:
            self._end_overdue()

    def _end_overdue(self) -> None:
        while (step := self.tracker.overdue(self._moment())) is not None and step.event is not None:
            self.tracker.accept(step)
            self._keeper.hand_over(step.event, {self.key: self.tracker.state()})
            self._log.info("camera event ended", event_id=step.event_id, note=step.event.note)

    def _moment(self) -> Moment:
        return Moment(self._clock.now_ms(), self._clock.monotonic_ms(), self._clock.boot)

    def _accept(self, step: Step) -> None:
        self.tracker.accept(step)
        if step.opened is not None or step.fault is not None:
            self._keeper.keep_state(self.key, self.tracker.state())

    async def _commit(self, step: Step, event: Event, picture: bytes | None) -> Event:
        shown, remark = (None, "") if picture is None else await self._prepare(picture)
        pieces = [] if shown is None else split_blob(self._gateway, shown, "image/jpeg")
        names = [*event.blobs, *(piece.name for piece in pieces[:1])]
        event = msgspec.structs.replace(event, blobs=names, note=note_of(event.note, remark))
        await self._keeper.store(event, pieces, {self.key: self.tracker.state(step, event)})
        self.tracker.accept(step, event)
        self._log.info("camera event kept", class_code=event.class_code, state=event.state, event_id=event.id)
        return event

    async def _prepare(self, picture: bytes) -> tuple[bytes | None, str]:
        """Return what of a picture may leave, None and the reason where nothing may."""
        if not picture.startswith(JPEG_START):
            return None, NO_JPEG
        if self.camera.mask:
            async with self._keeper.masking:
                try:
                    picture = await asyncio.to_thread(masked, picture, self.camera.mask)
                except MaskError as error:
                    return None, f"its picture {error}, so it could not be masked: left out"
        return (picture, "") if len(picture) <= MAX_BLOB else (None, TOO_LARGE)
