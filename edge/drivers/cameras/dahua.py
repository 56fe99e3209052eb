"""What Dahua cameras say: lines of ``eventManager.cgi``, and alarms that the ICC platform posts. Pure.

A camera answers ``/cgi-bin/eventManager.cgi?action=attach&codes=[All]&heartbeat=5`` without end, each part one of::

    Heartbeat
    Code=VideoMotion;action=Start;index=0
    Code=CrossLineDetection;action=Stop;index=1;data={ JSON over many lines }

The platform posts JSON: ``{"category": "alarm", "method": "alarm.msg", "info": {"alarmType": 882, ...}}``, where
``alarmStat`` is 1 when it was raised and 2 when it is gone, ``alarmDate`` counts seconds, and ``alarmCode`` names the
one alarm.

From the vendor: "API of HTTP Protocol Specification" 2.76 and 3.37 (event manager, codes); open-icc.dahuatech.com,
evo-event (events that are posted, alarmCode, alarmDate in seconds; that 1 and 2 are raised and gone is what its alarms
are seen to do). From issues: rroller/dahua 166 (data over many lines, ``Content-Length:9`` without a space), 404 (data
cut short), 504 (multipart read wrongly).

``index`` counts from 0 where the camera's pages count from 1. ``RealUTC`` is UTC, ``UTC`` is local time on many
models: the first is preferred. ``Object`` may hold a plate or a face: of data, only the rule's name is read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import tzinfo
from typing import Final

import msgspec
from msgspec import Struct

from edge.contract.readings import EARLIEST, LATEST
from edge.drivers.cameras import MOST_TEXT, CameraTime, Refused, Sighting, State, Why, read_time
from edge.drivers.cameras.parts import Part, split_body

MOST_BYTES: Final = 256 * 1024
MOST_LINES: Final = 64  # events in one part
HEARTBEAT: Final = "Heartbeat"
ACTIONS: Final[dict[str, State]] = {"start": "begin", "stop": "end", "pulse": "pulse", "state": "pulse"}
ALARM_STATES: Final[dict[str, State]] = {"1": "begin", "2": "end", "": "pulse"}
BEGIN: Final = re.compile(r"(?m)^[ \t]*(?=Code=|Heartbeat\b)")
EVENT: Final = re.compile(
    r"Code=(?P<code>[^;\r\n]{1,120});\s*action=(?P<action>[^;\r\n]{1,40})(?:;\s*index=(?P<index>[^;\r\n]{0,40}))?"
)
DATA: Final = re.compile(r";\s*data=")

Word = str | int | float | None


class Data(Struct):
    """What is read of the data of an event; all else is skipped unseen."""

    name: Word = msgspec.field(name="Name", default=None)
    real_utc: Word = msgspec.field(name="RealUTC", default=None)
    utc: Word = msgspec.field(name="UTC", default=None)
    local_time: Word = msgspec.field(name="LocaleTime", default=None)


class Alarm(Struct, rename="camel"):
    """An alarm of the platform."""

    alarm_type: Word = None
    alarm_stat: Word = None
    alarm_date: Word = None
    alarm_code: Word = None
    channel_seq: Word = None
    node_code: Word = None


class Message(Struct):
    """What the platform posts."""

    category: Word = None
    method: Word = None
    info: Alarm | list[Alarm] | None = None


def read_dahua(content_type: str, body: bytes, *, zone: tzinfo | None) -> list[Sighting]:
    """Return what one post says. Raises Refused."""
    return read_parts(split_body(content_type, body), zone=zone)


def read_parts(parts: Sequence[Part], *, zone: tzinfo | None) -> list[Sighting]:
    """Return what the parts of one post or stream say; a picture belongs to what stands before it. Raises Refused."""
    sightings: list[Sighting] = []
    for part in parts:
        if not part.is_picture:
            sightings += _read_text(part.body, zone)
        elif sightings and sightings[-1].picture is None:
            sightings[-1] = sightings[-1]._replace(picture=part.body)
    if not sightings:
        raise Refused(Why.CONTENT, "no event in it")
    return sightings


def _read_text(body: bytes, zone: tzinfo | None) -> list[Sighting]:
    if len(body) > MOST_BYTES:
        raise Refused(Why.TOO_LARGE, f"an event has {len(body)} bytes, at most {MOST_BYTES} are read")
    text = body.strip()
    if text.startswith((b"{", b"[")):
        return _alarms(text)
    return list(_events(text.decode("utf-8", errors="replace"), zone))


# --- lines of the event manager ---------------------------------------------------------------------------------------


def _events(text: str, zone: tzinfo | None) -> Iterator[Sighting]:
    begins = [found.end() for found in BEGIN.finditer(text)]
    if not begins or len(begins) > MOST_LINES or text[: begins[0]].strip():
        raise Refused(Why.MALFORMED, f"neither {HEARTBEAT} nor Code=...;action=...;index=... ({len(begins)} events)")
    for begin, end in zip(begins, [*begins[1:], len(text)], strict=True):
        yield _event(text[begin:end], zone)


def _event(text: str, zone: tzinfo | None) -> Sighting:
    if text.startswith(HEARTBEAT):
        return Sighting(HEARTBEAT, "heartbeat")
    found = EVENT.match(text)
    state = ACTIONS.get(found["action"].strip().lower()) if found else None
    if found is None or state is None:
        raise Refused(Why.CONTENT, f"no event with one of the actions {', '.join(ACTIONS)}: {text[:60]!r}")
    said = DATA.match(text, found.end())
    data, is_cut = _data(text[said.end() :]) if said else (Data(), False)
    time = _time(data, zone)
    return Sighting(
        kind=found["code"].strip(),
        state=state,
        at_ms=time.at_ms,
        channel=(found["index"] or "").strip(),
        note="; ".join(filter(None, [_word(data.name), "data cut short" if is_cut else ""])),
        said_at=time.said_at if time.at_ms is None else "",
    )


def _data(text: str) -> tuple[Data, bool]:
    """Read the JSON behind an event; an event is true without it, so what cannot be read is told, not refused."""
    try:
        return msgspec.json.decode(text.strip(), type=Data), False
    except (msgspec.MsgspecError, UnicodeDecodeError, UnicodeEncodeError, RecursionError):
        return Data(), True


def _time(data: Data, zone: tzinfo | None) -> CameraTime:
    if data.real_utc is not None:
        return _seconds(data.real_utc)
    if data.local_time is not None and zone is not None:
        return read_time(_word(data.local_time), zone)
    if data.utc is not None:
        return _seconds(data.utc)
    return CameraTime(None, _word(data.local_time))


# --- alarms of the platform -------------------------------------------------------------------------------------------


def _alarms(text: bytes) -> list[Sighting]:
    try:
        message = msgspec.json.decode(text, type=Message)
    except msgspec.ValidationError as error:
        raise Refused(Why.CONTENT, f"JSON: {error}") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Refused(Why.MALFORMED, f"JSON: {error}") from error
    alarms = message.info if isinstance(message.info, list) else [message.info] if message.info else []
    if message.category != "alarm" or not 0 < len(alarms) <= MOST_LINES:
        raise Refused(Why.CONTENT, f'category "{_word(message.category)}" with {len(alarms)} alarms is not read')
    return [_alarm(alarm) for alarm in alarms]


def _alarm(alarm: Alarm) -> Sighting:
    kind, said = _word(alarm.alarm_type), _word(alarm.alarm_stat)
    state = ALARM_STATES.get(said)
    if not kind or state is None:
        raise Refused(Why.CONTENT, f'alarmType "{kind}" with alarmStat "{said}" is no alarm')
    time = _seconds(alarm.alarm_date)
    return Sighting(
        kind=kind,
        state=state,
        at_ms=time.at_ms,
        channel=_word(alarm.channel_seq) or _word(alarm.node_code),
        id=_word(alarm.alarm_code),
        said_at=time.said_at if time.at_ms is None else "",
    )


def _seconds(said: Word) -> CameraTime:
    """Read seconds since 1970, as a number or in words; milliseconds are told by their size."""
    word = _word(said)
    try:
        number = float(word) if len(word) <= 20 else 0.0
    except ValueError:
        number = 0.0
    for at_ms in (number * 1000, number):
        if EARLIEST <= at_ms <= LATEST:
            return CameraTime(int(at_ms), word)
    return CameraTime(None, word)


def _word(value: Word) -> str:
    return "" if value is None else " ".join(str(value).split())[:MOST_TEXT]
