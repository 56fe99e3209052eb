"""The seam between cameras and the agent: what a camera says becomes sightings, whatever its brand speaks.

A brand is one module, of which these functions are known here:

- ``read_<brand>(content_type, body, *, zone) -> list[Sighting]``, pure: what one post (or one part of a stream) says.
  Raises :class:`Refused` for what cannot be read. ``zone`` is that of the camera's clock where gateway.yaml gives it.
- ``pull_<brand>(camera, intake) -> None``, a coroutine, where the gateway asks the camera: runs until it is cancelled,
  connects again by itself after a growing pause, and tells its :class:`Intake` what comes.
- ``push_<brand>(camera, intake, door) -> None``, a coroutine, where the gateway asks the camera to post.

:mod:`edge.drivers.cameras.brands` knows which brand has which. Posts come by HTTP to ``/v1/cameras/{id}/{brand}``:
the listener (:mod:`edge.drivers.cameras.listener`) has checked who posts and bounded the body before a brand sees it.

What sightings mean is no business of a brand: the one :class:`edge.drivers.cameras.tracker.Tracker` of a camera makes
events of them, by the brand's table in ``firmware_configs/cameras/<brand>.yaml`` and what gateway.yaml replaces of it.
Begin and end become one event, whatever comes again within a while is the same, a clock that cannot be right is not
believed.

Faces and plates are never read here: a brand leaves out every field that may hold them, and no note has one.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo
from enum import StrEnum
from typing import Final, Literal, NamedTuple, Protocol

from edge.contract.readings import is_undated
from edge.drivers import DriverError

__all__ = ["CameraTime", "Intake", "Refused", "Sighting", "State", "Why", "read_time"]

MOST_TEXT: Final = 200  # characters of anything a camera says that is kept
LONGEST_TIME: Final = 64
KEPT_MS: Final = 7 * 86_400_000  # so late comes what somebody kept; what is older has a wrong clock
JPEG_START: Final = b"\xff\xd8\xff"
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

State = Literal["begin", "end", "pulse", "heartbeat"]
"""``pulse`` has no end of its own; ``heartbeat`` says only that the camera is there (``videoloss inactive``)."""


class Sighting(NamedTuple):
    """One thing that a camera says.

    ``kind`` is the vendor's word for it. ``at_ms`` is the camera's own time, None where it gave none that can be read;
    ``said_at`` is then what it gave. ``id`` is the camera's name for this one event, where it has one: begin and end
    share it. ``late_ms``: so late it may come, as from whoever keeps what it could not post; its time still holds.
    """

    kind: str
    state: State = "pulse"
    at_ms: int | None = None
    channel: str = ""
    id: str = ""
    note: str = ""
    picture: bytes | None = None
    score: float | None = None
    said_at: str = ""
    late_ms: int = 0


class Why(StrEnum):
    """For what reason something of a camera was refused: what its health counts."""

    SIGN_IN = "sign_in"  # a wrong password or signature
    REPLAYED = "replayed"  # signed long ago, or twice
    TOO_LARGE = "too_large"
    TOO_SLOW = "too_slow"
    MALFORMED = "malformed"  # the bytes are not what they are said to be
    HOSTILE = "hostile"  # entities, a bomb: what no camera sends
    CONTENT = "content"  # well-formed, but something in it cannot be right
    UNMAPPED = "unmapped"  # a kind of event that no table knows


class Refused(DriverError):  # noqa: N818 -- a refusal is no fault of ours
    """Something that a camera sent cannot be taken; the text is one sentence for whoever sets up the camera."""

    def __init__(self, why: Why, text: str, *, advice: str = "") -> None:
        """``advice``: what to do about this very refusal, rather than about all of its kind; put behind the text."""
        super().__init__(f"{text}: {advice}" if advice else text)
        self.why = why
        self.advice = advice
        self.is_counted = False  # in the camera's health


class Intake(Protocol):
    """Where what comes from one camera goes; whoever listens or pulls has one for each camera."""

    async def take(self, sighting: Sighting) -> str | None:
        """Commit what follows from a sighting, and return the id of its event, None where it is none.

        Raises Refused, which is counted already, and NotStoredError: send it again.
        """

    def refuse(self, refused: Refused) -> None:
        """Count and log something that was refused, once."""

    def hear(self) -> None:
        """Note that the camera was heard, whatever it said."""

    def lose(self, reason: str) -> None:
        """Note that the camera cannot be reached, until it is heard again."""

    def doubt(self, address: str) -> None:
        """Note that the camera answers, but has posted nothing to the address that it was told."""


class CameraTime(NamedTuple):
    """A time as a camera gives it: milliseconds UTC, or None and the text that is none."""

    at_ms: int | None
    said_at: str


def read_time(text: str, zone: tzinfo | None = None) -> CameraTime:
    """Read ISO 8601, with T or a space; 0000-00-00, what has no zone where none is known, and 1970 are no times.

    ``zone`` is that of times without one. Whether a time can be right is for the tracker to say.
    """
    shown = text.strip()[:LONGEST_TIME]
    try:
        time = datetime.fromisoformat(shown)
        if time.tzinfo is None:
            if zone is None:
                return CameraTime(None, shown)
            time = time.replace(tzinfo=zone)
        at_ms = (time - EPOCH) // timedelta(milliseconds=1)
    except (ValueError, OverflowError):
        return CameraTime(None, shown)
    return CameraTime(None if is_undated(at_ms) else at_ms, shown)
