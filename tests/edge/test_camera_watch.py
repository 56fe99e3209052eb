"""What cameras send while they are set up is shown with what becomes of it: real HTTP, a real broker, nothing kept."""

from __future__ import annotations

import asyncio
import secrets
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path

import httpx
import pytest
from PIL import Image

from edge.camera_outcomes import Became, Outcome, map_line, what_to_do
from edge.camera_watch import MOST_KINDS, PicturesError, Tally
from edge.cli.camera_watch_text import failures, summary
from edge.contract.broker_config import BrokerConfig
from edge.contract.mqtt import connect
from edge.drivers.cameras import Refused, Why
from simulators.cameras.hikvision import HikvisionCamera
from simulators.cameras.onvif import OnvifCamera
from tests.edge.drivers.cameras.stand import JPEG, camera
from tests.edge.drivers.cameras.test_frigate import review, tracked
from tests.edge.watched_cameras import ALERT, BOX, GATE, Scene, secret, watching, write
from tests.servers import Mosquitto, free_ports

RAISED, JOINED, PICTURED = Became.RAISED, Became.JOINED, Became.PICTURED
IGNORED, REFUSED, AWAY = Became.IGNORED, Became.REFUSED, Became.TURNED_AWAY


def photo() -> bytes:
    """A white picture."""
    made = BytesIO()
    Image.new("RGB", (64, 48), "white").save(made, "JPEG")
    return made.getvalue()


def names_in(folder: Path) -> list[str]:
    """What is there."""
    return sorted(path.name for path in folder.iterdir())


async def test_each_thing_that_comes_is_shown_with_what_it_becomes(tmp_path: Path) -> None:
    """Raised, joined, its picture, its end, ignored by table, by map and by channel, a fault, and one heartbeat."""
    async with watching(write(tmp_path)) as scene:
        post = scene.poster.alert
        for kind, state in (("fielddetection", "active"), ("fielddetection", "active"), ("fielddetection", "inactive")):
            assert await post(kind, state) == 200
        assert await post("fielddetection", "active", picture=photo()) == 200
        for kind in ("VMD", "PIR", "fireDetection", "tamperdetection"):
            assert await post(kind) == 200
        assert await post("tamperdetection", "inactive") == 200
        for _ in range(3):
            assert await post("videoloss", "inactive") == 200
        other = "<EventNotificationAlert><eventType>VMD</eventType><channelID>7</channelID></EventNotificationAlert>"
        assert await scene.poster.post("gate", "/v1/cameras/gate/hikvision", content=other) == 200
    assert scene.became() == [
        ("fielddetection", RAISED),
        ("fielddetection", JOINED),
        ("fielddetection", Became.ENDING),
        ("fielddetection", PICTURED),
        ("VMD", IGNORED),
        ("PIR", IGNORED),
        ("fireDetection", IGNORED),
        ("tamperdetection", Became.FAULT),
        ("tamperdetection", Became.FAULT),
        ("videoloss", Became.HEARTBEAT),
        ("VMD", IGNORED),
    ]
    words = [seen.words for seen in scene.seen]
    assert words[0] == "CAM.FIRELANE raised (fire lane blocked)"
    assert words[2] == "CAM.FIRELANE ends, unless it is seen again within 60 s"
    assert words[4:9] == [
        "ignored: the table of hikvision says so; to raise it: map: {VMD: CAM.FIRELANE} (or CAM.BIN)",
        "ignored: map says so",
        "ignored: it is CAM.BURN, which is not among its classes",
        "a fault of the camera: covered",
        "a fault of the camera is over: covered",
    ]
    assert words[10] == "ignored: it is of channel 7, this camera is channel 1"
    tally = scene.watch.tallies["gate"]
    assert (tally.heartbeats, tally.pictures, tally.kinds["fielddetection", "raised CAM.FIRELANE"]) == (3, 1, 1)


async def test_a_refusal_says_why_and_what_to_do(tmp_path: Path) -> None:
    """A wrong password, a kind of no table, a broken body, a class of others: each with its reason, counted."""
    async with watching(write(tmp_path)) as scene:
        assert await scene.poster.post("gate", "/v1/cameras/gate/hikvision", password="hunter2") == 401
        assert await scene.poster.alert("unheardOf") == 200
        assert await scene.poster.post("gate", "/v1/cameras/gate/hikvision", content="<Event") == 400
        assert await scene.poster.trigger("CAM.FIRELANE") == 422
    assert [(seen.camera, seen.why) for seen in scene.seen] == [
        ("gate", Why.SIGN_IN),
        ("gate", Why.UNMAPPED),
        ("gate", Why.MALFORMED),
        ("box", Why.CONTENT),
    ]
    first, unmapped = scene.seen[:2]
    assert first.words.endswith(f"in the camera: user gate, password the first line of {tmp_path / 'gate.password'}")
    assert unmapped.words.endswith("; to raise it: map: {unheardOf: CAM.FIRELANE} (or CAM.BIN)")
    assert scene.watch.tallies["gate"].refused == {Why.SIGN_IN: 1, Why.UNMAPPED: 1, Why.MALFORMED: 1}
    assert not any(word in repr(scene.seen) for word in ("hunter2", "correct horse", "battery"))


async def test_posts_that_are_not_signed_in_are_shown_but_the_question_of_digest_is_not(tmp_path: Path) -> None:
    """A user that is no camera, a wrong path, and a camera without a password: once each, however often they come."""
    async with watching(write(tmp_path)) as scene:
        for _ in range(3):
            assert await scene.poster.post("admin", "/v1/trigger", password="12345") == 401
        assert await scene.poster.post("gate", "/alarm") == 404
        path = "/v1/cameras/gate/hikvision"
        assert await scene.poster.post("", path) == 401
        assert await scene.poster.alert("VMD") == 200  # signed in after having asked how
        assert scene.became()[-1] == ("VMD", IGNORED)
        for _ in range(2):  # asks how, then signs in: refused, and not as one without a user
            wrong = httpx.DigestAuth("gate", "wrong")
            assert (await scene.poster.http.post(path, auth=wrong)).status_code == 401
        assert scene.became()[-2:] == [("", REFUSED), ("", REFUSED)]
        for _ in range(4):
            assert await scene.poster.post("", path) == 401
    away = [seen for seen in scene.seen if seen.became is AWAY]
    assert [(seen.camera, seen.words.partition(": /")[0].partition(", /")[0]) for seen in away] == [
        ("box", "turned away (401): 127.0.0.1, user admin"),
        ("gate", "turned away (404): 127.0.0.1, user gate"),
        ("gate", "turned away (401): 127.0.0.1, without user and password"),
    ]
    assert scene.watch.away.total() == 7


async def test_cameras_that_are_not_chosen_are_told_to_come_again(tmp_path: Path) -> None:
    """Nobody loses an event or its end because another camera is being set up, and only the chosen one is shown."""
    async with watching(write(tmp_path), "gate") as scene:
        assert await scene.poster.trigger("CAM.GARBAGE") == 503
        for state in ("end", "heartbeat", "begin"):
            assert await scene.poster.trigger("CAM.GARBAGE", state=state) == 503
        assert await scene.poster.trigger("CAM.NONE") == 503
        assert await scene.poster.post("box", "/v1/trigger", password="wrong") == 401
        assert await scene.poster.alert("VMD") == 200
    assert [seen.camera for seen in scene.seen] == ["gate"]


async def test_nothing_is_kept(tmp_path: Path) -> None:
    """Neither outbox nor folder of data is made, and no port stays open."""
    async with watching(write(tmp_path)) as scene:
        assert await scene.poster.trigger("CAM.GARBAGE") == 202
    assert names_in(tmp_path) == ["box.password", "gate.password", "gateway.yaml"]


async def test_pictures_are_saved_as_they_would_leave(tmp_path: Path) -> None:
    """Masked, for their owner alone, under names of ours; what cannot be masked is not saved, and the note says so."""
    folder = tmp_path / "shown"
    async with watching(write(tmp_path), pictures=folder) as scene:
        assert await scene.poster.alert("fielddetection", picture=photo()) == 200
        assert await scene.poster.alert("tamperdetection", picture=photo()) == 200
        config = {**GATE, "map": {"fielddetection": "CAM.FIRELANE", "VMD": "CAM.BIN"}}
    first = scene.seen[0].picture
    assert first is not None
    [saved] = folder.iterdir()
    assert (first.size, first.regions, first.saved) == (saved.stat().st_size, 1, f"saved as {saved.name}")
    assert (saved.stat().st_mode & 0o777, folder.stat().st_mode & 0o777) == (0o600, 0o700)
    with Image.open(saved) as shown:
        assert shown.getpixel((5, 20)) == (0, 0, 0)
        assert min(shown.getpixel((60, 20))) > 250  # type: ignore[arg-type]  # three colours
    async with watching(write(tmp_path, config), pictures=folder) as scene:
        assert await scene.poster.alert("VMD", picture=JPEG) == 200
    [seen] = scene.seen
    assert (seen.became, seen.picture) == (RAISED, None)
    assert "could not be masked: left out" in seen.note
    assert len(list(folder.iterdir())) == 1


def test_a_folder_for_pictures_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    """A file in the place of the folder is a mistake of whoever types, named with its option."""
    (tmp_path / "shown").touch()
    with pytest.raises(PicturesError, match=r"^--pictures .*shown: File exists$"):
        Scene(write(tmp_path), pictures=tmp_path / "shown")


async def test_a_picture_that_is_none_is_not_said_to_have_come(tmp_path: Path) -> None:
    """The event has no picture then, neither in words nor in the count."""
    async with watching(write(tmp_path)) as scene:
        assert await scene.poster.alert("fielddetection") == 200
        assert await scene.poster.alert("fielddetection", picture=JPEG) == 200  # cannot be masked
    assert scene.became() == [("fielddetection", RAISED), ("fielddetection", JOINED)]
    assert "could not be masked: left out" in scene.seen[1].note
    assert ", 1 event, 0 pictures" in next(iter(summary(scene.watch)))


async def test_a_clock_that_cannot_be_read_is_said_at_the_end(tmp_path: Path) -> None:
    """So is one that is right; only how far one is off that is not takes a number."""
    said = "<dateTime>{}</dateTime><eventDescription>videoloss alarm</eventDescription>"
    alert = ALERT.format(kind="videoloss", state="inactive").replace("</eventType>", f"</eventType>{said}")
    async with watching(write(tmp_path, GATE)) as scene:
        path = "/v1/cameras/gate/hikvision"
        assert await scene.poster.post("gate", path, content=alert.format("0000-00-00T00:00:00")) == 200
        assert next(iter(summary(scene.watch))).endswith('time "0000-00-00T00:00:00" cannot be read: set it')
        assert await scene.poster.post("gate", path, content=alert.format(datetime.now(UTC).isoformat())) == 200
    assert next(iter(summary(scene.watch))).endswith(", its clock is right")
    assert [(seen.became, seen.note) for seen in scene.seen] == [(Became.HEARTBEAT, "")]  # though it says alarm


def test_what_a_refusal_says_itself_is_not_said_twice() -> None:
    """One piece of advice is enough."""
    box = camera()
    long_ago = Refused(Why.REPLAYED, "signed long ago", advice="set the clock of sender or gateway")
    assert (str(long_ago), what_to_do(box, long_ago, "")) == ("signed long ago: set the clock of sender or gateway", "")
    assert "signed anew" in what_to_do(box, Refused(Why.REPLAYED, "this very post was taken before"), "")


def test_a_storm_of_strange_kinds_is_bounded() -> None:
    """More kinds than can be told apart are counted together."""
    tally = Tally()
    for number in range(MOST_KINDS + 50):
        tally.note(f"kind {number}", Outcome(IGNORED, "ignored"))
    assert len(tally.kinds) == MOST_KINDS + 1
    assert tally.kinds["others", ""] == 50


async def test_a_camera_that_is_asked_is_shown(tmp_path: Path) -> None:
    """That it is there, what it sees, and that it is lost with the reason; beside a gateway that has the port."""
    async with HikvisionCamera() as asked:
        asked.heartbeat_s = 0.1
        pull = {"url": asked.url, "username": "anlan", "password_file": secret(tmp_path, "login", asked.password)}
        config = write(tmp_path, {**GATE, "pull": pull}, BOX)
        async with watching(config, "box"), watching(config, "gate") as scene:
            await scene.until(lambda seen: seen.became is Became.HEARD)
            asked.see("fielddetection", picture=photo())
            raised = await scene.until(lambda seen: seen.became is RAISED)
            assert (raised.camera, raised.class_code) == ("gate", "CAM.FIRELANE")
            assert raised.picture is not None
            assert scene.watch.tallies["gate"].offset_ms is not None
    secret(tmp_path, "login", "wrong")
    async with HikvisionCamera(port=asked.port) as asked, watching(config, "gate") as scene:
        lost = await scene.until(lambda seen: seen.became is Became.LOST)
        assert "status 401: user, password" in lost.words
        assert asked.password not in lost.words


async def test_a_camera_that_is_asked_to_post_is_shown(tmp_path: Path) -> None:
    """It is subscribed at by the watch and posts to it; the address that it was told stands nowhere."""
    topic = "RuleEngine/CellMotionDetector/Motion"
    async with OnvifCamera() as asked:
        push = {"url": asked.url, "username": "anlan", "password_file": secret(tmp_path, "login", asked.password)}
        yard = {"id": "yard", "brand": "onvif", "push": push, "classes": ["CAM.BIN"], "map": {topic: "CAM.BIN"}}
        async with watching(write(tmp_path, yard)) as scene:
            await scene.until(lambda seen: seen.became is Became.HEARD)
            async with asyncio.timeout(20):
                while not any(each.is_synchronized for each in asked.subscriptions.values()):  # noqa: ASYNC110
                    await asyncio.sleep(0.01)  # the simulated camera tells nobody
            asked.see(topic, "IsMotion")
            await scene.until(lambda seen: seen.became is RAISED)
            assert await scene.poster.post("", "/v1/cameras/yard/onvif/0123456789abcdef") == 401
            assert await scene.poster.post("", "/v1/cameras/other/onvif/0123456789abcdef") == 404
    assert scene.became()[:3] == [("", Became.HEARD), ("CurrentTime", Became.HEARTBEAT), (topic, RAISED)]
    assert failures(scene.watch) == ""
    old = next(seen for seen in scene.seen if seen.why is Why.SIGN_IN)
    assert old.words.endswith("it posts to an address that it was told before: that subscription ends by itself")
    assert "0123456789abcdef" not in repr(scene.seen)


@pytest.mark.parametrize("is_right", [True, False], ids=["nobody there", "wrong password"])
async def test_a_camera_that_is_asked_to_post_and_does_not_is_said(tmp_path: Path, *, is_right: bool) -> None:
    """What it answers is no post: where it should post to is said, at once and at the end, and what to check."""
    async with OnvifCamera() as asked:
        login = secret(tmp_path, "login", asked.password if is_right else "wrong")
        nowhere = f"http://127.0.0.1:{free_ports(1)[0]}"
        push = {"url": asked.url, "username": "anlan", "password_file": login, "gateway_url": nowhere, "timeout_s": 5}
        yard = {"id": "yard", "brand": "onvif", "push": push, "classes": ["CAM.BIN"]}
        async with watching(write(tmp_path, yard)) as scene:
            said = await scene.until(lambda seen: seen.became in (Became.SILENT, Became.LOST))
    first, *lines = summary(scene.watch)
    assert first == "yard: only answers came, no post"
    assert failures(scene.watch) == "only answers came, no post from yard"
    assert scene.seen[0].words == "it answers"
    if is_right:
        assert f"posts nothing to {nowhere}/v1/cameras/yard/onvif/: check that {nowhere}/healthz answers" in said.words
        assert lines[-1] == f"  {said.words}"
    else:
        assert "NotAuthorized" in said.words
        assert lines[0] == f"  {said.words}"


async def test_what_is_refused_is_no_sign_that_a_camera_is_right(tmp_path: Path) -> None:
    """A stranger that names it, or a camera of which nothing can be taken, does not pass for one that works."""
    async with watching(write(tmp_path)) as scene:
        assert await scene.poster.post("", "/v1/cameras/gate/hikvision", auth=("admin", "x")) == 401
        assert await scene.poster.trigger("CAM.FIRELANE") == 422
        assert failures(scene.watch) == "only what is refused came from gate, box"
        assert await scene.poster.trigger("CAM.BIN") == 202
    assert failures(scene.watch) == "only what is refused came from gate"
    assert next(iter(summary(scene.watch))).startswith("gate: only what is refused came, ")


async def test_frigate_is_shown_over_its_broker(tmp_path: Path, mosquitto: Mosquitto) -> None:
    """Objects and reviews with what becomes of them, refusals, and the names of cameras that nobody here is."""
    topic = f"frigate-{secrets.token_hex(4)}"
    lane = {
        "id": "lane",
        "brand": "frigate",
        "classes": ["CAM.FIRELANE", "CAM.BURN"],
        "map": {"car@fire_lane": "CAM.FIRELANE"},
    }
    said = {"broker": {"host": "127.0.0.1", "port": mosquitto.port}, "topic": topic}
    config = write(tmp_path, lane, frigate=said)
    broker = BrokerConfig(host="127.0.0.1", port=mosquitto.port)
    async with connect(broker, client_id=f"{topic}-itself") as frigate, watching(config, "lane") as scene:
        await frigate.publish(f"{topic}/available", b"online", retain=True)
        await scene.until(lambda seen: seen.became is Became.HEARD)
        for payload in (tracked(), tracked("update"), tracked(camera="yard"), b'{"camera": "lane", "type": 7}'):
            await frigate.publish(f"{topic}/events", payload)
        await frigate.publish(f"{topic}/reviews", b"garbage")
        await frigate.publish(f"{topic}/lane/car/snapshot", JPEG)
        await frigate.publish(f"{topic}/reviews", review())
        await scene.until(lambda seen: seen.kind == "alert@yard")
        await frigate.publish(f"{topic}/available", b"", retain=True)
    assert [each for each in scene.became() if each[1] not in (IGNORED, Became.HEARD)] == [
        ("car@fire_lane", RAISED),
        ("car@fire_lane", JOINED),
        ("", AWAY),
        ("", REFUSED),
        ("", AWAY),
        ("car@fire_lane", PICTURED),
    ]
    assert any(seen.words.startswith(f"turned away: frigate, {topic}/reviews: ") for seen in scene.seen)
    tally = scene.watch.tallies["lane"]
    assert (tally.kinds["car", "ignored"], tally.pictures) == (2, 1)  # a picture is not one more car
    words = {seen.kind: seen.words for seen in scene.seen}
    assert words["car"].endswith(
        "a label alone raises nothing, a zone says where it matters: map: {car@ZONE: CAM.FIRELANE} (or CAM.BURN)"
    )
    assert words["alert@yard"] == (
        "ignored: there is no line for this place; to raise it: map: {alert@yard: CAM.FIRELANE} (or CAM.BURN)"
    )
    assert scene.watch.others == {"yard"}
    assert not any(word in repr(scene.seen) for word in ("Li Lei", "12345"))


async def test_the_watch_does_not_end_the_connection_of_the_agent(tmp_path: Path, mosquitto: Mosquitto) -> None:
    """Two connections under one name would throw each other out: the watch has a name of its own."""
    lane = {"id": "lane", "brand": "frigate", "classes": ["CAM.BURN"], "map": {"alert": "CAM.BURN"}}
    topic = f"frigate-{secrets.token_hex(4)}"
    said = {"broker": {"host": "127.0.0.1", "port": mosquitto.port}, "topic": topic}
    config = write(tmp_path, lane, frigate=said)
    broker = BrokerConfig(host="127.0.0.1", port=mosquitto.port)
    async with connect(broker, client_id="anlan-gw-1-frigate") as agent, watching(config) as scene:
        await agent.publish(f"{topic}/available", b"online", retain=True)
        await scene.until(lambda seen: seen.became is Became.HEARD)
        await agent.publish(f"{topic}/available", b"", retain=True)
        await asyncio.sleep(0)
    assert [seen.became for seen in scene.seen] == [Became.HEARD]


def test_a_line_for_map_can_be_pasted() -> None:
    """Numbers and words with signs are quoted, as YAML wants its keys."""
    box = camera(classes=("CAM.BIN",))
    assert map_line(box, "RuleEngine/FieldDetector/ObjectsInside") == (
        "map: {RuleEngine/FieldDetector/ObjectsInside: CAM.BIN}"
    )
    assert map_line(box, "882") == 'map: {"882": CAM.BIN}'
    assert map_line(box, 'a": {') == r'map: {"a\": {": CAM.BIN}'
