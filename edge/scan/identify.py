"""Which profiles fit a device that answers: its registers are read, each once, and compared with what profiles say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Final

from edge.bus_time import wire_of
from edge.contract.profile import ModbusProfile, RegisterPoint, Signature, Table, load_profile, profile_names
from edge.contract.sunspec import Model, find_model, locate_models
from edge.drivers import NoAnswerError, RefusedError
from edge.drivers.modbus_link import ModbusLink, SilentError
from edge.read_plan import Block, plan_of
from edge.scan.fit import Evidence, Fit, Words, best, evidence_of, fit

TRIES: Final = 2


@cache
def modbus_profiles() -> Sequence[ModbusProfile]:
    """Every profile that comes with Anlan and is read by Modbus, with the usual numbers of a site."""
    loaded = [load_profile(name) for name in profile_names()]
    return [profile.installed({}) for profile in loaded if isinstance(profile, ModbusProfile)]


class Registers:
    """What one unit holds; what was read once is not asked for again."""

    def __init__(self, link: ModbusLink, unit: int, *, wait_s: float, most_s: float) -> None:
        self._link, self._unit, self._wait_s, self._most_s = link, unit, wait_s, most_s
        self._known: dict[tuple[Table, int, int], Words | None] = {}

    async def words(self, table: Table, address: int, count: int, *, pause_s: float = 0.0) -> Words | None:
        """What stands there; None where it cannot be read."""
        key = (table, address, count)
        if key not in self._known:
            self._known[key] = await self._read(Block(table, address, count, ()), pause_s)
        return self._known[key]

    async def _read(self, block: Block, pause_s: float) -> Words | None:
        for _ in range(TRIES):
            try:
                answered = await self._link.read(
                    self._unit, block, wait_s=self._wait_s, most_s=self._most_s, pause_s=pause_s
                )
            except (RefusedError, SilentError):  # some say nothing to what they do not know
                return None
            except NoAnswerError:
                continue
            return answered.words
        return None

    async def of(self, profile: ModbusProfile) -> dict[str, Words | None]:
        """What the points of a profile hold; it ends at the first request that is refused."""
        held: dict[str, Words | None] = {}
        pause_s = profile.reads.pause_ms / 1000
        for block in plan_of(profile, wire_of(self._link.line, profile.reads)):
            words = await self.words(block.table, block.address, block.count, pause_s=pause_s)
            if words is None:
                return held
            held |= block.split(words)
        return held

    async def marks(self, signature: Sequence[Signature]) -> dict[Signature, bool]:
        """Which parts of a signature are right; it ends at the first that is not."""
        right: dict[Signature, bool] = {}
        for mark in signature:
            words = await self.words(mark.table, mark.registers.start, len(mark.registers))
            right[mark] = words is not None and mark.matches(words)
            if not right[mark]:
                break
        return right


async def identify(registers: Registers, profiles: Sequence[ModbusProfile] | None = None) -> list[Fit]:
    """The profiles that fit best, the best first; those with proof are tried alone when one is right."""
    known = modbus_profiles() if profiles is None else profiles
    with_proof = [profile for profile in known if any(mark.is_proof for mark in profile.signature)]
    fits = [found for profile in with_proof if (found := await _fit(registers, profile))]
    fits += await _sunspec(registers, [profile for profile in known if profile.discovery])
    if not fits:
        others = [profile for profile in known if profile not in with_proof and not profile.discovery]
        fits = [found for profile in others if (found := await _fit(registers, profile))]
    return best(fits) if fits else []


async def _fit(registers: Registers, profile: ModbusProfile) -> Fit | None:
    marks = await registers.marks(profile.signature)
    if not all(marks.values()):
        return None
    return fit(profile, marks, await _evidence(registers, profile.points, profile))


async def _evidence(registers: Registers, points: Sequence[RegisterPoint], profile: ModbusProfile) -> Evidence:
    held: Mapping[str, Words | None] = await registers.of(profile)
    return evidence_of(points, held)


async def _sunspec(registers: Registers, profiles: Sequence[ModbusProfile]) -> list[Fit]:
    """The SunSpec profile whose model the device has."""
    models = await _models(registers)
    fits = []
    for profile in profiles:
        model = find_model(models, profile.model_ids, least=profile.extent)
        if model is None:
            continue
        placed = profile.at(model.address)
        evidence = await _evidence(registers, placed.points, placed)
        rests_on = (f"SunSpec model {model.id} at register {model.address}", *evidence.words)
        fits.append(Fit(profile.profile, "sure", 100 + evidence.score, rests_on))
    return fits


async def _models(registers: Registers) -> list[Model]:
    walk = locate_models()
    ask = next(walk)
    while True:
        words = await registers.words("holding", ask.address, ask.count)
        try:
            ask = walk.send(words)
        except StopIteration as end:
            found: list[Model] = end.value
            return found
