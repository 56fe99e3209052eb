"""What `edge backtest` prints: a table of events, each with its levels, and what became of the readings."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from operator import itemgetter
from pathlib import Path
from typing import Any

import msgspec

from edge.backtest import Found, Past
from edge.contract.event_classes import event_classes
from edge.contract.event_steps import Step, StepKind
from edge.contract.messages import Forecast, Severity
from edge.contract.rules import DeviceRule

COLOURS = {Severity.RED: "红", Severity.ORANGE: "橙", Severity.YELLOW: "黄", Severity.BLUE: "蓝"}
WORDS = {
    StepKind.SUSPECTED: "suspected",
    StepKind.REACHED: "reached",
    StepKind.NOT_CONFIRMED: "not confirmed",
    StepKind.STEPPED_DOWN: "stepped down to",
    StepKind.WITHDRAWN: "withdrawn",
    StepKind.ENDED: "ended",
}


def described(found: Found, rules: list[DeviceRule], path: Path) -> Iterator[str]:
    """Give the lines for a person; times are UTC, as in the series."""
    readings = found.readings
    yield f"{path}: {len(readings):,} samples of {found.point.name}, {found.point.quantity.unit}"
    yield f"    from {_time(readings[0].taken_at)} to {_time(readings[-1].taken_at)} UTC"
    yield f"    judged: {_judged(found)}"
    for rule in rules:
        yield f"    {rule.class_code} {_name(rule.class_code)}: {_condition(rule)}"
    confirmed = [event for event in found.events if event.is_confirmed]
    withdrawn = len(found.events) - len(confirmed)
    yield f"{_count(len(confirmed), 'event')}; {_count(withdrawn, 'suspicion')} withdrawn or open to the end"
    for number, event in enumerate(confirmed, start=1):
        yield ""
        yield from _event(number, event)


def as_json(found: Found) -> str:
    """Give everything for programs: counts, and every revision of every event."""
    document: dict[str, Any] = {
        "point": found.point.name,
        "unit": found.point.quantity.unit,
        "samples": len(found.readings),
        "flags": {flag.name.lower(): count for flag, count in sorted(found.flags.items())},
        "tests": {str(test.name): count for test, count in found.tests.items()},
        "events": [msgspec.to_builtins(list(event.revisions)) for event in found.events],
    }
    return msgspec.json.encode(document).decode()


def _event(number: int, event: Past) -> Iterator[str]:
    last = event.last
    ended = (
        "goes on" if last.ended_at is None else f"to {_time(last.ended_at)}, {_lasted(last.ended_at - last.began_at)}"
    )
    yield f"{number:4}  from {_time(last.began_at)} {ended}"
    lines = [(step.at, _step(step)) for step in event.steps]
    lines += [(one.updated_at, _forecast(one.forecast)) for one in event.revisions if one.forecast is not None]
    for at_ms, line in sorted(lines, key=itemgetter(0)):
        yield f"      {_time(at_ms)}  {line}"


def _forecast(said: Forecast) -> str:
    likely, early, late = (round(seconds / 60) for seconds in (said.likely_s, said.early_s, said.late_s))
    name = f"{said.class_code:<20}    {said.threshold:g} {said.unit}"
    return f"{'expected':<15} {name} in about {likely} minutes ({early} to {late})"


def _step(step: Step) -> str:
    colour = "  " if step.severity is None else COLOURS[step.severity]
    value = "" if step.value is None else f", {step.value:.5g} {step.unit}"
    peak = value if step.kind in (StepKind.REACHED, StepKind.SUSPECTED) else f", peak{value[1:]}" if value else ""
    return f"{WORDS[step.kind]:<15} {step.class_code:<20} {colour} {_name(step.class_code)}{peak}"


def _judged(found: Found) -> str:
    counts = [f"{count:,} {flag.name.lower()}" for flag, count in sorted(found.flags.items())]
    tests = [f"{test.name} {count:,}" for test, count in found.tests.most_common()]
    return ", ".join(counts) + (f" ({', '.join(tests)})" if tests else "")


def _condition(rule: DeviceRule) -> str:
    sign = {"at_least": ">=", "below": "<", "equals": "="}[rule.comparison]
    hours = f" over {rule.over_s / 3600:g} h" if rule.measure != "value" else ""
    measure = {"value": "", "rise": "rise ", "sum": "sum "}[rule.measure]
    samples = "1 sample" if rule.samples == 1 else f"{rule.samples} samples"
    hold = f" for {rule.hold_s:g} s" if rule.hold_s else ""
    return (
        f"{measure}{sign} {rule.threshold:g} {rule.unit}{hours}, {samples}{hold}; "
        f"over at {rule.clear:g} for {rule.clear_hold_s:g} s"
    )


def _name(code: str) -> str:
    known = event_classes().get(code)
    return "" if known is None else f"{known.zh} {known.en}"


def _count(number: int, word: str) -> str:
    return f"{number:,} {word}{'' if number == 1 else 's'}"


def _lasted(duration_ms: int) -> str:
    minutes = round(duration_ms / 60_000)
    days, hours = divmod(minutes // 60, 24)
    if days:
        return f"{days} d {hours} h"
    return f"{hours} h {minutes % 60} min" if hours else f"{minutes} min"


def _time(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M")
