"""What Hikvision cameras say by ISAPI: ``EventNotificationAlert`` as XML or JSON, alone or with pictures. Pure.

They post it (HTTP listening, ``/ISAPI/Event/notification/httpHosts``), or it is a part of ``alertStream``.

From the vendor: "Device Network SDK Developer Guide", XML_EventNotificationAlert_AlarmEventInfo and its JSON twin
(open.hikvision.com); ISAPI 2.0, 8.11.12 (alertStream). What differs in the field, from issues: home-assistant/core
82767 (``dynChannelID``, empty ``channelID``, ``protocolType``), mezz64/pyHik 14 (zone ``-6:00``), Supergiovane's
node-red-contrib-hikvision-ultimate 83 (no zone; one post a second while it lasts), ioBroker.hikvision-alarmserver 5
and 7 (multipart with or without XML declaration), maciej-or/hikvision_next 117 (several pictures).

- ``eventState`` inactive is the end of something; of ``videoloss`` it is the heartbeat, about every 10 s.
- ``eventType`` duration wraps what goes on: the type is in ``relationEvent`` then.
- ``isDataRetransmission``: sent late, because the network was down; its own time holds.
- Pictures of plates and faces are left out, and all of an event that is about them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import tzinfo
from typing import Final

import msgspec
from msgspec import Struct

from edge.drivers.cameras import KEPT_MS, MOST_TEXT, CameraTime, Refused, Sighting, State, Why, read_time
from edge.drivers.cameras.parts import Part, split_body
from edge.drivers.cameras.xml import MOST_BYTES, Element, read_xml

HEARTBEAT: Final = "videoloss"
ALERT: Final = "EventNotificationAlert"
STATES: Final[dict[str, State]] = {
    "active": "begin",
    "started": "begin",
    "ongoing": "begin",
    "start": "begin",
    "inactive": "end",
    "ended": "end",
    "stop": "end",
    "": "pulse",
}
PERSONAL: Final = re.compile(
    r"face|plate|anpr|vehicledetection|human(?:body|attribute)|blacklist|whitelist|license", re.IGNORECASE
)
SHORT_ZONE: Final = re.compile(r"([+-])(\d):(\d\d)$")  # -6:00, as some write it

Word = str | int | float | None


class Alert(Struct, rename="camel"):
    """The fields of an alert that are read; all others are skipped unseen."""

    event_type: Word = None
    event_state: Word = None
    persistent_event_status: Word = None
    event_description: Word = None
    date_time: Word = None
    channel_id: Word = msgspec.field(name="channelID", default=None)
    dyn_channel_id: Word = msgspec.field(name="dynChannelID", default=None)
    is_data_retransmission: bool | Word = None


class Wrapped(Struct):
    """Some firmware wraps the alert into an object of one field."""

    alert: Alert | None = msgspec.field(name=ALERT, default=None)


def read_hikvision(content_type: str, body: bytes, *, zone: tzinfo | None) -> list[Sighting]:
    """Return what one post says. Raises Refused."""
    return read_parts(split_body(content_type, body), zone=zone)


def read_parts(parts: Sequence[Part], *, zone: tzinfo | None) -> list[Sighting]:
    """Return what the parts of one post say, each with the first picture that follows it. Raises Refused."""
    sightings: list[Sighting] = []
    for part in parts:
        if not part.is_picture:
            sightings.append(_read_alert(part.body, zone))
        elif sightings and sightings[-1].picture is None and not PERSONAL.search(f"{part.names} {sightings[-1].kind}"):
            sightings[-1] = sightings[-1]._replace(picture=part.body)
    if not sightings:
        raise Refused(Why.CONTENT, "no EventNotificationAlert in it")
    return sightings


def _read_alert(body: bytes, zone: tzinfo | None) -> Sighting:
    text = body.lstrip(b"\xef\xbb\xbf \t\r\n")
    if text.startswith(b"{"):
        return _sighting(_from_json(text), "", zone)
    root = read_xml(body)
    alert = next(root.all(ALERT), None)
    if alert is None:
        raise Refused(Why.CONTENT, f"XML: {root.name[:40]} is no {ALERT}")
    return _sighting(_from_xml(alert), _where(alert), zone)


def _from_json(text: bytes) -> Alert:
    if len(text) > MOST_BYTES:
        raise Refused(Why.TOO_LARGE, f"JSON has {len(text)} bytes, at most {MOST_BYTES} are read")
    try:
        return msgspec.json.decode(text, type=Wrapped).alert or msgspec.json.decode(text, type=Alert)
    except msgspec.ValidationError as error:
        raise Refused(Why.CONTENT, f"JSON: {error}") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Refused(Why.MALFORMED, f"JSON: {error}") from error


def _from_xml(alert: Element) -> Alert:
    related = next((element.text.strip() for element in alert.all("relationEvent") if element.text.strip()), "")
    kind = alert.word("eventType")
    return Alert(
        event_type=related if kind == "duration" and related else kind,
        event_state=alert.word("eventState"),
        event_description=alert.word("eventDescription"),
        date_time=alert.word("dateTime"),
        channel_id=alert.word("channelID"),
        dyn_channel_id=alert.word("dynChannelID"),
        is_data_retransmission=alert.word("isDataRetransmission"),
    )


def _where(alert: Element) -> str:
    """Say in which regions it was seen."""
    regions = [element.text.strip() for element in alert.all("regionID") if element.text.strip()]
    return f"region {', '.join(regions[:4])}" if regions else ""


def _sighting(alert: Alert, where: str, zone: tzinfo | None) -> Sighting:
    kind = _word(alert.event_type)
    if not kind:
        raise Refused(Why.CONTENT, "the alert has no eventType")
    said = _word(alert.persistent_event_status) or _word(alert.event_state)
    state = STATES.get(said.lower())
    if state is None:
        raise Refused(Why.CONTENT, f'eventState "{said[:40]}" of {kind} is neither active nor inactive')
    if (state == "end" and kind.lower() == HEARTBEAT) or kind.lower() == "heartbeat":
        state = "heartbeat"
    time = _time(_word(alert.date_time), zone)
    description = "" if PERSONAL.search(kind) else _word(alert.event_description)
    return Sighting(
        kind=kind,
        state=state,
        at_ms=time.at_ms,
        channel=_word(alert.dyn_channel_id) or _word(alert.channel_id),
        note="; ".join(filter(None, [description, where]))[:MOST_TEXT],
        said_at=time.said_at if time.at_ms is None else "",
        late_ms=KEPT_MS if str(alert.is_data_retransmission).strip().lower() == "true" else 0,
    )


def _time(text: str, zone: tzinfo | None) -> CameraTime:
    return read_time(SHORT_ZONE.sub(r"\g<1>0\2:\3", text), zone)


def _word(value: Word) -> str:
    return "" if value is None else " ".join(str(value).split())[:MOST_TEXT]
