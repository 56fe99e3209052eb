"""Cameras at work for a person who sets them up: what comes, and what becomes of it. Nothing is kept, nothing is sent.

The same listener, the same questions, the same tables as those of the agent; only what is made of it is shown.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple

from edge.camera_outcomes import Became, Outcome, away_of, outcome_of, posts_nothing, sign_in_of, what_to_do
from edge.cameras import Cameras, Keeper
from edge.contract.camera_config import CameraConfig
from edge.contract.camera_tables import Targets
from edge.contract.config_file import nearest
from edge.contract.gateway_config import GatewayConfig
from edge.contract.messages import BlobPiece, Event
from edge.contract.readings import LATEST
from edge.drivers import ConfigurationError, NotStoredError
from edge.drivers.cameras import Refused, Sighting, Why
from edge.drivers.cameras.onvif_session import HEARTBEAT as ANSWER
from edge.drivers.cameras.tracker import Step
from edge.drivers.cameras.witness import Away, Witness
from edge.timeline import Timeline

MOST_KINDS: Final = 200  # of one camera that are told apart; what a stranger sends must not fill the memory
MOST_AWAY: Final = 200
MOST_PICTURES: Final = 500
ON_ARRIVAL: Final = ": stamped on arrival"


class Picture(NamedTuple):
    """A picture as it would leave the gateway."""

    size: int
    regions: int  # that are blacked out
    saved: str = ""  # the name of its file, or why there is none


class Seen(NamedTuple):
    """One thing that came, and what became of it; ``camera`` is empty where none of ours had to do with it."""

    at_ms: int
    camera: str
    became: Became
    words: str
    kind: str = ""
    state: str = ""
    class_code: str = ""
    event_id: str = ""
    note: str = ""
    why: Why | None = None
    picture: Picture | None = None
    times: int = 1  # that the same was said of this kind of the camera in a row


@dataclass
class Tally:
    """What came of one camera."""

    kinds: Counter[tuple[str, str]] = field(default_factory=Counter)
    """By the vendor's word and what became of it."""
    heartbeats: int = 0
    pictures: int = 0
    refused: Counter[Why] = field(default_factory=Counter)
    reasons: dict[Why, str] = field(default_factory=dict)
    """The last refusal of each reason, and what to do about it."""
    latest: dict[tuple[str, str, Why | None], tuple[str, str, int]] = field(default_factory=dict)
    """What was said last of each kind and state: words, event, and how often in a row."""
    is_heard: bool = False
    is_taken: bool = False
    """Whether something of it was taken; what it answers when it is asked for its time is no sign that it posts."""
    lost: str = ""
    offset_ms: int | None = None
    wrong_time: str = ""
    """What is wrong with the time that it says, where that tells nothing of how far it is off."""

    def note(self, kind: str, outcome: Outcome) -> None:
        """Count a sighting."""
        key = kind, f"{outcome.became} {outcome.class_code}".rstrip()
        self.kinds[key if key in self.kinds or len(self.kinds) < MOST_KINDS else ("others", "")] += 1

    def told(self, seen: Seen) -> Seen:
        """Return what is shown of it with how often the same was shown before."""
        if len(self.latest) >= MOST_KINDS:
            self.latest.clear()
        key = seen.kind, seen.state, seen.why
        words, event_id, times = self.latest.get(key, ("", "", 0))
        times = times + 1 if (words, event_id) == (seen.words, seen.event_id) else 1
        self.latest[key] = seen.words, seen.event_id, times
        return seen._replace(times=times)


class PicturesError(Exception):
    """Pictures cannot be saved there."""


class PictureFolder:
    """Where pictures are saved as they would leave the gateway, under names of ours, for their owner alone."""

    def __init__(self, path: Path) -> None:
        """Raises PicturesError where it cannot be made."""
        self.path = path
        self._count = 0
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise PicturesError(f"--pictures {path}: {error.strerror}") from error

    def save(self, camera: str, at_ms: int, picture: bytes) -> str:
        """Return the name of the new file, or why there is none."""
        if self._count >= MOST_PICTURES:
            return f"not saved: {MOST_PICTURES} are there"
        self._count += 1
        name = f"{camera}-{datetime.fromtimestamp(at_ms / 1000, UTC).astimezone():%Y%m%d-%H%M%S}-{self._count}.jpg"
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
            with os.fdopen(os.open(self.path / name, flags, mode=0o600), "wb") as file:
                file.write(picture)
        except OSError as error:
            return f"not saved: {error.strerror}"
        return f"saved as {name}"


class CameraWatch(Witness):
    """Shows what comes of the chosen cameras until :meth:`stop`, by ``show``; ``tallies`` are by camera."""

    def __init__(
        self,
        config: GatewayConfig,
        chosen: Sequence[str],
        *,
        clock: Timeline,
        show: Callable[[Seen], None],
        pictures: PictureFolder | None = None,
    ) -> None:
        """Raises ConfigurationError for a camera that gateway.yaml does not name."""
        known = {camera.id: camera for camera in config.cameras}
        for name in chosen:
            if name not in known:
                hint = nearest(name, known) or f" (there is {', '.join(known) or 'none'})"
                raise ConfigurationError(f'gateway {config.gateway} has no camera "{name}"{hint}')
        self.config = _narrowed(config, chosen)
        self.cameras = {name: known[name] for name in chosen}
        self.tallies = {name: Tally() for name in chosen}
        self.away: Counter[Away] = Counter()
        self.others: set[str] = set()
        """Frigate's names of cameras that are not ours."""
        self._targets = {name: Targets(camera) for name, camera in self.cameras.items()}
        self._unchosen = known.keys() - self.cameras.keys()
        self._names = {camera.channel or camera.id for camera in config.cameras if camera.brand == "frigate"}
        self._clock, self._show, self._pictures = clock, show, pictures
        self._leaving: dict[str, bytes] = {}  # the picture that was just committed, by camera
        self._asked: set[tuple[str, str]] = set()  # who was told how to sign in, and has not yet
        keeper = Keeper(self._store, self._hand_over, _forget, asyncio.Semaphore(1))
        self._work = Cameras(self.config, clock=clock, keeper=keeper, witness=self)
        self._stopping = asyncio.Event()
        self._unread: OSError | None = None

    def stop(self) -> None:
        """Let :meth:`run` end now."""
        self._stopping.set()

    async def run(self, *, seconds: float | None, begin: Callable[[], None]) -> None:
        """Listen, ask and follow; ``begin`` is called when cameras can post.

        Raises ConfigurationError, and OSError where what is shown cannot be written, as BrokenPipeError where nobody
        reads it any more.
        """
        async with self._work.listening():
            begin()
            working = asyncio.create_task(self._work.run())
            stopping = asyncio.create_task(self._stopping.wait())
            done, _ = await asyncio.wait({working, stopping}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            for task in (working, stopping):
                task.cancel()
            await asyncio.gather(working, stopping, return_exceptions=True)
            if working in done:
                working.result()
        if self._unread is not None:
            raise self._unread

    async def take(self, camera: str, sightings: Sequence[Sighting]) -> None:
        """Take what a saved message of a camera says; its times are believed, however long ago."""
        intake = self._work.intakes[camera]
        self.tallies[camera].is_heard = True  # a file is no sign that it is there
        for sighting in sightings:
            with suppress(Refused):  # shown already
                await intake.take(sighting._replace(late_ms=LATEST))

    def refuse(self, camera: str, refused: Refused) -> None:
        """Show that a saved message of a camera cannot be read."""
        self._work.intakes[camera].refuse(refused)

    # --- what cameras, listener and Frigate tell ----------------------------------------------------------------------

    def wants(self, camera: str) -> bool:
        """Whether a camera is chosen: of the others nothing is swallowed, not even an end or a heartbeat."""
        return camera in self.tallies

    def took(self, camera: str, sighting: Sighting, step: Step, event: Event | None) -> None:
        """Show a sighting, heartbeats but once."""
        if camera not in self.tallies:
            return
        config, tally = self.cameras[camera], self.tallies[camera]
        outcome = outcome_of(config, self._targets[camera], sighting, step, event)
        if step.stamp.offset_ms is not None:
            tally.offset_ms = step.stamp.offset_ms
        elif not step.stamp.is_believed:
            tally.wrong_time = step.stamp.remark.removesuffix(ON_ARRIVAL)
        tally.is_taken |= config.push is None or sighting.kind != ANSWER
        if outcome.became is Became.HEARTBEAT:
            tally.heartbeats += 1
            if tally.heartbeats > 1:
                return
        else:
            tally.note(sighting.kind, outcome)
        now_ms, note = self._clock.now_ms(), sighting.note if event is None else event.note
        if outcome.became is Became.HEARTBEAT:
            note = ""
        shown = Seen(
            now_ms, camera, *outcome[:2], sighting.kind, sighting.state, outcome.class_code, step.event_id or "", note
        )
        self._tell(shown._replace(picture=self._picture(camera, now_ms)))

    def refused(self, camera: str, refused: Refused, kind: str = "") -> None:
        """Show a refusal and what to do about it."""
        self._asked.clear()
        if camera not in self.tallies:
            return
        tally, advice = self.tallies[camera], what_to_do(self.cameras[camera], refused, kind)
        tally.refused[refused.why] += 1
        words = "; ".join(filter(None, [str(refused), advice]))
        tally.reasons[refused.why] = words
        if kind:
            tally.note(kind, Outcome(Became.REFUSED, words))
        now_ms = self._clock.now_ms()
        self._tell(Seen(now_ms, camera, Became.REFUSED, words, kind, why=refused.why))

    def heard(self, camera: str) -> None:
        """Show that a camera which is asked, or Frigate's, is there."""
        self._asked.clear()
        tally = self.tallies.get(camera)
        if tally is None:
            return
        is_new, tally.is_heard, tally.lost = not tally.is_heard or bool(tally.lost), True, ""
        if is_new and self.cameras[camera].password_file is None:  # one that posts shows so by what it posts
            words = "it is there" if self.cameras[camera].push is None else "it answers"
            self._tell(Seen(self._clock.now_ms(), camera, Became.HEARD, words))

    def lost(self, camera: str, reason: str) -> None:
        """Show that a camera cannot be reached, for each reason once."""
        tally = self.tallies.get(camera)
        if tally is None or tally.lost == reason:
            return
        tally.lost = reason
        self._tell(Seen(self._clock.now_ms(), camera, Became.LOST, f"lost: {reason}"))

    def doubted(self, camera: str) -> None:
        """Show that a camera posts nothing though it was asked to, and what to check."""
        if camera in self.tallies and not self.tallies[camera].is_taken:
            words = posts_nothing(self.cameras[camera], self.config)
            self._tell(Seen(self._clock.now_ms(), camera, Became.SILENT, words))

    def turned_away(self, away: Away) -> None:
        """Show once what nobody of ours has sent; the first question of a camera that signs in by Digest is none."""
        camera = self._poster(away)
        if camera in self._unchosen:
            return
        asker = away.address, away.path
        if away.status == 401 and not away.name and asker not in self._asked:
            self._asked = {*self._asked, asker} if len(self._asked) < MOST_AWAY else {asker}
            return
        if len(self.away) >= MOST_AWAY and away not in self.away:
            return
        self.away[away] += 1
        if self.away[away] == 1:
            advice = f"; {sign_in_of(self.cameras[camera])}" if camera and away.status == 401 else ""
            self._tell(Seen(self._clock.now_ms(), camera, Became.TURNED_AWAY, f"{away_of(away)}{advice}"))

    def told_of_another(self, camera: str) -> None:
        """Show once the name of a camera that only Frigate knows."""
        if camera in self._names or camera in self.others or len(self.others) >= MOST_AWAY:
            return
        self.others.add(camera)
        words = f'Frigate tells of its camera "{camera}", which is channel of no camera here'
        self._tell(Seen(self._clock.now_ms(), "", Became.TURNED_AWAY, words))

    def _poster(self, away: Away) -> str:
        """The camera that somebody posts as, by the path or the name; or else the only chosen one that posts there."""
        parts = away.path.split("/")
        for name in (parts[3] if len(parts) == 5 else "", away.name):
            if name in self.cameras or name in self._unchosen:
                return name
        own = [camera.id for camera in self.cameras.values() if camera.brand == "anlan"]
        return own[0] if away.path == "/v1/trigger" and len(own) == 1 else ""

    # --- what would be kept -------------------------------------------------------------------------------------------

    async def _store(self, event: Event, pieces: Sequence[BlobPiece], _states: dict[str, str | None]) -> None:
        if event.device not in self.tallies:
            raise NotStoredError("other cameras are being set up")
        self._leaving[event.device] = b"".join(piece.data for piece in pieces)

    def _hand_over(self, event: Event, _states: dict[str, str | None]) -> None:
        if event.device in self.tallies:
            outcome = Outcome(Became.ENDED, f"{event.class_code} ended", event.class_code)
            self.tallies[event.device].note("", outcome)
            code, now_ms = event.class_code, self._clock.now_ms()
            self._tell(Seen(now_ms, event.device, *outcome[:2], "", "end", code, event.id, event.note))

    def _tell(self, seen: Seen) -> None:
        """Show it; no camera is to blame for a full disk or a reader who is gone, as ``head`` is after its lines."""
        try:
            self._show(self.tallies[seen.camera].told(seen) if seen.camera in self.tallies else seen)
        except OSError as error:
            self._unread = error
            self.stop()

    def _picture(self, camera: str, now_ms: int) -> Picture | None:
        leaving = self._leaving.pop(camera, b"")
        if not leaving:
            return None
        self.tallies[camera].pictures += 1
        saved = self._pictures.save(camera, now_ms, leaving) if self._pictures else ""
        return Picture(len(leaving), len(self.cameras[camera].mask), saved)


def is_posting(camera: CameraConfig) -> bool:
    """Whether a camera needs somebody who listens."""
    return camera.password_file is not None or camera.push is not None


def _narrowed(config: GatewayConfig, chosen: Sequence[str]) -> GatewayConfig:
    """Of the others, only posts are answered (send it again later), so that they do not count as wrong passwords."""
    cameras: list[CameraConfig] = []
    for camera in config.cameras:
        if camera.id in chosen:
            cameras.append(camera)
        elif camera.password_file is not None:
            cameras.append(camera.model_copy(update={"pull": None, "push": None}))
    is_posted = any(is_posting(camera) and camera.id in chosen for camera in cameras)
    listener = config.camera_listener if is_posted else None
    return config.model_copy(update={"cameras": tuple(cameras), "camera_listener": listener})


def _forget(_key: str, _state: str | None) -> None:
    pass
