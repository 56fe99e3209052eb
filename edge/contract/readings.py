"""A reading: one value of one point at one time, with the flag that says whether to trust it.

Times are milliseconds since 1970-01-01 UTC, everywhere.
"""

from __future__ import annotations

import math
from enum import IntEnum, IntFlag
from typing import Annotated, Final

from msgspec import Meta, Struct

ID_PATTERN = r"\A[a-z0-9][a-z0-9_-]{0,63}\Z"
EARLIEST = 946_684_800_000  # 2000-01-01: no reading of ours is older
LATEST = 4_102_444_800_000  # 2100-01-01
CLOCK_IS_SET_MS = 1_577_836_800_000  # 2020: only a clock that nobody has set shows an earlier time

# A store keeps flag, tests and failed values of a point in fields beside it, and its place under these names.
RESERVED_ENDINGS = ("_failed", "_flag", "_tests")
RESERVED_NAMES = frozenset({"gateway", "device", "time"})

Id = Annotated[str, Meta(pattern=ID_PATTERN, max_length=64)]
TimeMs = Annotated[int, Meta(ge=EARLIEST, le=LATEST)]
Value = float | int | None


class ContractError(ValueError):
    """Bytes or values that do not fit the contract; the text is one sentence for a person."""


class Flag(IntEnum):
    """QARTOD's summary flag of one reading."""

    PASS = 1
    NOT_EVALUATED = 2
    SUSPECT = 3
    FAIL = 4
    MISSING = 9


class Test(IntFlag):
    """Which quality tests set the flag: a bit mask that travels with the reading."""

    __test__ = False  # pytest: not a test class

    NONE = 0
    NO_ANSWER = 1  # the device did not answer in time
    SENTINEL = 2  # the register held the profile's "no value", NaN or infinity
    REFUSED = 4  # the device answered with an exception
    SPAN = 8  # outside what the sensor can physically measure
    COUNTER = 16  # a counter fell, and nobody knows yet whether it begins again
    RATE = 32  # changed faster than the thing itself can
    SPIKE = 64  # away from what is around it, for one sample or a few, and back
    FLAT = 128  # stood still for longer than it ever does
    ATTENUATED = 256  # still moves, but far less than usual
    STEP = 512  # jumped to another level and stayed there
    DRIFT = 1024  # creeps away from what is usual for it
    GAP = 2048  # was due and did not come, or came late; or is the first one after that
    SANITY = 4096  # points of one device contradict each other
    NEIGHBOUR = 8192  # does not go with the sensor beside it
    BLIP = 1 << 14  # street: one sample up and back
    PULSES = 1 << 15  # street: a chain of blips
    BOX = 1 << 16  # street: at once to one height, and as suddenly back
    SNOW = 1 << 17  # street: rises as snow lies, without rain
    BYPASS = 1 << 18  # a meter counts far less than its own habit: perhaps led around it
    STUCK = 1 << 19  # a counter stands still while power or water flows
    REVERSED = 1 << 20  # one phase runs backwards
    BURST = 1 << 21  # rain gauge: tips faster than rain falls
    BLOCKED = 1 << 22  # rain gauge: dry while those around it are wet
    WET = 1 << 23  # contact and depth contradict each other


ARTEFACTS: Final = Test.BLIP | Test.PULSES | Test.BOX | Test.SNOW
"""Of what passes, stands or lies under a street sensor: high, and no water."""


class Reading(Struct, frozen=True, gc=False):
    """One value of one point at one time, with the flag that says whether to trust it.

    ``value`` is None exactly when ``flag`` is 9 (missing); floats are finite, integers fit 64 bits.
    """

    device: Id
    point: Id
    taken_at: TimeMs
    value: Value
    flag: Flag = Flag.PASS
    tests: Annotated[int, Meta(ge=0, lt=2**31)] = 0


def is_undated(at_ms: int) -> bool:
    """Say whether a time was taken by a clock that nobody has set."""
    return at_ms < CLOCK_IS_SET_MS


def is_reserved(point: str) -> bool:
    """Say whether a store needs this name for itself."""
    return point in RESERVED_NAMES or point.endswith(RESERVED_ENDINGS)


def check_value(value: Value, what: str) -> None:
    """Refuse NaN, infinities and integers over 64 bits."""
    if isinstance(value, float) and not math.isfinite(value):
        raise ContractError(f"{what}: {value} is not a number that can be stored")
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise ContractError(f"{what}: {value} does not fit 64 bits")
