"""How complete the readings of channels are: strips with a cell for each expected slot of the whole span.

A page shows them with templates/parts/completeness.html and the script `js/strips.js`:

    sheet = await device_sheet(page, gateway, device)                    the last 24 hours of each point
    sheet = await gateway_sheet(page, gateway, most=25)                  of the first channels behind a gateway
    sheet = await sheet_of(page, channels, Span.MONTH)                   of any channels

    {% import "parts/completeness.html" as completeness with context %}
    {% block head %}<script src="{{ asset('js/strips.js') }}" defer></script>{% endblock %}
    {{ completeness.sheet(page, sheet) }}

No strip is shorter because nothing came: each one spans the same time, up to now.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from enum import StrEnum
from itertools import groupby

from msgspec import Struct, structs
from sqlalchemy import Connection, select

from cloud.gateway_states import gateway_states
from cloud.health import DeviceHealth, Health, Reason
from cloud.series import MAX_BEATS, Coverage, Expected
from cloud.web.conditions import health_of
from cloud.web.formats import DAY_MS, HOUR_MS, MINUTE_MS, Formats
from cloud.web.page import Page

AT_ONCE = 3
"""Questions to the store at a time: as many as it answers side by side."""
QUARTER_MS = 15 * MINUTE_MS


class Span(StrEnum):
    """What a strip spans, up to now."""

    DAY = "24h"
    WEEK = "7d"
    MONTH = "30d"

    @property
    def days(self) -> int:
        """How long it is."""
        return {Span.DAY: 1, Span.WEEK: 7, Span.MONTH: 30}[self]

    @property
    def slot_ms(self) -> int:
        """What a cell stands for, where a reading is expected at least as often."""
        return {Span.DAY: QUARTER_MS, Span.WEEK: 2 * HOUR_MS, Span.MONTH: 6 * HOUR_MS}[self]


FIGURES = (Span.DAY, Span.MONTH)
"""Over which the share that is complete is told."""
SLOTS_MS = tuple(HOUR_MS * hours for hours in (1, 2, 3, 4, 6, 8, 12, 24))


class CellState(StrEnum):
    """What can be said of one slot."""

    FULL = "full"  # a value in each beat in which one was expected
    PARTIAL = "partial"
    MISSING = "missing"  # the gateway said, and said only, that there was no value
    NONE = "none"  # nothing came
    EARLY = "early"  # the gateway had never been heard yet
    AHEAD = "ahead"  # nothing is due yet


class Cell(Struct, frozen=True):
    """One slot: in how many of the expected beats there was a value, and in how many only the word that it misses."""

    state: CellState
    valued: int
    missing: int
    expected: int


class Run(Struct, frozen=True):
    """Cells of one state side by side, as shares of the whole strip, and when that was."""

    state: CellState
    left: float
    width: float
    start: int
    end: int


class Channel(Struct, frozen=True, kw_only=True):
    """A point of which a reading is expected each `heartbeat_ms`, since its gateway was first heard."""

    gateway: str
    device: str
    point: str
    device_name: str
    heartbeat_ms: int
    expected_from: int | None

    @property
    def path(self) -> str:
        """Where its page is."""
        return f"/gateways/{self.gateway}/devices/{self.device}/{self.point}"


class Strip(Struct, frozen=True, kw_only=True):
    """One channel over the span of its sheet."""

    channel: Channel
    slot_ms: int
    cells: list[Cell]
    runs: list[Run]
    day: float | None  # the share of the last 24 hours, 完整率; None: nothing was expected
    month: float | None  # of the last 30 days

    @property
    def code(self) -> str:
        """Return valued/missing/expected of each cell for the script; the same again and again once, with a number."""
        counts = (f"{cell.valued}/{cell.missing}/{cell.expected}" for cell in self.cells)
        return " ".join(f"{each}*{len(list(same))}" for each, same in groupby(counts))

    @property
    def holes(self) -> list[Run]:
        """The runs without a value."""
        return [run for run in self.runs if run.state in {CellState.NONE, CellState.MISSING}]


class Sheet(Struct, frozen=True, kw_only=True):
    """Strips over one span; `left_out` channels are not among them."""

    span: Span
    start: int
    end: int
    strips: list[Strip]
    left_out: int = 0

    def ticks(self, formats: Formats) -> list[tuple[float, int]]:
        """Return a few round local times of the axis, each with its place as a share of the whole."""
        hours, step = {Span.DAY: (6, 1), Span.WEEK: (24, 1), Span.MONTH: (24, 5)}[self.span]
        quarters = range(self.start, self.end, QUARTER_MS)
        local = ((at, formats.local(at)) for at in quarters)
        round_times = [at for at, there in local if there.minute == 0 and there.hour % hours == 0]
        return [((at - self.start) / (self.end - self.start), at) for at in round_times[::step]]


def channels_of(device: DeviceHealth, expected_from: int | None) -> Iterator[Channel]:
    """Give the channels of a device, without what its machine cannot tell: of that nothing is expected."""
    for point in device.points:
        if point.reason is Reason.NOT_OFFERED:
            continue
        yield Channel(
            gateway=device.gateway,
            device=device.device,
            point=point.point,
            device_name=device.name or device.device,
            heartbeat_ms=max(round(point.interval_s * 1000), 1),
            expected_from=expected_from,
        )


def channels_of_all(health: Health, first_seen: dict[str, int]) -> list[Channel]:
    """Return every channel of every gateway, in order."""
    devices = (device for gateway in health.gateways for device in gateway.devices)
    return [one for device in devices for one in channels_of(device, first_seen.get(device.gateway))]


def read_first_seen(connection: Connection) -> dict[str, int]:
    """Return when each gateway was first heard."""
    columns = (gateway_states.c[name] for name in ("gateway", "first_seen"))
    return {row.gateway: row.first_seen for row in connection.execute(select(*columns))}


async def device_sheet(page: Page, gateway: str, device: str, span: Span = Span.DAY) -> Sheet:
    """Return the strips of a device's points; none for a device that is not known."""
    return await sheet_of(page, [one for one in await _channels_of(page, gateway) if one.device == device], span)


async def gateway_sheet(page: Page, gateway: str, span: Span = Span.DAY, *, most: int = 25) -> Sheet:
    """Return the strips of the first channels behind a gateway."""
    channels = await _channels_of(page, gateway)
    return structs.replace(await sheet_of(page, channels[:most], span), left_out=max(len(channels) - most, 0))


async def _channels_of(page: Page, gateway: str) -> list[Channel]:
    health = await health_of(page, gateway)
    return channels_of_all(health, await page.read(read_first_seen))


async def sheet_of(page: Page, channels: Sequence[Channel], span: Span) -> Sheet:
    """Return the strips of channels, in their order, with what was complete of the last day and month."""
    start, end = bounds_of(span, page.now_ms)
    cells, *others = await asyncio.gather(
        _cells_of(page, channels, span, lambda one: _slot_ms(span, one)),
        *(_cells_of(page, channels, each, _long_slot_ms) for each in FIGURES if each is not span),
    )
    day, month = [map(_share, cells if each is span else others.pop(0)) for each in FIGURES]
    strips = [
        Strip(
            channel=channel,
            slot_ms=_slot_ms(span, channel),
            cells=of_channel,
            runs=_runs(of_channel, start, _slot_ms(span, channel)),
            day=of_day,
            month=of_month,
        )
        for channel, of_channel, of_day, of_month in zip(channels, cells, day, month, strict=True)
    ]
    return Sheet(span=span, start=start, end=end, strips=strips)


def bounds_of(span: Span, now_ms: int) -> tuple[int, int]:
    """Return where a span begins and ends: with the quarter of an hour that has begun."""
    end = -(-now_ms // QUARTER_MS) * QUARTER_MS
    return end - span.days * DAY_MS, end


def _slot_ms(span: Span, channel: Channel) -> int:
    """Return the length of a slot in which a reading is expected, if possible that of the span."""
    slots = [span.slot_ms, *(each for each in SLOTS_MS if each > span.slot_ms)]
    return next((each for each in slots if each >= channel.heartbeat_ms), slots[-1])


def _long_slot_ms(channel: Channel) -> int:
    """Return the longest slot that is still counted heartbeat by heartbeat: for a figure, few of them are asked for."""
    fitting = [each for each in SLOTS_MS if channel.heartbeat_ms <= each <= MAX_BEATS * channel.heartbeat_ms]
    return fitting[-1] if fitting else SLOTS_MS[-1 if channel.heartbeat_ms > HOUR_MS else 0]


async def _cells_of(
    page: Page, channels: Sequence[Channel], span: Span, slot_of: Callable[[Channel], int]
) -> list[list[Cell]]:
    start, end = bounds_of(span, page.now_ms)
    limit = asyncio.Semaphore(AT_ONCE)

    async def ask(gateway: str, slot_ms: int, some: Sequence[Channel]) -> list[Coverage]:
        expected = [Expected(one.device, one.point, one.heartbeat_ms) for one in some]
        async with limit:
            return await page.services.series.coverage(gateway, expected, start_ms=start, end_ms=end, slot_ms=slot_ms)

    groups = list(_groups(channels, slot_of))
    answers = await asyncio.gather(*(ask(*group) for group in groups))
    found = {
        (gateway, one.device, one.point): one
        for (gateway, _, _), answer in zip(groups, answers, strict=True)
        for one in answer
    }
    return [
        _cells(found[one.gateway, one.device, one.point], one, range(start, end, slot_of(one)), page.now_ms)
        for one in channels
    ]


def _groups(
    channels: Sequence[Channel], slot_of: Callable[[Channel], int]
) -> Iterator[tuple[str, int, Sequence[Channel]]]:
    """Give what can be asked together, in pieces small enough that several are worked on side by side."""
    together: dict[tuple[str, int], list[Channel]] = {}
    for one in channels:
        together.setdefault((one.gateway, slot_of(one)), []).append(one)
    size = max(-(-len(channels) // AT_ONCE), 1)
    for (gateway, slot_ms), some in together.items():
        for first in range(0, len(some), size):
            yield gateway, slot_ms, some[first : first + size]


def _cells(coverage: Coverage, channel: Channel, starts: range, now_ms: int) -> list[Cell]:
    """Return the state of each slot. The reading of the latest beat may still be on its way: it is not yet due."""
    slots = {slot.start: slot for slot in coverage.slots}
    since = now_ms if channel.expected_from is None else channel.expected_from
    until = now_ms - coverage.beat_ms
    found = []
    for start in starts:
        slot, end = slots.get(start), start + starts.step
        valued, missing = (slot.valued, slot.missing) if slot else (0, 0)
        due = max(min(end, until) - max(start, since), 0) // coverage.beat_ms
        expected = due or min(valued, 1)  # what came early or unasked is no more than was expected
        found.append(_cell(min(valued, expected), missing, expected, is_early=end <= since))
    return found


def _cell(valued: int, missing: int, expected: int, *, is_early: bool) -> Cell:
    return Cell(_state(valued, missing, expected, is_early=is_early), valued, missing, expected)


def _state(valued: int, missing: int, expected: int, *, is_early: bool) -> CellState:
    if expected and valued >= expected:
        return CellState.FULL
    if valued:
        return CellState.PARTIAL
    if missing:
        return CellState.MISSING
    if expected:
        return CellState.NONE
    return CellState.EARLY if is_early else CellState.AHEAD


def _runs(cells: Sequence[Cell], start: int, slot_ms: int) -> list[Run]:
    found, first = [], 0
    for state, same in groupby(cells, key=lambda cell: cell.state):
        count = len(list(same))
        begins, ends = (start + slot_ms * index for index in (first, first + count))
        found.append(Run(state, first / len(cells), count / len(cells), begins, ends))
        first += count
    return found


def _share(cells: Sequence[Cell]) -> float | None:
    """Return in how many of the expected beats there was a value."""
    expected = sum(cell.expected for cell in cells)
    return sum(cell.valued for cell in cells) / expected if expected else None
