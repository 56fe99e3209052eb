"""The statement as a page: a bad day is shown as it was, in a sum that adds up."""

import re

import pytest

from cloud.statements.closing import close_days
from edge.contract.days import DAY_MS, bounds_of, day_of
from edge.contract.messages import Counts, DayCounts
from tests.cloud.statements import ODD, Books
from tests.cloud.web.conftest import Site
from tests.cloud.web.scenes import ESCAPED, SCRIPT
from tests.cloud.web.test_gateways import text_of
from tests.cloud.workorders.samples import NOW

DAY = day_of(NOW - DAY_MS)
PATH = f"/gateways/gw-1/statement?day={DAY}"


@pytest.fixture
def books(site: Site) -> Books:
    return Books(site.database)


async def test_a_bad_day_is_shown_as_it_was(site: Site, books: Books) -> None:
    """The outage, the full disk, the dead letter and what waits each have their line; the lines add up to the sum."""
    books.live_through_a_bad_day(DAY)
    page = await site.see("chen", PATH)
    numbers = [int(number.replace(",", "")) for number in re.findall(r'<td class="number">([\d,]+)</td>', page)]
    assert numbers == [2880, 13_900, 100, 100, 300, 0, 17_280]
    assert sum(numbers[:-1]) == numbers[-1]
    text = text_of(page)
    for said in (
        "300 Its disk was full, and then its memory.",
        f"100 in 1 message: {ODD}",
        "When nothing came 11-14 05:59 – 11-14 09:09 3 hours 10 minutes 11-14 12:59 – 11-14 13:39 40 minutes",
        "Events 2 stored",
        "This day is not closed yet.",
    ):
        assert said in text, text
    assert 'href="/letters?gateway=gw-1"' in page
    bar = page.partition("sum-bar")[2].partition("</svg>")[0]
    widths = [float(width) for width in re.findall(r'width="([\d.]+)%" height', bar)][1:]
    assert sum(widths) == pytest.approx(100, abs=0.01)


async def test_it_can_be_paged_by_day(site: Site) -> None:
    """To the day before and after, but to none that has not begun; without a day it is today's."""
    page = await site.see("chen", "/gateways/gw-1/statement?day=2023-11-10")
    assert 'href="/gateways/gw-1/statement?day=2023-11-09"' in page
    assert 'href="/gateways/gw-1/statement?day=2023-11-11"' in page
    today = await site.see("chen", "/gateways/gw-1/statement")
    assert ("so far" in today, 'rel="next"' in today) == (True, False)
    assert 'href="/gateways/gw-1/statement"' in await site.see("chen", "/gateways/gw-1")


async def test_a_day_that_has_not_begun_is_said_to(site: Site) -> None:
    """Instead of a sum of nothing."""
    page = await site.see("chen", f"/gateways/gw-1/statement?day={day_of(NOW + DAY_MS)}")
    assert ("This day has not begun yet." in page, "sum-title" in page) == (True, False)


async def test_a_whole_day_is_said_to_be_whole(site: Site, books: Books) -> None:
    """And with which number it was sealed, once it is."""
    noon = bounds_of(DAY)[0] + DAY_MS // 2
    books.come(1, 2, at=noon)
    books.say(DayCounts(DAY, taken=25, unchanged=5), at=noon, lanes={"live": (3, 3)}, counts=Counts(25, 5))
    [head] = await close_days(site.database, now_ms=NOW)
    text = text_of(await site.see("chen", PATH))
    assert "nothing is lost" in text
    assert head.hash in text


@pytest.mark.parametrize(("login", "status"), [("chen", 200), ("zhao", 200), ("sun", 200), ("wang", 404), (None, 303)])
async def test_who_sees_it(site: Site, login: str | None, status: int) -> None:
    """Those who see gateways; and no letters where one may not see them."""
    assert (await site.visit(login, PATH)).status_code == status


@pytest.mark.parametrize("path", ["gw-9/statement", "gw-1/statement?day=2026-02-30", "gw-1/statement?day=0000-00-00"])
async def test_what_is_not_there_is_404(site: Site, path: str) -> None:
    """No gateway of that name, no such day."""
    assert (await site.visit("chen", f"/gateways/{path}")).status_code == 404


async def test_reasons_are_text(site: Site, books: Books) -> None:
    """What a store or a gateway says is shown as it is, and is no part of the page."""
    books.come(1, at=NOW - DAY_MS, outcome="refused", reason=SCRIPT)
    page = await site.see("chen", PATH)
    assert (ESCAPED in page, SCRIPT in page) == (True, False)
