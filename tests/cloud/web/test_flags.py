"""The flags of a point by test and by stretch, what its gateway has learned, and what an operator says of them."""

import csv
import re
from io import StringIO
from typing import Any

import pytest

from cloud.quality.reviews import Review, Reviews, Verdict
from cloud.web.flag_words import MEANINGS, REASONS
from cloud.web.flags import MOST_STRETCHES, sheet_of
from cloud.web.limit_notes import NOTES, say_note
from cloud.web.words import TESTS, Language, words
from edge.contract.messages import Flag, Reading, Test
from tests.cloud.web.conftest import Site
from tests.cloud.web.doubtful import DAY_MS, HOUR_MS, MINUTE_MS, live_doubtfully
from tests.cloud.web.test_points import by_test, table_of
from tests.cloud.workorders.samples import NOW

LEVEL = "/gateways/gw-1/devices/river-1/water_level"
DEPTH = "/gateways/gw-1/devices/road-1/depth"
DAY = f"?from={NOW - DAY_MS}&to={NOW + 1}"


@pytest.fixture
async def doubtful(site: Site) -> Site:
    """The pages with a day behind them that cannot be trusted throughout."""
    await live_doubtfully(site.database, site.services.series, NOW)
    return site


def flags(*said: tuple[int, Flag, int]) -> list[Reading]:
    missing = Flag.MISSING
    return [Reading("m", "p", NOW + at, None if flag is missing else at, flag, tests) for at, flag, tests in said]


def said_of(start: int, end: int, verdict: Verdict, tests: int | None = None) -> Review:
    return Review(1, NOW + start, NOW + end, tests, verdict, "chen", NOW, "why")


def sheet(readings: list[Reading], *reviews: Review, length: int = DAY_MS) -> Any:
    return sheet_of(readings, Reviews(reviews), start=NOW, end=NOW + length, beat_ms=MINUTE_MS)


def test_each_test_has_its_line_over_time() -> None:
    """Failed before suspect before missing; where in the span, how often, how long, and what somebody overruled."""
    hour = [(HOUR_MS + minute * MINUTE_MS, Flag.SUSPECT, Test.FLAT | Test.DRIFT) for minute in range(61)]
    readings = flags(*hour, (12 * HOUR_MS, Flag.FAIL, Test.SPAN), (13 * HOUR_MS, Flag.MISSING, Test.NO_ANSWER))
    found = sheet(readings, said_of(0, DAY_MS, Verdict.OVERRULED, Test.DRIFT))
    assert [line.test for line in found.lines] == [Test.SPAN, Test.FLAT, Test.DRIFT, Test.NO_ANSWER]
    failed, flat, drift, missing = found.lines
    assert (flat.count, flat.stretch_ms, flat.open) == (61, HOUR_MS, 61)
    assert [(part.mark, round(part.left * 24), round(part.width * 120)) for part in flat.parts] == [("suspect", 1, 6)]
    assert (drift.overruled, drift.open, drift.by, drift.parts[0].mark) == (61, 0, ["chen"], "overruled")
    assert (failed.parts[0].mark, missing.parts[0].mark, missing.open) == ("failed", "missing", 0)


def test_values_close_to_each_other_are_one_stretch() -> None:
    """Newest first; missing readings are in none; a stretch that is judged says by whom."""
    readings = flags(
        (0, Flag.SUSPECT, Test.RATE),
        (MINUTE_MS, Flag.FAIL, Test.SPAN),
        (2 * MINUTE_MS, Flag.MISSING, Test.NO_ANSWER),
        (HOUR_MS, Flag.SUSPECT, 0),
    )
    found = sheet(readings, said_of(0, HOUR_MS, Verdict.CONFIRMED)).stretches
    assert [(one.first_at - NOW, one.last_at - NOW, one.count, one.tests) for one in found] == [
        (HOUR_MS, HOUR_MS, 1, 0),
        (0, MINUTE_MS, 2, Test.RATE | Test.SPAN),
    ]
    assert [(one.open, one.confirmed) for one in found] == [(1, 0), (0, 2)]
    assert found[1].review is not None
    assert (found[1].flag, found[1].review.who) == (Flag.FAIL, "chen")


def test_only_so_many_stretches_are_shown() -> None:
    """The newest ones, and how many there are beside them."""
    found = sheet(flags(*((hour * HOUR_MS, Flag.SUSPECT, Test.BLIP) for hour in range(20))))
    assert (len(found.stretches), found.more) == (MOST_STRETCHES, 20 - MOST_STRETCHES)
    assert found.stretches[0].first_at == NOW + 19 * HOUR_MS


def test_every_test_is_explained() -> None:
    """Each has a reason and an advice in both languages, and there are reasons to tap for either verdict."""
    assert set(MEANINGS) == set(TESTS) == set(Test)
    texts = [text for one in MEANINGS.values() for text in (one.why, one.help)] + [
        t for r in REASONS.values() for t in r
    ]
    assert all(words(Language.ZH).text(text) != text for text in texts)
    assert set(REASONS) == set(Verdict)


async def test_the_page_says_what_is_wrong(doubtful: Site) -> None:
    """By test with counts, each with what it means and what to do; the newest reading's first of all."""
    text = await doubtful.see("chen", f"{LEVEL}{DAY}")
    assert by_test(text) == {
        "outside what the sensor can measure": "2",
        "stuck": "153",
        "changed too fast": "4",
        "spike": "4",
        "the device did not answer": "10",
    }
    notice = re.search(r'<div class="notice warn">.*?</div></div>', text, re.DOTALL)
    assert notice is not None
    assert "Suspect: stuck" in notice.group()
    assert "Look at the probe" in notice.group()
    assert "longest 2 hours 29 minutes" in text
    zh = await doubtful.visit("chen", f"{DEPTH}{DAY}", language="zh")
    assert "传感器下有东西，可能停了车，也可能是突然涌来的积水：去看看。" in zh.text


async def test_what_was_learned_stands_beside_it(doubtful: Site) -> None:
    """Each limit with its source, and from how many samples of when; a point of which nothing was told says so."""
    text = await doubtful.see("chen", f"{LEVEL}{DAY}")
    limits = re.findall(
        r"<li>\s*<div class=\"head\"><h3>(.*?) <span.*?>(.*?)</span></h3><strong.*?>(.*?)</strong>", text
    )
    assert limits == [
        ("outside what the sensor can measure", "from the profile", "0 mm to 10,000 mm"),
        ("changed too fast", "learned", "at most 46.5 mm/min"),
        ("spike", "learned", "at most 14 mm"),
        ("stuck", "set for this site", "at most 6 hours"),
        ("drifts away", "learned", "−35 mm to 35 mm"),
    ]
    assert "from 12,960 samples" in text
    assert "twice the fastest rise of nine days" in text
    assert "passes: at most 6 hours" in text
    assert "Nothing told yet" in await doubtful.see("chen", f"{DEPTH}{DAY}")


def form_of(
    start: int, end: int, verdict: str = "overruled", reason: str = "seen on site", **more: Any
) -> dict[str, Any]:
    span = {"span_from": f"{NOW - DAY_MS}", "span_to": f"{NOW + 1}"}
    return {"from": f"{start}", "to": f"{end}", "tests": "", "verdict": verdict, "reason": reason, **span, **more}


async def test_an_operator_overrules_a_stretch(doubtful: Site) -> None:
    """Two taps and a reason; then page, table, CSV and chart say so, and the flags stay what they were."""
    at = NOW - 200 * MINUTE_MS
    answer = await doubtful.post("chen", f"{LEVEL}/reviews", form_of(at, at + 1, more="by boat"))
    assert (answer.status_code, answer.headers["location"]) == (
        303,
        f"{LEVEL}?from={NOW - DAY_MS}&to={NOW + 1}&judged=overruled#flags",
    )
    text = await doubtful.see("chen", answer.headers["location"].partition("#")[0])
    assert "Kept: the flags are overruled" in text
    assert by_test(text)["spike"] == "4"
    assert text.count("1 overruled") == 2
    assert "overruled by 陈静: seen on site; by boat" in re.sub(r"<[^>]+>", "", text)
    [row] = table_of(await doubtful.see("chen", f"{LEVEL}?from={at}&to={at + 1}"))
    assert "suspect changed too fast, spike overruled by 陈静: seen on site; by boat" in row
    table = (await doubtful.visit("chen", f"{LEVEL}/readings.csv{DAY}")).content.decode("utf-8-sig")
    reviewed = [row for row in csv.DictReader(StringIO(table)) if row["review"]]
    assert [(row["taken_at_ms"], row["flag"], row["tests"], row["review"]) for row in reviewed] == [
        (f"{at}", "3", f"{Test.SPIKE | Test.RATE:d}", "overruled")
    ]
    query = f"gateway=gw-1&device=river-1&point=water_level&from={at}&to={at + MINUTE_MS + 1}"
    chart = (await doubtful.visit("chen", f"/api/v1/chart?{query}")).json()
    assert (chart["readings"]["flags"], chart["readings"]["reviews"]) == ([3, 1], ["overruled", None])


async def test_all_flags_of_one_test_at_once(doubtful: Site) -> None:
    """A test's form speaks of its own flags in the whole span, and of no other's."""
    form = form_of(NOW - DAY_MS, NOW + 1, "confirmed", tests=f"{Test.FLAT:d}")
    assert (await doubtful.post("chen", f"{LEVEL}/reviews", form)).status_code == 303
    text = await doubtful.see("chen", f"{LEVEL}{DAY}")
    assert "153 confirmed" in text
    assert "4 confirmed" not in text


@pytest.mark.parametrize(
    "change",
    [
        {"reason": " "},
        {"reason": "x" * 501},
        {"verdict": "maybe"},
        {"from": f"{NOW}", "to": f"{NOW}"},
        {"to": f"{NOW + HOUR_MS}"},
        {"tests": "-1"},
        {"from": "yesterday"},
    ],
)
async def test_what_is_no_review_is_not_kept(doubtful: Site, change: dict[str, str]) -> None:
    """Without a reason, of no span or of one that nobody has seen: the page says what is missing, nothing changes."""
    answer = await doubtful.post("chen", f"{LEVEL}/reviews", form_of(NOW - HOUR_MS, NOW) | change)
    assert answer.status_code == 422
    assert "Say why" in answer.text
    assert "overruled by" not in await doubtful.see("chen", f"{LEVEL}{DAY}")


async def test_others_see_and_do_not_judge(doubtful: Site) -> None:
    """An installer sees flags and what operators say of them, without a form; what he posts does not exist."""
    await doubtful.post("chen", f"{LEVEL}/reviews", form_of(NOW - DAY_MS, NOW))
    text = await doubtful.see("sun", f"{LEVEL}{DAY}")
    assert "overruled by 陈静" in re.sub(r"<[^>]+>", "", text)
    assert "/reviews" not in text
    for login in ("sun", "wang"):
        answer = await doubtful.post(login, f"{LEVEL}/reviews", form_of(NOW - DAY_MS, NOW))
        assert answer.status_code == 404
    assert (await doubtful.post("chen", f"{LEVEL}s/reviews", form_of(NOW - DAY_MS, NOW))).status_code == 404


async def test_a_doubtful_sensor_is_seen_at_a_glance(doubtful: Site) -> None:
    """The list has it before all that is well, says why and what helps, and counts it apart; so does the overview."""
    text = await doubtful.see("chen", "/sensors")
    counts = dict(re.findall(r'id="count-(\w+)".*?<span class="number">(\d+)</span>', text, re.DOTALL))
    assert (counts["doubtful"], counts["ok"]) == ("1", "1")
    assert text.index("river-1") < text.index("road-1")
    assert "stuck: Look at the probe: stuck, silted up or frozen?" in text
    only = await doubtful.see("chen", "/sensors?state=doubtful")
    assert ("river-1" in only, "road-1" in only) == (True, False)
    assert 'href="/sensors?state=doubtful"' in await doubtful.see("chen", "/overview")


async def test_a_device_names_the_worst_tests_of_its_last_day(doubtful: Site) -> None:
    """Those that failed values first, then by number; a value that is well now had its troubles all the same."""
    river = await doubtful.see("chen", "/gateways/gw-1/devices/river-1")
    named = re.search(r'<small class="doubts"><a href="([^"]+)">(.*?)</a>', river, re.DOTALL)
    assert named is not None
    assert named.groups() == (
        f"{LEVEL}?range=24h#flags",
        "outside what the sensor can measure 2, stuck 153, changed too fast 4",
    )
    assert "Suspect: stuck" in river
    path = "/gateways/gw-1/devices/road-1"
    road = await doubtful.see("chen", path)
    assert "box: something stands under it 85, blip 9" in road
    assert "not to be trusted" not in road
    await doubtful.post("chen", f"{DEPTH}/reviews", form_of(NOW - DAY_MS, NOW, tests=f"{Test.BOX:d}"))
    road = await doubtful.see("chen", path)
    assert ("box:" in road, "blip 9" in road) == (False, True)


@pytest.mark.parametrize("source", NOTES)
def test_how_a_limit_was_found_is_said_in_chinese(source: str) -> None:
    """Every sentence that gateways say of limits is known with whatever stands in it; another one stays as it is."""
    there = re.sub(r"%\((\w+)\)s", r"<\1.5>", source)
    assert say_note(words(Language.EN), there) == there
    zh = say_note(words(Language.ZH), there)
    assert zh != there
    assert set(re.findall(r"<\w+\.5>", zh)) == set(re.findall(r"<\w+\.5>", there))
    assert say_note(words(Language.ZH), "100 % of it, as %(nobody)s says") == "100 % of it, as %(nobody)s says"
