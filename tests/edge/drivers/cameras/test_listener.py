"""The camera listener over real HTTP: what it takes, what it refuses and how it says so, what it bears."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import logging
import socket
import tracemalloc
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import httpx
import pytest

from edge.contract.messages import EventState
from edge.contract.readings import EARLIEST
from edge.drivers import ConfigurationError
from edge.drivers.cameras import Refused
from edge.drivers.cameras.anlan import read_anlan
from edge.drivers.cameras.app import MOST_AT_ONCE, Patience
from tests.edge.drivers.cameras.stand import (
    EVENT,
    EVENT_MS,
    JPEG,
    RIGHT,
    START,
    Site,
    begin_post,
    camera,
    health,
    listening,
    multipart,
    refusals,
)

QUICK = Patience(headers_s=0.5, body_s=0.5, linger_s=0.2)
PATIENT = Patience(headers_s=120, body_s=120, linger_s=120)


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    async with listening(tmp_path) as made:
        yield made


def error(response: httpx.Response) -> str:
    assert response.headers["connection"] == "close"
    return str(response.json()["error"])


# --- what is taken ---------------------------------------------------------------------------------------------------


async def test_a_multipart_post_becomes_a_trigger(site: Site) -> None:
    """Event and picture arrive as the camera sent them, and the answer names the event."""
    event = b'{"class": "CAM.GARBAGE", "time": "2026-11-22T08:14:30.250+08:00", "note": "north gate"}'
    response = await site.post(files={"event": (None, event), "picture": ("a.jpg", JPEG, "image/jpeg")})
    (kept,) = site.kept
    assert (response.status_code, response.json()) == (202, {"event": kept.id})
    assert (kept.device, kept.class_code, kept.began_at, kept.note) == ("cam-1", "CAM.GARBAGE", EVENT_MS, "north gate")
    assert site.outbox.pictures == [JPEG]
    assert len(kept.blobs) == 1
    assert len(bytes.fromhex(kept.id)) == 16


async def test_a_json_post_becomes_the_same_trigger(site: Site) -> None:
    """The two forms are two spellings of one post, even for the event's id."""
    first = await site.post_event()
    second = await site.post(files={"event": (None, httpx.Request("POST", "/", json=EVENT).read()), "picture": JPEG})
    assert (first.status_code, second.status_code) == (202, 202)
    assert first.json() == second.json()
    assert site.outbox.pictures == [JPEG]


async def test_a_picture_is_not_needed(site: Site) -> None:
    """A camera may tell without showing."""
    assert (await site.post_event(picture=None)).status_code == 202
    assert site.outbox.pictures[0] is None


@pytest.mark.parametrize("header", ["multipart/form-data; boundary=other", "multipart/form-data"])
async def test_the_first_line_is_believed_over_the_header(site: Site, header: str) -> None:
    """A boundary that is wrong or absent in the Content-Type, as real cameras send it, does no harm."""
    body = multipart(("event", b'{"class": "CAM.BIN"}'), ("picture", JPEG))
    response = await site.post(content=body, headers={"content-type": header})
    assert response.status_code == 202
    assert site.outbox.pictures[0] == JPEG


async def test_a_post_without_time_is_stamped_and_says_so(site: Site) -> None:
    """The time of arrival stands in, and the note tells that it does."""
    assert (await site.post_event({"time": None})).status_code == 202
    assert site.kept[0].began_at == START
    assert site.kept[0].note == "north gate; camera sent no time: stamped on arrival"


@pytest.mark.parametrize("word", ["videoloss", "CAM.GARBAGE"])
async def test_heartbeats_and_ends_are_no_events(site: Site, word: str) -> None:
    """`videoloss inactive` and the end of something are accepted, and nothing is handed on."""
    response = await site.post_event({"state": "inactive", "class": word})
    assert (response.status_code, response.content, site.kept) == (204, b"", [])


async def test_concurrent_posts_are_all_kept(site: Site) -> None:
    """Forty posts at once from two cameras, each of an id, give forty events, each with its own picture."""
    auths = [RIGHT, ("cam-2", "battery staple")]
    events = [f'{{"class": "CAM.BIN", "id": "{n}"}}'.encode() for n in range(40)]
    responses = await asyncio.gather(
        *(
            site.post(auth=auths[n % 2], files={"event": (None, events[n]), "picture": JPEG + bytes([n])})
            for n in range(40)
        )
    )
    assert [response.status_code for response in responses] == [202] * 40
    assert len({kept.id for kept in site.kept}) == 40
    assert set(site.outbox.pictures) == {JPEG + bytes([n]) for n in range(40)}


async def test_healthz_answers_without_a_password(site: Site) -> None:
    """Whether the listener runs is no secret."""
    assert (await site.http.get("/healthz")).json() == {"status": "ok"}


# --- posts that come again -------------------------------------------------------------------------------------------


async def test_the_same_post_within_a_minute_is_one_event(site: Site) -> None:
    """A camera that has not seen the answer posts again, also at once, and is told the same event."""
    responses = await asyncio.gather(*(site.post_event({"time": None}) for _ in range(5)))
    assert len({response.json()["event"] for response in responses}) == 1
    site.clock.go_on(59_000)
    assert (await site.post_event({"time": None})).json() == responses[0].json()
    assert len(site.kept) == 1


async def test_one_pile_of_rubbish_is_one_event(site: Site) -> None:
    """A sender that tells a sight again with another note or picture tells no other one; an id or a channel does."""
    one: dict[str, object] = {"time": None, "note": "a"}
    ids = [
        (await site.post_event(said, picture=picture)).json()["event"]
        for said, picture in (
            (one, JPEG),
            ({**one, "note": "b"}, None),
            ({**one, "id": "7"}, JPEG),
            ({**one, "channel": "2"}, JPEG),
        )
    ]
    assert ids[0] == ids[1]
    assert len(set(ids)) == len(site.kept) == 3


async def test_an_end_that_is_due_is_one_before_what_comes_next(tmp_path: Path) -> None:
    """A same_within_s that is shorter than the pauses between two looks is kept all the same."""
    async with listening(tmp_path, [camera(same_within_s=3)]) as site:
        for state, seconds in (("begin", 0), ("end", 0), ("begin", 3)):
            site.clock.go_on(seconds * 1000)
            await site.post(json={"class": "CAM.BIN", "state": state})
    assert [kept.state for kept in site.kept] == [EventState.CONFIRMED, EventState.ENDED, EventState.CONFIRMED]


async def test_the_same_sight_later_is_another_event(site: Site) -> None:
    """A minute later the same content without a time of its own is something new."""
    await site.post_event({"time": None})
    site.clock.go_on(60_000)
    await site.post_event({"time": None})
    assert len({kept.id for kept in site.kept}) == 2


async def test_a_clock_that_is_set_makes_no_other_event_of_the_same_sight(site: Site) -> None:
    """The minute is one that has passed, whatever the gateway's clock is set to."""
    for now in (START + 3_600_000, START, START + 60_000):
        site.clock.now = now
        await site.post_event({"time": None})
    assert len(site.kept) == 1
    site.clock.go_on(60_000)
    await site.post_event({"time": None})
    assert len(site.kept) == 2


async def test_a_post_with_its_own_time_has_the_same_id_for_ever(site: Site) -> None:
    """What is handed on again after the minute, as after a restart, carries the same id, so that the cloud knows it."""
    await site.post_event()
    site.clock.go_on(3_600_000)
    await site.post_event()
    assert [kept.id for kept in site.kept] == [site.kept[0].id] * 2


async def test_an_idempotency_key_says_that_posts_are_the_same(site: Site) -> None:
    """The camera's own key counts more than the content, and each camera has keys of its own."""
    key = {"idempotency-key": "7"}
    one = await site.post(json={**EVENT, "note": "a"}, headers=key)
    same = await site.post(json={**EVENT, "note": "b"}, headers=key)
    other = await site.post(json={**EVENT, "note": "a"}, headers=key, auth=("cam-2", "battery staple"))
    assert one.json() == same.json() != other.json()
    assert len(site.kept) == 2


async def test_what_could_not_be_kept_is_to_be_sent_again(site: Site) -> None:
    """A failed commit is 503 with Retry-After, and the next try is not mistaken for a duplicate."""
    site.outbox.is_full = True
    response = await site.post_event()
    assert (response.status_code, response.headers["retry-after"]) == (503, "10")
    assert error(response) == "not kept: outbox: disk full"
    site.outbox.is_full = False
    assert (await site.post_event()).status_code == 202
    assert len(site.kept) == 1


async def test_before_the_time_is_known_posts_are_kept(site: Site) -> None:
    """One without a time is stamped here, to be dated later; a camera that knows the time is believed."""
    site.clock.now = EARLIEST + 5_000
    assert (await site.post_event({"time": None})).status_code == 202
    assert (await site.post_event({"id": "7"})).status_code == 202
    assert [kept.began_at for kept in site.kept] == [EARLIEST + 5_000, EVENT_MS]


# --- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "status", "said"),
    [
        ({"class": "CAM.GARBGE"}, 422, 'class "CAM.GARBGE" is not one of camera cam-1 (did you mean "CAM.GARBAGE"?)'),
        (
            {"class": "CAM.FIRELANE"},
            422,
            'camera cam-1 may not raise "CAM.FIRELANE": add it to classes in gateway.yaml',
        ),
        ({"class": "X"}, 422, 'class "X" is not one of camera cam-1 (it may send CAM.GARBAGE, CAM.BIN)'),
        ({"class": None}, 422, "event: Object missing required field `class`"),
        ({"tiem": "now"}, 422, "event: Object contains unknown field `tiem`"),
        ({"state": "on"}, 422, "event: Invalid enum value 'on' - at `$.state`"),
        ({"picture": base64.b64encode(b"GIF89a").decode()}, 422, "picture is not a JPEG"),
        ({"picture": "!"}, 422, "Invalid base64 encoded string"),
    ],
)
async def test_an_event_that_cannot_be_right_is_explained(
    site: Site, changes: dict[str, object], status: int, said: str
) -> None:
    """The answer says what is wrong in a sentence, and nothing is handed on."""
    response = await site.post_event(changes)
    assert response.status_code == status
    assert said in error(response)
    assert site.kept == []


@pytest.mark.parametrize(
    ("content_type", "body", "status", "said"),
    [
        ("application/json", b"{", 400, "event: Input data was truncated"),
        ("application/json", b"\xff\xfe", 400, "event: "),
        ("application/json", b'{"class": ' + b"[" * 50_000, 422, "event: "),
        ("text/plain", b"hello", 400, 'Content-Type "text/plain" is neither'),
        ("multipart/form-data", b"hello", 400, "neither the Content-Type header nor the first line names a boundary"),
        ("multipart/form-data", multipart(("picture", JPEG)), 422, 'part "event" is missing'),
        ("multipart/form-data", multipart(("image", JPEG)), 422, 'part "image" is neither "event" nor "picture"'),
        ("multipart/form-data", multipart(*[("event", b"{}")] * 2), 422, 'part "event" is there twice'),
        ("multipart/form-data", multipart(("event", b" " * 70_000)), 413, "event has more than 65536 bytes"),
        ("multipart/form-data", multipart(("event", b"{}"))[:-8], 400, "ends before its closing boundary"),
        ("multipart/form-data", b"--x\r\nA: b\r\nno colon\r\n\r\n", 400, "multipart: "),
    ],
)
async def test_a_body_that_cannot_be_read_is_explained(
    site: Site, content_type: str, body: bytes, status: int, said: str
) -> None:
    """Whatever the bytes, the answer is one sentence with a status that fits."""
    response = await site.post(content=body, headers={"content-type": content_type})
    assert response.status_code == status
    assert said in error(response)
    assert site.kept == []


def test_the_parser_is_quiet_about_a_post_that_cannot_be_read(caplog: pytest.LogCaptureFixture) -> None:
    """It is refused, and told once: the library below warns of nothing."""
    caplog.set_level(logging.WARNING)
    with pytest.raises(Refused, match="multipart: "):
        read_anlan("multipart/form-data", b"--x\r\nA: b\r\nno colon\r\n\r\n", zone=None)
    assert caplog.records == []


async def test_other_paths_and_methods_are_refused(site: Site) -> None:
    """Nothing but the two addresses exists."""
    assert error(await site.http.get("/v1/trigger")) == "GET is not possible here: use POST"
    assert error(await site.http.post("/")) == "no such path '/': post to /v1/trigger or /v1/cameras/ID/BRAND"


@pytest.mark.parametrize("auth", [("cam-1", "wrong"), ("cam-3", "correct horse"), ("", "")])
async def test_only_cameras_of_this_gateway_may_post(site: Site, auth: tuple[str, str]) -> None:
    """A wrong password and an unknown camera are told apart by nobody."""
    response = await site.post(auth=auth, json=EVENT)
    assert (response.status_code, response.headers["www-authenticate"][:5]) == (401, "Basic")
    assert error(response) == "no camera of this gateway, or not its password"


@pytest.mark.parametrize("header", ["Basic", "Basic !!!", "Bearer abc", "Basic /w==", "basic Og=="])
async def test_headers_that_are_no_basic_sign_in_are_refused(site: Site, header: str) -> None:
    """Malformed sign-in is 401 like a wrong one."""
    response = await site.http.post("/v1/trigger", json=EVENT, headers={"authorization": header})
    assert response.status_code == 401


async def test_guessing_passwords_is_slowed_down(site: Site) -> None:
    """After five wrong passwords an address waits, whatever it sends then."""
    statuses = [(await site.post(auth=("cam-1", f"guess {n}"), json=EVENT)).status_code for n in range(5)]
    response = await site.post(json=EVENT)
    assert statuses == [401] * 5
    assert (response.status_code, response.headers["retry-after"]) == (429, "60")


@pytest.mark.parametrize(
    ("time", "remark"),
    [
        ("2026-11-22T08:15:00", 'camera\'s time "2026-11-22T08:15:00" cannot be read: stamped on arrival'),
        ("0000-00-00T00:00:00+08:00", 'camera\'s time "0000-00-00T00:00:00+08:00" cannot be read: stamped on arrival'),
        ("soon", 'camera\'s time "soon" cannot be read: stamped on arrival'),
        ("1970-01-01T08:00:00+08:00", 'camera\'s time "1970-01-01T08:00:00+08:00" cannot be read: stamped on arrival'),
        ("2026-11-22T10:25:00+08:00", "camera's clock is 2 h ahead: stamped on arrival"),
    ],
)
async def test_a_time_that_cannot_be_right_does_not_cost_the_event(site: Site, time: str, remark: str) -> None:
    """Without a zone, of no date, long past or far ahead: stamped on arrival, said in the note, counted."""
    assert (await site.post_event({"time": time, "note": None})).status_code == 202
    assert (site.kept[0].began_at, site.kept[0].note) == (START, remark)
    answers = health(site.intakes["cam-1"])
    assert (answers["times_refused"], answers["clock_wrong"]) == (1, 1)


async def test_refusals_are_counted_for_the_camera_by_reason(site: Site) -> None:
    """What was wrong with a camera's posts is in its health, not in that of another."""
    await site.post(json={"class": "X"})
    await site.post(content=b"{", headers={"content-type": "application/json"})
    await site.post(auth=("cam-1", "wrong"), json=EVENT)
    assert refusals(site.intakes["cam-1"]) == {"content": 1, "malformed": 1, "sign_in": 1}
    assert refusals(site.intakes["cam-2"]) == {}


async def test_a_camera_may_sign_in_by_digest(site: Site) -> None:
    """Cameras that cannot do Basic answer a challenge; that they had to ask for it is no refusal."""
    assert (await site.post(auth=httpx.DigestAuth(*RIGHT), json=EVENT)).status_code == 202
    assert refusals(site.intakes["cam-1"]) == {}
    assert (await site.post(auth=httpx.DigestAuth("cam-1", "wrong"), json=EVENT)).status_code == 401
    assert refusals(site.intakes["cam-1"]) == {"sign_in": 1}


async def test_a_camera_posts_where_its_brand_does(site: Site) -> None:
    """The path names camera and brand; whoever posts elsewhere is told its own, and keys stand in no answer."""
    assert (await site.post("/v1/cameras/cam-1/anlan", json=EVENT)).status_code == 202
    assert (await site.post("/v1/cameras/cam-2/anlan", json=EVENT)).status_code == 401
    response = await site.post("/v1/cameras/cam-1/onvif/0123456789", json=EVENT)
    assert (response.status_code, error(response)[:26]) == (404, "no such path: only where g")
    response = await site.post("/v1/cameras/cam-1/onvif/0123456789/more", json=EVENT)
    assert (response.status_code, error(response)[:46]) == (404, "no such path '/v1/cameras/cam-1/onvif/...': po")
    response = await site.post("/v1/cameras/cam-9/webhook", json=EVENT)
    assert (response.status_code, error(response)) == (
        422,
        "cam-1 is of brand anlan: it posts to /v1/trigger",
    )


@pytest.mark.parametrize("path", ["/v1/cameras/../../etc/anlan", "/v1/cameras/cam-1/anlan/x", "/v1/cameras//anlan"])
async def test_path_names_are_only_compared(site: Site, path: str) -> None:
    """Whatever a path says, it names a camera of this gateway or nothing."""
    assert (await site.post(path, json=EVENT)).status_code in (401, 404, 422)
    assert site.kept == []


# --- what it can be made to bear -------------------------------------------------------------------------------------


async def fifty_mb(first: bytes = b"") -> AsyncIterator[bytes]:
    yield first
    for _ in range(50 * 16):
        yield bytes(65_536)


async def peak_of(request: Callable[[], object]) -> int:
    """Bytes of memory at most in use during a request, beyond those before it."""
    tracemalloc.start()
    try:
        await request()  # type: ignore[misc]  # a coroutine function
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("says_its_length", [True, False])
async def test_a_post_of_50_mb_is_refused_in_little_memory(tmp_path: Path, *, says_its_length: bool) -> None:
    """With a length it is refused before it is read, without one as soon as it is too large; memory stays bounded."""
    responses = []

    async def send() -> None:
        first = b'--b\r\nContent-Disposition: form-data; name="picture"\r\n\r\n'
        headers = {"content-type": "multipart/form-data"}
        if says_its_length:
            headers["content-length"] = str(len(first) + 50 * 16 * 65_536)
        responses.append(await patient.post(content=fifty_mb(first), headers=headers))

    # httpx reads no answer before it has sent all: it is heard until then, however slow the machine is.
    async with listening(tmp_path, patience=PATIENT) as patient:
        peak = await peak_of(send)
    assert responses[0].status_code == 413
    said = "a picture may have 1 MiB (camera_listener.max_mb): set a lower quality or resolution"
    assert error(responses[0]) == f"{said} in the camera"
    assert peak < 8 * 1024 * 1024


async def test_an_announced_50_mb_are_refused_before_they_are_sent(site: Site) -> None:
    """The answer comes on the headers alone."""
    reader, writer = await begin_post(site, length=52_428_800)
    assert (await reader.readline()).startswith(b"HTTP/1.1 413")
    writer.close()


async def test_a_picture_over_the_limit_is_refused_in_either_form(tmp_path: Path) -> None:
    """The limit is on the picture, however it is wrapped; one just below it is taken."""
    fits, too_large = JPEG[:10_485], JPEG * 2
    async with listening(tmp_path, max_mb=0.01) as site:
        for picture, status in ((fits, 202), (too_large, 413)):
            assert (await site.post_event(picture=picture)).status_code == status
            files = {"event": (None, b'{"class": "CAM.BIN"}'), "picture": picture}
            assert (await site.post(files=files)).status_code == status


@pytest.mark.parametrize("sent", [b"", b"POST /v1/trigger HTTP/1.1\r\nHost: x\r\nX-Slow: "])
async def test_headers_that_never_end_are_cut_off(tmp_path: Path, sent: bytes) -> None:
    """A connection that does not get to the end of its headers is closed after a bounded time."""
    async with listening(tmp_path, patience=QUICK) as site:
        reader, writer = await asyncio.open_connection("127.0.0.1", site.config.port)
        writer.write(sent)
        async with asyncio.timeout(5):
            with contextlib.suppress(ConnectionResetError):
                assert await reader.read() == b""
        writer.close()


async def test_a_body_that_never_ends_is_cut_off(tmp_path: Path) -> None:
    """A body of which only a beginning comes is answered 408 after a bounded time."""
    async with listening(tmp_path, patience=QUICK) as site:
        reader, writer = await begin_post(site, length=100, body=b'{"class": ')
        assert (await reader.readline()).startswith(b"HTTP/1.1 408")
        assert b"the body did not come within 0.5 s" in await reader.read()
        writer.close()


async def test_slow_posts_do_not_keep_others_out(tmp_path: Path) -> None:
    """With every place taken by a stalled post, another waits its turn and is then taken."""
    async with listening(tmp_path, patience=QUICK) as site:
        stalled = [await begin_post(site, length=100) for _ in range(MOST_AT_ONCE)]
        assert (await site.post_event()).status_code == 202
        for reader, writer in stalled:
            assert (await reader.readline()).startswith(b"HTTP/1.1 408")
            writer.close()


# --- start and stop --------------------------------------------------------------------------------------------------


async def test_a_port_in_use_is_named_with_its_key(tmp_path: Path) -> None:
    """Whoever set up the gateway reads which key of gateway.yaml to change."""
    site = Site(tmp_path, max_mb=1, patience=Patience())
    with socket.create_server(("127.0.0.1", site.config.port)), pytest.raises(ConfigurationError) as raised:
        async with site.listener:
            pass
    assert str(raised.value) == (
        f"camera_listener: cannot listen on 127.0.0.1:{site.config.port}: "
        "another program listens there: stop it, or choose another port"
    )
    await site.http.aclose()


@pytest.mark.parametrize("content", [None, "\n"])
async def test_a_password_that_cannot_be_read_is_named(tmp_path: Path, content: str | None) -> None:
    """A file that is gone or empty since the configuration was checked is said with camera and path."""
    site = Site(tmp_path, max_mb=1, patience=Patience())
    secret = tmp_path / "cam-2.password"
    secret.unlink() if content is None else secret.write_text(content)
    with pytest.raises(ConfigurationError, match=f"camera cam-2: password_file {secret}: "):
        async with site.listener:
            pass
    await site.http.aclose()
