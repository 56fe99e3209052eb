"""Judges and checks of every kind, fed for some time, and what may be put in the place of what they remember."""

from __future__ import annotations

import math
import random
import zlib
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from itertools import islice
from typing import Any, NamedTuple

import msgspec
from msgspec import inspect

from edge.contract.readings import Reading
from edge.quality.checks.wet import WetContact
from edge.quality.device import Check
from edge.quality.habit import PLACES
from edge.quality.judge import Judge
from edge.quality.kept import Kept
from edge.quality.kinds import Setting, judge_for
from edge.quality.neighbour import BlockedGauge, Board, Neighbour
from tests.bench.quality import MADE, with_faults
from tests.edge.quality.test_checks import MAKERS

STARTS_MS = 1_790_000_000_000
POLLS = 1000
THEN = 200
SETTINGS = {kind: setting for kind, (_, setting) in MADE.items()} | {
    "counter": Setting("meter", "kWh", 60_000, 0.01, is_counter=True),
    "guessed": Setting("street"),
}
ENDS_MS = STARTS_MS + 180_000 * POLLS  # about then
BOARD = Board()
CHECKS: Mapping[str, Callable[[], Check]] = {
    **MAKERS,
    "wet": lambda: WetContact("wet_contact", "depth"),
    "neighbour": lambda: Neighbour("level", ("other", "level"), BOARD, resolution=1.0),
    "blocked": lambda: BlockedGauge("rain_total", ("other", "rain_total"), BOARD),
}
KINDS = sorted(SETTINGS.keys() | CHECKS.keys())


class Fed(NamedTuple):
    """A judge or check after some time, and what comes next."""

    part: Judge | Check
    rest: Sequence[tuple[int, Mapping[str, float]]]


def series(kind: str) -> Iterator[tuple[int, float]]:
    """What a judge of a kind is fed with: with faults, so that it knows of them."""
    if kind == "counter":
        return ((STARTS_MS + 300_000 * index, round(index * 0.13, 2)) for index in range(POLLS + THEN))
    make, _ = MADE["street" if kind == "guessed" else kind]
    return iter(with_faults(random.Random(2), list(make(random.Random(1), POLLS + THEN))))


def polls() -> Iterator[tuple[int, Mapping[str, float]]]:
    """What a device with all points shows, each three minutes: a phase is reversed, a counter too slow."""
    rnd, energy, rain = random.Random(3), 0.0, 0.0
    for index in range(POLLS + THEN):
        parts = [rnd.uniform(100, 900), rnd.uniform(100, 900), -rnd.uniform(100, 900)]
        power = rnd.uniform(500, 2000)
        energy += round(power / 60_000, 3) if index % 50 < 25 else 0.0
        rain += 0.2 * (index % 100 < 20)
        names = ("active_power_l1", "active_power_l2", "active_power_l3")
        yield (
            STARTS_MS + 180_000 * index,
            dict(zip(names, parts, strict=True))
            | {"active_power_total": sum(parts) * 2, "active_power": power, "voltage": 230.0, "current": power / 100}
            | {"power_factor": 0.9, "energy_import": round(energy, 2), "flow": 0.0, "pipe_empty": 1.0}
            | {"wet_contact": float(index % 40 > 30), "depth": 200.0 * (index % 40 > 20)}
            | {"level": rnd.gauss(500, 3), "rain_total": round(rain, 1)},
        )


def new(kind: str) -> Judge | Check:
    """One that knows nothing."""
    judge = judge_for(SETTINGS[kind]) if kind in SETTINGS else CHECKS[kind]()
    assert judge is not None
    return judge


def feed(part: Judge | Check, at_ms: int, values: Mapping[str, float]) -> None:
    """Feed one poll, and ask all that an agent may ask."""
    if "value" in values:
        part.feed(at_ms, values["value"])  # type: ignore[arg-type]  # a judge
        return
    told = [Reading("other", name, at_ms, 1.1 * values[name]) for name in ("level", "rain_total")]
    BOARD.tell(told)
    part.feed(at_ms, values)  # type: ignore[arg-type]  # a check


@cache
def fed(kind: str) -> Fed:
    """One that has been fed for some time."""
    part = new(kind)
    every = iter(polls()) if kind in CHECKS else ((at_ms, {"value": value}) for at_ms, value in series(kind))
    for at_ms, values in islice(every, POLLS):
        feed(part, at_ms, values)
    return Fed(part, list(every))


def places(state: Any, within: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where there is something in a state, by keys from the outside in; of a long list the first and the last."""
    inside = state.items() if isinstance(state, dict) else enumerate(state) if isinstance(state, list) else ()
    for key, value in inside:
        if isinstance(state, dict) or key in {0, 1, len(state) - 1}:
            yield (*within, key)
            yield from places(value, (*within, key))


def others(value: Any) -> list[Any]:
    """What may stand in the place of a value."""
    found: list[Any] = [
        None,
        True,
        "",
        "x",
        b"",
        -1,
        0,
        1,
        2**63,
        -(2**62),
        10**13,
        1e-320,
        1e299,
        1.5,
        [],
        {},
        math.nan,
        -math.inf,
    ]
    if isinstance(value, int | float):
        found += [-value, value + 1, value * 2, value * 1e6, float(value), int(value) if math.isfinite(value) else 0]
    elif isinstance(value, list):
        found += [value[1:], value + value[-1:], value * 3, value * 500]
    elif isinstance(value, dict):
        found += [value | {"x": 1}, {str(key): each for key, each in value.items()}]
        if value and all(isinstance(key, int) for key in value):
            first = next(iter(value.values()))
            found += [value | {10**6: first}, value | dict.fromkeys(range(-3000, 3000), first)]
    elif isinstance(value, bytes):
        found += [value[1:], value * 2, bytes(len(value)), b"\xff" * len(value), b"\x01" * len(value)]
    return found


def at(state: Any, place: Sequence[Any]) -> Any:
    """What is at a place."""
    for key in place:
        state = state[key]
    return state


def is_there(state: Any, place: Sequence[Any]) -> bool:
    """Whether a place is still there, after other changes."""
    try:
        at(state, place)
    except (KeyError, IndexError, TypeError):
        return False
    return True


def changed(state: Any, place: Sequence[Any], value: Any) -> Any:
    """The state with another value at a place; ``...``: without it."""
    if not place:
        return value
    whole = dict(state) if isinstance(state, dict) else list(state)
    if len(place) == 1 and value is ...:
        del whole[place[0]]
    else:
        whole[place[0]] = changed(whole[place[0]], place[1:], value)
    return whole


def goes_on(kind: str, state: bytes) -> bool:
    """Whether a state is taken; then it must go on without a fault, within the bound of memory."""
    part, rest = new(kind), fed(kind).rest
    try:
        part.restore(state)
    except ValueError:
        return False
    part.limits()
    for at_ms, values in rest[: THEN // 2]:
        feed(part, at_ms, values)
    part.shift(3_600_000)
    if kind in SETTINGS:
        part.miss(rest[THEN // 2][0])  # type: ignore[union-attr]  # a judge
    for at_ms, values in rest[THEN // 2 :]:
        feed(part, at_ms + 3_600_000, values)
    part.limits()
    part.state()
    return True


def plain(kind: str) -> tuple[type[msgspec.Struct], Any]:
    """The struct that one of a kind remembers, and what is in it, as plain values."""
    part = fed(kind).part
    assert isinstance(part, Kept)
    memory = type(part._state)
    return memory, msgspec.msgpack.decode(zlib.decompress(part.state()[4:]), strict=False)


class Wild:
    """Makes states of a type in which everything is within its bounds, and nothing else is as it should be."""

    def __init__(self, seed: int, *, is_full: bool = False) -> None:
        """``is_full``: lists are as long as they may be."""
        self._rnd = random.Random(seed)
        self._is_full = is_full

    def make(self, its: inspect.Type) -> Any:
        """Any value of a type, which must be bounded."""
        bounds = [name for name in ("le", "lt", "max_length") if hasattr(its, name)]
        if bounds and all(getattr(its, name) is None for name in bounds):
            raise TypeError(f"what is remembered must have a bound: {its}")
        match its:
            case inspect.StructType():
                return {field.encode_name: self.make(field.type) for field in its.fields}
            case inspect.UnionType():
                return self.make(self._rnd.choice([each for each in its.types if not self._is_empty(each)]))
            case inspect.NamedTupleType():
                return [self.make(field.type) for field in its.fields]
            case inspect.TupleType():
                return [self.make(each) for each in its.item_types]
            case inspect.ListType():
                return [self.make(its.item_type) for _ in range(self._many(its.min_length or 0, its.max_length or 0))]
            case inspect.DictType():
                return self._dict(its, self._many(0, its.max_length or 0))
            case inspect.ByteArrayType() | inspect.StrType():
                return self._bytes(its.max_length or 0) if isinstance(its, inspect.ByteArrayType) else "a"
        return self._plain(its)

    def _is_empty(self, its: inspect.Type) -> bool:
        return isinstance(its, inspect.NoneType) and (self._is_full or self._rnd.random() < 0.5)

    def _many(self, least: int, most: int) -> int:
        return most if self._is_full else self._rnd.choice([least, most, self._rnd.randint(least, most)])

    def _dict(self, its: inspect.DictType, many: int) -> dict[Any, Any]:
        key = its.key_type
        if not isinstance(key, inspect.IntType):
            return {name: self.make(its.value_type) for name in ("active_power_l1", "active_power_l3")}
        keys = self._rnd.sample(range(key.ge or 0, (key.le or 0) + 1), many)
        return {each: self.make(its.value_type) for each in keys}

    def _bytes(self, size: int) -> bytes:
        shares = [0.0, 0.0, 0.0, 1.0, 1e-199, 9e299, self._rnd.random()]
        if size == 8 * PLACES:
            return array("d", self._rnd.choices(shares, k=PLACES)).tobytes()
        return bytes(self._rnd.choices(range(256), k=size))

    def _plain(self, its: inspect.Type) -> Any:
        rnd = self._rnd
        match its:
            case inspect.IntType():
                least, most = (its.ge or 0), (its.le if its.le is not None else (its.lt or 1) - 1)
                found = rnd.choice([least, most, 0, 1, 2, rnd.randint(0, 300), rnd.randint(least, most)])
                if most > ENDS_MS:
                    found = rnd.choice([found, ENDS_MS - rnd.randint(0, 10**9)])
                return max(least, min(most, found))
            case inspect.FloatType():
                low, high = (its.ge or 0), (its.le or 0)
                usual = rnd.gauss(0, 1)
                far = [low, high, 0.0, 5e-324, 1.0, usual, 500 * usual, usual * 10 ** rnd.uniform(-300, 299)]
                return float(max(low, min(high, rnd.choice(far))))
            case inspect.EnumType():
                return rnd.choice([each.value for each in its.cls])
            case inspect.BoolType():
                return rnd.random() < 0.5
            case inspect.NoneType():
                return None
        raise TypeError(f"no such thing is remembered so far: {its}")
