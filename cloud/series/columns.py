"""What one series holds of a span, and how the columns of many series become batches that any store takes."""

from collections import defaultdict
from collections.abc import Iterable, Sequence

from msgspec import Struct

from cloud.series import SeriesId
from edge.contract.messages import Batch, Block, ClockState, Column, Flag, Table


class SeriesColumn(Struct, frozen=True):
    """The readings of one series, one each time, ascending: `column` has no rows of other series between them."""

    series: SeriesId
    times: Sequence[int]
    column: Column


def batches_of(columns: Iterable[SeriesColumn]) -> list[Batch]:
    """Arrange columns as one batch a gateway; a device has a block for each kind.

    Gateway and blocks are all that the batches say: configuration and clock of the time are not known.
    """
    devices: defaultdict[tuple[str, str, str], list[SeriesColumn]] = defaultdict(list)
    for one in columns:
        devices[one.series.gateway, one.series.device, one.series.kind].append(one)
    gateways: defaultdict[str, list[Block]] = defaultdict(list)
    for (gateway, device, kind), of_device in devices.items():
        gateways[gateway].append(Block.of(_table(device, kind, of_device)))
    return [
        Batch(gateway=gateway, config_hash="", clock=ClockState.UNKNOWN, blocks=blocks)
        for gateway, blocks in gateways.items()
    ]


def _table(device: str, kind: str, columns: Sequence[SeriesColumn]) -> Table:
    times = list(columns[0].times)
    if all(list(one.times) == times for one in columns):
        return Table(device, kind, times, [one.column for one in columns])
    times = sorted(set().union(*(one.times for one in columns)))
    row_of = {taken_at: row for row, taken_at in enumerate(times)}
    return Table(device, kind, times, [_spread(one, row_of) for one in columns])


def _spread(one: SeriesColumn, row_of: dict[int, int]) -> Column:
    """Return a column with a row for each time of its device."""
    flags = bytearray(len(row_of))
    for taken_at, flag in zip(one.times, one.column.flags or bytes([Flag.PASS]) * len(one.times), strict=True):
        flags[row_of[taken_at]] = flag
    return Column(one.column.point, one.column.values, bytes(flags), one.column.tests)
