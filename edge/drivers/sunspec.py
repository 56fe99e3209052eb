"""SunSpec devices: where the registers stand is asked before the first poll, and again when a device was silent.

Behind the same address may be another device by then, or the same with other firmware. Until its model is found, every
point is missing, with the reason.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from edge.bus_time import Wire
from edge.contract.messages import Test
from edge.contract.profile import ModbusProfile
from edge.contract.sunspec import Ask, Model, find_model, locate_models
from edge.drivers import Missing, NoAnswerError, Snapshot, Words
from edge.drivers.modbus import ModbusPoll, ModbusUnit
from edge.drivers.silence import Silence
from edge.read_plan import Block, plan

_WHOLE = "whole"


@dataclass(frozen=True, slots=True)
class _Whole(Block):
    """A request whose words are wanted as they are."""

    @property
    def names(self) -> tuple[str, ...]:
        return (_WHOLE,)

    def split(self, words: Words) -> dict[str, Words]:
        return {_WHOLE: words}


class SunspecPoll:
    """A driver for the points of one SunSpec device that are read together."""

    def __init__(self, unit: ModbusUnit, profile: ModbusProfile, names: Collection[str], wire: Wire) -> None:
        self._unit, self._profile, self._names, self._wire = unit, profile, names, wire
        self._poll: ModbusPoll | None = None
        self._lost = Silence()  # a device that has no such model is not asked for it at each poll

    async def read(self) -> Snapshot:
        """Poll once, where the model stands; look for it first where that is not known."""
        if self._unit.silence.reason:
            self._poll = None
        if self._poll is None:
            missing = await self._find()
            if missing is not None:
                return Snapshot((self._unit.stamps.part(dict.fromkeys(self._names, missing)),))
        assert self._poll is not None  # noqa: S101 -- for mypy: it was found
        return await self._poll.read()

    async def _find(self) -> Missing | None:
        """Look for the model; returns why it was not found."""
        unit, now_ms = self._unit, self._unit.clock.monotonic_ms()
        if not unit.silence.is_poll_due(now_ms):
            return Missing(Test.NO_ANSWER, unit.silence.reason)
        if not self._lost.is_poll_due(now_ms):
            return Missing(Test.REFUSED, self._lost.reason)
        try:
            model = await self._locate()
        except NoAnswerError as error:
            unit.silence.note_silent(now_ms, str(error))
            return Missing(Test.NO_ANSWER, unit.silence.reason)
        unit.silence.note_answer()
        if model is None:
            ids = " or ".join(map(str, self._profile.model_ids))
            reason = (
                f"{unit.device}: {unit.place} has no SunSpec model {ids}: check that the profile is for this device"
            )
            self._lost.note_silent(now_ms, reason)
            return Missing(Test.REFUSED, self._lost.reason)
        self._lost.note_answer()
        profile = self._profile.at(model.address)
        points = [point for point in profile.points if point.name in self._names]
        self._poll = ModbusPoll(unit, plan(points, profile.reads, self._wire))
        return None

    async def _locate(self) -> Model | None:
        """Walk the chain of models; raises NoAnswerError."""
        walk = locate_models(until=self._profile.model_ids)
        ask = next(walk)
        while True:
            words = await self._words(ask)
            try:
                ask = walk.send(words)
            except StopIteration as end:
                models: list[Model] = end.value
                return find_model(models, self._profile.model_ids, least=self._profile.extent)

    async def _words(self, ask: Ask) -> Words | None:
        """What stands there; None where the device refuses to be read. Raises NoAnswerError."""
        tries = 1 if self._unit.silence.reason else self._unit.tries
        part = await self._unit.ask(_Whole("holding", ask.address, ask.count, ()), tries=tries)
        answer = part.answers[_WHOLE]
        return answer if isinstance(answer, tuple) else None
