"""Two stores that are one: readings of household devices live apart, and for a short time.

Which store a device belongs to is told by its id, so a reading is found where it was written, whoever asks.
"""

from collections.abc import Callable, Sequence

from msgspec.structs import replace

from cloud.series import Bucket, Coverage, Expected, LastHeard, SeriesId, SeriesStore, starts_of_parts
from edge.contract.household import is_household
from edge.contract.messages import Batch, Block, Reading


class RoutedStore:
    """A `SeriesStore` that gives `households` what belongs there, and `others` all else."""

    def __init__(
        self, others: SeriesStore, households: SeriesStore, *, belongs: Callable[[str], bool] = is_household
    ) -> None:
        self._others = others
        self._households = households
        self._belongs = belongs

    async def write(self, batches: Sequence[Batch]) -> dict[int, int]:
        """See `SeriesStore.write`."""
        expired: dict[int, int] = {}
        of_households = [place for place, batch in enumerate(batches) if self._has_household(batch)]
        for store, wanted in ((self._others, False), (self._households, True)):
            parts = {} if wanted else dict(enumerate(batches))
            parts |= {place: self._part(batches[place], wanted=wanted) for place in of_households}
            parts = {place: batch for place, batch in parts.items() if batch.blocks}
            found = await store.write(list(parts.values())) if parts else {}
            places = list(parts)
            for number, readings in found.items():
                expired[places[number]] = expired.get(places[number], 0) + readings
        return expired

    async def read(
        self, gateway: str, device: str, point: str, *, start_ms: int, end_ms: int, limit: int
    ) -> list[Reading]:
        """See `SeriesStore.read`."""
        return await self._of(device).read(gateway, device, point, start_ms=start_ms, end_ms=end_ms, limit=limit)

    async def latest(self, gateway: str, device: str) -> list[Reading]:
        """See `SeriesStore.latest`."""
        return await self._of(device).latest(gateway, device)

    async def series(self, gateway: str | None = None) -> list[SeriesId]:
        """See `SeriesStore.series`."""
        return sorted([*await self._others.series(gateway), *await self._households.series(gateway)])

    async def last_heard(self, gateway: str | None = None) -> list[LastHeard]:
        """See `SeriesStore.last_heard`."""
        found = [*await self._others.last_heard(gateway), *await self._households.last_heard(gateway)]
        return sorted(found, key=lambda one: (one.gateway, one.device, one.point))

    async def silent_since(self, gateway: str, device: str, point: str) -> int | None:
        """See `SeriesStore.silent_since`."""
        return await self._of(device).silent_since(gateway, device, point)

    async def summarise(
        self, gateway: str, device: str, point: str, *, start_ms: int, end_ms: int, width_ms: int
    ) -> list[Bucket]:
        """See `SeriesStore.summarise`."""
        span = {"start_ms": start_ms, "end_ms": end_ms, "width_ms": width_ms}
        return await self._of(device).summarise(gateway, device, point, **span)

    async def coverage(
        self, gateway: str, expected: Sequence[Expected], *, start_ms: int, end_ms: int, slot_ms: int
    ) -> list[Coverage]:
        """See `SeriesStore.coverage`."""
        starts_of_parts(start_ms, end_ms, slot_ms, series=len(expected))
        found: dict[int, Coverage] = {}
        for store, wanted in ((self._others, False), (self._households, True)):
            places = [place for place, one in enumerate(expected) if self._belongs(one.device) == wanted]
            if places:
                some = [expected[place] for place in places]
                covered = await store.coverage(gateway, some, start_ms=start_ms, end_ms=end_ms, slot_ms=slot_ms)
                found |= zip(places, covered, strict=True)
        return [found[place] for place in sorted(found)]

    async def singles_since(self, device: str) -> int:
        """See `SeriesStore.singles_since`."""
        return await self._of(device).singles_since(device)

    async def extent(self) -> tuple[int, int] | None:
        """See `SeriesStore.extent`."""
        found = [one for one in (await self._others.extent(), await self._households.extent()) if one is not None]
        return (min(oldest for oldest, _ in found), max(newest for _, newest in found)) if found else None

    async def estimate(self, *, start_ms: int, end_ms: int) -> int:
        """See `SeriesStore.estimate`."""
        others = await self._others.estimate(start_ms=start_ms, end_ms=end_ms)
        return others + await self._households.estimate(start_ms=start_ms, end_ms=end_ms)

    async def read_span(self, *, start_ms: int, end_ms: int) -> list[Batch]:
        """See `SeriesStore.read_span`."""
        found = {batch.gateway: batch for batch in await self._others.read_span(start_ms=start_ms, end_ms=end_ms)}
        for batch in await self._households.read_span(start_ms=start_ms, end_ms=end_ms):
            other = found.get(batch.gateway)
            found[batch.gateway] = replace(other, blocks=[*other.blocks, *batch.blocks]) if other else batch
        return list(found.values())

    async def forget_expired(self) -> int:
        """See `SeriesStore.forget_expired`."""
        return await self._others.forget_expired() + await self._households.forget_expired()

    async def sum_up(self, *, until_ms: int) -> None:
        """See `SeriesStore.sum_up`."""
        await self._others.sum_up(until_ms=until_ms)
        await self._households.sum_up(until_ms=until_ms)

    async def close(self) -> None:
        """See `SeriesStore.close`."""
        await self._others.close()
        await self._households.close()

    def _of(self, device: str) -> SeriesStore:
        return self._households if self._belongs(device) else self._others

    def _has_household(self, batch: Batch) -> bool:
        return any(self._belongs(device) for block in batch.blocks for device in block.devices)

    def _part(self, batch: Batch, *, wanted: bool) -> Batch:
        return replace(batch, blocks=[part for block in batch.blocks for part in self._parts(block, wanted=wanted)])

    def _parts(self, block: Block, *, wanted: bool) -> list[Block]:
        belonging = {self._belongs(device) == wanted for device in block.devices}
        if belonging == {True, False}:
            return [Block.of(table) for table in block.tables() if self._belongs(table.device) == wanted]
        return [block] if True in belonging else []
