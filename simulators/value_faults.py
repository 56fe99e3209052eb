"""Faults of a device's values: what it shows of what it was given. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from edge.contract.profile import RegisterPoint
from edge.contract.readings import Value
from simulators.faults import OF_VALUES, Fault, FaultKind


class ValueFault(NamedTuple):
    """A fault of values since a time, and what the values were then."""

    fault: Fault
    began_ms: int
    then: Mapping[str, Value]

    def shown(self, points: Mapping[str, RegisterPoint], given: Mapping[str, Value], now_ms: int) -> dict[str, Value]:
        """What the points show now instead of what they were given."""
        if self.fault.kind is FaultKind.STUCK:
            return dict(self.then)
        since_s = (now_ms - self.began_ms) / 1000
        return {name: self._shown(points[name], value, since_s) for name, value in given.items()}

    def _shown(self, point: RegisterPoint, value: Value, since_s: float) -> Value:
        if value is None:
            return None
        if point.counter:
            return max(0, value - (self.then.get(point.name) or 0)) if self.fault.kind is FaultKind.RESET else value
        if point.span is None or point.type == "bool" or self.fault.kind is FaultKind.RESET:
            return value
        low, high = point.span
        share = (self.fault.amount or 0.0) * (since_s if self.fault.kind is FaultKind.DRIFT else 1)
        return min(max(value + share * (high - low), low), high)


def value_fault(fault: Fault | None, given: Mapping[str, Value], now_ms: int) -> ValueFault | None:
    """The fault as begun now; None for none, and for one of the answers."""
    return ValueFault(fault, now_ms, dict(given)) if fault is not None and fault.kind in OF_VALUES else None
