"""The load of ``./anlan bench ingest``: batches of 20 electricity meters with 10 points each, one row a meter.

Values have the digits of a DTSD1352 (0.1 V, 0.01 A, 0.001 kW, 0.001, 0.01 Hz, Wh), or, as `float32`, the noise in every
digit that a meter with single-precision registers sends.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from itertools import accumulate

from edge.contract.messages import Batch, Block, ClockState, Column, Lane, decode_batch, encode_batch, seal, topic
from tests.bench._mqtt import publish_packet
from tests.bench.wire import single

METERS, INTERVAL_MS, KIND = 20, 10_000, "electricity_meter"
MEANS = {  # and decimals
    "voltage_l1": (231.0, 1), "voltage_l2": (229.5, 1), "voltage_l3": (230.2, 1),
    "current_l1": (5.1, 2), "current_l2": (3.9, 2), "current_l3": (4.4, 2),
    "active_power_total": (3.05, 3), "power_factor_total": (0.97, 3), "frequency": (50.0, 2),
}  # fmt: skip
POINTS = len(MEANS) + 1
READINGS = METERS * POINTS
NOISE = 0.003
DEVICES = [f"meter-{number}" for number in range(1, METERS + 1)]


def gateway_name(number: int) -> str:
    """Return the id of the gateway of that number, from 0."""
    return f"gw-{number:03d}"


def payloads(
    count: int, gateways: int, *, start_ms: int, epoch: str, float32: bool, seed: int = 1
) -> Iterator[tuple[str, bytes]]:
    """Give `count` messages, of each gateway in turn, with the id of its gateway."""
    rnd = random.Random(seed)
    energy = {number: [rnd.randrange(10**7) for _ in DEVICES] for number in range(gateways)}
    for number in range(count):
        round_number, gateway = divmod(number, gateways)
        energy[gateway] = [wh + rnd.randrange(12) for wh in energy[gateway]]
        columns = [Column(point, _values(rnd, *of, float32=float32)) for point, of in MEANS.items()]
        columns.insert(3, Column("energy_import_total", energy[gateway]))
        steps = [rnd.randrange(20, 60) for _ in DEVICES]
        times = list(accumulate(steps, initial=start_ms + round_number * INTERVAL_MS + gateway))[1:]
        block = Block(KIND, DEVICES, [1] * METERS, times, sorted(columns, key=lambda column: column.point))
        name = gateway_name(gateway)
        batch = Batch(gateway=name, config_hash="c0ffee", clock=ClockState.SYNCHRONISED, blocks=[block])
        yield name, seal(encode_batch(batch), lane=Lane.LIVE, epoch=epoch, seq=round_number + 1)


def _values(rnd: random.Random, mean: float, decimals: int, *, float32: bool) -> list[float]:
    values = [rnd.gauss(mean, mean * NOISE) for _ in DEVICES]
    return [single(value) for value in values] if float32 else [round(value, decimals) for value in values]


def packets(messages: Sequence[tuple[str, bytes]]) -> bytes:
    """Return the messages as what the publisher sends."""
    return b"".join(
        publish_packet(1 + number % 65_000, topic(name, "batch"), payload)
        for number, (name, payload) in enumerate(messages)
    )


def batches(messages: Sequence[tuple[str, bytes]]) -> list[Batch]:
    """Return what is in the messages."""
    return [decode_batch(payload, name)[1] for name, payload in messages]
