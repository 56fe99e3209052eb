"""Pure: report by exception. Says which readings are worth sending, and counts those that are not.

A reading is sent when it is the first of its point, when its flag or tests differ from the last one sent, when its
value moved by more than the point's deadband, when the point's heartbeat is due, or when the clock was set back behind
the last one sent. Missing (flag 9) is a value like any other here: sent when it begins and at each heartbeat. Every
reading taken is either sent or counted as unchanged.
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


class Reporter:
    """Remembers, per device and point, the last reading sent."""

    def __init__(self, rules: Mapping[tuple[str, str], ReportRule]) -> None:
        """Take the rule of every (device, point) that will be asked about."""
        self._rules = rules
        self._sent: dict[tuple[str, str], Reading] = {}

    def select(self, readings: Iterable[Reading]) -> tuple[list[Reading], int]:
        """Return the readings to send, in their order, and the number of those left out as unchanged."""
        to_send: list[Reading] = []
        unchanged = 0
        for reading in readings:
            key = (reading.device, reading.point)
            last = self._sent.get(key)
            if last is None or _is_news(reading, last, self._rules[key]):
                self._sent[key] = reading
                to_send.append(reading)
            else:
                unchanged += 1
        return to_send, unchanged


def _is_news(reading: Reading, last: Reading, rule: ReportRule) -> bool:
    if reading.flag != last.flag or reading.tests != last.tests:
        return True
    age_ms = reading.taken_at - last.taken_at
    # Polls jitter: the slot nearest to the heartbeat is the one that counts, not the first one after it.
    if age_ms >= rule.heartbeat_ms - rule.interval_ms // 2 or age_ms < 0:
        return True
    if reading.value is None or last.value is None:
        return reading.value is not last.value
    return abs(reading.value - last.value) > rule.deadband
