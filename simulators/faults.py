"""What goes wrong with real devices and lines, on command, by time or at random; the same for every server here.

A fault is one of a unit's, and a unit has one at a time. Those of its *answers* are made where an answer is framed, in
:func:`distort`; those of its *values* are made by the device, see simulators/value_faults.py.
"""

from __future__ import annotations

import math
import random
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from typing import Final, NamedTuple, Self

from edge.contract.config_file import nearest


class FaultKind(StrEnum):
    """Every fault there is, by the word that is typed."""

    SILENCE = "silence"
    SLOW = "slow"
    LATE = "late"
    WRONG_UNIT = "wrong-unit"
    WRONG_FUNCTION = "wrong-function"
    BAD_CRC = "bad-crc"
    WRONG_COUNT = "wrong-count"
    TRUNCATED = "truncated"
    MERGED = "merged"
    EXCEPTION = "exception"
    DISCONNECT = "disconnect"
    STUCK = "stuck"
    DRIFT = "drift"
    JUMP = "jump"
    RESET = "reset"


class _Told(NamedTuple):
    """What a fault does, how much of it when nothing is said, and how much there may be (None: it has no number)."""

    does: str
    usual: float | None = None
    bounds: tuple[float, float] | None = None


TOLD: Final[Mapping[FaultKind, _Told]] = {
    FaultKind.SILENCE: _Told("answers nothing"),
    FaultKind.SLOW: _Told("answers this many seconds later than usual", 0.3, (0, 60)),
    FaultKind.LATE: _Told("answers this many seconds later, also when something else was asked since", 1.5, (0, 60)),
    FaultKind.WRONG_UNIT: _Told("answers as this unit; as the next one when none is said", None, (0, 255)),
    FaultKind.WRONG_FUNCTION: _Told("answers for the other function of its kind: 3 for 4, 1 for 2"),
    FaultKind.BAD_CRC: _Told("has one bit wrong; over Modbus TCP in the transaction or protocol id"),
    FaultKind.WRONG_COUNT: _Told("answers with this many bytes more, less when negative, and says so", -2, (-250, 250)),
    FaultKind.TRUNCATED: _Told("stops after this many bytes of an answer, half when none is said", None, (0, 260)),
    FaultKind.MERGED: _Told("has its previous answer glued behind the right one"),
    FaultKind.EXCEPTION: _Told("refuses with this exception code", 4, (0, 255)),
    FaultKind.DISCONNECT: _Told("stops like truncated, then the connection or the serial port is gone", None, (0, 260)),
    FaultKind.STUCK: _Told("shows the values of when it began"),
    FaultKind.DRIFT: _Told("moves its values by this share of their span each second", 0.001, (-1, 1)),
    FaultKind.JUMP: _Told("shows its values moved by this share of their span", 0.1, (-1, 1)),
    FaultKind.RESET: _Told("counts from 0 again"),
}
OF_VALUES: Final = frozenset({FaultKind.STUCK, FaultKind.DRIFT, FaultKind.JUMP, FaultKind.RESET})
OF_ANSWERS: Final = frozenset(FaultKind) - OF_VALUES
_TWIN: Final = {1: 2, 2: 1, 3: 4, 4: 3}
_REFUSED: Final = 0x80


class FaultError(ValueError):
    """A fault that there is not; the text says which there are."""


class Fault(NamedTuple):
    """A fault and how much of it; see TOLD."""

    kind: FaultKind
    amount: float | None

    @classmethod
    def of(cls, kind: FaultKind, amount: float | None = None) -> Self:
        """The fault, as much of it as usual unless said; raises FaultError for what cannot be."""
        told = TOLD[kind]
        if amount is None:
            return cls(kind, told.usual)
        if told.bounds is None:
            raise FaultError(f"{kind}: has no number")
        if not told.bounds[0] <= amount <= told.bounds[1]:
            raise FaultError(f"{kind}: must be {told.bounds[0]:g} to {told.bounds[1]:g}, found {amount:g}")
        return cls(kind, amount)

    @classmethod
    def named(cls, name: str, amount: str = "") -> Self:
        """The fault by its word; raises FaultError."""
        try:
            kind = FaultKind(name)
        except ValueError:
            raise FaultError(f'no fault "{name}"{nearest(name, FaultKind)}; there are {", ".join(FaultKind)}') from None
        try:
            number = float(amount) if amount else None
        except ValueError:
            raise FaultError(f'{name}: "{amount}" is not a number') from None
        return cls.of(kind, number)


class Sending(NamedTuple):
    """What goes out for an answer: after so much more time, perhaps with the end of the connection behind it."""

    data: bytes
    delay_s: float = 0.0
    is_late: bool = False
    hangs_up: bool = False


class Framing(NamedTuple):
    """How a server makes bytes of unit and PDU, and the index of a byte whose change the reader can notice."""

    frame: Callable[[int, bytes], bytes]
    checked: int


def distort(fault: Fault | None, framing: Framing, unit: int, pdu: bytes, previous: bytes) -> Sending | None:
    """What goes out instead of an answer; None for nothing. ``previous`` is the PDU of the unit's answer before."""
    right = framing.frame(unit, pdu)
    if fault is None or fault.kind in OF_VALUES:
        return Sending(right)
    kind, amount = fault
    stop = len(right) // 2 if amount is None else int(amount)
    bodies: dict[FaultKind, Callable[[], bytes]] = {
        FaultKind.WRONG_UNIT: lambda: framing.frame(unit % 247 + 1 if amount is None else int(amount), pdu),
        FaultKind.WRONG_FUNCTION: lambda: framing.frame(unit, bytes((_twin(pdu[0]),)) + pdu[1:]),
        FaultKind.BAD_CRC: lambda: _with_a_bit_wrong(right, framing.checked),
        FaultKind.WRONG_COUNT: lambda: framing.frame(unit, _resized(pdu, int(amount or 0))),
        FaultKind.TRUNCATED: lambda: right[:stop],
        FaultKind.DISCONNECT: lambda: right[:stop],
        FaultKind.MERGED: lambda: right + framing.frame(unit, previous or pdu),
        FaultKind.EXCEPTION: lambda: framing.frame(unit, bytes((pdu[0] | _REFUSED, int(amount or 0)))),
    }
    if kind is FaultKind.SILENCE:
        return None
    if kind in {FaultKind.SLOW, FaultKind.LATE}:
        return Sending(right, delay_s=amount or 0.0, is_late=kind is FaultKind.LATE)
    return Sending(bodies[kind](), hangs_up=kind is FaultKind.DISCONNECT)


def _twin(function: int) -> int:
    return function & _REFUSED | _TWIN.get(function & ~_REFUSED, 3)


def _with_a_bit_wrong(frame: bytes, index: int) -> bytes:
    changed = bytearray(frame)
    changed[index] ^= 1
    return bytes(changed)


def _resized(pdu: bytes, by: int) -> bytes:
    """A read answer with so many bytes more or less; a refusal has no count and becomes longer or shorter."""
    size = max(0, len(pdu) - 2 + by)
    body = (pdu[2:] + bytes(max(0, by)))[:size]
    return bytes((pdu[0], size & 0xFF if pdu[0] < _REFUSED else pdu[1])) + body


class Spell(NamedTuple):
    """A fault of a unit from one time to another, in seconds from the beginning."""

    unit: int
    fault: Fault
    first_s: float = 0.0
    last_s: float = math.inf


class Draw(NamedTuple):
    """Faults at random: before each request of a unit without one, with this chance, for up to so many seconds."""

    seed: int
    faults: tuple[Fault, ...]
    chance: float = 0.1
    longest_s: float = 0.0


class FaultPlan:
    """Which fault a unit has now: what was begun by command, else by time, else at random.

    ``done`` counts the answers that each kind of fault has met.
    """

    def __init__(
        self, spells: Iterable[Spell] = (), *, draw: Draw | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.done: Counter[FaultKind] = Counter()
        self._spells, self._draw, self._clock = tuple(spells), draw, clock
        self._began_s = clock()
        self._commanded: dict[int, Fault] = {}
        self._drawn: dict[int, tuple[Fault, float]] = {}  # and until when
        self._random = random.Random(draw.seed if draw else 0)

    def begin(self, unit: int, fault: Fault) -> None:
        """Let a unit have this fault until it is mended or gets another."""
        self._commanded[unit] = fault

    def mend(self, unit: int) -> None:
        """End what was begun by command."""
        self._commanded.pop(unit, None)

    def take(self, unit: int) -> Fault | None:
        """The fault that meets the answer to a request of now."""
        fault = self._commanded.get(unit) or self._by_time(unit) or self._at_random(unit)
        if fault is not None:
            self.done[fault.kind] += 1
        return fault

    def _by_time(self, unit: int) -> Fault | None:
        since_s = self._clock() - self._began_s
        return next(
            (one.fault for one in self._spells if one.unit == unit and one.first_s <= since_s < one.last_s), None
        )

    def _at_random(self, unit: int) -> Fault | None:
        draw, now_s = self._draw, self._clock()
        if draw is None:
            return None
        fault, until_s = self._drawn.pop(unit, (None, now_s))
        if fault is None or now_s >= until_s:
            if self._random.random() >= draw.chance:
                return None
            fault = self._random.choice(draw.faults)
            until_s = now_s + self._random.uniform(0, draw.longest_s)
        self._drawn[unit] = fault, until_s
        return fault
