"""Frigate over a real broker: tracked objects, reviews, snapshots, presence; and whatever else a broker may bring."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.contract.broker_config import BrokerConfig
from edge.contract.camera_config import FrigateConfig
from edge.contract.messages import EventState
from edge.contract.mqtt import Connection, connect
from edge.drivers.cameras import Refused
from edge.drivers.cameras.frigate import follow
from edge.drivers.cameras.frigate_read import read_object, read_review
from edge.drivers.cameras.intake import CameraIntake
from tests.edge.drivers.cameras.stand import JPEG, START, Outbox, camera, health, intake_of, refusals
from tests.edge.hand_clock import HandClock
from tests.servers import Mosquitto

AT = START / 1000
WORDS = st.sampled_from(["type", "after", "id", "camera", "label", "data", "zones", "start_time", "severity"])
PLAIN = st.none() | st.booleans() | st.floats() | st.text(max_size=9) | st.sampled_from(["new", "end", "alert"])
DOCUMENT = st.recursive(PLAIN, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=5))
ANYTHING = st.binary(max_size=200) | DOCUMENT.map(lambda value: json.dumps(value).encode())
LANE: dict[str, Any] = {
    "id": "lane",
    "brand": "frigate",
    "classes": ("CAM.FIRELANE", "CAM.BURN"),
    "map": {"car@fire_lane": "CAM.FIRELANE", "alert@yard": "CAM.BURN"},
}


def tracked(kind: str = "new", **after: Any) -> bytes:
    """A message of frigate/events with the fields that Frigate gives, also those that we must not read."""
    thing = {
        "id": "1795306500.4-mxklsc", "camera": "lane", "frame_time": AT, "label": "car", "sub_label": ["Li Lei", 0.9],
        "recognized_license_plate": "浙A12345", "top_score": 0.95, "false_positive": False, "start_time": AT,
        "end_time": None, "score": 0.79, "box": [424, 500, 536, 712], "area": 23744, "region": [264, 450, 667, 853],
        "current_zones": ["fire_lane"], "entered_zones": ["yard", "fire_lane"], "attributes": {"face": 0.8},
        "thumbnail": "/9j/4AAQ", "has_snapshot": True, "has_clip": False, "stationary": False, **after,
    }  # fmt: skip
    return json.dumps({"type": kind, "before": thing, "after": thing}).encode()


def review(kind: str = "new", **after: Any) -> bytes:
    """A message of frigate/reviews."""
    data = {"detections": ["1795306500.4-mxklsc"], "objects": ["car", "person-verified"], "sub_labels": ["Li Lei"]}
    item = {
        "id": "1795306500.4-review", "camera": "lane", "start_time": AT, "end_time": None, "severity": "alert",
        "thumb_path": "/media/frigate/clips/review/thumb.webp", "data": {**data, "zones": ["yard"]}, **after,
    }  # fmt: skip
    return json.dumps({"type": kind, "before": item, "after": item}).encode()


class Scene:
    """Frigate's broker, our follower, and a hand that publishes what Frigate would."""

    def __init__(self, topic: str, frigate: Connection) -> None:
        self.topic, self.frigate = topic, frigate
        self.outbox = Outbox()
        self.clock = HandClock(START)
        self.lane = intake_of(camera(**LANE), self.outbox, self.clock)
        self.yard = intake_of(camera(**{**LANE, "id": "yard"}), self.outbox, self.clock)

    async def say(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        await self.frigate.publish(f"{self.topic}/{topic}", payload, retain=retain)


@asynccontextmanager
async def scene_on(mosquitto: Mosquitto) -> AsyncIterator[Scene]:
    """Everything on one broker, under a topic of its own."""
    broker = BrokerConfig(host="127.0.0.1", port=mosquitto.port)
    topic = f"frigate-{uuid4().hex[:8]}"
    async with connect(broker, client_id=f"{topic}-itself") as frigate:
        scene = Scene(topic, frigate)
        cameras: dict[str, CameraIntake] = {"lane": scene.lane, "yard": scene.yard}
        await scene.say("lane/car/snapshot", JPEG + b"old", retain=True)
        config = FrigateConfig(broker=broker, topic=topic)
        following = asyncio.create_task(follow(config, cameras, client_id=f"{topic}-us"))
        await _until_followed(scene)
        yield scene
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)


async def _until_followed(scene: Scene) -> None:
    """Say that Frigate is there until the follower has heard it: nobody tells when it has subscribed."""
    scene.lane.lose("not yet")
    scene.yard.lose("not yet")
    async with asyncio.timeout(20):
        while health(scene.yard)["offline"]:
            await scene.say("yard/status/detect", b"online")
            await scene.say("lane/status/detect", b"online")
            await asyncio.sleep(0.02)


@pytest.fixture
async def scene(mosquitto: Mosquitto) -> AsyncIterator[Scene]:
    async with scene_on(mosquitto) as made:
        yield made


async def test_a_car_in_the_fire_lane_is_one_event(scene: Scene) -> None:
    """New, better frames, a snapshot and the end are revisions of one event with the picture; no name, no plate."""
    await scene.say("events", tracked())
    await scene.say("lane/car/snapshot", JPEG)
    await scene.say("events", tracked("update", frame_time=AT + 5))
    await scene.say("lane/car/snapshot", JPEG + b"better")
    await scene.say("events", tracked("end", end_time=AT + 60))
    begun, shown, ended = await scene.outbox.reached(3)
    states = [event.state for event in (begun, shown, ended)]
    assert states == [EventState.CONFIRMED, EventState.UPDATED, EventState.ENDED]
    assert {event.id for event in (begun, shown, ended)} == {begun.id}
    assert scene.outbox.pictures == [None, JPEG, None]
    assert ended.blobs == shown.blobs
    assert (begun.class_code, begun.began_at, ended.ended_at) == ("CAM.FIRELANE", START, START + 60_000)
    assert begun.note == "car 79% in fire_lane"


async def test_a_car_that_leaves_the_zone_ends_the_event(scene: Scene) -> None:
    """It may still be seen elsewhere: the lane is free again."""
    await scene.say("events", tracked())
    await scene.say("events", tracked("update", current_zones=[], frame_time=AT + 30))
    _, ended = await scene.outbox.reached(2)
    assert (ended.state, ended.ended_at) == (EventState.ENDED, START + 30_000)


async def test_a_review_in_a_zone_is_an_event(scene: Scene) -> None:
    """An alert to review is one event from begin to end, where the site maps it."""
    await scene.say("reviews", review())
    await scene.say("reviews", review("update"))
    await scene.say("reviews", review("end", end_time=AT + 20))
    begun, ended = await scene.outbox.reached(2)
    assert (begun.class_code, ended.state, ended.ended_at) == ("CAM.BURN", EventState.ENDED, START + 20_000)


async def test_frigate_that_stops_makes_its_cameras_offline(scene: Scene) -> None:
    """Its last word concerns all, that of one camera only that one; the next word is a return."""
    await scene.say("lane/status/detect", b"offline")
    await scene.say("events", tracked(camera="yard"))
    await scene.outbox.reached(1)
    assert (health(scene.lane)["offline"], health(scene.yard)["offline"]) == (1, 0)
    await scene.say("available", b"offline")
    await scene.say("events", tracked())
    await scene.outbox.reached(2)
    assert (health(scene.lane)["offline"], health(scene.yard)["offline"]) == (0, 1)


async def test_what_cannot_be_read_is_counted_and_the_rest_goes_on(scene: Scene) -> None:
    """Broken, huge, deep or strange messages of a camera are refusals of its own; the next event is taken."""
    for payload in (
        b'{"type": "new", "after": {"camera": "lane"',
        tracked(start_time="now"),
        tracked(label="x" * 500),
        tracked(data="x" * 300_000),
        b'{"camera": "lane", "type": ' + b"[" * 100_000,
    ):
        await scene.say("events", payload)
    await scene.say("lane/car/snapshot", b"\xff\xd8\xff" + bytes(4 * 1024 * 1024))
    await scene.say("events", tracked(label="unicorn", current_zones=[]))
    await scene.say("events", tracked())
    await scene.outbox.reached(1)
    assert refusals(scene.lane) == {"malformed": 1, "content": 3, "too_large": 2, "unmapped": 1}
    assert refusals(scene.yard) == {}


async def test_a_broker_that_goes_makes_cameras_offline(start_mosquitto: Callable[..., Mosquitto]) -> None:
    """Without Frigate's broker nothing is known of its cameras, which is said."""
    broker = start_mosquitto()
    async with scene_on(broker) as scene:
        broker.kill()
        async with asyncio.timeout(20):
            while not health(scene.lane)["offline"]:  # noqa: ASYNC110 -- nothing but its health says so
                await asyncio.sleep(0.02)


@settings(max_examples=300, deadline=None)
@given(ANYTHING)
def test_any_bytes_are_read_or_refused(payload: bytes) -> None:
    """Whatever a broker brings, there is one error."""
    for read in (read_object, read_review):
        try:
            read(payload)
        except Refused:
            continue


def test_faces_and_plates_are_not_even_read() -> None:
    """No field that may hold them reaches a sighting."""
    said = repr(read_object(tracked())) + repr(read_review(review()))
    assert "Li Lei" not in said
    assert "12345" not in said
    assert "/9j/" not in said
