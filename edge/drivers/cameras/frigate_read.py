"""Pure: what Frigate publishes by MQTT, as sightings. Only the fields named here are read at all.

Source: Frigate's documentation, integrations/mqtt. Not read are ``sub_label``, ``recognized_license_plate``,
``attributes`` and thumbnails, which may hold names of faces, plates and pictures that no mask has seen.

A tracked object of label ``car`` in the zone ``fire_lane`` is a sighting of ``car`` and one of ``car@fire_lane``; a
review of severity ``alert`` is one of ``alert``, and of ``alert@zone``.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal, NamedTuple, TypeVar

import msgspec
from msgspec import Meta, Struct

from edge.drivers.cameras import KEPT_MS, MOST_TEXT, Refused, Sighting, State, Why

MOST_BYTES: Final = 256 * 1024
MOST_ZONES: Final = 32

Word = Annotated[str, Meta(min_length=1, max_length=120)]
Zones = Annotated[list[Word], Meta(max_length=MOST_ZONES)]
ChangeT = TypeVar("ChangeT", bound=Struct)
Seconds = Annotated[float, Meta(ge=0, le=4_102_444_800)]


class TrackedObject(Struct, frozen=True):
    """One state of a tracked object, as far as we need it."""

    id: Word
    camera: Word
    label: Word
    start_time: Seconds
    end_time: Seconds | None = None
    frame_time: Seconds | None = None
    score: float | None = None
    top_score: float | None = None
    false_positive: bool = False
    current_zones: Zones = []
    entered_zones: Zones = []


class ObjectChange(Struct, frozen=True):
    """A message of ``frigate/events``."""

    type: Literal["new", "update", "end"]
    after: TrackedObject


class ReviewData(Struct, frozen=True):
    """What a review is about: only where, for the rest names what it saw."""

    zones: Zones = []


class Review(Struct, frozen=True):
    """One state of a review."""

    id: Word
    camera: Word
    severity: Literal["alert", "detection"]
    start_time: Seconds
    end_time: Seconds | None = None
    data: ReviewData = ReviewData()


class ReviewChange(Struct, frozen=True):
    """A message of ``frigate/reviews``."""

    type: Literal["new", "update", "end"]
    after: Review


class Told(NamedTuple):
    """What a message says: of which camera (Frigate's name), and what of what thing."""

    camera: str
    thing: str  # Frigate's id
    label: str
    is_over: bool
    sightings: list[Sighting]


def read_object(payload: bytes) -> Told:
    """Read a message of ``frigate/events``; raises Refused."""
    change = _decode(payload, ObjectChange)
    thing = change.after
    if change.type == "end":
        state: State = "end"
        at_s = thing.end_time or thing.frame_time or thing.start_time
    else:  # an object that has stood there for hours is in a zone since this frame
        state = "begin"
        at_s = thing.start_time if change.type == "new" else thing.frame_time or thing.start_time
    score = thing.top_score if thing.score is None else thing.score
    zones = dict.fromkeys([*thing.current_zones, *(thing.entered_zones if state == "end" else [])])
    kinds = [thing.label, *(f"{thing.label}@{zone}" for zone in zones)]
    left = [zone for zone in thing.entered_zones if zone not in thing.current_zones] if state == "begin" else []
    seen = Sighting(thing.label, state, round(at_s * 1000), thing.camera, thing.id, _note(kinds, score), score=score)
    sightings = [] if thing.false_positive else [seen._replace(kind=kind) for kind in kinds]
    sightings += [seen._replace(kind=f"{thing.label}@{zone}", state="end") for zone in left]
    return Told(thing.camera, thing.id, thing.label, state == "end", sightings)


def read_review(payload: bytes) -> Told:
    """Read a message of ``frigate/reviews``; raises Refused."""
    change = _decode(payload, ReviewChange)
    review = change.after
    is_over = change.type == "end"
    at_s = review.end_time or review.start_time if is_over else review.start_time
    kinds = [review.severity, *(f"{review.severity}@{zone}" for zone in dict.fromkeys(review.data.zones))]
    seen = Sighting(
        review.severity,
        "end" if is_over else "begin",
        round(at_s * 1000),
        review.camera,
        review.id,
        _note(kinds, None),
        late_ms=KEPT_MS,  # it is told again with the time at which it began
    )
    return Told(review.camera, review.id, "", is_over, [seen._replace(kind=kind) for kind in kinds])


def _note(kinds: list[str], score: float | None) -> str:
    places = ", ".join(kind.partition("@")[2] for kind in kinds[1:])
    sure = "" if score is None else f" {score:.0%}"
    return f"{kinds[0]}{sure}{f' in {places}' if places else ''}"[:MOST_TEXT]


def _decode(payload: bytes, kind: type[ChangeT]) -> ChangeT:
    if len(payload) > MOST_BYTES:
        raise Refused(Why.TOO_LARGE, f"a message of {len(payload)} bytes")
    try:
        return msgspec.json.decode(payload, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        why = Why.CONTENT if isinstance(error, msgspec.ValidationError) else Why.MALFORMED
        raise Refused(why, " ".join(str(error).split())[:MOST_TEXT]) from error
