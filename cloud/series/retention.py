"""How long readings are kept where the store itself has to see to it."""

from collections.abc import Sequence

from msgspec import Struct

from edge.contract.clock import Clock
from edge.contract.messages import Batch

DAY_MS = 86_400_000


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
