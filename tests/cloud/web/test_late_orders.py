"""An order whose event was heard hours after it was seen says so, wherever somebody meets it."""

import re

import pytest
from msgspec.structs import replace

from edge.contract.messages import EventState
from tests.cloud.api.callers import record
from tests.cloud.web.conftest import Site
from tests.cloud.web.forms import CODE, PATH
from tests.cloud.workorders.samples import MINUTE, NOW, flood

SEEN_AT = NOW - 320 * MINUTE
PAGES = (("li", "/orders"), ("li", PATH), ("chen", "/board"))


def text_of(html: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", "", html))


@pytest.mark.parametrize(
    ("language", "words"),
    [
        ("en", "seen at 00:53:20, heard at 06:13:20: 5 hours 20 minutes late"),
        ("zh", "00:53:20 发现，06:13:20 才收到，晚了 5 小时 20 分钟"),
    ],
)
async def test_an_order_says_how_late_it_was_heard(site: Site, language: str, words: str) -> None:
    """On the worker's card, the order's page and the board; an order that was heard in time says nothing of it."""
    confirmed, updated = flood(EventState.CONFIRMED, EventState.UPDATED, began_at=SEEN_AT)
    record(site.database, confirmed)
    for login, path in PAGES:
        assert CODE not in (await site.visit(login, path, language=language)).text or path == PATH
    record(site.database, replace(updated, updated_at=NOW))
    for login, path in PAGES:
        assert words in text_of(await site.see(login, path, language=language)), path


async def test_an_order_heard_in_time_does_not(flooded: Site) -> None:
    """Nothing about lateness is on any page of it."""
    for login, path in PAGES:
        assert "heard-late" not in await flooded.see(login, path)
