"""How long readings are kept where the store itself has to see to it, and the task that does, once a day."""

from collections.abc import Sequence
from typing import NoReturn

import structlog
from msgspec import Struct

from cloud.series import SeriesError, SeriesStore
from edge.contract.clock import Clock
from edge.contract.messages import Batch

DAY_S = 86_400
DAY_MS = DAY_S * 1000

_log = structlog.get_logger()


class Retention(Struct, frozen=True):
    """Readings are kept for `days` of this clock."""

    days: int
    clock: Clock

    @property
    def oldest_ms(self) -> int:
        """When the oldest readings were taken that are kept now."""
        return self.clock.now_ms() - self.days * DAY_MS


def without_expired(batches: Sequence[Batch], oldest_ms: int) -> tuple[list[Batch], dict[int, int]]:
    """Return batches without what was taken before a time, and how many readings these were, by the place of theirs."""
    kept, expired = [], {}
    for place, batch in enumerate(batches):
        young = batch
        if any(min(block.times) < oldest_ms for block in batch.blocks):
            young = _since(batch, oldest_ms)
            expired[place] = _count(batch) - _count(young)
        kept.append(young)
    return kept, expired


async def forget_daily(store: SeriesStore, clock: Clock) -> NoReturn:
    """Delete what is past its time, now and each day from now; what cannot be deleted is tried again the next day."""
    while True:
        try:
            readings = await store.forget_expired()
        except SeriesError as error:
            _log.warning("readings past their time are not deleted yet", reason=str(error))
        else:
            if readings:
                _log.info("readings past their time deleted", readings=readings)
        await clock.sleep(DAY_S)


def _since(batch: Batch, oldest_ms: int) -> Batch:
    return Batch.of(
        (one for one in batch.readings() if one.taken_at >= oldest_ms),
        gateway=batch.gateway,
        config_hash=batch.config_hash,
        clock=batch.clock,
        clock_since=batch.clock_since,
        kinds=batch.kinds,
    )


def _count(batch: Batch) -> int:
    return sum(1 for _ in batch.readings())
