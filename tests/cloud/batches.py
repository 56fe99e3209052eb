"""Batches as a gateway sends them, for the tests of what the cloud makes of them."""

from collections.abc import Sequence

from edge.contract.messages import Batch, ClockState, Flag, Lane, Reading, Test, encode_batch, seal

NOON = 1_795_348_800_000
EPOCH = "8f3a61c2d47b905e"


def readings_of(seq: int, *, device: str = "road-1") -> list[Reading]:
    """Return five readings that no other seq has, one of them failed and one missing."""
    at = NOON + 60_000 * seq
    return [
        Reading(device, "depth", at, seq / 7),
        Reading(device, "depth", at + 1000, 9999.0, Flag.FAIL, Test.SPAN),
        Reading(device, "depth", at + 2000, None, Flag.MISSING, Test.NO_ANSWER),
        Reading(device, "energy_import_total", at, 2**53 + seq),
        Reading(device, "energy_import_total", at + 1000, 2**53 + seq + 1),
    ]


def sealed(
    seq: int, readings: Sequence[Reading] | None = None, *, gateway: str = "gw-1", lane: Lane = Lane.LIVE
) -> bytes:
    """Return the payload of one batch: the readings of `seq`, unless others are given."""
    batch = Batch.of(
        readings_of(seq) if readings is None else readings,
        gateway=gateway,
        config_hash="c0ffee",
        clock=ClockState.SYNCHRONISED,
        kinds={"road-1": "waterlogging_sensor", "meter-1": "electricity_meter"},
    )
    return seal(encode_batch(batch), lane=lane, epoch=EPOCH, seq=seq)
