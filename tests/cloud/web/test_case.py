"""The public page of a case: how far it is for anybody with the code, and nothing that is nobody's business."""

import re

import pytest
from msgspec.structs import replace
from sqlalchemy import select, update

from cloud.web.case import AT_ONCE
from cloud.workorders.case_codes import show_case_code
from cloud.workorders.states import State
from cloud.workorders.tables import orders
from edge.contract.messages import EventState
from tests.cloud.api.callers import record
from tests.cloud.web.conftest import Site
from tests.cloud.workorders.samples import MINUTE, NOW, flood, make_event, move

UNKNOWN = "There is no case with this code."


def open_case(site: Site, class_code: str = "WATERLOG.ROAD.2") -> str:
    """Open an order and return its code for residents."""
    [event] = flood(EventState.CONFIRMED)
    record(site.database, replace(event, class_code=class_code))
    code: str = site.database.read_now(lambda c: c.scalars(select(orders.c.case_code)).one())
    return show_case_code(code)


def stages(text: str) -> list[tuple[str, bool]]:
    """Return the stages that a page shows, and whether the case has come there."""
    found = re.findall(r'<li class="(\w+)"[^>]*>\s*<p class="[^"]*">([^<]+)</p>', text)
    return [(name, kind != "ahead") for kind, name in found]


async def test_anybody_follows_a_case_by_its_code(site: Site) -> None:
    """What, where, how far, what happens now and by when; each step moves it on."""
    code = open_case(site)
    text = await site.see(None, f"/case/{code}")
    for said in ("Road waterlogging", "和平路下穿通道", "和平路 18 号", "Somebody was sent", "handled by 11-15 08:13"):
        assert said in text, said
    names = ["Reported", "Accepted", "Dispatched", "Handled", "Verified", "Closed"]
    assert stages(text) == list(zip(names, [True, True, True, False, False, False], strict=True))
    steps = [
        ("li", State.ACKNOWLEDGED, "is on the way", 3),
        ("li", State.ON_SITE, "is on site", 3),
        ("li", State.DONE, "waits to be verified", 4),
        ("wang", State.REWORK, "the work goes on", 3),
        ("li", State.ON_SITE, "is on site", 3),
        ("li", State.DONE, "waits to be verified", 4),
        ("wang", State.VERIFIED, "about to be closed", 5),
        ("chen", State.CLOSED, "The case is closed.", 6),
    ]
    for login, target, said, reached in steps:
        more = {"closing_standard": "消除积水，恢复通行"} if target is State.CLOSED else {"reason": "not yet"}
        move(site.database, login, target, **more)
        text = await site.see(None, f"/case/{code}")
        assert said in text
        assert [is_reached for _, is_reached in stages(text)] == [number < reached for number in range(6)]


async def test_a_closed_case_says_with_what_result(site: Site) -> None:
    """In words of the closing standard; what somebody typed instead may name people, and is not shown."""
    code = open_case(site)
    site.write(lambda c: c.execute(update(orders).values(state="closed", closing_standard="消除积水，恢复通行")))
    assert "Result: water removed and passage restored" in await site.see(None, f"/case/{code}")
    assert "处置结果：消除积水，恢复通行" in await site.see(None, f"/case/{code}", language="zh")
    site.write(lambda c: c.execute(update(orders).values(closing_standard="SECRET")))
    text = await site.see(None, f"/case/{code}")
    assert ("SECRET" in text, "Result" in text) == (False, False)


async def test_a_page_tells_no_name_and_no_number_of_a_device(site: Site) -> None:
    """Nobody's name, nothing written, no picture, no position, no id, however far the case is."""
    code = open_case(site)
    move(site.database, "li", State.RETURNED, reason="SECRET-REASON")
    move(site.database, "chen", State.DISPATCHED, assignee="wang")
    move(site.database, "wang", State.ACKNOWLEDGED)
    move(site.database, "wang", State.ON_SITE, latitude=30.5555, longitude=120.6666)
    move(site.database, "wang", State.DONE, note="SECRET-NOTE")
    answer = await site.visit(None, f"/case/{code}")
    secrets = ("王芳", "李强", "陈静", "wang", "SECRET", "30.", "120.", "gw-1", "road-1", "WO-", "blobs", "传感器")
    for secret in secrets:
        assert secret not in answer.text, secret
    assert answer.headers["x-robots-tag"] == "noindex, nofollow"
    assert '<meta name="robots" content="noindex">' in answer.text


@pytest.mark.parametrize("typed", ["{}", " {} ", "lower", "no dashes", "misread"])
async def test_a_code_is_read_however_it_is_typed(site: Site, typed: str) -> None:
    """Small letters, without dashes, with O for 0; the page has one address."""
    open_case(site)
    site.write(lambda c: c.execute(update(orders).values(case_code="7K3M9QXW2HP0")))
    code = "7K3M-9QXW-2HP0"
    ways = {"lower": code.lower(), "no dashes": code.replace("-", ""), "misread": "7K3M-9QXW-2HPO"}
    answer = await site.visit(None, "/case", params={"code": ways.get(typed, typed.format(code))})
    assert (answer.status_code, answer.headers["location"]) == (303, f"/case/{code}")
    answer = await site.visit(None, f"/case/{ways.get(typed, code)}")
    assert answer.status_code == (200 if typed in ("{}", " {} ") else 303)


@pytest.mark.parametrize("class_code", ["HOME.LEAK", "CARE.NOWATER", "CARE.BOTH"])
async def test_a_case_of_a_household_is_not_there(site: Site, class_code: str) -> None:
    """Not even to somebody who has its code."""
    code = open_case(site)
    site.write(lambda c: c.execute(update(orders).values(class_code=class_code)))
    answer = await site.visit(None, f"/case/{code}")
    assert (answer.status_code, UNKNOWN in answer.text, "和平路" in answer.text) == (404, True, False)


async def test_an_unknown_code_is_told_kindly(site: Site) -> None:
    """The form again, with what was typed and what to do."""
    assert "Case code" in await site.see(None, "/case")
    answer = await site.visit(None, "/case/0000-0000-0000")
    assert (answer.status_code, UNKNOWN in answer.text, 'value="0000-0000-0000"' in answer.text) == (404, True, True)
    answer = await site.visit(None, "/case", params={"code": "too short"})
    assert (answer.status_code, "twelve letters and digits" in answer.text) == (200, True)
    long = await site.visit(None, f"/case/{'<b>' * 4000}")
    assert (long.status_code, "<b>" in long.text) == (404, False)


async def test_codes_are_not_tried_by_the_thousand(site: Site) -> None:
    """One address has so many attempts, then has to wait."""
    code = open_case(site)
    answers = [await site.visit(None, f"/case/{code}") for _ in range(AT_ONCE + 1)]
    assert [answer.status_code for answer in answers] == [200] * AT_ONCE + [429]
    assert "Too many attempts." in answers[-1].text


async def test_a_case_that_went_by_itself(site: Site) -> None:
    """Says so, without the stages that nobody had to go through."""
    code = open_case(site)
    record(site.database, make_event(EventState.ENDED, 2))
    text = await site.see(None, f"/case/{code}")
    assert "It went by itself before anybody had to come" in text
    assert stages(text) == [(name, True) for name in ("Reported", "Accepted", "Dispatched", "Closed")]


async def test_what_was_none_is_said_to_be_none(site: Site) -> None:
    """Void: looked at, and no case was made of it."""
    code = open_case(site)
    move(site.database, "chen", State.VOID, reason="false alarm")
    text = await site.see(None, f"/case/{code}")
    assert "no case was made of it" in text
    assert stages(text) == [("Reported", True), ("No case", True)]


async def test_a_late_case_says_that_it_is_late(site: Site) -> None:
    """Not when it should have been done."""
    code = open_case(site)
    await site.clock.advance_to(NOW + 121 * MINUTE)
    text = await site.see(None, f"/case/{code}")
    assert "It takes longer than expected" in text
    assert "Expected" not in text


async def test_before_anybody_is_sent_the_limit_is_told(site: Site) -> None:
    """As the class has it, in its own unit."""
    [event] = flood(EventState.CONFIRMED)
    record(site.database, replace(event, class_code="CAM.GARBAGE", device="camera-1", point=""))
    code: str = site.database.read_now(lambda c: c.scalars(select(orders.c.case_code)).one())
    chinese = await site.see(None, f"/case/{show_case_code(code)}", language="zh")
    assert "预计派遣后 4 个工作时内处置完成。" in chinese
    assert "已收到上报，等待受理。" in chinese
