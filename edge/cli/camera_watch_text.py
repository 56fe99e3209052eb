"""What `edge cameras` shows: a line for all that comes, and the summary."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Final

from edge.camera_outcomes import AWAY, Became, away_of, healthz_of, posts_nothing, sign_in_of
from edge.camera_watch import CameraWatch, Picture, Seen, Tally, is_posting
from edge.contract.camera_config import AskConfig, CameraConfig
from edge.contract.gateway_config import GatewayConfig
from edge.contract.log import escaped
from edge.drivers.cameras.health import OFF_MS

MOST_AWAY_SHOWN: Final = 10
RIGHT_MS: Final = 1000
SAID: Final = 2  # so often in a row the same is shown


def line(seen: Seen) -> str:
    """One line of a log, empty where the same was said twice; what strangers sent cannot steer the terminal."""
    if seen.times > SAID:
        return ""
    clock = f"{datetime.fromtimestamp(seen.at_ms / 1000, UTC).astimezone():%H:%M:%S}"
    state = "" if seen.state in ("pulse", "heartbeat") else seen.state
    head = " ".join(filter(None, [clock, seen.camera, seen.kind, state]))
    words = "again; those after it are only counted" if seen.times == SAID else seen.words
    if seen.why is not None:
        words = f"refused ({seen.why}){' ' if seen.times == SAID else ': '}{words}"
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
        yield f"{_answering(camera.push)}, and posts to {config.post_url(camera)}/"
    if camera.pull is not None:
        yield _answering(camera.pull)
    if camera.brand == "frigate" and config.frigate is not None:
        name = camera.channel or camera.id
        yield f"is {name} of Frigate, by {config.frigate.broker.address}, topic {config.frigate.topic}"


def summary(watched: CameraWatch) -> Iterator[str]:
    """What came of each camera, and what to check where nothing came."""
    for camera, tally in watched.tallies.items():
        failed = failure(watched, camera)
        if failed and not tally.refused:
            yield f"{camera}: {failed}"
            yield from (escaped(f"  {each}") for each in _to_check(watched, camera))
            continue
        yield escaped(f"{camera}: {', '.join(filter(None, [failed, _counted(tally)]))}")
        for kind in dict.fromkeys(kind for kind, _ in tally.kinds):
            became = [f"{times} {what}" for (each, what), times in tally.kinds.items() if each == kind]
            yield escaped(f"  {kind or 'ended by time'}: {', '.join(became)}")
        for why, times in tally.refused.items():
            yield escaped(f"  refused_{why} {times}: {tally.reasons[why]}")
        if tally.lost:
            yield escaped(f"  lost: {tally.lost}")
    if watched.away:
        yield f"turned away: {_many(watched.away.total(), 'time')}"
        for away, times in watched.away.most_common(MOST_AWAY_SHOWN):
            yield escaped(f"  {times}{away_of(away).removeprefix(AWAY)}")


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
                "failure": failure(watched, camera) or None,
            }
            for camera, tally in watched.tallies.items()
        ],
        "turned_away": watched.away.total(),
        "frigate_names": sorted(watched.others),
    }


def failure(watched: CameraWatch, camera: str) -> str:
    """Why a camera is not as it should be; empty where something of it was taken, or it is there and says nothing."""
    tally, is_asked_to_post = watched.tallies[camera], watched.cameras[camera].push is not None
    if tally.is_taken:
        return ""
    if tally.refused:
        return "only what is refused came"
    if tally.is_heard:
        return "only answers came, no post" if is_asked_to_post else ""
    return "nothing came"


def failures(watched: CameraWatch) -> str:
    """The cameras that are not as they should be, in one line; empty where there are none."""
    failed: dict[str, list[str]] = {}
    for camera in watched.tallies:
        failed.setdefault(failure(watched, camera), []).append(camera)
    return "; ".join(f"{reason} from {', '.join(cameras)}" for reason, cameras in failed.items() if reason)


def _answering(asked: AskConfig) -> str:
    return f"answers at {asked.url} to user {asked.username}, password the first line of {asked.password_file}"


def _to_check(watched: CameraWatch, camera: str) -> Iterator[str]:
    tally, config = watched.tallies[camera], watched.cameras[camera]
    if tally.lost:
        yield f"lost: {tally.lost}"
    yield from (f"check that it {each}" for each in waiting(config, watched.config))
    if config.push is not None and tally.is_heard and not tally.lost:
        yield posts_nothing(config, watched.config)
    elif is_posting(config) and watched.config.camera_listener is not None:
        yield healthz_of(config, watched.config)
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
    taken = sum(times for (kind, what), times in tally.kinds.items() if kind and not what.startswith(Became.REFUSED))
    counts = [
        _many(taken, "sighting"),
        f"{tally.refused.total()} refused",
        _many(tally.heartbeats, "heartbeat"),
        _many(events, "event"),
        _many(tally.pictures, "picture"),
    ]
    return ", ".join([*counts, *_clock(tally)])


def _clock(tally: Tally) -> Iterator[str]:
    if tally.offset_ms is None:
        if tally.wrong_time:
            yield f"{tally.wrong_time}: set it"
    elif abs(tally.offset_ms) < RIGHT_MS:
        yield "its clock is right"
    else:
        side = "ahead" if tally.offset_ms > 0 else "behind"
        words = f"its clock is {abs(tally.offset_ms) / 1000:.0f} s {side}"
        yield words if abs(tally.offset_ms) <= OFF_MS else f"{words}: set it"


def _many(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _pictured(picture: Picture) -> str:
    masked = f", {_many(picture.regions, 'region')} blacked out" if picture.regions else ", no mask"
    return f"picture {picture.size / 1024:.0f} KiB{masked}{f', {picture.saved}' if picture.saved else ''}"
