"""Hikvision and Dahua cameras, simulated over real HTTP: what they see comes in, whatever is wrong with them."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from edge.contract.camera_config import CameraConfig
from edge.drivers.cameras import Intake, Why
from edge.drivers.cameras.pulling import Rhythm, keep_asking
from edge.drivers.cameras.streams import pull_dahua, pull_hikvision
from edge.drivers.cameras.web import CameraWeb
from simulators.cameras.dahua import DahuaCamera
from simulators.cameras.faults import CameraFault
from simulators.cameras.hikvision import HikvisionCamera
from simulators.cameras.stream import STORM, StreamingCamera
from tests.edge.drivers.cameras.ear import Ear, Pull, camera_of, hearing, pulling
from tests.edge.drivers.cameras.samples import JPEG
from tests.servers import free_ports

Streaming = HikvisionCamera | DahuaCamera

BRANDS: dict[str, tuple[type[HikvisionCamera] | type[DahuaCamera], Pull]] = {
    "hikvision": (HikvisionCamera, pull_hikvision),
    "dahua": (DahuaCamera, pull_dahua),
}
KIND = "fielddetection"


@pytest.fixture(params=sorted(BRANDS))
def brand(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def parts_of(brand: str) -> tuple[Streaming, Pull]:
    made, pull = BRANDS[brand]
    camera = made()
    camera.heartbeat_s = 0.1
    return camera, pull


async def seen_by(ear: Ear, camera: Streaming) -> None:
    """Let the camera see something once it is heard, and wait until it came in."""
    before, heard = len(ear.sightings), ear.heard
    await ear.until(lambda ear: ear.heard > heard)
    camera.see(KIND)
    await ear.until(lambda ear: len(ear.sightings) > before)


async def test_what_a_camera_sees_comes_in(brand: str, tmp_path: Path) -> None:
    """Begin with its picture, and end, in order and with the camera's own time; heartbeats are no sightings."""
    camera, pull = parts_of(brand)
    async with hearing(camera, pull, tmp_path) as ear:
        await ear.until(lambda ear: ear.heard > 2)
        camera.see(KIND, picture=JPEG)
        camera.see(KIND, is_over=True)
        await ear.until(lambda ear: len(ear.sightings) == 2)
    assert ear.seen() == [(KIND, "begin"), (KIND, "end")]
    assert [sighting.picture for sighting in ear.sightings] == [JPEG, None]
    assert all(sighting.at_ms for sighting in ear.sightings)
    assert (ear.refusals, ear.losses) == ([], [])


@pytest.mark.parametrize("fault", [CameraFault.WRONG_BOUNDARY, CameraFault.NO_LENGTH, CameraFault.WRONG_LENGTH])
async def test_odd_multipart_is_understood(brand: str, fault: CameraFault, tmp_path: Path) -> None:
    """Boundaries and lengths that are wrong cost no event."""
    camera, pull = parts_of(brand)
    camera.faults = {fault}
    async with hearing(camera, pull, tmp_path) as ear:
        await seen_by(ear, camera)
    assert ear.seen() == [(KIND, "begin")]
    assert ear.refusals == []


async def test_a_storm_comes_in_whole(brand: str, tmp_path: Path) -> None:
    """What is said twenty times is heard twenty times: telling that it is one is the tracker's work."""
    camera, pull = parts_of(brand)
    camera.faults = {CameraFault.STORM}
    async with hearing(camera, pull, tmp_path) as ear:
        await ear.until(lambda ear: ear.heard > 0)
        camera.see(KIND)
        await ear.until(lambda ear: len(ear.sightings) == STORM)


@pytest.mark.parametrize("fault", [CameraFault.SILENT, CameraFault.TRICKLING])
async def test_silence_is_noticed_and_ends(brand: str, fault: CameraFault, tmp_path: Path) -> None:
    """A camera that says nothing is lost, though its connection lives; when it speaks again it is heard."""
    camera, pull = parts_of(brand)
    camera.faults = {fault}
    async with hearing(camera, pull, tmp_path, silence_s=0.3) as ear:
        await ear.until(lambda ear: ear.losses)
        camera.faults = set()
        await seen_by(ear, camera)
    assert ear.losses[0].startswith(("said nothing for 0.3 s", "ReadTimeout"))


async def test_a_part_without_end_is_refused_and_costs_little(brand: str, tmp_path: Path) -> None:
    """50 MB where a message belongs are counted as too large, are never held, and the camera is asked again."""
    camera, pull = parts_of(brand)
    camera.faults = {CameraFault.HUGE}
    tracemalloc.start()
    try:
        async with hearing(camera, pull, tmp_path) as ear:
            await ear.until(lambda ear: ear.refusals)
            camera.faults = set()
            await seen_by(ear, camera)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert {refusal.why for refusal in ear.refusals} == {Why.TOO_LARGE}
    assert peak < 24 * 1024 * 1024


async def test_a_camera_that_hangs_up_is_called_again(brand: str, tmp_path: Path) -> None:
    """Each connection that ends is followed by another, and what came before its end is kept."""
    camera, pull = parts_of(brand)
    camera.faults = {CameraFault.HANGING_UP}
    async with hearing(camera, pull, tmp_path) as ear:
        await seen_by(ear, camera)
        await ear.until(lambda ear: camera.connections > 1)
        camera.faults = set()
        await seen_by(ear, camera)
    assert "it ended the connection" in ear.losses


async def test_hostile_xml_is_refused_and_the_stream_goes_on(tmp_path: Path) -> None:
    """Entities are refused by name; the same connection brings the next event."""
    camera, pull = parts_of("hikvision")
    camera.faults = {CameraFault.ENTITIES}
    async with hearing(camera, pull, tmp_path) as ear:
        await ear.until(lambda ear: ear.refusals)
        camera.faults = set()
        await seen_by(ear, camera)
    assert {refusal.why for refusal in ear.refusals} == {Why.HOSTILE}
    assert camera.connections == 1


@pytest.mark.parametrize("fault", [CameraFault.UNDATED, CameraFault.WRONG_CLOCK])
async def test_a_wrong_clock_is_handed_on(brand: str, fault: CameraFault, tmp_path: Path) -> None:
    """What the camera's clock says is for the tracker to judge: here nothing is refused for it."""
    camera, pull = parts_of(brand)
    camera.faults = {fault}
    async with hearing(camera, pull, tmp_path) as ear:
        await seen_by(ear, camera)
    assert (ear.sightings[0].at_ms is None) == (fault is CameraFault.UNDATED)


async def test_a_wrong_password_is_not_tried_again_and_again(brand: str, tmp_path: Path) -> None:
    """A camera that refuses to sign us in is left alone for long, before it locks us out; no text has the password."""
    camera, pull = parts_of(brand)
    async with hearing(camera, pull, tmp_path, password="wrong horse") as ear:
        await ear.until(lambda ear: ear.losses)
        assert camera.refusals == 1
    assert "401" in ear.losses[0]
    assert "horse" not in "".join(ear.losses)


async def test_what_cannot_be_stored_is_tried_again(tmp_path: Path) -> None:
    """A camera says it once; while the disk is full, the gateway holds it, and keeps it once."""
    camera, pull = parts_of("dahua")
    async with hearing(camera, pull, tmp_path) as ear:
        ear.times_full = 2
        await seen_by(ear, camera)
    assert ear.seen() == [(KIND, "begin")]


async def test_a_camera_that_is_not_there_yet(tmp_path: Path) -> None:
    """A camera that starts after the gateway is found."""
    (port,) = free_ports(1)
    camera = DahuaCamera(port=port)
    config = camera_of(f"http://127.0.0.1:{port}", tmp_path, password=camera.password)
    async with pulling(pull_dahua, config) as ear:
        await ear.until(lambda ear: ear.losses)
        async with camera:
            await seen_by(ear, camera)
    assert ear.losses[0].startswith("nothing listens at that address")


def test_the_simulators_are_streams() -> None:
    """Both brands share what is tested here."""
    assert all(issubclass(made, StreamingCamera) for made, _ in BRANDS.values())


async def test_what_nobody_expected_costs_one_connection(tmp_path: Path) -> None:
    """Whatever asking a camera raises is logged with its type and counts as lost; the camera is asked again."""
    config = camera_of("http://127.0.0.1:9", tmp_path, password="simulated")
    asked = 0

    async def pull(camera: CameraConfig, intake: Intake, *, rhythm: Rhythm) -> None:
        async def session(_: CameraWeb) -> None:
            nonlocal asked
            asked += 1
            raise KeyError("BOGUS")

        assert camera.pull is not None
        await keep_asking(camera.pull, intake, session, rhythm=rhythm)

    with capture_logs() as lines:
        async with pulling(pull, config) as ear:
            await ear.until(lambda _: asked > 1)
    assert ear.losses[0] == "unexpected KeyError"
    assert (lines[0]["log_level"], lines[0]["error"]) == ("error", "KeyError")
