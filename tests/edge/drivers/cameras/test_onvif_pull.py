"""An ONVIF camera, simulated over real HTTP: subscribed to, pulled from, left in order, whatever its clock shows."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import pytest

from edge.drivers.cameras import Why, onvif_session
from edge.drivers.cameras.onvif_pull import pull_onvif
from simulators.cameras.faults import CameraFault
from simulators.cameras.onvif import OnvifCamera
from tests.edge.drivers.cameras.ear import Ear, camera_of, hearing, pulling

TOPIC = "RuleEngine/CellMotionDetector/Motion"


async def seen_by(ear: Ear, camera: OnvifCamera) -> None:
    before = len(ear.sightings)
    await ear.until(lambda ear: camera.subscriptions)
    camera.see(TOPIC, "IsMotion")
    await ear.until(lambda ear: len(ear.sightings) > before)


@pytest.mark.parametrize("faults", [set(), {CameraFault.WRONG_CLOCK}], ids=["right clock", "wrong clock"])
async def test_what_a_camera_sees_comes_in(faults: set[CameraFault], tmp_path: Path) -> None:
    """Begin and end come in order, though its clock is an hour and a half behind and dates every token."""
    camera = OnvifCamera()
    camera.faults = faults
    async with camera:
        async with pulling(pull_onvif, camera_of(camera.url, tmp_path, password=camera.password)) as ear:
            await ear.until(lambda ear: camera.subscriptions)
            camera.see(TOPIC, "IsMotion")
            camera.see(TOPIC, "IsMotion", is_over=True)
            await ear.until(lambda ear: len(ear.sightings) == 2)
        assert camera.subscriptions == {}  # left in order
    assert ear.seen() == [(TOPIC, "begin"), (TOPIC, "end")]
    assert (ear.refusals, ear.losses, camera.refusals) == ([], [], 0)


async def test_a_subscription_that_is_gone_is_made_anew(tmp_path: Path) -> None:
    """A camera that was started anew knows no subscription: the gateway subscribes again by itself."""
    camera = OnvifCamera()
    async with hearing(camera, pull_onvif, tmp_path) as ear:
        await seen_by(ear, camera)
        camera.see(TOPIC, "IsMotion", is_over=True)
        camera.subscriptions.clear()
        await ear.until(lambda ear: ear.losses)
        await seen_by(ear, camera)
    assert "ResourceUnknownFault" in ear.losses[0]


async def test_a_clock_that_is_set_meanwhile(tmp_path: Path) -> None:
    """When somebody sets the camera's clock it is asked again soon: that is no wrong password."""
    camera = OnvifCamera()
    async with hearing(camera, pull_onvif, tmp_path) as ear:
        await seen_by(ear, camera)
        camera.faults = {CameraFault.WRONG_CLOCK}
        camera.see(TOPIC, "IsMotion", is_over=True)  # the pull that is under way ends with it
        await ear.until(lambda ear: ear.losses and len(camera.subscriptions) == 2)
        await seen_by(ear, camera)
    assert "has its clock been set?" in ear.losses[0]


async def test_a_subscription_is_renewed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Long before a subscription ends it is renewed."""
    monkeypatch.setattr(onvif_session, "LASTS_S", 0.4)
    camera = OnvifCamera()
    async with hearing(camera, pull_onvif, tmp_path) as ear:
        while not camera.renewals:  # after each pull the gateway looks whether it is due
            await seen_by(ear, camera)
        assert len(camera.subscriptions) == 1
    assert ear.losses == []


async def test_a_wrong_password_is_not_tried_again_and_again(tmp_path: Path) -> None:
    """A camera that refuses the first token is left alone for long, and no text has the password."""
    camera = OnvifCamera()
    async with hearing(camera, pull_onvif, tmp_path, password="wrong horse") as ear:
        await ear.until(lambda ear: ear.losses)
        assert camera.refusals == 1
    assert "NotAuthorized" in ear.losses[0]
    assert "horse" not in "".join(ear.losses)


@pytest.mark.parametrize(
    ("fault", "why"), [(CameraFault.HUGE, Why.TOO_LARGE), (CameraFault.ENTITIES, Why.HOSTILE)], ids=["huge", "entities"]
)
async def test_hostile_answers_are_refused(fault: CameraFault, why: Why, tmp_path: Path) -> None:
    """50 MB or entities in an answer are refused with the reason, cost no memory, and the camera is asked again."""
    camera = OnvifCamera()
    camera.faults = {fault}
    tracemalloc.start()
    try:
        async with hearing(camera, pull_onvif, tmp_path) as ear:
            await ear.until(lambda ear: ear.refusals)
            camera.faults = set()
            await seen_by(ear, camera)
    finally:
        tracemalloc.stop()
    assert {refusal.why for refusal in ear.refusals} == {why}


async def test_silence_is_noticed(tmp_path: Path) -> None:
    """A camera that accepts and never answers is lost."""
    camera = OnvifCamera()
    camera.faults = {CameraFault.SILENT}
    async with hearing(camera, pull_onvif, tmp_path, silence_s=0.3) as ear:
        await ear.until(lambda ear: ear.losses)
    assert ear.losses[0].startswith("it is connected, but does not answer")


async def test_an_answer_that_trickles_loses_the_camera(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes that never become an answer are none, however long they come."""
    monkeypatch.setattr("edge.drivers.cameras.web.CONNECT_S", 0.1)
    camera = OnvifCamera()
    camera.faults = {CameraFault.TRICKLING}
    async with hearing(camera, pull_onvif, tmp_path, silence_s=0.3) as ear:
        await ear.until(lambda ear: ear.losses)
    assert "not whole within" in ear.losses[0]
