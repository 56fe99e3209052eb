"""Cameras of each brand at a gateway, over real HTTP: what they send becomes the right event, or a counted refusal."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from edge.contract.camera_config import CameraConfig
from edge.contract.messages import EventState
from edge.drivers.cameras.brands import pull_of
from edge.drivers.cameras.intake import CameraIntake
from simulators.cameras.dahua import DahuaCamera
from simulators.cameras.faults import CameraFault
from simulators.cameras.hikvision import HikvisionCamera
from simulators.cameras.onvif import OnvifCamera
from tests.edge.drivers.cameras.ear import camera_of
from tests.edge.drivers.cameras.samples import FOLDER, POSTED, Sample, load_samples
from tests.edge.drivers.cameras.stand import (
    JPEG,
    RIGHT,
    START,
    Outbox,
    Site,
    camera,
    health,
    intake_of,
    listening,
    refusals,
)
from tests.edge.hand_clock import HandClock

SAMPLES = load_samples()
MOTION = "RuleEngine/CellMotionDetector/Motion"
STATUS = {"malformed": 400, "hostile": 400, "too_large": 413, "content": 422}


def vendors(brand: str, **more: Any) -> CameraConfig:
    """A camera of a brand, whose events of all kinds that are mapped in ``more`` it may raise."""
    classes = ("CAM.GARBAGE", "CAM.STALL", "CAM.BIN", "CAM.BURN", "CAM.VENDOR")
    return camera(brand=brand, classes=classes, **more)


def mapped(sample: Sample) -> dict[str, str]:
    """Everything that begins in a sample is rubbish."""
    return {each.kind: "CAM.GARBAGE" for each in sample.expected if each.state != "heartbeat"}


async def post(site: Site, sample: Sample) -> int:
    headers = {"content-type": sample.content_type}
    response = await site.post(f"/v1/cameras/cam-1/{sample.brand}", content=sample.body, headers=headers)
    return response.status_code


@pytest.mark.parametrize("brand", POSTED)
async def test_samples_become_events_or_counted_refusals(brand: str, tmp_path: Path) -> None:
    """Each sample that is posted becomes an event for everything that begins in it, or one count of its reason."""
    await asyncio.gather(*(check(each, tmp_path) for each in SAMPLES if each.brand == brand))


async def check(sample: Sample, folder: Path) -> None:
    name = str(sample.path.relative_to(FOLDER))
    zone = {"zone": "+08:00"} if sample.zone else {}
    async with listening(folder, [vendors(sample.brand, map=mapped(sample), **zone)]) as site:
        status = await post(site, sample)
    if sample.refused is not None:
        assert (status, site.kept) == (STATUS[sample.refused], []), name
        assert refusals(site.intakes["cam-1"]) == {sample.refused: 1}, name
        return
    begun = {(each.kind, each.channel, each.id) for each in sample.expected if each.state in {"begin", "pulse"}}
    assert status == 200, name
    assert len({event.id for event in site.kept}) == len(begun), name
    assert {event.class_code for event in site.kept} <= {"CAM.GARBAGE"}, name
    assert any(site.outbox.pictures) == any(each.picture for each in sample.expected), name


@pytest.mark.parametrize(
    ("kind", "class_code"),
    [("882", "CAM.STALL"), ("883", "CAM.GARBAGE"), ("887", "CAM.VENDOR"), ("890", "CAM.GARBAGE"), ("895", "CAM.BIN")],
)
async def test_alarm_types_of_the_platform_are_mapped(kind: str, class_code: str, tmp_path: Path) -> None:
    """What Dahua's platform counts as an alarm of the city is our class, without a line in gateway.yaml."""
    alarm = {"category": "alarm", "info": {"alarmType": kind, "alarmStat": 1, "alarmCode": "a"}}
    async with listening(tmp_path, [vendors("dahua")]) as site:
        response = await site.post("/v1/cameras/cam-1/dahua", json=alarm)
        assert response.json() == {"events": [event.id for event in site.kept]}
        assert [event.class_code for event in site.kept] == [class_code]


@pytest.mark.parametrize(
    ("kind", "fault"),
    [("tamperdetection", "covered"), ("scenechangedetection", "view_changed"), ("videoloss", "offline")],
)
async def test_faults_of_the_camera_are_its_health(kind: str, fault: str, tmp_path: Path) -> None:
    """A covered, moved or lost view is no event of the street: it shows in the camera's health until it is over."""
    async with listening(tmp_path, [vendors("hikvision")]) as site:
        for state, expected in (("active", 1), ("inactive", 0)):
            alert = {"eventType": kind, "eventState": state}
            assert (await site.post("/v1/cameras/cam-1/hikvision", json=alert)).status_code == 200
            assert health(site.intakes["cam-1"])[fault] == expected
        assert site.kept == []


async def test_one_unknown_kind_costs_the_others_nothing(tmp_path: Path) -> None:
    """Of several alarms in one post those that are known are kept; what is not is counted."""
    alarms = [{"alarmType": kind, "alarmStat": 1, "alarmCode": kind} for kind in ("4711", "895")]
    async with listening(tmp_path, [vendors("dahua")]) as site:
        response = await site.post("/v1/cameras/cam-1/dahua", json={"category": "alarm", "info": alarms})
        assert response.status_code == 200
        assert [event.class_code for event in site.kept] == ["CAM.BIN"]
        assert refusals(site.intakes["cam-1"]) == {"unmapped": 1}


async def test_a_hikvision_camera_posts(tmp_path: Path) -> None:
    """HTTP listening of a simulated camera brings an event with its picture."""
    async with listening(tmp_path, [vendors("hikvision", map={"fielddetection": "CAM.GARBAGE"})]) as site:
        url = f"http://127.0.0.1:{site.config.port}"
        login = {"camera": RIGHT[0], "password": RIGHT[1]}
        (event,) = await HikvisionCamera().post(url, **login, kind="fielddetection", picture=JPEG)
        assert [(each.id, each.class_code) for each in site.kept] == [(event, "CAM.GARBAGE")]
        assert site.outbox.pictures == [JPEG]


async def test_an_onvif_camera_posts(tmp_path: Path) -> None:
    """A Notify of a simulated camera brings an event."""
    async with listening(tmp_path, [vendors("onvif", map={MOTION: "CAM.GARBAGE"})]) as site:
        url = f"http://127.0.0.1:{site.config.port}"
        login = {"camera": RIGHT[0], "password": RIGHT[1]}
        (event,) = await OnvifCamera().post(url, **login, topic=MOTION, item="IsMotion")
        assert [(each.id, each.class_code) for each in site.kept] == [(event, "CAM.GARBAGE")]


# --- cameras that are asked -------------------------------------------------------------------------------------------


class Asked(NamedTuple):
    """A camera that the gateway asks, and what it keeps of it."""

    intake: CameraIntake
    outbox: Outbox


@asynccontextmanager
async def asking(
    simulated: DahuaCamera | HikvisionCamera | OnvifCamera, folder: Path, brand: Any
) -> AsyncIterator[Asked]:
    async with simulated:
        pull = camera_of(simulated.url, folder, password=simulated.password).pull
        kinds = {"CrossRegionDetection": "CAM.GARBAGE", "fielddetection": "CAM.GARBAGE", MOTION: "CAM.GARBAGE"}
        config = vendors(brand, map=kinds).model_copy(update={"pull": pull})
        outbox = Outbox()
        intake = intake_of(config, outbox, HandClock(START))
        task = asyncio.create_task(pull_of(brand)(config, intake))
        try:
            async with asyncio.timeout(20):
                await simulated.is_heard.wait()
            yield Asked(intake, outbox)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def test_a_storm_is_one_event(tmp_path: Path) -> None:
    """What a camera says twenty times is one event with its picture, and one end."""
    dahua = DahuaCamera()
    dahua.faults = {CameraFault.STORM}
    async with asking(dahua, tmp_path, "dahua") as (_, outbox):
        dahua.see("CrossRegionDetection", picture=JPEG)
        (event, *_) = await outbox.reached(1)
    assert {each.id for each in outbox.events} == {event.id}
    assert event.state is EventState.CONFIRMED
    assert outbox.pictures[0] == JPEG


async def test_each_brand_that_is_asked_brings_events(tmp_path: Path) -> None:
    """Asked by the brand's own protocol, each simulated camera brings one event of the class that the site named."""
    hikvision, onvif = HikvisionCamera(), OnvifCamera()
    async with asking(hikvision, tmp_path, "hikvision") as (_, outbox):
        hikvision.see("fielddetection")
        (event,) = await outbox.reached(1)
        assert event.class_code == "CAM.GARBAGE"
    async with asking(onvif, tmp_path, "onvif") as (_, outbox):
        onvif.see(MOTION, "IsMotion")
        (event,) = await outbox.reached(1)
        assert event.class_code == "CAM.GARBAGE"
