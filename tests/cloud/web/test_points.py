"""The page of one point: span, table, counts and CSV; and the readings behind them, newest first, never all at once."""

import csv
import random
import re
from collections.abc import Sequence
from io import StringIO
from pathlib import Path

import pytest

from cloud.series.retention import Retention
from cloud.series.sqlite import SqliteStore
from cloud.web import history
from cloud.web.history import SeriesName, count_flags, last_good, newest_first
from edge.contract.messages import Batch, ClockState, Flag, Reading, Test
from tests.cloud.web.conftest import Site
from tests.cloud.web.eventful import FAILED_MM, HOUR_MS, MINUTE_MS, live_through, road
from tests.cloud.web.scenes import list_points, read_depth
from tests.cloud.workorders.samples import NOW

DEPTH = "/gateways/gw-1/devices/road-1/depth"
FLOW = SeriesName("gw-1", "river-1", "flow")


@pytest.fixture
async def eventful(site: Site) -> Site:
    """The pages with a day behind them in which everything happened."""
    await live_through(site.database, site.services.series, NOW)
    return site


def table_of(text: str) -> list[str]:
    """Return the rows of readings as text."""
    body = re.search(r'<table class="readings">.*?<tbody>(.*)</tbody>', text, re.DOTALL)
    rows = re.findall(r"<tr .*?</tr>", body.group(1) if body else "", re.DOTALL)
    return [" ".join(re.sub(r"<[^>]+>", "", row.replace("</td>", " ")).split()) for row in rows]


def by_test(text: str) -> dict[str, str]:
    """Return how many flags each test has set, as the page says."""
    found = re.findall(r'<li id="test-\d+".*?<h3>(.*?) <span.*?<strong class="number">(.*?)</strong>', text, re.DOTALL)
    return dict(found)


async def test_a_day_as_table(eventful: Site) -> None:
    """The newest reading first, with its local time to the millisecond; the next page goes on where this one ends."""
    text = await eventful.see("chen", DEPTH)
    rows = table_of(text)
    assert rows[0] == "2023-11-15 06:12:20.000 1 mm pass"  # what is taken at its end is not in a span
    assert len(rows) == 50
    older = re.search(r'rel="next" href="([^"]+)"', text)
    assert older is not None
    page = await eventful.see("chen", older.group(1).replace("&amp;", "&"))
    rows += table_of(page)
    assert rows[59] == "2023-11-15 05:13:20.000 32,767 mm failed outside what the sensor can measure"
    assert rows[61] == "2023-11-15 05:11:20.000 60.5 mm suspect"
    assert len(set(rows)) == 100
    assert "The newest" in page


async def test_a_long_span_is_counted_by_a_request_of_its_own(eventful: Site) -> None:
    """Its page comes at once, and then what says how many readings there are, which is a link for who has no script."""
    text = await eventful.see("chen", f"{DEPTH}?range=1y")
    assert "1,140 readings" not in text
    link = re.search(r'<a href="([^"]+counts=1)"', text)
    assert link is not None
    assert f'hx-get="{link.group(1)}" hx-trigger="load"' in text
    counted = await eventful.see("chen", link.group(1).replace("&amp;", "&"))
    assert re.search(r'id="counts"[^>]*>.*?1,1[0-9]+ readings', counted, re.DOTALL)


@pytest.mark.parametrize(
    ("ages_min", "span"), [([30], "1h"), ([30, 90], "6h"), ([30, 400], "24h"), ([30, 3000], "24h"), ([], "24h")]
)
async def test_it_begins_with_the_span_of_what_there_is(site: Site, ages_min: list[int], span: str) -> None:
    """The shortest one that holds every reading, at most a day; another one is a click away."""
    list_points(site)
    for minutes in ages_min:
        await read_depth(site, "road-1", NOW - minutes * MINUTE_MS)
    text = await site.see("chen", DEPTH)
    assert re.findall(r'href="\?range=(\w+)"[^>]* aria-current="true"', text) == [span]
    assert re.search(r'href="\?range=7d"[^>]* aria-current', await site.see("chen", f"{DEPTH}?range=7d"))


async def test_counts_by_flag_and_test(eventful: Site) -> None:
    """How many readings have which flag, and which test set it, over the span that is shown."""
    text = await eventful.see("chen", DEPTH)
    assert "1,140 readings" in text
    for words in ("pass 1,107", "suspect 1", "failed 2", "missing 30"):
        assert f">{words}</span>" in text
    assert by_test(text) == {"outside what the sensor can measure": "2", "the device did not answer": "30"}
    last = await eventful.see("chen", f"{DEPTH}?from={NOW - 30 * MINUTE_MS}&to={NOW}")
    assert "30 readings" in last
    assert by_test(last) == {}
    assert "No test flagged anything in this span." in last


async def test_last_and_last_good_value(eventful: Site) -> None:
    """A point that is silent shows what it last had, and when."""
    text = await eventful.see("chen", "/gateways/gw-1/devices/river-1/water_level")
    assert "the device has not answered since 05:48:20" in text
    good = re.search(r"Last good value.*?<dd class=\"strong\">([^<]+)</dd>.*?05:47:20", text, re.DOTALL)
    assert good is not None
    assert good.group(1) == "2,311.4 mm"


async def test_the_chart_asks_for_what_is_shown(eventful: Site) -> None:
    """Address, span and unit stand in attributes; an own span does not move on with the time, one up to now does."""
    text = await eventful.see("chen", DEPTH)
    assert 'data-src="/api/v1/chart?gateway=gw-1&amp;device=road-1&amp;point=depth"' in text
    assert f'data-from="{NOW - 24 * HOUR_MS}" data-to="{NOW}"' in text
    assert "data-follow" in text
    own = await eventful.see("chen", f"{DEPTH}?from={NOW - 5}&to={NOW}")
    assert f'data-from="{NOW - 5}" data-to="{NOW}"' in own
    assert "data-follow" not in own
    energy = await eventful.see("chen", "/gateways/gw-1/devices/meter-1/energy_import_total")
    assert 'data-unit="kWh" data-factor="0.001"' in energy


async def test_a_local_time_is_understood(eventful: Site) -> None:
    """What a form gives is the place's own time."""
    text = await eventful.see("chen", f"{DEPTH}?from=2023-11-15T05:13&to=2023-11-15T05:14:00")
    assert table_of(text) == ["2023-11-15 05:13:20.000 32,767 mm failed outside what the sensor can measure"]


@pytest.mark.parametrize(
    "query",
    [
        f"from={NOW}&to={NOW}",
        f"from={NOW + 1}&to={NOW}",
        "from=yesterday",
        "from=1999-12-31T23:59",
        f"to={NOW}",
        "from=0&to=" + "9" * 30,
        "from=0001-01-01T00:00&to=9999-12-31T23:59",
        "range=2h",
        "before=never",
    ],
)
async def test_a_span_that_is_none(eventful: Site, query: str) -> None:
    """It is said, and the last day is shown instead; the CSV of it is refused."""
    answer = await eventful.visit("chen", f"{DEPTH}?{query}")
    assert answer.status_code == 422
    assert "The span must begin before it ends" in answer.text
    assert len(table_of(answer.text)) == 50
    if "from" in query and "to" in query:
        assert (await eventful.visit("chen", f"{DEPTH}/readings.csv?{query}")).status_code == 422


async def test_an_empty_span_says_so(eventful: Site) -> None:
    """No readings is a sentence, not an empty table."""
    assert "No readings in this span" in await eventful.see(
        "chen", f"{DEPTH}?from=2001-01-01T00:00&to=2001-01-02T00:00"
    )


@pytest.mark.parametrize("path", ["/gateways/gw-1/devices/road-1/dept", "/gateways/gw-1/devices/nothing/depth"])
async def test_a_point_that_is_not_there(eventful: Site, path: str) -> None:
    """An unknown point or device is not found, neither as page nor as CSV."""
    assert (await eventful.visit("chen", path)).status_code == 404
    assert (await eventful.visit("chen", f"{path}/readings.csv?from={NOW}&to={NOW + 1}")).status_code == 404


async def test_csv_has_every_reading_exactly(eventful: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Oldest first, in pieces, times to the millisecond, values bit for bit, flags and tests; for spreadsheets too."""
    monkeypatch.setattr(history, "READ_AT_ONCE", 100)
    answer = await eventful.visit("sun", f"{DEPTH}/readings.csv?from={NOW - 24 * HOUR_MS}&to={NOW + 1}")
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.headers["content-disposition"] == (
        'attachment; filename="gw-1_road-1_depth_20231114T061320-20231115T061320.csv"'
    )
    assert answer.content.startswith(
        b"\xef\xbb\xbftaken_at,taken_at_ms,value,unit,flag,tests,flag_text,tests_text,review\r\n"
    )
    found = list(csv.DictReader(StringIO(answer.content.decode("utf-8-sig"))))
    wanted = list(road(NOW))
    assert [int(row["taken_at_ms"]) for row in found] == [one.taken_at for one in wanted]
    assert [float(row["value"]) if row["value"] else None for row in found] == [one.value for one in wanted]
    assert [(int(row["flag"]), int(row["tests"])) for row in found] == [(one.flag, one.tests) for one in wanted]
    assert found[-1]["taken_at"] == "2023-11-15T06:13:20.000+08:00"
    failed = next(row for row in found if row["flag"] == "4")
    assert (failed["value"], failed["unit"]) == (str(FAILED_MM), "mm")
    assert failed["tests_text"] == "outside what the sensor can measure"


async def test_csv_holds_no_formula(eventful: Site) -> None:
    """No cell begins with what makes a spreadsheet compute, but for the sign of a negative number."""
    readings = [Reading("road-1", "depth", NOW + 1, -5.25), Reading("road-1", "depth", NOW + 2, 1e300)]
    await eventful.services.series.write([batch_of(readings)])
    answer = await eventful.visit("chen", f"{DEPTH}/readings.csv?from={NOW - 24 * HOUR_MS}&to={NOW + 9}", language="zh")
    cells = [cell for row in csv.reader(StringIO(answer.content.decode("utf-8-sig"))) for cell in row]
    begin_oddly = [cell for cell in cells if cell[:1] in {"=", "+", "-", "@", "\t", "\r"}]
    assert begin_oddly == ["-5.25"]


async def test_csv_is_for_those_who_see_the_page(eventful: Site) -> None:
    """A worker gets none."""
    assert (await eventful.visit("wang", f"{DEPTH}/readings.csv?from={NOW - 5}&to={NOW}")).status_code == 404


# ---- readings, newest first ----


def batch_of(readings: Sequence[Reading]) -> Batch:
    kinds = {one.device: "level_transmitter" for one in readings}
    return Batch.of(readings, gateway="gw-1", config_hash="ab", clock=ClockState.SYNCHRONISED, kinds=kinds)


@pytest.fixture
async def store(tmp_path: Path) -> SqliteStore:  # type: ignore[misc]  # it closes what it gives
    """An empty series store."""
    store = SqliteStore(tmp_path / "series.db")
    yield store
    await store.close()


@pytest.mark.parametrize("seed", range(5))
async def test_pages_back_through_any_history(store: SqliteStore, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    """Dense or sparse, each reading of the span comes once, newest first, whatever the size of a page."""
    monkeypatch.setattr(history, "READ_AT_ONCE", 20)
    chance = random.Random(seed)
    times, at = [], NOW
    for _ in range(400):
        at += chance.choice([1, 1, 5, 1000, 60_000, 24 * HOUR_MS])
        times.append(at)
    readings = [Reading("river-1", "flow", one, float(i)) for i, one in enumerate(times)]
    await store.write([batch_of(readings)])
    start, end = times[50], times[-50]
    seen: list[Reading] = []
    has_more = True
    while has_more:
        page, has_more = await newest_first(store, FLOW, start=start, end=end, most=chance.randint(1, 60))
        seen += page
        end = page[-1].taken_at
    assert seen == readings[50:-50][::-1]
    assert await newest_first(store, FLOW, start=1, end=NOW, most=5) == ([], False)


async def test_counts_of_too_many_are_bounded(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Flags are always counted; tests of a long silence only as far as a page may look."""
    monkeypatch.setattr(history, "LOOKED_AT", 10)
    readings = [
        Reading("river-1", "flow", NOW + i * MINUTE_MS, None, Flag.MISSING, Test.NO_ANSWER | Test.REFUSED)
        for i in range(400)
    ]
    await store.write([batch_of(readings)])
    counts = await count_flags(store, FLOW, start=NOW, end=NOW + 400 * MINUTE_MS)
    assert (counts.all, counts.flags[Flag.MISSING], counts.is_complete) == (400, 400, False)
    assert counts.tests == {1: 10, 4: 10}


async def test_the_last_good_value_is_before_what_failed(store: SqliteStore) -> None:
    """Failed and suspect values are not good, missing ones are none; where nothing is good of late there is none."""
    good = Reading("river-1", "flow", NOW - 1, 1.5)
    doubted = Reading("river-1", "flow", NOW, 1.5, Flag.SUSPECT, Test.FLAT)
    bad = [Reading("river-1", "flow", NOW + i, 9999.0, Flag.FAIL, Test.SPAN) for i in range(1, 50)]
    missing = Reading("river-1", "flow", NOW + 60, None, Flag.MISSING, Test.NO_ANSWER)
    await store.write([batch_of([good, doubted, *bad, missing])])
    [heard] = await store.last_heard()
    assert await last_good(store, FLOW, heard=heard) == good
    assert await last_good(store, FLOW, heard=None) is None
    await store.write([batch_of([Reading("river-1", "flow", NOW + 100 + i, 9999.0, Flag.FAIL) for i in range(500)])])
    [heard] = await store.last_heard()
    assert await last_good(store, FLOW, heard=heard) is None


async def test_old_time_is_said_to_be_hours(site: Site, tmp_path: Path) -> None:
    """Where a span reaches into the time of which only hours are kept, the page says so, and only there."""
    list_points(site)
    for day in (50, 49, 48, 0):
        await read_depth(site, "road-1", NOW - day * 24 * HOUR_MS)
    thinning = SqliteStore(tmp_path / "series.db", None, Retention(40, site.clock))
    assert await thinning.forget_expired() == 3
    await thinning.close()
    assert "only the lowest and the highest value of each hour are kept" in await site.see("chen", f"{DEPTH}?range=1y")
    assert "of each hour" not in await site.see("chen", f"{DEPTH}?range=7d")


async def test_tests_of_readings_that_are_gone_are_not_said_to_be_counted(site: Site, tmp_path: Path) -> None:
    """Of hours the flags are known and not the tests that set them, so the count by test is a least one."""
    readings = [Reading("river-1", "flow", NOW - day * 24 * HOUR_MS, 99.0, Flag.FAIL, Test.SPAN) for day in (50, 49, 1)]
    await site.services.series.write([batch_of([*readings, Reading("river-1", "flow", NOW, 1.0)])])
    span = {"start": NOW - 51 * 24 * HOUR_MS, "end": NOW + 1}
    before = await count_flags(site.services.series, FLOW, **span)
    thinning = SqliteStore(tmp_path / "series.db", None, Retention(40, site.clock))
    await thinning.forget_expired()
    await thinning.close()
    after = await count_flags(site.services.series, FLOW, **span)
    assert (before.flags, before.is_complete) == (after.flags, True)
    assert (after.tests, after.is_complete) == ({Test.SPAN: 1}, False)
