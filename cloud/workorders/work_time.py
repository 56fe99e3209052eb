"""Work time: when limits in work hours and work days run; pure.

What it is stands in `firmware_configs/work_time.yaml`; a city replaces the file, not the code. Errors: `ConfigError`.
"""

from bisect import bisect_left
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from functools import cache
from itertools import pairwise
from typing import Annotated, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import Field, StringConstraints, model_validator

from edge.contract.config_file import ConfigModel, Key, Misfit, load_yaml
from edge.contract.event_classes import Limit
from edge.contract.forms import Form
from edge.contract.profile import config_folder

Weekday = Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
WEEK: tuple[Weekday, ...] = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
TIME_OF_DAY = Form(r"([01][0-9]|2[0-3]):[0-5][0-9]|24:00", 'a time of day in quotes, such as "08:00"')
MINUTE_MS, HOUR_MS = 60_000, 3_600_000
LONGEST_HOLIDAY_DAYS = 31

TimeOfDay = Annotated[str, TIME_OF_DAY]


class WorkHours(ConfigModel):
    """A part of the day in which people work."""

    start: TimeOfDay = Field(description="Included, local time.")
    end: TimeOfDay = Field(description='Not included, local time; "24:00" is the end of the day.')


class Holiday(ConfigModel):
    """Days off, and the days at weekends that are worked for them 调休."""

    name: Annotated[str, StringConstraints(min_length=1, max_length=100)] = Field(description="As people call it.")
    first: date = Field(description="First day off.")
    last: date = Field(description="Last day off, included.")
    made_up_on: tuple[date, ...] = Field(default=(), description="Days at weekends that are worked instead.")

    @model_validator(mode="after")
    def _ends_after_it_begins(self) -> Self:
        if not 0 <= (self.last - self.first).days < LONGEST_HOLIDAY_DAYS:
            raise Misfit([(("last",), f"must be from {self.first} to {LONGEST_HOLIDAY_DAYS - 1} days later")])
        return self

    def days(self) -> Iterator[date]:
        """Give every day off."""
        for number in range((self.last - self.first).days + 1):
            yield self.first + timedelta(days=number)


class Lateness(ConfigModel):
    """When an event is heard late, because its gateway was cut off."""

    after_minutes: float = Field(default=15, gt=0, le=1440, description="After it was confirmed.")
    wait_minutes: float = Field(
        default=2, gt=0, le=60, description="How long its end is waited for, before it opens an order."
    )


class WorkTimeFile(ConfigModel):
    """When people work, and how long the office has for its own steps."""

    hours: tuple[WorkHours, ...] = Field(min_length=1, description="Of every work day, in order.")
    weekdays: tuple[Weekday, ...] = Field(min_length=1, description="Days of the week that are worked.")
    hours_per_day: float = Field(default=8, gt=0, le=24, description="Work hours that one work_day of a limit is.")
    accept: Limit | None = Field(default=None, description="How long an order may wait to be accepted.")
    dispatch: Limit | None = Field(default=None, description="How long an accepted order may wait for its worker.")
    late: Lateness = Field(default=Lateness(), description="When what a gateway saw is heard late.")
    holidays: tuple[Holiday, ...] = Field(default=(), description="Days off, and days worked for them.")

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        problems: list[tuple[Key, str]] = [
            (("hours", i), f"ends at {hours.end}, not after it starts at {hours.start}")
            for i, hours in enumerate(self.hours)
            if hours.end <= hours.start
        ]
        problems += [
            (("hours", i), f"starts at {later.start}, before the hours above end at {earlier.end}")
            for i, (earlier, later) in enumerate(pairwise(self.hours), start=1)
            if later.start < earlier.end
        ]
        off = {day for holiday in self.holidays for day in holiday.days()}
        problems += [
            (("holidays", i, "made_up_on"), f"{day} is a day off: it cannot be worked too")
            for i, holiday in enumerate(self.holidays)
            for day in holiday.made_up_on
            if day in off
        ]
        if problems:
            raise Misfit(problems)
        return self


@cache
def work_time() -> WorkTimeFile:
    """Return what work_time.yaml says. Raises ConfigError."""
    return load_yaml(config_folder() / "work_time.yaml", WorkTimeFile)


class WorkCalendar:
    """Measures work time between two times, and finds when some of it is over; each in a few microseconds.

    Times are ms UTC. Every work day has the same hours on the local clock, so the work time since the first of days is
    a count of work days, found without walking through them, and a part of one day.
    """

    def __init__(self, file: WorkTimeFile, timezone: ZoneInfo) -> None:
        self._timezone = timezone
        self._spans = [(_ms_of_day(hours.start), _ms_of_day(hours.end)) for hours in file.hours]
        self._day_ms = sum(end - start for start, end in self._spans)
        self._worked = [WEEK[number] in file.weekdays for number in range(7)]
        self._before_in_week = [sum(self._worked[:number]) for number in range(8)]
        off = {day.toordinal() for holiday in file.holidays for day in holiday.days()}
        made_up = {day.toordinal() for holiday in file.holidays for day in holiday.made_up_on}
        self._off = sorted(day for day in off if self._is_worked_weekly(day))
        self._made_up = sorted(day for day in made_up if not self._is_worked_weekly(day))

    def worked_ms(self, since_ms: int, until_ms: int) -> int:
        """Return how much work time lies between two times; 0 when the second is the earlier one."""
        return max(0, self._position(until_ms) - self._position(since_ms))

    def time_after(self, since_ms: int, worked_ms: int) -> int:
        """Return the first time at which `worked_ms` of work time, more than none, have passed."""
        days, rest_ms = divmod(self._position(since_ms) + worked_ms, self._day_ms)
        if rest_ms == 0:  # over at the end of a work day, not at the beginning of the next
            days, rest_ms = days - 1, self._day_ms
        day = self._work_day(days, since=self._local(since_ms).toordinal())
        for start, end in self._spans:
            if rest_ms <= end - start:
                return self._in_ms(day, start + rest_ms)
            rest_ms -= end - start
        raise AssertionError("more than a day in a day")

    def _position(self, at_ms: int) -> int:
        """Return the work time from the first of days to a time."""
        local = self._local(at_ms)
        day = local.toordinal()
        of_day = ((local.hour * 60 + local.minute) * 60 + local.second) * 1000 + at_ms % 1000
        before = self._work_days_before(day)
        if self._work_days_before(day + 1) == before:
            return before * self._day_ms
        return before * self._day_ms + sum(min(max(of_day - start, 0), end - start) for start, end in self._spans)

    def _work_day(self, number: int, *, since: int) -> int:
        """Return the day that has `number` work days before it; it is not before `since`."""
        longest = 7 * (number + 2 - self._work_days_before(since) + len(self._off))  # each week has one, or is off
        days = range(since, since + longest)
        return since + bisect_left(days, number + 1, key=lambda day: self._work_days_before(day + 1))

    def _work_days_before(self, day: int) -> int:
        """Return the number of work days from the first of days, a Monday with number 1, to before a day."""
        weeks, rest = divmod(day - 1, 7)
        weekly = weeks * self._before_in_week[7] + self._before_in_week[rest]
        return weekly - bisect_left(self._off, day) + bisect_left(self._made_up, day)

    def _is_worked_weekly(self, day: int) -> bool:
        return self._worked[(day - 1) % 7]

    def _local(self, at_ms: int) -> datetime:
        return datetime.fromtimestamp(at_ms // 1000, self._timezone)

    def _in_ms(self, day: int, of_day_ms: int) -> int:
        local = datetime.combine(date.fromordinal(day), datetime.min.time()) + timedelta(milliseconds=of_day_ms)
        whole = local.replace(microsecond=0, tzinfo=self._timezone)
        return int(whole.timestamp()) * 1000 + local.microsecond // 1000


def _ms_of_day(time: str) -> int:
    hours, minutes = time.split(":")
    return int(hours) * HOUR_MS + int(minutes) * MINUTE_MS
