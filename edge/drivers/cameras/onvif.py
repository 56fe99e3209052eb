"""What ONVIF cameras say: notification messages, pulled or posted as ``Notify`` of WS-BaseNotification. Pure.

Each has a topic such as ``tns1:RuleEngine/CellMotionDetector/Motion`` and a message with a source, perhaps a key, and
data: simple items, of which one says whether it is so now. The prefixes of a topic are the camera's own choice, so the
kind of a sighting is the topic without them.

From the ONVIF core specification (9, event handling) and WS-BaseNotification 1.3. What differs in the field, from
Home Assistant's onvif integration and its issues: ``IsMotion``, ``State``, ``IsInside``, ``IsTamper`` and others say
the state, as true, 1 or active; ``UtcTime`` may be 0000-00-00T00:00:00Z (Hikvision); on subscribing, every state comes
once as ``Initialized``; a line that was crossed says no state, only which object crossed it: it is a pulse.
"""

from __future__ import annotations

from datetime import UTC, tzinfo
from typing import Final

from edge.drivers.cameras import MOST_TEXT, Refused, Sighting, State, Why, read_time
from edge.drivers.cameras.parts import split_body
from edge.drivers.cameras.xml import Element, read_xml

MOST_MESSAGES: Final = 256
LONGEST_TOPIC: Final = 120
TRUE: Final = frozenset({"true", "1", "active", "on"})
FALSE: Final = frozenset({"false", "0", "inactive", "off"})
STATE_NAMES: Final = frozenset({"state", "logicalstate", "motion", "tamper", "detected", "active", "alarm"})
SOURCES: Final = ("VideoSourceConfigurationToken", "VideoSourceToken", "Source", "VideoSource", "InputToken", "Token")


def read_onvif(content_type: str, body: bytes, *, zone: tzinfo | None) -> list[Sighting]:
    """Return what one post, or the answer to a pull, says; an answer without messages says nothing. Raises Refused.

    ``zone`` is not needed: UtcTime is UTC.
    """
    del zone
    parts = split_body(content_type, body)
    document = next((part.body for part in parts if not part.is_picture), b"")
    return read_notifications(read_xml(document))


def read_notifications(root: Element) -> list[Sighting]:
    """Return what the messages of an envelope say. Raises Refused."""
    answer = next((element for name in ("Notify", "PullMessagesResponse") for element in root.all(name)), None)
    if answer is None:
        raise Refused(Why.CONTENT, f"XML: {root.name[:40]} has neither Notify nor PullMessagesResponse")
    messages = [child for child in answer.children if child.name == "NotificationMessage"]
    if len(messages) > MOST_MESSAGES:
        raise Refused(Why.HOSTILE, f"{len(messages)} notification messages at once, at most {MOST_MESSAGES} are read")
    return [_sighting(message) for message in messages]


def _sighting(message: Element) -> Sighting:
    kind = _kind(message.word("Topic"))
    said = message.child("Message", "Message")
    if not kind or said is None:
        raise Refused(Why.CONTENT, "a notification message has no topic or no tt:Message")
    source, data = _items(said.child("Source")), _items(said.child("Data"))
    time = read_time(said.attributes.get("UtcTime", ""), UTC)
    rule = source.get("Rule", "")
    return Sighting(
        kind=kind,
        state=_state(said.attributes.get("PropertyOperation", ""), data),
        at_ms=time.at_ms,
        channel=next((source[name] for name in SOURCES if name in source), ""),
        note=f"rule {rule}" if rule else "",
        said_at=time.said_at if time.at_ms is None else "",
    )


def _kind(topic: str) -> str:
    """Return the topic without prefixes; empty for none, or for one that no camera would send."""
    steps = [step.rpartition(":")[2].strip() for step in topic.split("/")]
    kind = "/".join(filter(None, steps))
    return kind if len(kind) <= LONGEST_TOPIC else ""


def _items(group: Element | None) -> dict[str, str]:
    if group is None:
        return {}
    items = (child.attributes for child in group.children if child.name == "SimpleItem")
    return {item.get("Name", "")[:MOST_TEXT]: " ".join(item.get("Value", "").split())[:MOST_TEXT] for item in items}


def _state(operation: str, data: dict[str, str]) -> State:
    if operation == "Deleted":
        return "end"
    for name, value in data.items():
        word = value.lower()
        if word in {"true", "false"} or _is_state(name):
            if word in TRUE:
                return "begin"
            if word in FALSE:
                return "end"
    return "pulse"


def _is_state(name: str) -> bool:
    """Whether 0 and 1 under this name are a state, and not the number of an object."""
    return name.lower() in STATE_NAMES or (name.startswith("Is") and name[2:3].isupper())
