"""One simulated device: its points are set by name, its registers hold what the profile's codec makes of them."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from decimal import Decimal
from itertools import pairwise
from types import MappingProxyType
from typing import NamedTuple

from edge.contract.clock import Clock, SystemClock
from edge.contract.profile import ModbusProfile, Table, load_profile
from edge.contract.readings import Value
from edge.contract.registers import decode, encode, own_bits
from simulators import sunspec
from simulators.faults import Fault
from simulators.signatures import signature_words
from simulators.value_faults import ValueFault, value_fault


class NotModbusError(ValueError):
    """The profile describes something that has no registers."""


class Served(NamedTuple):
    """A value as the registers gave it away (rounded to what they hold), and when (ms UTC)."""

    at_ms: int
    point: str
    value: Value


def load_modbus_profile(name: str) -> ModbusProfile:
    """The profile of that name or path; raises ConfigError, or NotModbusError for one without registers."""
    profile = load_profile(name)
    if not isinstance(profile, ModbusProfile):
        raise NotModbusError(
            f"{name}: only devices read by Modbus can be served, this one is read by {profile.protocol}"
        )
    return profile


class SimulatedDevice:
    """A device made from its profile; every register starts at 0.

    ``settings``: the site's numbers (its registers hold what it sees itself, before transformers and heights); usual
    ones where they are not given. ``silent``: answers nothing. ``refuses_with``: answers every request with this Modbus
    exception code. ``answered``: the last PDU that it answered with. ``served``: what was read from it, kept only when
    ``keep_served`` because it grows without end.
    """

    def __init__(
        self,
        profile: ModbusProfile,
        *,
        settings: Mapping[str, Decimal] = MappingProxyType({}),
        clock: Clock | None = None,
        keep_served: bool = False,
    ) -> None:
        leading = sunspec.chain(profile)
        self.profile = profile = sunspec.placed(profile.installed(settings))
        self.silent = False
        self.refuses_with: int | None = None
        self.served: list[Served] = []
        self.answered = b""
        self._given: dict[str, Value] = {}
        self._fault: ValueFault | None = None
        self._keep_served = keep_served
        self._clock = clock or SystemClock()
        self._points = {point.name: point for point in profile.points}
        self._words = _registers_of(profile)
        if leading:
            self._words["holding"] = leading | self._words["holding"]

    def set(self, name: str, value: Value) -> None:
        """Give a point a value in the unit of its quantity; None is the profile's "no value".

        Raises KeyError for an unknown point and ValueError for a value that its registers cannot hold.
        """
        encode(self._points[name], value)
        self._given[name] = value
        if self._fault is None:
            self._hold(name, value)

    def suffer(self, fault: Fault | None) -> None:
        """Show what a fault of values makes of what :meth:`set` gave; without one, that itself."""
        now_ms = self._clock.now_ms()
        if fault != (self._fault and self._fault.fault):
            was, self._fault = self._fault, value_fault(fault, self._given, now_ms)
            if was is not None and self._fault is None:
                self._show(self._given)
        if self._fault is not None:
            self._show(self._fault.shown(self._points, self._given, now_ms))

    def _show(self, values: Mapping[str, Value]) -> None:
        for name, value in values.items():
            with suppress(ValueError):  # a fault may go beyond what the registers hold: they keep what they have
                self._hold(name, value)

    def _hold(self, name: str, value: Value) -> None:
        point = self._points[name]
        words = self._words[point.table]
        for address, word, own in zip(point.registers, encode(point, value), own_bits(point), strict=True):
            words[address] = words[address] & ~own | word  # other bits, and what lies before a scale factor, stay

    def get(self, name: str) -> Value:
        """The value that the point's registers hold now."""
        point = self._points[name]
        words = self._words[point.table]
        return decode(point, [words[address] for address in point.registers])

    def read(self, table: Table, address: int, count: int) -> list[int] | None:
        """The words (or bits) at these addresses, None where the device refuses to be read."""
        words = self._words.get(table, {})
        asked = range(address, address + count)
        if any(one not in words for one in asked):
            return None
        if self._keep_served:
            self._note_served(table, asked)
        return [words[one] for one in asked]

    def _note_served(self, table: Table, asked: range) -> None:
        now_ms = self._clock.now_ms()
        for point in self.profile.points:
            if point.table == table and point.registers[0] in asked and point.registers[-1] in asked:
                self.served.append(Served(now_ms, point.name, self.get(point.name)))


def _registers_of(profile: ModbusProfile) -> dict[Table, dict[int, int]]:
    """Every register that may be read: of points, between them, and what tells the model from others."""
    tables: dict[Table, dict[int, int]] = {}
    of_points = {(point.table, address) for point in profile.points for address in point.registers}
    for table, address in of_points:
        tables.setdefault(table, {})[address] = 0
    for words in tables.values():
        words.update(dict.fromkeys(_readable_gaps(words, profile.reads.max_gap), 0))
    for mark in profile.signature:
        told = {at: word for at, word in signature_words(mark).items() if (mark.table, at) not in of_points}
        tables.setdefault(mark.table, {}).update(told)
    for taboo in profile.reads.illegal:
        for address in range(taboo.first, taboo.last + 1):
            tables.get(taboo.table, {}).pop(address, None)
    return tables


def _readable_gaps(words: dict[int, int], max_gap: int) -> list[int]:
    """Unused addresses that a reader may read across: the profile says how many in a row."""
    used = sorted(words)
    return [
        address
        for before, after in pairwise(used)
        if after - before - 1 <= max_gap
        for address in range(before + 1, after)
    ]
