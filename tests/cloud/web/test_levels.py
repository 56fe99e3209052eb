"""An event's levels and forecast wherever somebody meets it: the order's page, the worker's card, the overview."""

import re

import pytest
from msgspec.structs import replace

from edge.contract.messages import Event, EventState, Forecast, Severity
from tests.cloud.api.callers import record
from tests.cloud.web.conftest import Site
from tests.cloud.web.forms import PATH
from tests.cloud.workorders.samples import MINUTE, NOW, flood, make_event

CLOSE = "WATERLOG.UNDER.CLOSE"
BEGAN = NOW - 3 * MINUTE
COMING = Forecast(class_code=CLOSE, threshold=250.0, unit="mm", likely_s=720, early_s=480, late_s=1200)
PAGES = (("li", "/orders"), ("li", PATH), ("chen", "/overview"))


def text_of(html: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", "", html))


def record_all(site: Site, events: list[Event]) -> None:
    for event in events:
        record(site.database, event)


def rising() -> list[Event]:
    """15 cm, and 25 cm expected; made one and two minutes ago."""
    suspect, confirmed = flood(EventState.SUSPECT, EventState.CONFIRMED, began_at=BEGAN)
    return [suspect, replace(confirmed, updated_at=NOW, forecast=COMING)]


def climbed() -> list[Event]:
    """Reached 25 cm, and stepped down to 15 again."""
    close = make_event(EventState.UPDATED, 3, began_at=BEGAN, severity=Severity.RED)
    back = make_event(EventState.UPDATED, 4, began_at=BEGAN)
    return [
        replace(close, class_code=CLOSE, threshold=250.0, value=262.0, updated_at=NOW),
        replace(back, highest_class=CLOSE, highest_severity=Severity.RED, value=262.0, updated_at=NOW),
    ]


@pytest.mark.parametrize(
    ("language", "words"),
    [
        ("en", "25 cm in about 12 minutes (8 to 20)"),
        ("zh", "预计约 12 分钟后达到 25 cm（8 至 20 分钟）"),
    ],
)
async def test_a_forecast_is_told_until_it_is_past(site: Site, language: str, words: str) -> None:
    """On the card, the order and the overview, counted from now; what should have been long ago is not told."""
    record_all(site, rising())
    for login, path in PAGES:
        assert words in text_of(await site.see(login, path, language=language)), path
    await site.clock.advance_to(NOW + 21 * MINUTE)
    for login, path in PAGES:
        assert "12" not in re.findall(r"(?:in about|预计约) (\d+)", text_of(await site.see(login, path))), path


@pytest.mark.parametrize(
    ("language", "now", "lines"),
    [
        ("en", "Has stepped down: road waterlogging now",
         ["Level reached: road waterlogging", "Level reached: underpass: close", "Stepped down to: road waterlogging"]),
        ("zh", "已降级，现为：道路积水", ["达到级别：道路积水", "达到级别：下穿通道封交水深", "降至级别：道路积水"]),
    ],
)  # fmt: skip
async def test_an_order_tells_the_levels_it_went_through(site: Site, language: str, now: str, lines: list[str]) -> None:
    """Its class and severity are the highest, its course has each level, and it says where the water is now."""
    record_all(site, [*rising(), *climbed()])
    text = text_of(await site.see("li", PATH, language=language))
    assert now in text
    assert [line for line in lines if line in text] == lines
    assert {"en": "red", "zh": "红"}[language] in text.lower()


async def test_an_order_of_one_level_says_nothing_of_levels(flooded: Site) -> None:
    """Its course is what people and rules did."""
    assert "Level reached" not in await flooded.see("li", PATH)


async def test_what_was_withdrawn_stays_quiet(site: Site) -> None:
    """A suspicion that the next sample took back is not among the newest events."""
    suspect, withdrawn = flood(EventState.SUSPECT, EventState.WITHDRAWN, began_at=BEGAN)
    record(site.database, suspect)
    assert "suspected" in text_of(await site.see("chen", "/overview"))
    record(site.database, withdrawn)
    assert "Nothing has happened yet" in text_of(await site.see("chen", "/overview"))
