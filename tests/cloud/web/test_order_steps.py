"""Every step of an order through its form, and as a phone's queue sends it."""

import re
from uuid import uuid4

import pytest
from sqlalchemy import select

from cloud.blobs import MAX_EVIDENCE
from cloud.registry.tables import people_grids
from cloud.workorders.tables import order_actions
from edge.contract.messages import EventState
from tests.cloud.api.callers import JPEG, record
from tests.cloud.web.conftest import Site
from tests.cloud.web.forms import (
    CODE,
    PATH,
    PHOTO,
    open_camera_order,
    queued,
    send,
    step,
    steps_of,
    stored,
    taken,
    walk,
)
from tests.cloud.workorders.samples import MINUTE, NOW, make_event


async def test_an_order_is_worked_to_its_end_through_forms(flooded: Site) -> None:
    """Acknowledge, arrive, photo and done, rework, done again, verified by another, closed with a standard."""
    await walk(flooded, ("li", "acknowledged"))
    answer = await step(flooded, "li", CODE, "on_site", latitude="30.1001", longitude="120.2002")
    assert answer.headers["location"] == f"{PATH}?done=on_site"
    assert "Done: on site." in await flooded.see("li", f"{PATH}?done=on_site")
    assert (await step(flooded, "li", CODE, "done", files=PHOTO, note="gully cleared")).status_code == 303
    assert (await step(flooded, "wang", CODE, "rework", reason="The problem is still there")).status_code == 303
    await walk(flooded, ("li", "on_site"), ("li", "done"), ("wang", "verified"))
    assert (await step(flooded, "chen", CODE, "closed", closing_standard="消除积水，恢复通行")).status_code == 303
    assert stored(flooded).state == "closed"
    text = await flooded.see("wang", PATH)
    for said in (
        "李强 acknowledged it",
        "李强 arrived on site",
        "at 30.10010, 120.20020",
        "李强 finished the work",
        "gully cleared",
        "王芳 sent it back for rework",
        "The problem is still there",
        "王芳 verified it",
        "陈静 closed the case",
        "消除积水，恢复通行",
    ):
        assert said in text, said
    [name] = set(re.findall(r'src="/api/v1/blobs/([0-9a-f]{64})"', text))
    picture = await flooded.visit("wang", f"/api/v1/blobs/{name}")
    assert picture.content == PHOTO["photo"][1]
    assert steps_of(text) == {}


async def test_a_worker_hands_it_back_and_it_is_dispatched_anew(flooded: Site) -> None:
    """With a line that was picked and words of one's own; the operator chooses who is sent."""
    answer = await step(flooded, "li", CODE, "returned", reason="Not in my grid", more="It is across the bridge.")
    assert answer.status_code == 303
    assert taken(flooded)[-1].reason == "Not in my grid; It is across the bridge."
    assert "Handed back: waits to be dispatched anew" in await flooded.see("li", PATH)
    assert (await step(flooded, "chen", CODE, "dispatched", assignee="wang")).status_code == 303
    assert stored(flooded).handler == "wang"
    assert (await step(flooded, "chen", CODE, "dispatched", assignee="li", reason="off duty")).status_code == 303
    assert "陈静 dispatched it to 李强 instead" in await flooded.see("chen", PATH)
    await walk(flooded, ("li", "acknowledged"))
    assert (await step(flooded, "chen", CODE, "dispatched", assignee="wang", more="off sick")).status_code == 303
    assert stored(flooded).handler == "wang"


async def test_an_operator_accepts_or_voids_what_a_camera_saw(site: Site) -> None:
    """Accepting dispatches by the rules; void needs a reason."""
    open_camera_order(site)
    assert (await step(site, "chen", CODE, "void")).status_code == 422
    await walk(site, ("chen", "accepted"))
    assert stored(site).state == "dispatched"
    assert (await step(site, "chen", CODE, "void", reason="The same as another order")).status_code == 303
    assert "陈静 declared it void" in await site.see("chen", PATH)


async def test_only_steps_that_can_be_taken_are_shown(flooded: Site) -> None:
    """For each person, at each state, exactly what the state machine allows."""

    async def shown() -> dict[str, set[str]]:
        people = ("li", "wang", "chen")
        return {login: set(steps_of(await flooded.see(login, PATH))) for login in people}

    assert await shown() == {"li": {"acknowledged", "returned"}, "wang": set(), "chen": {"dispatched", "void"}}
    await walk(flooded, ("li", "acknowledged"))
    assert await shown() == {"li": {"on_site", "returned"}, "wang": set(), "chen": {"dispatched"}}
    await walk(flooded, ("li", "on_site"))
    assert await shown() == {"li": {"done"}, "wang": set(), "chen": set()}
    await walk(flooded, ("li", "done"))
    assert await shown() == {"li": set(), "wang": {"verified", "rework"}, "chen": {"verified", "rework"}}
    await walk(flooded, ("wang", "verified"))
    assert await shown() == {"li": set(), "wang": set(), "chen": {"closed"}}


async def test_a_stale_step_shows_who_did_what_meanwhile(flooded: Site) -> None:
    """The page as it is now, with a notice; what was typed is not lost."""
    form = steps_of(await flooded.see("li", PATH))["returned"]
    assert (await step(flooded, "chen", CODE, "dispatched", assignee="wang", reason="busy")).status_code == 303
    answer = await send(flooded, "li", form, reason="Not in my grid", more="beyond the bridge")
    assert answer.status_code == 409
    assert "The order has moved on meanwhile." in answer.text
    assert "陈静 dispatched it to 王芳 instead" in answer.text.split("</ul>")[0]
    assert "You wrote: Not in my grid; beyond the bridge" in answer.text
    assert steps_of(answer.text) == {}
    assert stored(flooded).handler == "wang"


async def test_a_form_that_is_sent_twice_is_taken_once(flooded: Site) -> None:
    """An impatient finger, or a browser that sends again: one step, one picture."""
    await walk(flooded, ("li", "acknowledged"), ("li", "on_site"))
    form = steps_of(await flooded.see("li", PATH))["done"]
    answers = [await send(flooded, "li", form, files=PHOTO, note="once") for _ in range(2)]
    assert [answer.status_code for answer in answers] == [303, 303]
    assert [one.target for one in taken(flooded)].count("done") == 1
    assert len(taken(flooded)[-1].evidence) == 1


@pytest.mark.parametrize(
    ("login", "to", "typed", "status", "said"),
    [
        ("li", "returned", {}, 422, "Pick a reason, or write one."),
        ("li", "returned", {"more": "x" * 1001}, 422, "Something in the form is missing or too long."),
        ("li", "acknowledged", {"latitude": "91"}, 422, "Something in the form is missing or too long."),
        ("chen", "dispatched", {"reason": "busy"}, 422, "Pick a worker."),
        ("chen", "dispatched", {"reason": "busy", "assignee": "sun"}, 422, "Pick a worker."),
        ("li", "acknowledged", {"to": "verified"}, 409, "The order cannot take this step from where it stands."),
        ("li", "acknowledged", {"to": "void", "reason": "x"}, 403, "You may not take this step"),
        ("li", "acknowledged", {"to": "nowhere"}, 422, "Something in the form is missing or too long."),
        ("li", "acknowledged", {"action": "not a name"}, 422, "Something in the form is missing or too long."),
    ],
)
async def test_a_step_that_cannot_be_taken_says_why(
    *, flooded: Site, login: str, to: str, typed: dict[str, str], status: int, said: str
) -> None:
    """Each with one sentence above the order as it is; nothing has changed."""
    answer = await step(flooded, login, CODE, to, **typed)
    assert (answer.status_code, said in answer.text) == (status, True)
    assert stored(flooded).state == "dispatched"
    assert (stored(flooded).handler, flooded.database.read_now(lambda c: c.scalar(select(order_actions.c.id)))) == (
        "li",
        None,
    )


async def test_the_wrong_closing_standard_is_refused(flooded: Site) -> None:
    """Only a line of the class closes its case."""
    await walk(flooded, ("li", "acknowledged"), ("li", "on_site"), ("li", "done"), ("wang", "verified"))
    answer = await step(flooded, "chen", CODE, "closed", closing_standard="it looks fine")
    assert (answer.status_code, "Pick the closing standard that is met." in answer.text) == (422, True)


@pytest.mark.parametrize(
    ("content", "name", "status"),
    [
        (b"GIF89a", "a.gif", 415),
        (JPEG + bytes(MAX_EVIDENCE - len(JPEG)), "largest.jpg", 303),
        (JPEG + bytes(MAX_EVIDENCE - len(JPEG) + 1), "over.jpg", 415),
        (JPEG + bytes(MAX_EVIDENCE + 70_000), "huge.jpg", 413),
    ],
)
async def test_pictures_are_bounded(flooded: Site, content: bytes, name: str, status: int) -> None:
    """JPEG or PNG of 12 MiB at most; a step whose picture is refused is not taken either."""
    await walk(flooded, ("li", "acknowledged"), ("li", "on_site"))
    files = {"photo": (name, content, "image/jpeg")}
    assert (await step(flooded, "li", CODE, "done", files=files)).status_code == status
    assert stored(flooded).state == ("done" if status == 303 else "on_site")


async def test_a_step_from_elsewhere_is_not_taken(flooded: Site) -> None:
    """Without the token of a page of ours, or sent by another site, nothing moves."""
    form = steps_of(await flooded.see("li", PATH))["acknowledged"].fields
    assert (await flooded.post("li", f"{PATH}/move", {**form, "csrf": "wrong"})).status_code == 403
    headers = {"Cookie": f"anlan={flooded.secrets['li']}", "Sec-Fetch-Site": "cross-site"}
    assert (await flooded.client.post(f"{PATH}/move", data=form, headers=headers)).status_code == 403
    assert stored(flooded).state == "dispatched"


async def test_a_step_of_the_board_goes_back_there(flooded: Site) -> None:
    """A form may say where to go on; never to another site."""
    form = steps_of(await flooded.see("li", PATH))["acknowledged"]
    assert (await send(flooded, "li", form, next="/board?grid=heping-01")).headers[
        "location"
    ] == "/board?grid=heping-01"
    answer = await step(flooded, "li", CODE, "on_site", next="//elsewhere.example")
    assert answer.headers["location"] == f"{PATH}?done=on_site"


async def test_queued_steps_are_taken_in_order_and_once(flooded: Site) -> None:
    """Behind one another by the state that they leave, with the time of the button; sent again, nothing changes."""
    names = [str(uuid4()) for _ in range(3)]
    pressed = {"pressed_at": str(NOW - 20 * MINUTE)}
    steps = [
        {"to": "acknowledged", "version": "3", "action": names[0]},
        {"to": "on_site", "seen_state": "acknowledged", "action": names[1], **pressed},
        {"to": "done", "seen_state": "on_site", "action": names[2], "note": "dry", **pressed},
    ]
    for is_repeated in (False, True):
        answers = [await queued(flooded, "li", one, files=PHOTO if one["to"] == "done" else None) for one in steps]
        assert [answer.json()["repeated"] for answer in answers] == [is_repeated] * 3
        assert answers[-1].json() == {"state": "done", "version": 6, "repeated": is_repeated}
    assert [one.target for one in taken(flooded)[3:]] == ["acknowledged", "on_site", "done"]
    text = await flooded.see("li", PATH)
    assert text.count("pressed at 05:53:20, sent when there was a network") == 2


async def test_what_a_phone_needs_for_later_steps_is_in_its_page(flooded: Site) -> None:
    """The forms of the states that follow, by the state that they leave, for the handler alone."""
    text = await flooded.see("li", PATH)
    assert re.findall(r'<template data-after="(\w+)"', text) == ["acknowledged", "on_site"]
    later = text.split('<template data-after="acknowledged"')[1].split("</template>")[0]
    assert 'data-to="on_site"' in later
    assert '<input type="hidden" name="seen_state" value="acknowledged">' in later
    assert "data-after" not in await flooded.see("wang", PATH)
    assert "data-queue" not in await flooded.see("chen", PATH), "only a worker's steps wait in a phone"


@pytest.mark.parametrize(
    ("login", "form", "status", "said"),
    [
        ("li", {"to": "acknowledged", "version": "2"}, 409, "The order has moved on meanwhile."),
        ("li", {"to": "done", "version": "3"}, 409, "The order cannot take this step"),
        ("li", {"to": "returned", "version": "3"}, 422, "Pick a reason"),
        ("wang", {"to": "acknowledged", "version": "3"}, 403, "You may not take this step"),
        ("li", {"to": "acknowledged", "version": "3", "pressed_at": str(NOW - 8 * 24 * 60 * MINUTE)}, 422, "too long"),
    ],
)
async def test_a_queued_step_is_refused_in_words(
    flooded: Site, login: str, form: dict[str, str], status: int, said: str
) -> None:
    """With the state as it is, for the phone to show."""
    answer = await queued(flooded, login, {**form, "action": str(uuid4())})
    assert answer.status_code == status
    assert said in answer.json()["error"]
    assert answer.json()["state"] == "dispatched"


async def test_a_queued_step_of_an_order_that_is_gone_says_so(flooded: Site) -> None:
    """Somebody who works in another grid by now is told."""
    of_wang = people_grids.c.login == "wang"
    flooded.write(lambda c: c.execute(people_grids.update().where(of_wang).values(grid="heping-02")))
    answer = await queued(flooded, "wang", {"to": "verified", "version": "3", "action": str(uuid4())})
    assert answer.status_code == 404
    assert answer.json() == {"error": "This order is not yours any more, or it is not there."}


async def test_a_fresh_token_is_for_our_own_pages(flooded: Site) -> None:
    """Kept nowhere, given to no other site, and good for a step."""
    answer = await flooded.visit("li", "/orders/token")
    assert answer.headers["cache-control"] == "no-store"
    assert (answer.json()["login"], answer.json()["now"]) == ("li", NOW)
    form = steps_of(await flooded.see("li", PATH))["acknowledged"].fields
    moved = await flooded.post("li", f"{PATH}/move", {**form, "csrf": answer.json()["csrf"]})
    assert moved.status_code == 303
    headers = {"Cookie": f"anlan={flooded.secrets['li']}", "Sec-Fetch-Site": "cross-site"}
    assert (await flooded.client.get("/orders/token", headers=headers)).status_code == 403


async def test_only_a_worker_s_pages_may_be_kept(flooded: Site) -> None:
    """By the service worker, for one session; a page that says no is not kept either."""
    marks = {}
    for login in ("li", "wang"):
        for path in ("/orders", PATH):
            answer = await flooded.visit(login, path)
            marks[login, path] = answer.headers.get("x-anlan-keep")
    assert None not in marks.values()
    assert len(set(marks.values())) == 2, "each session its own"
    assert "x-anlan-keep" not in (await flooded.visit("chen", PATH)).headers
    assert "x-anlan-keep" not in (await flooded.visit("zhao", "/orders")).headers
    assert "x-anlan-keep" not in (await flooded.visit("li", "/account")).headers
    assert "x-anlan-keep" not in (await step(flooded, "li", CODE, "returned")).headers


async def test_a_list_tells_when_a_page_has_changed(flooded: Site) -> None:
    """The mark of an order in the list is that of its page, and another one after a step and a new revision."""

    async def marks() -> set[str]:
        page = await flooded.visit("li", PATH)
        return {*re.findall(r'data-mark="([^"]+)"', await flooded.see("li", "/orders")), page.headers["x-anlan-mark"]}

    seen = [await marks()]
    await walk(flooded, ("li", "acknowledged"))
    seen.append(await marks())
    record(flooded.database, make_event(EventState.UPDATED, 2))
    seen.append(await marks())
    record(flooded.database, make_event(EventState.ENDED, 3))
    seen.append(await marks())
    assert [len(one) for one in seen] == [1, 1, 1, 1]
    assert len(set.union(*seen)) == 4
