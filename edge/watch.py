"""Reading devices again and again for a person: each at its own interval, devices of one line one after another."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from edge.contract.messages import Value
from edge.readout import DeviceReader, Readout


class Look(NamedTuple):
    """One poll of one device; ``before`` has, by name, what points that changed held at the poll before.

    ``first``: names of the points that were not read before.
    """

    readout: Readout
    before: Mapping[str, Value]
    first: frozenset[str]


@dataclass
class Tally:
    """What became of the polls of one device; ``reasons`` counts why points were missing."""

    polls: int = 0
    misses: int = 0
    slowest_s: float = 0.0
    reasons: dict[str, int] = field(default_factory=dict)

    def note(self, readout: Readout) -> None:
        """Count a poll."""
        self.polls += 1
        if readout.is_answered:
            self.slowest_s = max(self.slowest_s, readout.took_s)
        else:
            self.misses += 1
        for fault in readout.faults:
            self.reasons[fault] = self.reasons.get(fault, 0) + 1

    @property
    def answers(self) -> int:
        """How many polls were answered."""
        return self.polls - self.misses


class Watch:
    """Polls devices until :meth:`stop` and hands each poll to ``show``; ``tallies`` are by device."""

    def __init__(
        self,
        readers: Sequence[DeviceReader],
        *,
        show: Callable[[Look], None],
        every_s: float | None = None,
        count: int | None = None,
    ) -> None:
        """``every_s`` instead of the intervals of gateway.yaml; ``count``: end after so many polls of each."""
        self.tallies = {reader.device.id: Tally() for reader in readers}
        self._readers, self._show, self._every_s, self._count = readers, show, every_s, count
        self._last: dict[str, dict[str, Value]] = {}
        self._stopping = asyncio.Event()
        self._unread: BrokenPipeError | None = None
        self._turns: dict[object, asyncio.Lock] = {}

    def stop(self) -> None:
        """Let :meth:`run` end now."""
        self._stopping.set()

    async def run(self) -> None:
        """Poll until the end. Raises BrokenPipeError where nobody reads any more what is shown."""
        async with asyncio.TaskGroup() as group:
            polls = {
                group.create_task(self._poll_on(reader, poll_s))
                for reader in self._readers
                for poll_s in ([None] if self._every_s else reader.device.polls)
            }
            stopping = group.create_task(self._end())
            while polls and not stopping.done():
                done, _ = await asyncio.wait({*polls, stopping}, return_when=asyncio.FIRST_COMPLETED)
                polls -= done
            for task in (*polls, stopping):
                task.cancel()
        if self._unread is not None:
            raise self._unread

    async def _end(self) -> None:
        await self._stopping.wait()

    async def _poll_on(self, reader: DeviceReader, poll_s: float | None) -> None:
        """Poll at a fixed rate; what cannot be done in time is left out."""
        now = asyncio.get_running_loop().time
        interval_s = poll_s or self._every_s or reader.device.poll_s
        due_at, polls = now(), 0
        while not self._stopping.is_set():  # Python 3.11's wait_for, deep inside, may swallow that it was cancelled
            async with self._turns.setdefault(reader.line, asyncio.Lock()):  # each is timed by itself
                readout = await reader.read(poll_s)
            self._note(readout)
            polls += 1
            if polls == self._count:
                return
            due_at += interval_s * max(1.0, -(-(now() - due_at) // interval_s))
            await asyncio.sleep(due_at - now())

    def _note(self, readout: Readout) -> None:
        self.tallies[readout.device.id].note(readout)
        last = self._last.setdefault(readout.device.id, {})
        values = {each.point.name: each.reading.value for each in readout.points}
        before = {name: last[name] for name, value in values.items() if name in last and last[name] != value}
        first = frozenset(values.keys() - last.keys())
        last.update(values)
        try:
            self._show(Look(readout, before, first))
        except BrokenPipeError as error:  # whoever read is gone, as ``head`` is after its lines
            self._unread = error
            self.stop()
