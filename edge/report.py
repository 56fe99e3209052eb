"""Pure: report by exception. Says which readings are worth sending, and counts those that are not.

A reading is sent when it is the first of its point, when its flag or tests differ from the last one sent, when its
value moved by more than the point's deadband, or when the point's heartbeat is due. Missing (flag 9) is a value like
any other here: sent when it begins and at each heartbeat. Every reading taken is either sent or counted as unchanged.

A deadband may be given in the point's unit, and as a share of the value sent last; the wider of the two holds. So the
share keeps large values quiet, and the absolute one stills the noise around zero.

What was sent is the baseline of what follows, so it must reach the cloud: a reading that could not be kept until then
is forgotten here too (:meth:`Reporter.forget`), and the next one of its point is sent whatever it says. When somebody
sets the clock, the age of what was sent goes on (:meth:`Reporter.shift`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from msgspec import Struct

from edge.contract.readings import Reading


class ReportRule(Struct, frozen=True):
    """When a point is worth sending again."""

    heartbeat_ms: int
    interval_ms: int
    deadband: float = 0.0  # in the point's unit; 0 sends every change
    deadband_percent: float = 0.0  # of the value sent last


class Reporter:
    """Remembers the last reading sent of each point of one device."""

    def __init__(self, rules: Mapping[str, ReportRule]) -> None:
        """Take the rule of every point that will be asked about, by its name."""
        self._rules = rules
        self._sent: dict[str, Reading] = {}
        self._shifts: dict[str, int] = {}  # of points sent before the clock was set: by how much that was

    def select(self, readings: Iterable[Reading]) -> tuple[list[Reading], int]:
        """Return the readings to send, in their order, and the number of those left out as unchanged."""
        rules, sent, shifts = self._rules, self._sent, self._shifts
        to_send: list[Reading] = []
        unchanged = 0
        for reading in readings:
            point = reading.point
            last = sent.get(point)
            if last is None or _is_news(reading, last, rules[point], shifts.get(point, 0) if shifts else 0):
                sent[point] = reading
                to_send.append(reading)
                if shifts:
                    shifts.pop(point, None)
            else:
                unchanged += 1
        return to_send, unchanged

    def shift(self, by_ms: int) -> None:
        """Take what follows as of a clock that was set on by so much."""
        for point in self._sent:
            self._shifts[point] = self._shifts.get(point, 0) + by_ms

    def forget(self, reading: Reading) -> None:
        """Take note that a reading which was selected will never arrive; only the last of its point is a baseline."""
        if self._sent.get(reading.point) == reading:
            del self._sent[reading.point]
            self._shifts.pop(reading.point, None)


def _is_news(reading: Reading, last: Reading, rule: ReportRule, shift_ms: int) -> bool:
    value, before = reading.value, last.value
    if reading.flag is not last.flag or reading.tests != last.tests:
        return True
    if value is not None and before is not None and value != before:
        moved = abs(value - before)
        if moved > rule.deadband and moved > abs(before) * rule.deadband_percent / 100:
            return True
    age_ms = reading.taken_at - last.taken_at - shift_ms
    # Polls jitter: the slot nearest to the heartbeat is the one that counts, not the first one after it.
    return age_ms >= rule.heartbeat_ms - rule.interval_ms // 2
