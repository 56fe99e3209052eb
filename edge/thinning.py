"""Pure: every second reading of each series, for an outbox that must let go of something.

A reading that did not pass says more than its neighbours, and the first and the last of a series say where it begins
and ends: these stay.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from edge.contract.messages import Batch, Flag, Reading


def thinned(batches: Sequence[Batch]) -> tuple[Batch, int]:
    """Return batches of one origin as one with about half of their readings; and how many are left out.

    Raises ContractError when two batches have the same reading.
    """
    first = batches[0]
    series: defaultdict[tuple[str, str], list[Reading]] = defaultdict(list)
    for batch in batches:
        for reading in batch.readings():
            series[reading.device, reading.point].append(reading)
    kept = [reading for readings in series.values() for reading in _every_second(readings)]
    batch = Batch.of(
        kept,
        gateway=first.gateway,
        config_hash=first.config_hash,
        clock=first.clock,
        clock_since=first.clock_since,
        kinds={device: kind for one in batches for device, kind in one.kinds.items()},
    )
    return batch, sum(map(len, series.values())) - len(kept)


def _every_second(readings: list[Reading]) -> Iterable[Reading]:
    readings.sort(key=lambda reading: reading.taken_at)
    last = len(readings) - 1
    return [
        reading
        for place, reading in enumerate(readings)
        if place % 2 == 0 or place == last or reading.flag is not Flag.PASS
    ]
