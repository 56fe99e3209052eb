"""Signed posts over real HTTP: only the secret's owner, only now, only once."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import httpx
import pytest

from edge.contract.messages import EventState
from edge.contract.readings import EARLIEST
from edge.drivers.cameras.webhook import sign
from tests.edge.drivers.cameras.stand import START, Site, camera, health, listening, refusals

SECRET = b"correct horse"
NOW = START // 1000


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    async with listening(tmp_path, [camera("box", brand="webhook", map={"litter": "CAM.GARBAGE"})]) as made:
        yield made


async def post(
    site: Site, event: object, headers: Mapping[str, str] | None = None, *, at_s: int = NOW, secret: bytes = SECRET
) -> httpx.Response:
    """Post as a program does that has the secret."""
    body = json.dumps(event).encode()
    signed = {"x-anlan-timestamp": str(at_s), "x-anlan-signature": sign(secret, str(at_s), body)}
    signed = {"content-type": "application/json", **signed, **(headers or {})}
    return await site.http.post("/v1/cameras/box/webhook", content=body, headers=signed)


async def test_a_signed_post_becomes_an_event_from_begin_to_end(site: Site) -> None:
    """Our classes and the site's own words are taken; begin and end of one id are one event."""
    begun = await post(site, {"class": "litter", "state": "begin", "id": "7"})
    ended = await post(site, {"class": "litter", "state": "end", "id": "7"})
    assert (begun.status_code, ended.status_code) == (202, 202)
    assert [event.state for event in site.kept] == [EventState.CONFIRMED, EventState.ENDED]
    assert {event.class_code for event in site.kept} == {"CAM.GARBAGE"}
    assert (await post(site, {"class": "CAM.BIN"})).status_code == 202


async def test_the_same_post_is_taken_once(site: Site) -> None:
    """A recorded post, sent again within its five minutes, is refused and counted; it is no second event."""
    assert (await post(site, {"class": "CAM.BIN", "note": "a"})).status_code == 202
    site.clock.go_on(120_000)
    assert (await post(site, {"class": "CAM.BIN", "note": "a"})).status_code == 409
    assert len(site.kept) == 1
    assert refusals(site.intakes["box"]) == {"replayed": 1}


async def test_a_post_that_was_not_kept_may_come_again(site: Site) -> None:
    """After a 503 the very same signature is taken."""
    site.outbox.is_full = True
    assert (await post(site, {"class": "CAM.BIN"})).status_code == 503
    site.outbox.is_full = False
    assert (await post(site, {"class": "CAM.BIN"})).status_code == 202


@pytest.mark.parametrize("by_s", [-301, 301, 10**9])
async def test_what_was_signed_at_another_time_is_refused(site: Site, by_s: int) -> None:
    """Five minutes either way is the window."""
    assert (await post(site, {"class": "CAM.BIN"}, at_s=NOW + by_s)).status_code == 409
    assert site.kept == []


@pytest.mark.parametrize(
    "headers",
    [
        {"x-anlan-signature": ""},
        {"x-anlan-signature": "sha256=00"},
        {"x-anlan-signature": "0" * 64},
        {"x-anlan-timestamp": ""},
        {"x-anlan-timestamp": "-1"},
        {"x-anlan-timestamp": "1e9"},
        {"x-anlan-timestamp": str(NOW + 1)},
    ],
)
async def test_a_signature_that_is_not_right_is_refused(site: Site, headers: dict[str, str]) -> None:
    """Absent, of another body or time, or of another form: 401, and counted."""
    assert (await post(site, {"class": "CAM.BIN"}, headers)).status_code == 401
    assert refusals(site.intakes["box"]) == {"sign_in": 1}


async def test_guessing_secrets_is_slowed_down(site: Site) -> None:
    """After five wrong signatures an address waits."""
    statuses = [(await post(site, {"class": "CAM.BIN"}, secret=b"guess")).status_code for _ in range(6)]
    assert statuses == [401] * 5 + [429]


async def test_a_password_is_no_signature(site: Site) -> None:
    """Whoever signs does not sign in: the secret itself is never sent."""
    for path, status in (("/v1/cameras/box/webhook", 401), ("/v1/trigger", 422)):
        response = await site.post(path, json={"class": "CAM.BIN"}, auth=("box", "correct horse"))
        assert response.status_code == status
    assert site.kept == []


async def test_without_the_time_no_signature_can_be_checked(site: Site) -> None:
    """Until the gateway knows the time, posts are told to come again."""
    site.clock.now = EARLIEST + 5_000
    response = await post(site, {"class": "CAM.BIN"})
    assert (response.status_code, response.headers["retry-after"]) == (503, "10")
    assert health(site.intakes["box"])["refused"] == 0
