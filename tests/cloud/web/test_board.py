"""The board: every order in its stage, found by filters, and the steps that need no more than a click."""

import re
from uuid import UUID

import pytest
from sqlalchemy import insert, select

from cloud.registry.person import Role
from cloud.registry.tables import people, people_grids
from cloud.web.stages import STATES_OF, Stage
from cloud.workorders.case_codes import show_case_code
from cloud.workorders.states import State
from cloud.workorders.tables import orders
from edge.contract.messages import Severity
from tests.cloud.web.conftest import Site
from tests.cloud.web.forms import Form, forms_of, send
from tests.cloud.web.scenes import (
    ESCAPED,
    SCRIPT,
    finish,
    handler_of,
    move,
    name_everything,
    raise_order,
    raise_rubbish,
)
from tests.cloud.workorders.samples import MINUTE, NOW


def codes(text: str) -> list[str]:
    """Return the orders of a page, in their order there."""
    return re.findall(r'id="open-(WO-[0-9]+)"', text)


def column(text: str, stage: Stage) -> str:
    """Return one stage's part of the board."""
    return text.partition(f'aria-labelledby="stage-{stage}"')[2].partition("</section>")[0]


def step_of(text: str, code: str) -> Form:
    """Return the form that takes an order one step on."""
    [form] = [form for form in forms_of(text) if form.action == f"/orders/{code}/move"]
    return form


def state_of(site: Site, order: int) -> str:
    wanted = select(orders.c.state).where(orders.c.id == order)
    state: str = site.database.read_now(lambda connection: connection.scalars(wanted).one())
    return state


@pytest.mark.parametrize(("login", "status"), [("chen", 200), ("zhao", 200), ("wang", 404), ("sun", 404), (None, 303)])
async def test_the_board_is_for_operators(site: Site, login: str | None, status: int) -> None:
    """For anybody else it does not exist."""
    assert (await site.visit(login, "/board")).status_code == status


def test_every_state_has_its_stage() -> None:
    """No order falls between the columns, and none stands in two."""
    assert sorted(state for states in STATES_OF.values() for state in states) == sorted(State)


async def test_an_empty_board_says_so(site: Site) -> None:
    """Nothing waits, which is something else than nothing found."""
    assert "Nothing waits for anybody." in await site.see("chen", "/board")
    assert "None that fits these filters." in await site.see("chen", "/board?q=nowhere")


async def test_each_order_stands_in_its_column(site: Site) -> None:
    """One order goes from the left of the board to the right."""
    raise_rubbish(site)
    assert codes(column(await site.see("chen", "/board"), Stage.RAISED)) == ["WO-000001"]
    move(site, 1, ("chen", State.ACCEPTED))
    assert codes(column(await site.see("chen", "/board"), Stage.TO_ACKNOWLEDGE)) == ["WO-000001"]
    handler = handler_of(site, 1)
    move(site, 1, (handler, State.RETURNED), reason="not my grid")
    assert codes(column(await site.see("chen", "/board"), Stage.TO_DISPATCH)) == ["WO-000001"]
    move(site, 1, ("chen", State.DISPATCHED), assignee="li")
    move(site, 1, ("li", State.ACKNOWLEDGED), ("li", State.ON_SITE))
    assert codes(column(await site.see("chen", "/board"), Stage.HANDLING)) == ["WO-000001"]
    move(site, 1, ("li", State.DONE))
    assert codes(column(await site.see("chen", "/board"), Stage.TO_VERIFY)) == ["WO-000001"]
    move(site, 1, ("chen", State.VERIFIED))
    assert codes(column(await site.see("chen", "/board"), Stage.TO_CLOSE)) == ["WO-000001"]


async def test_the_gravest_and_the_latest_overdue_come_first(site: Site) -> None:
    """Red before orange; an order over its limit says by how much, before one that has time left."""
    raise_order(site, 1, severity=Severity.YELLOW)
    raise_order(site, 2)
    raise_order(site, 3, severity=Severity.RED)
    text = await site.see("chen", "/board")
    assert codes(column(text, Stage.TO_ACKNOWLEDGE)) == ["WO-000003", "WO-000002", "WO-000001"]
    assert "10 minutes left" in text
    await site.clock.advance_to(NOW + 25 * MINUTE)
    text = await site.see("chen", "/board")
    assert "15 minutes over" in text
    assert "3 overdue" in column(text, Stage.TO_ACKNOWLEDGE)


async def test_a_full_column_leads_to_the_rest(site: Site) -> None:
    """Twenty stand on the board; the stage alone shows all of them, page by page."""
    for number in range(1, 53):
        raise_order(site, number)
    board = await site.see("chen", "/board")
    assert len(codes(board)) == 20
    assert '<a class="button" href="/board?stage=acknowledge">all 52' in board
    first, second = [await site.see("chen", f"/board?stage=acknowledge{more}") for more in ("", "&page=2")]
    assert (len(codes(first)), len(codes(second))) == (50, 2)
    assert len(set(codes(first)) | set(codes(second))) == 52
    assert 'rel="next" href="/board?stage=acknowledge&amp;page=2"' in first


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", 2),
        ("grid=&class=&severity=&q=", 2),
        ("grid=heping-01", 1),
        ("grid=heping-02", 1),
        ("grid=nowhere", 0),
        ("class=WATERLOG.ROAD.2", 2),
        ("class=COVER.OPEN", 0),
        ("severity=orange", 1),
        ("severity=red", 1),
        ("q=WO-000001", 1),
        ("q=wo-2", 1),
        ("q=2", 1),
        ("q=清水河", 1),
        ("q=和平路 18", 1),
        ("q=ROAD", 0),
        ("q=GW-1", 2),
        ("q=%25", 0),
        ("q=_", 0),
        ("q=王芳", 1),
        ("grid=heping-01&severity=red", 0),
    ],
)
async def test_filters_leave_out_what_does_not_fit(site: Site, query: str, found: int) -> None:
    """By grid, class, severity, code, place, gateway and handler; what is typed means itself, not a pattern."""
    raise_order(site, 1)
    raise_order(site, 2, device="river-1", severity=Severity.RED)
    move(site, 1, ("chen", State.DISPATCHED), assignee="wang", reason="off sick")
    assert len(codes(await site.see("chen", f"/board?{query}"))) == found


async def test_an_order_is_found_by_its_case_code(site: Site) -> None:
    """Somebody on the telephone reads the code of the public page."""
    raise_order(site, 1)
    raise_order(site, 2)
    wanted = select(orders.c.case_code).where(orders.c.id == 2)
    code = show_case_code(site.database.read_now(lambda c: c.scalars(wanted).one()))
    assert codes(await site.see("chen", f"/board?q={code.lower()}")) == ["WO-000002"]


@pytest.mark.parametrize(
    "query",
    [
        "stage=nonsense",
        "severity=pink",
        "page=0",
        "page=10001",
        "page=x",
        "outcome=won",
        f"q={'x' * 61}",
        f"grid={65 * 'x'}",
    ],
)
async def test_what_makes_no_sense_is_refused(site: Site, query: str) -> None:
    """Parameters are bounded: such an address is none of ours."""
    assert (await site.visit("chen", f"/board?{query}")).status_code == 404


async def test_one_click_accepts(site: Site) -> None:
    """With the opening standard as the reason, and once, however often the form comes."""
    raise_rubbish(site)
    form = step_of(await site.see("chen", "/board"), "WO-000001")
    assert str(UUID(form.fields["action"])) == form.fields["action"]
    assert form.fields["reason"]
    for _ in range(2):
        assert (await send(site, "chen", form)).status_code == 303
    assert state_of(site, 1) == State.DISPATCHED


async def test_dispatching_proposes_who_has_least_to_do_and_did_not_return_it(site: Site) -> None:
    """The proposal stands first; whoever gave the order back stands last."""
    site.write(lambda c: c.execute(insert(people).values(**WU)))
    site.write(lambda c: c.execute(insert(people_grids).values(login="wu", grid="heping-01", active=True)))
    raise_order(site, 1)
    handler = handler_of(site, 1)
    move(site, 1, (handler, State.RETURNED), reason="not my grid")
    raise_order(site, 2)
    move(site, 2, ("chen", State.DISPATCHED), assignee="wang", reason="off sick")
    text = await site.see("chen", "/board")
    options = re.findall(r'<option value="([a-z]+)">', column(text, Stage.TO_DISPATCH))
    assert (handler, options) == ("li", ["wu", "wang", "li"])
    assert "returned it: not my grid" in text
    assert (await send(site, "chen", step_of(text, "WO-000001"), assignee=options[0])).status_code == 303
    assert handler_of(site, 1) == options[0]


WU = {"login": "wu", "name": "吴敏", "roles": [Role.WORKER], "phone": None, "active": True}


async def test_without_a_worker_the_order_page_is_the_way(site: Site) -> None:
    """Nobody works in the grid: no form, but the reason."""
    raise_order(site, 1)
    move(site, 1, (handler_of(site, 1), State.RETURNED), reason="not my grid")
    site.write(lambda c: c.execute(people_grids.update().values(active=False)))
    text = await site.see("chen", "/board")
    assert not [form for form in forms_of(text) if form.action.startswith("/orders/")]
    assert 'href="/orders/WO-000001"' in text


async def test_one_click_verifies_and_another_closes(site: Site) -> None:
    """Closing takes the class's standard, said beside the button."""
    raise_order(site, 1)
    handler = handler_of(site, 1)
    move(site, 1, (handler, State.ACKNOWLEDGED), (handler, State.ON_SITE), (handler, State.DONE))
    await send(site, "chen", step_of(await site.see("chen", "/board"), "WO-000001"))
    assert state_of(site, 1) == State.VERIFIED
    text = await site.see("chen", "/board")
    assert "water removed and passage restored" in text
    await send(site, "chen", step_of(text, "WO-000001"))
    assert state_of(site, 1) == State.CLOSED


async def test_what_closed_by_itself_is_counted_apart(site: Site) -> None:
    """Finished orders: closed by people, recovered by themselves, void; each with its own list."""
    raise_order(site, 1)
    finish(site, 1)
    move(site, 1, ("chen", State.CLOSED), closing_standard="消除积水，恢复通行")
    raise_order(site, 2)
    move(site, 2, ("chen", State.VOID), reason="a street cleaner")
    raise_order(site, 3)
    move(site, 3, ("rules", State.CLOSED), reason="自动恢复", closing_standard="自动恢复")
    raise_order(site, 4)
    text = await site.see("chen", "/board?stage=finished")
    assert codes(text) == ["WO-000003", "WO-000002", "WO-000001"]
    for outcome, order in (("closed", 1), ("void", 2), ("recovered", 3)):
        assert codes(await site.see("chen", f"/board?stage=finished&outcome={outcome}")) == [f"WO-00000{order}"]
    assert "recovered by itself 1" in text
    assert codes(await site.see("chen", "/board?stage=finished&severity=red")) == []


async def test_names_and_reasons_are_text(site: Site) -> None:
    """What people and registries say is shown, and never run."""
    name_everything(site, SCRIPT)
    raise_order(site, 1)
    move(site, 1, (handler_of(site, 1), State.RETURNED), reason=SCRIPT)
    raise_order(site, 2)
    for path in ("/board", "/board?stage=dispatch", f"/board?q={SCRIPT}"):
        text = await site.see("chen", path)
        assert SCRIPT not in text
        assert ESCAPED in text
    move(site, 1, ("chen", State.VOID), reason=SCRIPT)
    text = await site.see("chen", "/board?stage=finished")
    assert SCRIPT not in text
    assert ESCAPED in text
