"""Asks a camera for what it sees, for ever: connects again after a growing pause, and notices silence.

A camera is lost when it cannot be reached, refuses to sign us in, or says nothing for ``timeout_s``, though its
connection may live: bytes that trickle without ever being a part are silence too.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing
from datetime import tzinfo
from typing import Final, Protocol

import structlog
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, wait_random_exponential

from edge.contract.camera_config import AskConfig, CameraConfig
from edge.drivers import NotStoredError
from edge.drivers.cameras import Intake, Refused, Sighting
from edge.drivers.cameras.parts import Part, Parts
from edge.drivers.cameras.web import CameraWeb, SignInError, UnreachableError

LONGEST_PAUSE_S: Final = 60.0
SIGN_IN_PAUSE_S: Final = 300.0  # cameras lock out an address after five wrong tries, for half an hour
STABLE_S: Final = 60.0  # a connection that held this long was a good one: the next attempt comes soon again
WHOLE_AFTER_S: Final = 1.0  # without anything new, a document that ends as it should is whole
STORE_AGAIN: Final = wait_random_exponential(multiplier=1, max=30)

_log = structlog.get_logger()

Session = Callable[[CameraWeb], Awaitable[None]]
"""One connection: asks and takes in until the camera is lost. Raises UnreachableError and Refused."""


class Rhythm:
    """The pauses between connections, in seconds; tests have shorter ones."""

    def __init__(self, *, shortest_s: float = 1.0, longest_s: float = LONGEST_PAUSE_S) -> None:
        self._growing = wait_random_exponential(multiplier=shortest_s, max=longest_s)
        self.sign_in_s = min(SIGN_IN_PAUSE_S, 5 * longest_s)

    def __call__(self, state: RetryCallState) -> float:
        """Return the next pause, growing unless the camera refused to sign us in."""
        error = state.outcome.exception() if state.outcome else None
        return self.sign_in_s if isinstance(error, SignInError) else self._growing(state)


class ReadParts(Protocol):
    """Reads the parts that belong together; pure. Raises Refused."""

    def __call__(self, parts: Sequence[Part], *, zone: tzinfo | None) -> list[Sighting]:
        """Return what they say."""


async def keep_asking(pull: AskConfig, intake: Intake, session: Session, *, rhythm: Rhythm) -> None:
    """Run one session after the other, until cancelled."""
    loop = asyncio.get_running_loop()
    while True:
        # A new one after each good connection, so that its pauses begin short again.
        async for attempt in AsyncRetrying(wait=rhythm, retry=retry_if_exception_type((UnreachableError, Refused))):
            with attempt:
                began = loop.time()
                try:
                    await _ask(pull, session)
                except Refused as refused:
                    intake.refuse(refused)
                    intake.lose(str(refused))
                    _raise_if_short(refused, loop.time() - began)
                except UnreachableError as error:
                    intake.lose(str(error))
                    _raise_if_short(error, loop.time() - began)


async def _ask(pull: AskConfig, session: Session) -> None:
    """Run one session. What nobody expected is logged, and the camera is lost: no camera may end the agent."""
    try:
        async with CameraWeb(pull) as web:
            await session(web)
    except (UnreachableError, Refused):
        raise
    except Exception as error:
        kind = type(error).__name__
        _log.exception("asking a camera failed: please report this", url=pull.url, error=kind)
        raise UnreachableError(f"unexpected {kind}") from error


def _raise_if_short(error: Exception, lasted_s: float) -> None:
    if lasted_s < STABLE_S or isinstance(error, SignInError):
        raise error


async def pull_stream(camera: CameraConfig, intake: Intake, *, path: str, read: ReadParts, rhythm: Rhythm) -> None:
    """Take in what a camera says on an answer without end, until cancelled."""
    pull = camera.pull
    if pull is None:
        return

    async def session(web: CameraWeb) -> None:
        async with web.open(path) as stream:
            await _Stream(camera, intake, read, silence_s=pull.timeout_s).follow(stream)

    await keep_asking(pull, intake, session, rhythm=rhythm)


class _Stream:
    """One answer without end: parts, each perhaps followed by its picture."""

    def __init__(self, camera: CameraConfig, intake: Intake, read: ReadParts, *, silence_s: float) -> None:
        self._zone, self._intake, self._read = camera.time_zone, intake, read
        self._silence_s = silence_s
        self._parts = Parts()
        self._waiting: Part | None = None  # for the picture that may follow

    async def follow(self, stream: AsyncIterator[bytes]) -> None:
        """Take in until it ends, which it never should. Raises UnreachableError and Refused."""
        try:
            await self._listen(stream)
        except (UnreachableError, Refused):
            await self._take(None)
            raise
        for part in (self._parts.finish(), None):
            await self._take(part)
        raise UnreachableError("it ended the connection")

    async def _listen(self, stream: AsyncIterator[bytes]) -> None:
        try:
            async with (
                asyncio.timeout(self._silence_s) as silence,
                aclosing(_with_pauses(stream, WHOLE_AFTER_S)) as pieces,
            ):
                async for data in pieces:
                    await self._take_all(data, silence)
        except TimeoutError as error:
            raise UnreachableError(f"said nothing for {self._silence_s:g} s") from error

    async def _take_all(self, data: bytes, silence: asyncio.Timeout) -> None:
        """Take in what this piece makes whole; an empty one says that nothing has come for a while."""
        parts = list(self._parts.feed(data)) if data else [self._parts.pause()]
        if not any(parts) and (data or self._waiting is None):
            return
        due = silence.when()
        silence.reschedule(None)  # the camera is not to blame for how long it takes to keep what it says
        for part in parts:
            await self._take(part)
        if not data:
            await self._take(None)  # no picture is coming
        silence.reschedule(asyncio.get_running_loop().time() + self._silence_s if any(parts) else due)

    async def _take(self, part: Part | None) -> None:
        """Take in the part that waits, with this one if it is its picture; else this one waits now."""
        waiting, self._waiting = self._waiting, None
        if part is not None:
            self._intake.hear()
        if part is not None and not part.is_picture:
            part, self._waiting = None, part
        if waiting is None:
            return
        group = [waiting] if part is None else [waiting, part]
        try:
            sightings = self._read(group, zone=self._zone)
        except Refused as refused:
            self._intake.refuse(refused)
            return
        for sighting in sightings:
            await take_surely(self._intake, sighting)


async def take_surely(intake: Intake, sighting: Sighting) -> None:
    """Take it in; while it cannot be kept, try again: a camera does not say it twice."""
    async for attempt in AsyncRetrying(wait=STORE_AGAIN, retry=retry_if_exception_type(NotStoredError)):
        with attempt:
            try:
                await intake.take(sighting)
            except Refused as refused:
                intake.refuse(refused)  # counted once, whoever says it


async def _with_pauses(stream: AsyncIterator[bytes], pause_s: float) -> AsyncGenerator[bytes, None]:
    """Give what comes, and an empty piece whenever nothing has come for a while."""
    reading: asyncio.Task[bytes] | None = None
    try:
        while True:
            reading = reading or asyncio.ensure_future(_next(stream))
            done, _ = await asyncio.wait({reading}, timeout=pause_s)
            if not done:
                yield b""
                continue
            data, reading = reading.result(), None
            if not data:
                return
            yield data
    finally:
        if reading is not None:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)


async def _next(stream: AsyncIterator[bytes]) -> bytes:
    """Return the next piece that is not empty; an empty one is the end."""
    async for data in stream:
        if data:
            return data
    return b""
