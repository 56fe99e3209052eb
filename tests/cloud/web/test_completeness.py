"""Strips of completeness: every slot of the whole span, told apart by what came in it; exact counts and shares."""

import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.gateway_states import take_inventory
from cloud.series import Bucket, Coverage, Slot
from cloud.web.completeness import (
    QUARTER_MS,
    CellState,
    Channel,
    Span,
    Strip,
    _cells,
    _long_slot_ms,
    _runs,
    _share,
    _slot_ms,
    bounds_of,
)
from cloud.web.day_lines import HEIGHT, WIDTH, day_line
from cloud.web.formats import DAY_MS, HOUR_MS, MINUTE_MS
from edge.contract.messages import DeviceInventory, Inventory, PointInventory
from tests.cloud.web.conftest import Site
from tests.cloud.web.eventful import live_through
from tests.cloud.workorders.samples import NOW

START = NOW // QUARTER_MS * QUARTER_MS


def make_channel(heartbeat_ms: int = MINUTE_MS, expected_from: int | None = START) -> Channel:
    return Channel(
        gateway="gw-1",
        device="road-1",
        point="depth",
        device_name="road",
        heartbeat_ms=heartbeat_ms,
        expected_from=expected_from,
    )


def states(slots: list[Slot], *, since: int | None = START, now: int = START + HOUR_MS, count: int = 4) -> str:
    """Return the first letters of the states of quarters of an hour from START on."""
    coverage = Coverage("road-1", "depth", MINUTE_MS, slots)
    starts = range(START, START + count * QUARTER_MS, QUARTER_MS)
    cells = _cells(coverage, make_channel(expected_from=since), starts, now)
    return "".join(cell.state[0] for cell in cells)


def test_each_slot_says_what_came_in_it() -> None:
    """Full, partial, said to be missing, nothing; before the gateway was heard and what is not due yet are neither."""
    full, partial = Slot(START, 15, 0), Slot(START + QUARTER_MS, 14, 1)
    missing = Slot(START + 2 * QUARTER_MS, 0, 15)
    assert states([full, partial, missing], now=START + DAY_MS) == "fpmn"
    assert states([full], now=START + QUARTER_MS + MINUTE_MS) == "faaa"
    assert states([], since=START + 2 * QUARTER_MS, now=START + DAY_MS) == "eenn"
    assert states([], since=None) == "eeee"


def test_the_latest_reading_may_be_on_its_way() -> None:
    """A beat that has just ended is not yet expected; what came of it all the same makes nothing more than full."""
    quarter = [Slot(START, 5, 0)]
    assert states(quarter, now=START + 6 * MINUTE_MS, count=1) == "f"
    assert states(quarter, now=START + 7 * MINUTE_MS, count=1) == "p"
    assert states([Slot(START, 7, 0)], now=START + 6 * MINUTE_MS, count=1) == "f"


def test_what_came_before_the_gateway_was_heard_counts_as_full() -> None:
    """Readings that waited in the gateway are older than its first status."""
    assert states([Slot(START, 15, 0)], since=START + 2 * QUARTER_MS, now=START + DAY_MS) == "fenn"


@given(
    heartbeat=st.integers(1, 40 * 86_400) | st.sampled_from([1, 60, 600, 3600, 86_400]),
    span=st.sampled_from(list(Span)),
)
def test_slots_fit_the_heartbeat(heartbeat: int, span: Span) -> None:
    """A slot holds a heartbeat where a day does, and its strip is the whole span."""
    channel = make_channel(heartbeat * 1000)
    for slot_ms in (_slot_ms(span, channel), _long_slot_ms(channel)):
        assert slot_ms >= min(heartbeat * 1000, DAY_MS)
        assert DAY_MS % slot_ms == 0
    start, end = bounds_of(span, NOW)
    assert end - start == span.days * DAY_MS
    assert NOW <= end < NOW + QUARTER_MS


@given(st.lists(st.tuples(st.integers(0, 15), st.integers(0, 15)), min_size=1, max_size=200))
def test_runs_and_code_lose_no_cell(counts: list[tuple[int, int]]) -> None:
    """Runs lie side by side over the whole strip, the script reads each cell's counts, and the share is theirs."""
    slots = [Slot(START + i * QUARTER_MS, valued, missing) for i, (valued, missing) in enumerate(counts)]
    starts = range(START, START + len(counts) * QUARTER_MS, QUARTER_MS)
    cells = _cells(Coverage("road-1", "depth", MINUTE_MS, slots), make_channel(), starts, START + 400 * DAY_MS)
    runs = _runs(cells, START, QUARTER_MS)
    assert runs[0].left == 0
    assert runs[-1].end == starts[-1] + QUARTER_MS
    for one, following in pairwise(runs):
        assert one.left + one.width == pytest.approx(following.left)
        assert (one.end, one.state == following.state) == (following.start, False)
    strip = Strip(channel=make_channel(), slot_ms=QUARTER_MS, cells=cells, runs=runs, day=None, month=None)
    decoded = [part.split("*") for part in strip.code.split(" ")]
    assert [said for said, times in decoded for _ in range(int(times))] == [
        f"{valued}/{missing}/15" for valued, missing in counts
    ]
    assert _share(cells) == pytest.approx(sum(valued for valued, _ in counts) / (15 * len(counts)))
    assert [run.state for run in strip.holes] == [
        run.state for run in runs if run.state in {CellState.NONE, CellState.MISSING}
    ]


async def test_a_day_in_which_everything_happened(site: Site) -> None:
    """The strip of the flooded road shows its hour without data and its half hour of missing, and says them."""
    await live_through(site.database, site.services.series, NOW)
    text = await site.see("chen", "/completeness?q=road-1")
    [strip] = re.findall(r"<svg class=\"strip\".*?</svg>", text, re.DOTALL)
    seen = re.findall(r'<rect class="(\w+)" x="([\d.]+)%" width="([\d.]+)%"', strip)
    assert [state for state, _, _ in seen] == [
        "early",
        "full",
        "partial",
        "none",
        "partial",
        "full",
        "partial",
        "missing",
        "partial",
        "full",
    ]
    assert sum(float(width) for _, _, width in seen) == pytest.approx(100, abs=0.01)
    assert re.search(r'aria-label="[^"]*reported missing 11-15|aria-label="[^"]*no data', strip)
    day, month = re.findall(r'<span class="badge warn">([\d.]+) %', text)
    assert float(day) == pytest.approx(100 * 1111 / 1201, abs=0.2)
    assert float(month) == pytest.approx(float(day), abs=0.3)
    assert 'href="/gateways/gw-1/devices/road-1/depth"' in text


async def test_each_span_and_filter(site: Site) -> None:
    """A week and a month have their own slots; the filters of the list narrow the strips too."""
    await live_through(site.database, site.services.series, NOW)
    for span, slot_ms in {"24h": 15 * MINUTE_MS, "7d": 2 * HOUR_MS, "30d": 6 * HOUR_MS}.items():
        text = await site.see("chen", f"/completeness?range={span}&state=offline")
        assert re.findall(r'data-slot="(\d+)"', text) == [str(slot_ms)]
        assert "river-1" not in text.split("<tbody>")[0]
    assert "4 channels" in await site.see("chen", "/completeness")
    assert "None that fits these filters" in await site.see("chen", "/completeness?kind=camera")
    assert (await site.visit("chen", "/completeness?range=5d")).status_code == 404


async def test_a_rare_reading_has_a_longer_slot(site: Site) -> None:
    """Of a point that is read every third hour no quarter of an hour is called empty."""
    await live_through(site.database, site.services.series, NOW)
    points = [PointInventory("depth", "mm", 10_000.0, 10_000.0)]
    inventory = Inventory(gateway="gw-1", config_hash="ab", devices=[DeviceInventory("road-1", "meter", "", points)])
    site.write(lambda c: take_inventory(c, inventory, now_ms=NOW))
    text = await site.see("chen", "/completeness?q=road-1")
    assert re.findall(r'data-slot="(\d+)"', text) == [str(3 * HOUR_MS)]


# ---- the small drawing of a day ----


def make_bucket(part: int, low: float | None, high: float | None) -> Bucket:
    return Bucket(NOW + part * QUARTER_MS, low, high, None, None, 1, 0, 0, 0, 0)


def test_a_day_line_has_gaps_and_bounds() -> None:
    """The curve stays inside its drawing, and nothing is drawn where longer than a part and a beat nothing came."""
    parts = [0, 1, 2, 10, 11]
    line = day_line(
        [make_bucket(part, float(part), part + 0.5) for part in parts],
        start=NOW,
        width_ms=QUARTER_MS,
        beat_ms=MINUTE_MS,
    )
    assert line is not None
    assert (line.low, line.high) == (0, 11.5)
    assert line.line.count("M") == line.band.count("M") == 2
    numbers = [float(one) for one in re.findall(r"-?[\d.]+", line.line)]
    assert all(0 <= x <= WIDTH for x in numbers[::2])
    assert all(0 <= y <= HEIGHT for y in numbers[1::2])


def test_a_day_without_values_has_no_line() -> None:
    """Failed and missing readings alone draw nothing; a single value that never changes draws a level line."""
    assert day_line([], start=NOW, width_ms=QUARTER_MS, beat_ms=MINUTE_MS) is None
    assert day_line([make_bucket(3, None, None)], start=NOW, width_ms=QUARTER_MS, beat_ms=MINUTE_MS) is None
    level = day_line([make_bucket(3, 5, 5)], start=NOW, width_ms=QUARTER_MS, beat_ms=MINUTE_MS)
    assert level is not None
    assert level.line == "M6.0 16.0 8.0 16.0"
