"""Times, durations and numbers as people read them."""

from zoneinfo import ZoneInfo

import pytest

from cloud.web.formats import DAY_MS, HOUR_MS, MINUTE_MS, Formats
from cloud.web.words import Language, words

NOW = 1_795_651_200_000  # 2026-11-26 08:00 in Shanghai
ZH = Formats(words(Language.ZH), ZoneInfo("Asia/Shanghai"), NOW)
EN = Formats(words(Language.EN), ZoneInfo("Asia/Shanghai"), NOW)


@pytest.mark.parametrize(
    ("at", "shown"),
    [
        (NOW - MINUTE_MS, "07:59:00"),
        (NOW - 9 * HOUR_MS, "11-25 23:00"),
        (NOW - 400 * DAY_MS, "2025-10-22 08:00"),
    ],
)
def test_times_are_local(at: int, shown: str) -> None:
    """Today without the day, this year without the year."""
    assert ZH.time(at) == shown


def test_the_full_time_says_its_zone() -> None:
    """So that nobody has to guess."""
    assert ZH.full_time(NOW) == "2026-11-26 08:00:00 +0800"
    assert ZH.iso(NOW) == "2026-11-26T08:00:00.000+08:00"


@pytest.mark.parametrize(
    ("ms", "zh", "en"),
    [
        (1000, "1 秒", "1 second"),
        (59_400, "59 秒", "59 seconds"),
        (12 * MINUTE_MS, "12 分钟", "12 minutes"),
        (3 * HOUR_MS + 5 * MINUTE_MS, "3 小时 5 分钟", "3 hours 5 minutes"),
        (HOUR_MS, "1 小时", "1 hour"),
        (2 * DAY_MS + 4 * HOUR_MS, "2 天 4 小时", "2 days 4 hours"),
    ],
)
def test_durations_have_two_units_at_most(ms: int, zh: str, en: str) -> None:
    """What matters is shown, in both languages."""
    assert (ZH.duration(ms), EN.duration(ms)) == (zh, en)


def test_ago() -> None:
    """What a clock a little ahead of ours took was just now."""
    assert (ZH.ago(NOW - MINUTE_MS), EN.ago(NOW - MINUTE_MS)) == ("1 分钟前", "1 minute ago")
    assert EN.ago(NOW + 5000) == "just now"


@pytest.mark.parametrize(
    ("value", "unit", "shown"),
    [
        (None, "mm", "—"),
        (0.0, "W", "0 W"),
        (-0.0, "W", "0 W"),
        (-12.5, "W", "−12.5 W"),
        (1_234_567, "Wh", "1,234.6 kWh"),
        (230.14159, "V", "230.1 V"),
        (49.987, "Hz", "49.99 Hz"),
        (0.98765, "1", "0.988"),
        (1.0, "1", "1"),
        (123_456.789, "L", "123,457 L"),
    ],
)
def test_values_have_units_that_people_know(value: float | None, unit: str, shown: str) -> None:
    """Few digits, thousands apart, a real minus sign; missing is a dash, never zero."""
    assert ZH.value(value, unit) == shown


@pytest.mark.parametrize(("mm", "shown"), [(4.0, "0 cm"), (182.5, "18 cm"), (999.0, "100 cm"), (1240.0, "1.24 m")])
def test_depths(mm: float, shown: str) -> None:
    """Centimetres, from one metre on metres."""
    assert ZH.depth(mm) == shown


@pytest.mark.parametrize(
    ("share", "shown"), [(1.0, "100%"), (0.99999, "99.9%"), (0.5, "50%"), (0.0001, "0.1%"), (0.0, "0%")]
)
def test_a_share_that_is_not_whole_never_looks_whole(share: float, shown: str) -> None:
    """Nor does something look like nothing."""
    assert ZH.percent(share) == shown


@pytest.mark.parametrize(("size", "shown"), [(812, "812 B"), (14_000, "14 KiB"), (3_400_000, "3.2 MiB")])
def test_sizes(size: int, shown: str) -> None:
    """Bytes in the unit that is short."""
    assert ZH.size(size) == shown


@pytest.mark.parametrize(
    ("mm", "shown"),
    [
        (-0.4, "0 cm"),
        (-4.9, "0 cm"),
        (4.9, "0 cm"),
        (-12.0, "\N{MINUS SIGN}1 cm"),
        (182.5, "18 cm"),
        (1240.0, "1.24 m"),
    ],
)
def test_a_depth_of_nothing_has_no_sign(mm: float, shown: str) -> None:
    """What is under half a centimetre is nothing."""
    assert EN.depth(mm) == shown
