"""Work time, measured and added, is what counting minute by minute gives; its file is checked as a whole."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloud.workorders.work_time import WEEK, Holiday, WorkCalendar, WorkHours, WorkTimeFile, work_time
from edge.contract.config_file import ConfigError, load_yaml

SHANGHAI = ZoneInfo("Asia/Shanghai")
MINUTE, HOUR = 60_000, 3_600_000
CALENDAR = WorkCalendar(work_time(), SHANGHAI)


def at(text: str, zone: ZoneInfo = SHANGHAI) -> int:
    """Return a local time in ms UTC."""
    return int(datetime.fromisoformat(text).replace(tzinfo=zone).timestamp() * 1000)


def local(ms: int, zone: ZoneInfo = SHANGHAI) -> str:
    """Return the local time, to the minute."""
    return f"{datetime.fromtimestamp(ms / 1000, UTC).astimezone(zone):%Y-%m-%d %H:%M}"


@pytest.mark.parametrize(
    ("since", "hours", "over"),
    [
        ("2026-11-23 08:00", 4, "2026-11-23 12:00"),  # a Monday; over at noon, not after the lunch break
        ("2026-11-23 08:00", 4.5, "2026-11-23 14:30"),
        ("2026-11-23 12:30", 1, "2026-11-23 15:00"),
        ("2026-11-23 17:30", 1, "2026-11-24 08:30"),
        ("2026-11-27 17:30", 1, "2026-11-30 08:30"),  # over a weekend
        ("2026-11-28 03:00", 8, "2026-11-30 18:00"),
        ("2026-09-30 16:00", 4, "2026-10-08 10:00"),  # over the national holiday
        ("2026-10-10 08:00", 8, "2026-10-10 18:00"),  # a Saturday that is worked for it
        ("2026-02-13 17:00", 2, "2026-02-14 09:00"),
    ],
)
def test_work_hours_by_the_calendar(since: str, hours: float, over: str) -> None:
    """Lunch, evenings, weekends and holidays stand still; weekends that are worked for a holiday count."""
    found = CALENDAR.time_after(at(since), round(hours * HOUR))
    assert local(found) == over
    assert CALENDAR.worked_ms(at(since), found) == hours * HOUR


def is_worked(file: WorkTimeFile, moment: datetime) -> bool:
    """Say of one minute whether people work in it, by the file alone."""
    day = moment.date()
    if any(holiday.first <= day <= holiday.last for holiday in file.holidays):
        return False
    made_up = any(day in holiday.made_up_on for holiday in file.holidays)
    if WEEK[day.weekday()] not in file.weekdays and not made_up:
        return False
    return any(hours.start <= f"{moment:%H:%M}" < hours.end for hours in file.hours)


@st.composite
def files(draw: st.DrawFn) -> WorkTimeFile:
    """Any hours and weekdays, with holidays in the last weeks of 2026."""
    marks = sorted(draw(st.sets(st.integers(0, 96), min_size=2, max_size=6).filter(lambda found: len(found) % 2 == 0)))
    times = [f"{mark // 4:02}:{mark % 4 * 15:02}" for mark in marks]
    hours = tuple(WorkHours(start=start, end=end) for start, end in zip(times[::2], times[1::2], strict=True))
    first = date(2026, 11, 16) + timedelta(days=draw(st.integers(0, 10)))
    last = first + timedelta(days=draw(st.integers(0, 4)))
    later = draw(st.sets(st.integers(1, 6), max_size=2))
    made_up = tuple(last + timedelta(days=days) for days in sorted(later))
    holiday = Holiday(name="节", first=first, last=last, made_up_on=made_up)
    worked = draw(st.sets(st.sampled_from(WEEK), min_size=1))
    weekdays = tuple(day for day in WEEK if day in worked)
    return WorkTimeFile(hours=hours, weekdays=weekdays, holidays=(holiday,))


ZONES = st.sampled_from(["Asia/Shanghai", "UTC", "Asia/Kathmandu", "America/St_Johns"]).map(ZoneInfo)
MINUTES = st.integers(0, 14 * 24 * 60)


@settings(max_examples=150)
@given(file=files(), zone=ZONES, since=MINUTES, length=st.integers(0, 7 * 24 * 60), extra_ms=st.integers(0, 59_999))
def test_worked_time_is_what_counting_minutes_gives(
    file: WorkTimeFile, zone: ZoneInfo, since: int, length: int, extra_ms: int
) -> None:
    """Between any two minutes there is as much work time as there are worked minutes; parts of a minute add up."""
    calendar = WorkCalendar(file, zone)
    start = datetime(2026, 11, 12, tzinfo=zone) + timedelta(minutes=since)
    first_ms = int(start.timestamp() * 1000)
    worked = sum(is_worked(file, start + timedelta(minutes=number)) for number in range(length))
    last_ms = first_ms + length * MINUTE
    assert calendar.worked_ms(first_ms, last_ms) == worked * MINUTE
    in_next = extra_ms if is_worked(file, start + timedelta(minutes=length)) else 0
    assert calendar.worked_ms(first_ms, last_ms + extra_ms) == worked * MINUTE + in_next
    assert calendar.worked_ms(last_ms + extra_ms, first_ms) == 0


@settings(max_examples=150)
@given(file=files(), zone=ZONES, since=MINUTES, minutes=st.integers(1, 3 * 24 * 60), part_ms=st.integers(0, 59_999))
def test_the_end_of_a_limit_is_the_first_time_when_it_is_used_up(
    file: WorkTimeFile, zone: ZoneInfo, since: int, minutes: int, part_ms: int
) -> None:
    """At the time found all of the work time has passed, a millisecond before it one millisecond was left."""
    calendar = WorkCalendar(file, zone)
    start_ms = int((datetime(2026, 11, 12, tzinfo=zone) + timedelta(minutes=since)).timestamp() * 1000) + part_ms
    wanted = minutes * MINUTE + part_ms
    over = calendar.time_after(start_ms, wanted)
    assert calendar.worked_ms(start_ms, over) == wanted
    assert calendar.worked_ms(start_ms, over - 1) == wanted - 1


def test_a_day_of_24_hours_is_like_the_clock() -> None:
    """A city that works around the clock writes so, and work hours are hours."""
    file = WorkTimeFile(hours=(WorkHours(start="00:00", end="24:00"),), weekdays=WEEK)
    found = WorkCalendar(file, SHANGHAI).time_after(at("2026-11-28 22:00"), 30 * HOUR)
    assert local(found) == "2026-11-30 04:00"


GOOD = """
hours: [{start: "08:00", end: "12:00"}, {start: "14:00", end: "18:00"}]
weekdays: [monday]
holidays: [{name: 节, first: 2026-10-01, last: 2026-10-07, made_up_on: [2026-10-10]}]
"""


@pytest.mark.parametrize(
    ("good", "bad", "sentence"),
    [
        ('"12:00"', '"07:00"', "hours.0: ends at 07:00, not after it starts at 08:00"),
        ('"14:00"', '"11:00"', "hours.1: starts at 11:00, before the hours above end at 12:00"),
        ('"08:00"', '"8:00"', 'hours.0.start: expected a time of day in quotes, such as "08:00", found "8:00"'),
        ("[monday]", "[monda]", '(did you mean "monday"?)'),
        ("last: 2026-10-07", "last: 2026-09-30", "holidays.0.last: must be from 2026-10-01 to 30 days later"),
        ("last: 2026-10-07", "last: 2036-10-07", "holidays.0.last: must be from 2026-10-01 to 30 days later"),
        ("[2026-10-10]", "[2026-10-02]", "holidays.0.made_up_on: 2026-10-02 is a day off: it cannot be worked too"),
        ("weekdays: [monday]", "weekdays: []", "weekdays"),
    ],
)
def test_a_mistake_in_the_file_is_told(tmp_path: Path, good: str, bad: str, sentence: str) -> None:
    """Hours that overlap or end before they start, days that are no days: each is said where it stands."""
    path = tmp_path / "work_time.yaml"
    path.write_text(GOOD)
    load_yaml(path, WorkTimeFile)
    path.write_text(GOOD.replace(good, bad, 1))
    with pytest.raises(ConfigError) as told:
        load_yaml(path, WorkTimeFile)
    assert sentence in str(told.value)
