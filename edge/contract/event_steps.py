"""Pure: how an event went, level by level, as its revisions tell it, in whatever order they came."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import NamedTuple

from edge.contract.messages import Event, EventState, Severity, Value

URGENCY = tuple(reversed(Severity))
"""Least urgent first."""


class StepKind(StrEnum):
    """What happened at one step."""

    SUSPECTED = "suspected"
    REACHED = "reached"
    NOT_CONFIRMED = "not_confirmed"  # a higher level was suspected, and is no longer
    STEPPED_DOWN = "stepped_down"
    WITHDRAWN = "withdrawn"
    ENDED = "ended"


class Step(NamedTuple):
    """One step of an event; ``severity`` is None of a level that is only suspected above the present one."""

    at: int
    kind: StepKind
    class_code: str
    severity: Severity | None
    value: Value
    unit: str


def steps_of(revisions: Iterable[Event]) -> list[Step]:
    """Return what the revisions of one event tell of its levels, first to last."""
    found: list[Step] = []
    before: Event | None = None
    for event in sorted(revisions, key=lambda each: each.revision):
        found += [_step(event, kind, code) for kind, code in _changes(event, before)]
        before = event
    return found


def _changes(event: Event, before: Event | None) -> Iterable[tuple[StepKind, str]]:
    code, state = event.class_code, event.state
    was_suspect = before is None or before.state is EventState.SUSPECT
    if state is EventState.WITHDRAWN:
        yield StepKind.WITHDRAWN, code
    elif state is EventState.SUSPECT:
        if before is None or before.class_code != code:
            yield StepKind.SUSPECTED, code
    elif was_suspect and (state is not EventState.ENDED or before is None):
        yield StepKind.REACHED, event.highest_class or code
    elif before is not None and before.class_code != code:
        has_climbed = URGENCY.index(event.severity) > URGENCY.index(before.severity)
        yield StepKind.REACHED if has_climbed else StepKind.STEPPED_DOWN, code
    if state is EventState.ENDED:
        yield StepKind.ENDED, code
    elif before is not None and before.suspected_class not in (None, event.suspected_class, code):
        yield StepKind.NOT_CONFIRMED, before.suspected_class or ""
    if event.suspected_class is not None and (before is None or before.suspected_class != event.suspected_class):
        yield StepKind.SUSPECTED, event.suspected_class


def _step(event: Event, kind: StepKind, code: str) -> Step:
    severity = event.severity if code == event.class_code else None
    return Step(event.updated_at, kind, code, severity, event.value, event.unit)
