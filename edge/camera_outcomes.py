"""Pure: what becomes of what a camera sends, in words for whoever sets it up, and what to do about it."""

from __future__ import annotations

import json
import re
from enum import StrEnum
from typing import Final, NamedTuple

from edge.contract.camera_config import IGNORED, CameraConfig
from edge.contract.camera_tables import Targets
from edge.contract.event_classes import event_classes
from edge.contract.gateway_config import GatewayConfig
from edge.contract.messages import Event, EventState
from edge.drivers.cameras import Refused, Sighting, Why
from edge.drivers.cameras.tracker import Step
from edge.drivers.cameras.witness import NO_ANSWER, Away

PLAIN_KEY: Final = re.compile(r"[A-Za-z][\w./@-]*")
AWAY: Final = "turned away"
REVIEWS: Final = ("alert", "detection")  # of Frigate
WHAT_TO_DO: Final = {
    Why.REPLAYED: "a recorded post was sent again, or it was not signed anew",
    Why.TOO_LARGE: "set a lower quality or resolution in the camera",
    Why.TOO_SLOW: "the network between camera and gateway is bad",
    Why.MALFORMED: "its firmware sends what it should not, or it is of another brand than gateway.yaml says",
    Why.HOSTILE: "no camera sends that: look at who is in that network",
    Why.CONTENT: "change what it sends or the address that it posts to, or classes and map",
}


class Became(StrEnum):
    """What became of something that came."""

    RAISED = "raised"
    JOINED = "joined"
    PICTURED = "pictured"
    ENDING = "ending"
    ENDED = "ended"
    IGNORED = "ignored"
    FAULT = "fault"
    HEARTBEAT = "heartbeat"
    REFUSED = "refused"
    TURNED_AWAY = "turned_away"  # before a camera had to do with it
    HEARD = "heard"
    LOST = "lost"
    SILENT = "silent"  # it answers, but does not post


class Outcome(NamedTuple):
    """What became of a sighting, of which event class, and that in words."""

    became: Became
    words: str
    class_code: str = ""


def outcome_of(camera: CameraConfig, targets: Targets, sighting: Sighting, step: Step, event: Event | None) -> Outcome:
    """Say what became of a sighting that was taken; ``event`` is the revision that was committed."""
    target = targets.of(sighting.kind) or IGNORED
    if event is not None:
        return _of_revision(event)
    if step.fault is not None:
        name, is_there = step.fault
        return Outcome(Became.FAULT, f"a fault of the camera{'' if is_there else ' is over'}: {name}")
    if step.event_id is not None and sighting.state == "end":
        words = f"{target} ends, unless it is seen again within {camera.same_within_s:g} s"
        return Outcome(Became.ENDING, words, target)
    if step.event_id is not None:
        return Outcome(Became.JOINED, f"{target}, the same event as before", target)
    if camera.channel and sighting.channel and sighting.channel != camera.channel:
        return Outcome(
            Became.IGNORED, f"ignored: it is of channel {sighting.channel}, this camera is channel {camera.channel}"
        )
    if sighting.state == "heartbeat":
        return Outcome(Became.HEARTBEAT, "a heartbeat; those after it are only counted")
    return Outcome(Became.IGNORED, f"ignored: {_why_ignored(camera, sighting, target)}")


def what_to_do(camera: CameraConfig, refused: Refused, kind: str) -> str:
    """Say what to change so that something is refused no more; empty where the refusal itself says so."""
    if refused.why is Why.SIGN_IN:
        return sign_in_of(camera)
    if refused.why is Why.UNMAPPED:
        return f"to raise it: {map_line(camera, kind)}"
    return "" if refused.advice else WHAT_TO_DO[refused.why]


def sign_in_of(camera: CameraConfig) -> str:
    """Say how a camera that posts signs in, without the secret itself."""
    if camera.password_file is None:
        return "it posts to an address that it was told before: that subscription ends by itself"
    if camera.brand == "webhook":
        return f"sign with the first line of {camera.password_file}"
    return f"in the camera: user {camera.id}, password the first line of {camera.password_file}"


def away_of(away: Away) -> str:
    """Say what was turned away, and from whom."""
    signed = f"user {away.name}" if away.name else "without user and password" if away.status != NO_ANSWER else ""
    status = f" ({away.status})" if away.status != NO_ANSWER else ""
    return f"{AWAY}{status}: {', '.join(filter(None, [away.address, signed, away.path]))}: {away.text}"


def posts_nothing(camera: CameraConfig, config: GatewayConfig) -> str:
    """Say of a camera that was asked to post what is so, and what to check."""
    reach = healthz_of(camera, config)
    return (
        f"it answers, but posts nothing to {config.post_url(camera)}/: {reach}; if not, it is a firewall or "
        "gateway_url, else it has nothing to say: let it see something"
    )


def healthz_of(camera: CameraConfig, config: GatewayConfig) -> str:
    """Say how to find out whether a camera can reach the listener. Raises KeyError where nothing listens."""
    address = config.post_url(camera).partition("/v1/")[0]
    listener = config.camera_listener
    if listener is not None and listener.is_everywhere and address == listener.url:
        address = f"http://ADDRESS:{listener.port}"
        where = f", with ADDRESS that of this gateway there instead of {listener.host}"
    else:
        where = ""
    return f"check that {address}/healthz answers in the cameras' network while this runs{where}"


def map_line(camera: CameraConfig, kind: str) -> str:
    """Return the line of gateway.yaml that lets a kind raise something."""
    key = kind if PLAIN_KEY.fullmatch(kind) else json.dumps(kind, ensure_ascii=False)
    others = f" (or {', '.join(camera.classes[1:])})" if len(camera.classes) > 1 else ""
    return f"map: {{{key}: {camera.classes[0]}}}{others}"


def _of_revision(event: Event) -> Outcome:
    code = event.class_code
    match event.state:
        case EventState.CONFIRMED:
            return Outcome(Became.RAISED, f"{code} raised ({event_classes()[code].en})", code)
        case EventState.ENDED:
            return Outcome(Became.ENDED, f"{code} ended", code)
    if not event.blobs:  # what should have been its picture is none; the note says why
        return Outcome(Became.JOINED, f"{code}, the same event as before", code)
    return Outcome(Became.PICTURED, f"{code}, the same event as before, now with its picture", code)


def _why_ignored(camera: CameraConfig, sighting: Sighting, target: str) -> str:
    kind = sighting.kind
    if target == IGNORED and kind.casefold() in {each.casefold() for each in camera.map}:
        return "map says so"
    if target == IGNORED and camera.brand == "frigate" and "@" not in kind and kind not in REVIEWS:
        return f"a label alone raises nothing, a zone says where it matters: {map_line(camera, f'{kind}@ZONE')}"
    if target == IGNORED:
        where = "there is no line for this place" if "@" in kind else f"the table of {camera.brand} says so"
        return f"{where}; to raise it: {map_line(camera, kind)}"
    if target not in camera.classes:
        return f"it is {target}, which is not among its classes"
    return f"the end of a {target} that has not begun here"
