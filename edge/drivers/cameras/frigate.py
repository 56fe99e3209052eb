"""Follows Frigate over MQTT: tracked objects, reviews, snapshots, and whether it and its cameras are there.

===================================  ==================================================================================
topic                                what is made of it
===================================  ==================================================================================
``frigate/events``                   a tracked object begins, goes on, ends: :mod:`edge.drivers.cameras.frigate_read`
``frigate/reviews``                  the same of a review
``frigate/<camera>/<label>/snapshot``  a JPEG of the best frame of a label: added to the latest event of that label
                                     which is open and has none yet. One that the broker has kept is of something past
``frigate/available``                ``offline``: none of its cameras can be reached
``frigate/<camera>/status/<role>``   ``offline`` of a camera, where Frigate tells it (0.17 and later)
===================================  ==================================================================================

What cannot be read is counted for the camera that it names, if it is ours. The broker is Frigate's own, not
the one to the cloud. A lost connection is tried again after 1, 2, 4, ... 60 s.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping
from typing import Final

import structlog

from edge.contract.camera_config import FrigateConfig
from edge.contract.messages import MAX_BLOB
from edge.contract.mqtt import Message, MqttError, connect
from edge.drivers import NotStoredError
from edge.drivers.cameras import MOST_TEXT, Intake, Refused, Sighting, Why
from edge.drivers.cameras.frigate_read import Told, read_object, read_review
from edge.drivers.cameras.witness import NO_ANSWER, UNWATCHED, Away, Witness

FIRST_PAUSE_S: Final = 1.0
LONGEST_PAUSE_S: Final = 60.0
MOST_THINGS: Final = 256  # that wait for a picture

_CAMERA: Final = re.compile(rb'"camera"\s*:\s*"([A-Za-z0-9_-]{1,64})"')
_log = structlog.get_logger()


async def follow(
    config: FrigateConfig, cameras: Mapping[str, Intake], *, client_id: str, witness: Witness = UNWATCHED
) -> None:
    """Take in what Frigate says of these cameras, by its names for them, until cancelled."""
    pause_s = FIRST_PAUSE_S
    while True:
        follower = Follower(config.topic, cameras, witness=witness)
        try:
            async with connect(config.broker, client_id=client_id) as connection:
                for topic in follower.topics:
                    await connection.subscribe(topic)
                _log.info("frigate followed", broker=connection.address)
                async for message in connection.messages():
                    pause_s = FIRST_PAUSE_S
                    await follower.take(message)
                    await message.ack()
        except MqttError as error:
            _log.warning("frigate lost", reason=str(error), again_in_s=pause_s)
            for intake in cameras.values():
                intake.lose(f"frigate's broker: {error}")
        await asyncio.sleep(pause_s)
        pause_s = min(2 * pause_s, LONGEST_PAUSE_S)


class Follower:
    """What one connection to Frigate's broker brings."""

    def __init__(self, topic: str, cameras: Mapping[str, Intake], *, witness: Witness = UNWATCHED) -> None:
        self._topic, self._witness = topic, witness
        self._cameras = cameras
        self._bare: dict[str, Told] = {}  # tracked objects that have no picture yet, the latest last

    @property
    def topics(self) -> list[str]:
        """What to subscribe to."""
        own = [f"{self._topic}/{name}/{rest}" for name in self._cameras for rest in ("+/snapshot", "status/+")]
        return [f"{self._topic}/{rest}" for rest in ("events", "reviews", "available")] + own

    async def take(self, message: Message) -> None:
        """Take in one message; what is wrong with it is counted."""
        parts = message.topic.removeprefix(f"{self._topic}/").split("/")
        match parts:
            case ["events"]:
                await self._take_change(message, read_object)
            case ["reviews"]:
                await self._take_change(message, read_review)
            case ["available"]:
                self._take_presence(message.payload, list(self._cameras))
            case [camera, "status", _]:
                self._take_presence(message.payload, [camera])
            case [camera, label, "snapshot"] if not message.retained:
                await self._take_snapshot(camera, label, message.payload)

    def _take_presence(self, payload: bytes, names: list[str]) -> None:
        for intake in (self._cameras[name] for name in names if name in self._cameras):
            if payload == b"offline":
                intake.lose("frigate says offline")
            elif payload == b"online":
                intake.hear()

    async def _take_change(self, message: Message, read: Callable[[bytes], Told]) -> None:
        try:
            told = read(message.payload)
        except Refused as refused:
            self._refuse(message, refused)
            return
        intake = self._cameras.get(told.camera)
        if intake is None:
            self._witness.told_of_another(told.camera)
            return
        if told.is_over or not told.label:
            self._bare.pop(told.thing, None)
        events = [await self._hand_on(intake, each) for each in told.sightings]
        pairs = zip(told.sightings, events, strict=True)
        raised = [each for each, event in pairs if event is not None and each.state == "begin"]
        if raised and told.label and not told.is_over:
            self._bare[told.thing] = told._replace(sightings=raised)
            while len(self._bare) > MOST_THINGS:
                del self._bare[next(iter(self._bare))]

    async def _take_snapshot(self, camera: str, label: str, picture: bytes) -> None:
        intake = self._cameras.get(camera)
        if intake is None:
            return
        if len(picture) > MAX_BLOB:
            intake.refuse(Refused(Why.TOO_LARGE, f"a snapshot of {len(picture)} bytes"))
            return
        named = [each for each in self._bare.values() if (each.camera, each.label) == (camera, label)]
        if not named:
            return
        del self._bare[named[-1].thing]
        for sighting in named[-1].sightings:
            await self._hand_on(intake, sighting._replace(picture=picture))

    async def _hand_on(self, intake: Intake, sighting: Sighting) -> str | None:
        try:
            return await intake.take(sighting)
        except Refused:
            return None  # counted
        except NotStoredError as error:
            _log.warning("frigate event not kept", reason=str(error))
            return None

    def _refuse(self, message: Message, refused: Refused) -> None:
        """Count for the camera that a message names, though it cannot be read."""
        _log.warning("frigate message refused", why=str(refused.why), error=str(refused))
        named = _CAMERA.search(message.payload, 0, 4096)
        intake = self._cameras.get(named[1].decode()) if named else None
        if intake is not None:
            intake.refuse(refused)
        elif named is None:
            self._witness.turned_away(Away(NO_ANSWER, str(refused), "frigate", "", message.topic[:MOST_TEXT]))
        else:
            self._witness.told_of_another(named[1].decode())
