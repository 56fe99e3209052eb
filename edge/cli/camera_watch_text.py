"""What `edge cameras` shows: a line for all that comes, and the summary."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from edge.camera_outcomes import Became, sign_in_of
from edge.camera_watch import CameraWatch, Picture, Seen, Tally, is_posting
from edge.contract.camera_config import AskConfig, CameraConfig
from edge.contract.gateway_config import GatewayConfig
from edge.contract.log import escaped
from edge.drivers.cameras.health import OFF_MS


def line(seen: Seen) -> str:
    """One line of a log; what strangers sent cannot steer the terminal."""
    clock = f"{datetime.fromtimestamp(seen.at_ms / 1000, UTC).astimezone():%H:%M:%S}"
    state = "" if seen.state in ("pulse", "heartbeat") else seen.state
    head = " ".join(filter(None, [clock, seen.camera, seen.kind, state]))
    words = seen.words
    if seen.why is not None:
        words = f"refused ({seen.why}){' again' if seen.is_again else f': {words}'}"
    remarks = [words, "" if seen.picture is None else _pictured(seen.picture), seen.note]
    return escaped(f"{head}: {'; '.join(filter(None, remarks))}")


def plain(seen: Seen) -> dict[str, Any]:
    """The same for programs; ``at`` in ms UTC."""
    picture = seen.picture
    return {
        "at": seen.at_ms,
        "camera": seen.camera or None,
        "kind": seen.kind or None,
        "state": seen.state or None,
        "became": seen.became,
        "class": seen.class_code or None,
        "event": seen.event_id or None,
        "refused": seen.why,
        "words": seen.words,
        "note": seen.note or None,
        "picture": picture
        and {"bytes": picture.size, "regions_masked": picture.regions, "saved": picture.saved or None},
    }


def waiting(camera: CameraConfig, config: GatewayConfig) -> Iterator[str]:
    """What a camera does when all is set as gateway.yaml says, without the camera's id before it."""
    listener = config.camera_listener
    if camera.password_file is not None and listener is not None:
        yield f"posts to {config.post_url(camera)}; {sign_in_of(camera)}"
        if listener.is_everywhere:
            yield f"has instead of {listener.host} the address of this gateway in the cameras' network"
    if camera.push is not None and listener is not None:
        yield f"is asked {_login(camera.push)}, to post to {config.post_url(camera)}/"
    if camera.pull is not None:
        yield f"is asked {_login(camera.pull)}"
    if camera.brand == "frigate" and config.frigate is not None:
        name = camera.channel or camera.id
        yield f"is {name} of Frigate, by {config.frigate.broker.address}, topic {config.frigate.topic}"


def summary(watched: CameraWatch) -> Iterator[str]:
    """What came of each camera, and what to check where nothing came."""
    for camera, tally in watched.tallies.items():
        if not is_there(tally):
            yield f"{camera}: nothing came"
            yield from (escaped(f"  {each}") for each in _to_check(watched, camera))
            continue
        yield escaped(f"{camera}: {_counted(tally)}")
        for kind in dict.fromkeys(kind for kind, _ in tally.kinds):
            became = [f"{times} {what}" for (each, what), times in tally.kinds.items() if each == kind]
            yield escaped(f"  {kind or 'ended by time'}: {', '.join(became)}")
        for why, times in tally.refused.items():
            yield escaped(f"  refused_{why} {times}: {tally.reasons[why]}")
        if tally.lost:
            yield escaped(f"  cannot be reached: {tally.lost}")
    if watched.away:
        yield f"turned away: {_many(watched.away.total(), 'post')}"


def plain_summary(watched: CameraWatch) -> dict[str, Any]:
    """The same for programs."""
    return {
        "summary": [
            {
                "camera": camera,
                "kinds": [{"kind": kind, "became": what, "times": n} for (kind, what), n in tally.kinds.items()],
                "heartbeats": tally.heartbeats,
                "pictures": tally.pictures,
                "refused": dict(tally.refused),
                "clock_offset_ms": tally.offset_ms,
                "lost": tally.lost or None,
            }
            for camera, tally in watched.tallies.items()
        ],
        "turned_away": watched.away.total(),
        "frigate_names": sorted(watched.others),
    }


def is_there(tally: Tally) -> bool:
    """Whether anything at all came of a camera."""
    return tally.is_heard or bool(tally.refused)


def failures(watched: CameraWatch) -> str:
    """The cameras of which nothing came, in one line; empty where there are none."""
    silent = [camera for camera, tally in watched.tallies.items() if not is_there(tally)]
    return f"nothing came from {', '.join(silent)}" if silent else ""


def _login(asked: AskConfig) -> str:
    return f"at {asked.url}, user {asked.username}, password the first line of {asked.password_file}"


def _to_check(watched: CameraWatch, camera: str) -> Iterator[str]:
    tally, config = watched.tallies[camera], watched.cameras[camera]
    if tally.lost:
        yield f"cannot be reached: {tally.lost}"
    yield from (f"check that it {each}" for each in waiting(config, watched.config))
    if is_posting(config) and watched.config.camera_listener is not None:
        address = watched.config.post_url(config).partition("/v1/")[0]
        yield f"check that {address}/healthz answers in the cameras' network while this runs"
    if config.brand == "frigate" and watched.others:
        yield f"check channel: Frigate tells of {', '.join(sorted(watched.others))}"
    elif config.brand == "frigate" and not tally.lost:
        yield "check that Frigate has mqtt: {enabled: true}, and that our user of its broker may read its topics"
    for away, times in watched.away.items():
        if away.status == 401 and config.password_file is not None:
            who = f"as user {away.name}" if away.name else "without user and password"
            yield f"{away.address} posted {_many(times, 'time')} to {away.path} {who}"


def _counted(tally: Tally) -> str:
    events = sum(times for (_, what), times in tally.kinds.items() if what.startswith(Became.RAISED))
    counts = [
        _many(sum(times for (kind, _), times in tally.kinds.items() if kind), "message"),
        _many(tally.heartbeats, "heartbeat"),
        _many(events, "event"),
        _many(tally.pictures, "picture"),
    ]
    return ", ".join([*counts, *_clock(tally)])


def _clock(tally: Tally) -> Iterator[str]:
    if tally.offset_ms is not None:
        side = "ahead" if tally.offset_ms > 0 else "behind"
        words = f"its clock is {abs(tally.offset_ms) / 1000:.0f} s {side}"
        yield words if abs(tally.offset_ms) <= OFF_MS else f"{words}: set it"


def _many(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _pictured(picture: Picture) -> str:
    masked = f", {_many(picture.regions, 'region')} blacked out" if picture.regions else ", no mask"
    return f"picture {picture.size / 1024:.0f} KiB{masked}{f', {picture.saved}' if picture.saved else ''}"
