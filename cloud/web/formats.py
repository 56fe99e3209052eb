"""Times, durations and numbers as people read them: local, with units, in their language."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from cloud.web.words import Language, Words

MINUTE_MS, HOUR_MS, DAY_MS = 60_000, 3_600_000, 86_400_000
MINUS = "\N{MINUS SIGN}"
SHOWN_UNITS = {"Wh": ("kWh", 0.001), "varh": ("kvarh", 0.001), "1": ("", 1.0)}
"""What the store keeps in small units is shown in those that people know."""


class Formats:
    """How one person, with their language and the place's timezone, is shown values; `now_ms` is the page's time."""

    def __init__(self, words: Words, timezone: ZoneInfo, now_ms: int) -> None:
        self._words, self._timezone, self.now_ms = words, timezone, now_ms

    def local(self, at_ms: int) -> datetime:
        """Return the local time."""
        return datetime.fromtimestamp(at_ms / 1000, UTC).astimezone(self._timezone)

    def time(self, at_ms: int) -> str:
        """Today 14:03:20, otherwise with the day: 11-25 14:03, and with the year where it is another one."""
        at, now = self.local(at_ms), self.local(self.now_ms)
        if at.date() == now.date():
            return f"{at:%H:%M:%S}"
        return f"{at:%m-%d %H:%M}" if at.year == now.year else f"{at:%Y-%m-%d %H:%M}"

    def full_time(self, at_ms: int) -> str:
        """2026-11-25 14:03:20, with the offset from UTC."""
        return f"{self.local(at_ms):%Y-%m-%d %H:%M:%S %z}"

    def iso(self, at_ms: int) -> str:
        """Return the time for machines, such as the datetime attribute of HTML."""
        return self.local(at_ms).isoformat(timespec="milliseconds")

    def duration(self, ms: float) -> str:
        """Two units at most: 45 秒, 12 分钟, 3 小时 5 分钟, 2 天 4 小时."""
        total_s = round(abs(ms) / 1000)
        if total_s < 60:
            return self._unit(total_s, "second")
        minutes, hours, days = total_s // 60, total_s // 3600, total_s // 86_400
        if minutes < 60:
            return self._unit(minutes, "minute")
        if hours < 24:
            return self._two(hours, "hour", minutes % 60, "minute")
        return self._two(days, "day", hours % 24, "hour")

    def ago(self, at_ms: int) -> str:
        """Return how long ago something was; what is a little ahead of our clock was just now."""
        passed = self.now_ms - at_ms
        if passed < 1000:
            return self._words.text("just now")
        return self._words.text("%(duration)s ago") % {"duration": self.duration(passed)}

    def number(self, value: float) -> str:
        """At most six digits that mean something, thousands apart, a real minus sign."""
        if isinstance(value, int) or (value.is_integer() and abs(value) < 1e15):
            return f"{int(value):,}".replace("-", MINUS)
        digits = 0 if abs(value) >= 10_000 else 1 if abs(value) >= 100 else 2 if abs(value) >= 1 else 3
        text = f"{value:,.{digits}f}"
        text = text.rstrip("0").rstrip(".") if "." in text else text
        return "0" if text == "-0" else text.replace("-", MINUS)

    def value(self, value: float | None, unit: str) -> str:
        """Return a value with its unit: 182.5 mm of water as 18.3 cm is for `depth`; missing as a dash."""
        if value is None:
            return "—"
        shown, factor = SHOWN_UNITS.get(unit, (unit, 1.0))
        number = self.number(value * factor if factor != 1 else value)
        return f"{number} {shown}".strip()

    def depth(self, mm: float) -> str:
        """Return a depth of water in the unit that people have in their heads: 18 cm, from one metre on 1.24 m."""
        text = f"{mm / 1000:.2f} m" if mm >= 1000 else f"{round(mm / 10)} cm"  # an int has no minus zero
        return text.replace("-", MINUS)

    def size(self, size: int) -> str:
        """Return a number of bytes: 812 B, 14 KiB, 3.2 MiB."""
        if size < 1024:
            return f"{size} B"
        kib = size / 1024
        return f"{kib:.0f} KiB" if kib < 1024 else f"{kib / 1024:.1f} MiB"

    def percent(self, share: float) -> str:
        """Return a share; never 100 % of something that is not whole, never 0 % of something that is not nothing."""
        percent = round(share * 100, 1)
        if share < 1:
            percent = min(percent, 99.9)
        if share > 0:
            percent = max(percent, 0.1)
        return f"{percent:g}%" if self._words.language is Language.ZH else f"{percent:g} %"

    def _two(self, large: int, large_unit: str, small: int, small_unit: str) -> str:
        return self._unit(large, large_unit) + (f" {self._unit(small, small_unit)}" if small else "")

    def _unit(self, number: int, unit: str) -> str:
        plural = self._words.plural
        named = {
            "second": plural("%(n)s second", "%(n)s seconds", number),
            "minute": plural("%(n)s minute", "%(n)s minutes", number),
            "hour": plural("%(n)s hour", "%(n)s hours", number),
            "day": plural("%(n)s day", "%(n)s days", number),
        }
        return named[unit] % {"n": number}
