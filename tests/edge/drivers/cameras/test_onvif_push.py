"""An ONVIF camera, simulated over real HTTP, that is asked to post: subscribed at, renewed, left in order, let in."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest
from structlog.testing import capture_logs

from edge.contract.camera_config import CameraListenerConfig, PushConfig
from edge.drivers.cameras import Why, onvif_session
from edge.drivers.cameras.access import WRONG_TRIES, Door
from edge.drivers.cameras.listener import CameraListener
from edge.drivers.cameras.onvif_push import push_onvif
from simulators.cameras.faults import CameraFault
from simulators.cameras.http_side import Answer, Request
from simulators.cameras.onvif import CONTENT_TYPE, OnvifCamera
from tests.edge.drivers.cameras.ear import QUICK, Ear, camera_of
from tests.edge.drivers.cameras.stand import NO_TLS, START
from tests.edge.hand_clock import HandClock
from tests.servers import free_ports

TOPIC = "RuleEngine/CellMotionDetector/Motion"


class Gate(NamedTuple):
    """What is heard of a camera that is asked to post, and where it posts."""

    ear: Ear
    door: Door

    async def sees(self, camera: OnvifCamera, *, is_over: bool = False) -> None:
        """Let a camera that is subscribed at see something, and wait until that is posted."""
        before = len(self.ear.sightings)
        await self.ear.until(lambda ear: any(each.is_synchronized for each in camera.subscriptions.values()))
        camera.see(TOPIC, "IsMotion", is_over=is_over)
        await self.ear.until(lambda ear: len(ear.sightings) > before)

    async def post(self, url: str) -> httpx.Response:
        """Post what no camera would, to any address."""
        async with httpx.AsyncClient(timeout=20, verify=NO_TLS) as http:
            return await http.post(url, content=b"<Notify/>", headers={"content-type": CONTENT_TYPE})


@asynccontextmanager
async def asked_to_post(
    url: str,
    folder: Path,
    *,
    password: str = "simulated",  # noqa: S107
    silence_s: float = 60,
) -> AsyncIterator[Gate]:
    """A listener, and what subscribes at the camera there, within the block."""
    asked = camera_of(url, folder, password=password, silence_s=silence_s)
    assert asked.pull is not None
    push = PushConfig.model_construct(**dict(asked.pull))
    config = asked.model_copy(update={"brand": "onvif", "pull": None, "push": push})
    listens = CameraListenerConfig(host="127.0.0.1", port=free_ports(1)[0])
    gate = Gate(Ear(), Door(f"{listens.url}/v1/cameras/gate/onvif"))
    async with CameraListener(listens, [(config, gate.ear)], clock=HandClock(START), doors={"gate": gate.door}):
        task = asyncio.create_task(push_onvif(config, gate.ear, gate.door, rhythm=QUICK))
        try:
            yield gate
            assert not task.done(), task
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let subscriptions be short, so that they are renewed while a test looks."""
    monkeypatch.setattr(onvif_session, "LASTS_S", 1)


# --- the subscription -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("faults", [set(), {CameraFault.WRONG_CLOCK}], ids=["right clock", "wrong clock"])
async def test_what_a_camera_sees_is_posted(faults: set[CameraFault], tmp_path: Path) -> None:
    """Begin and end come in order, though its clock is an hour and a half behind; at the end nothing is left there."""
    camera = OnvifCamera()
    camera.faults = faults
    async with camera:
        async with asked_to_post(camera.url, tmp_path) as gate:
            await gate.sees(camera)
            await gate.sees(camera, is_over=True)
            await gate.ear.until(lambda ear: camera.posts == [200, 200])
        assert camera.subscriptions == {}  # unsubscribed
    assert gate.ear.seen() == [(TOPIC, "begin"), (TOPIC, "end")]
    assert (gate.ear.refusals, gate.ear.losses, camera.refusals) == ([], [], 0)


@pytest.mark.parametrize(
    ("faults", "lasts_s"),
    [(set(), 1), ({CameraFault.WRONG_CLOCK, CameraFault.ONLY_TIMES}, 2)],  # times are of whole seconds
    ids=["durations", "times"],
)
async def test_a_subscription_is_renewed(
    faults: set[CameraFault], lasts_s: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is renewed before it ends, by the camera's own clock where the camera takes no durations."""
    monkeypatch.setattr(onvif_session, "LASTS_S", lasts_s)
    camera = OnvifCamera()
    camera.faults = faults
    async with camera, asked_to_post(camera.url, tmp_path) as gate:
        await gate.ear.until(lambda ear: camera.renewals)
        await gate.sees(camera)
    assert gate.ear.losses == []


async def test_a_camera_that_grants_less_is_renewed_sooner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """How long a subscription lasts is the camera's to say, whatever it was asked for."""
    monkeypatch.setattr(onvif_session, "SHORTEST_S", 0.1)
    camera = OnvifCamera()
    camera.longest_s = 0.5
    async with camera, asked_to_post(camera.url, tmp_path) as gate:
        await gate.ear.until(lambda ear: camera.renewals)
    assert gate.ear.losses == []


@pytest.mark.usefixtures("soon")
async def test_where_none_is_renewed_there_is_always_a_new_one(tmp_path: Path) -> None:
    """A camera that renews nothing is subscribed at again, left before, and not lost."""
    camera = OnvifCamera()
    camera.faults = {CameraFault.NEVER_RENEWING}
    async with camera, asked_to_post(camera.url, tmp_path) as gate:
        await gate.sees(camera)
        before = set(camera.subscriptions)
        await gate.ear.until(lambda ear: set(camera.subscriptions) - before)
        await gate.sees(camera, is_over=True)
        assert len(camera.subscriptions) <= 1
    assert (gate.ear.losses, camera.renewals) == ([], 0)


@pytest.mark.usefixtures("soon")
async def test_a_subscription_that_the_camera_forgot_is_made_anew(tmp_path: Path) -> None:
    """A camera that was started anew so quickly that nobody saw it knows no subscription: it gets another."""
    camera = OnvifCamera()
    async with camera, asked_to_post(camera.url, tmp_path) as gate:
        await gate.sees(camera)
        camera.subscriptions.clear()
        await gate.sees(camera, is_over=True)
    assert gate.ear.seen()[:2] == [(TOPIC, "begin")] * 2  # the second: what is so when it is subscribed at
    assert gate.ear.losses == []


@pytest.mark.usefixtures("soon")
async def test_a_camera_that_was_away_is_subscribed_at_again(tmp_path: Path) -> None:
    """While it is away it is lost; once it is there again it is subscribed at, and says what has begun meanwhile."""
    [port] = free_ports(1)
    camera, again = OnvifCamera(port=port), OnvifCamera(port=port)
    again.see(TOPIC, "IsMotion")
    async with asked_to_post(f"http://127.0.0.1:{port}", tmp_path) as gate:
        async with camera:
            await gate.ear.until(lambda ear: camera.subscriptions)
            gate.ear.losses.clear()
        await gate.ear.until(lambda ear: ear.losses)
        async with again:
            await gate.ear.until(lambda ear: ear.sightings)
            assert gate.ear.seen()[0] == (TOPIC, "begin")


async def test_a_wrong_password_is_not_tried_again_and_again(tmp_path: Path) -> None:
    """A camera that refuses the first token is left alone for long, and no text has the password."""
    camera = OnvifCamera()
    async with camera, asked_to_post(camera.url, tmp_path, password="wrong horse") as gate:
        await gate.ear.until(lambda ear: ear.losses)
        assert camera.refusals == 1
    assert "NotAuthorized" in gate.ear.losses[0]
    assert "horse" not in "".join(gate.ear.losses)


class Unable(OnvifCamera):
    """It answers one request in a way of its own."""

    def __init__(self, request: bytes, body: bytes) -> None:
        super().__init__()
        self._request, self._body = request, body

    async def answer(self, request: Request) -> Answer:
        if self._request in request.body:
            return Answer("500 Internal Server Error", CONTENT_TYPE, self._body)
        return await super().answer(request)


@pytest.mark.usefixtures("soon")
@pytest.mark.parametrize("request_of", [b"<SetSynchronizationPoint", b"<Renew "], ids=["states", "renewal"])
@pytest.mark.parametrize(
    "body",
    [b"<html>not here<br></html>", b"<Fault><Value>ter:NotAuthorized</Value></Fault>"],
    ids=["html", "forbidden"],
)
async def test_a_camera_that_cannot_do_all_is_subscribed_at(request_of: bytes, body: bytes, tmp_path: Path) -> None:
    """One that refuses what is not necessary, in whatever words, posts what it sees all the same."""
    camera = Unable(request_of, body)
    async with camera, asked_to_post(camera.url, tmp_path) as gate:
        await gate.ear.until(lambda ear: camera.subscriptions)
        before = set(camera.subscriptions)
        camera.see(TOPIC, "IsMotion")
        await gate.ear.until(lambda ear: ear.sightings)
        await gate.ear.until(lambda ear: camera.renewals or set(camera.subscriptions) - before)
        camera.see(TOPIC, "IsMotion", is_over=True)
        await gate.ear.until(lambda ear: (TOPIC, "end") in ear.seen())
    assert gate.ear.refusals == []


@pytest.mark.usefixtures("soon")
async def test_a_camera_that_cannot_reach_the_gateway_is_named(tmp_path: Path) -> None:
    """Where nothing is posted though the camera is subscribed at, it is said once where it should have been."""
    camera = OnvifCamera()
    async with camera, asked_to_post(camera.url, tmp_path) as gate:
        await gate.ear.until(lambda ear: camera.renewals > 1)
    assert gate.ear.doubts == [f"{gate.door.url.rpartition('/')[0]}/..."]


@pytest.mark.usefixtures("soon")
@pytest.mark.parametrize(
    ("fault", "why"), [(CameraFault.HUGE, Why.TOO_LARGE), (CameraFault.ENTITIES, Why.HOSTILE)], ids=["huge", "entities"]
)
async def test_hostile_answers_are_refused(fault: CameraFault, why: Why, tmp_path: Path) -> None:
    """50 MB or entities in an answer are refused with the reason, and the camera is asked again."""
    camera = OnvifCamera()
    camera.faults = {fault}
    async with camera, asked_to_post(camera.url, tmp_path) as gate:
        await gate.ear.until(lambda ear: ear.refusals)
        camera.faults = set()
        await gate.sees(camera)
    assert {refusal.why for refusal in gate.ear.refusals} == {why}


@pytest.mark.usefixtures("soon")
async def test_silence_is_noticed(tmp_path: Path) -> None:
    """A camera that accepts and never answers is lost."""
    camera = OnvifCamera()
    camera.faults = {CameraFault.SILENT}
    async with camera, asked_to_post(camera.url, tmp_path, silence_s=0.3) as gate:
        await gate.ear.until(lambda ear: ear.losses)
    assert gate.ear.losses[0].startswith("it is connected, but does not answer")


@pytest.mark.parametrize(
    ("fault", "posts", "refused"),
    [(CameraFault.SILENT, [], []), (CameraFault.TRICKLING, [422], [Why.CONTENT])],
    ids=["silent", "trickling"],
)
async def test_a_camera_that_posts_nothing_of_use(
    fault: CameraFault, posts: list[int], refused: list[Why], tmp_path: Path
) -> None:
    """One that answers all the same may be silent, or post what is no message: the latter is refused and counted."""
    camera = OnvifCamera()
    async with camera, asked_to_post(camera.url, tmp_path) as gate:
        await gate.ear.until(lambda _: camera.subscriptions)
        [subscription] = camera.subscriptions.values()
        await gate.ear.until(lambda ear: ear.sightings or subscription.is_synchronized)
        camera.faults = {fault}
        camera.see("UserAlarm/Button")
        await gate.ear.until(lambda ear: subscription.waiting.empty() and len(camera.posts) == len(posts))
    assert camera.posts == posts
    assert [refusal.why for refusal in gate.ear.refusals] == refused


# --- the door ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", ["", "/", "/" + 32 * "0", "/%E4%B8%AD", "/a/b"])
async def test_only_the_address_that_a_camera_was_told_is_open(end: str, tmp_path: Path) -> None:
    """Another key, another form of the address or none is refused and costs the camera itself nothing."""
    camera = OnvifCamera()
    async with camera, asked_to_post(camera.url, tmp_path) as gate:
        base, _, key = gate.door.url.rpartition("/")
        for _ in range(WRONG_TRIES + 1):
            assert (await gate.post(base + end)).status_code in (401, 404)
        for other in (base.replace("gate", "yard"), base.replace("onvif", "hikvision")):
            assert (await gate.post(f"{other}/{key}")).status_code == 404
        await gate.sees(camera)
    assert {refusal.why for refusal in gate.ear.refusals} <= {Why.SIGN_IN}


async def test_what_is_posted_there_is_bounded_and_counted(tmp_path: Path) -> None:
    """Who knows the address is the camera, and is read as strictly as one that signs in."""
    camera = OnvifCamera()
    async with camera, asked_to_post(camera.url, tmp_path) as gate:
        assert (await gate.post(gate.door.url)).status_code == 200
        async with httpx.AsyncClient(timeout=20, verify=NO_TLS) as http:
            hostile = await http.post(gate.door.url, content=b'<!DOCTYPE a [<!ENTITY b "c">]><Notify/>')
        assert hostile.status_code == 400
    assert [refusal.why for refusal in gate.ear.refusals] == [Why.HOSTILE]


class Gossip(OnvifCamera):
    """It says in a fault what it was asked."""

    async def answer(self, request: Request) -> Answer:
        if b"<Subscribe " not in request.body:
            return await super().answer(request)
        text = request.body.decode().partition("<ConsumerReference>")[2].partition("</ConsumerReference>")[0]
        fault = f"<Fault><Text>{text.replace('<', ' ').replace('>', ' ')}</Text></Fault>"
        return Answer("500 Internal Server Error", CONTENT_TYPE, fault.encode())


async def test_no_log_has_the_address(tmp_path: Path) -> None:
    """Neither a fault in which the camera repeats it, nor a post to nearly the same address shows the key."""
    with capture_logs() as logs:
        async with Gossip() as camera, asked_to_post(camera.url, tmp_path) as gate:
            await gate.ear.until(lambda ear: ear.losses)
            near = await gate.post(f"{gate.door.url}/")
            far = await gate.post(gate.door.url.replace("/v1/", "/v2/"))
    assert "/v1/cameras/gate/onvif/..." in gate.ear.losses[0]
    key = gate.door.url.rpartition("/")[2]
    assert key not in f"{logs} {gate.ear.losses} {near.text} {far.text}"
