"""How small a batch is and how fast it is read: ``./anlan bench wire``.

One simulated hour of 20 electricity meters with 10 points each, read every 10 s, in batches of 60 s. Voltages,
currents, powers, factor and frequency are single-precision floats, as these meters send them, with fresh noise in every
digit that single precision has (the hardest case: no two readings alike); the energy counter is an integer in Wh.
Report by exception is off, so every reading travels. The same readings are written as plain JSON and as plain
MessagePack, one array of objects a batch, without and with zlib.
"""

from __future__ import annotations

import json
import random
import struct
import time
import zlib

import msgspec

from edge.contract.messages import Batch, ClockState, Lane, Reading, decode_batch, encode_batch, seal

START_MS = 1_790_000_000_000
METERS, INTERVAL_S, BATCH_S, HOUR_S = 20, 10, 60, 3600
MEANS = {
    "voltage_l1": 231.0, "voltage_l2": 229.5, "voltage_l3": 230.2, "current_l1": 5.1, "current_l2": 3.9,
    "current_l3": 4.4, "active_power_total": 3050.0, "power_factor_total": 0.97, "frequency": 50.0,
}  # fmt: skip
NOISE = 0.003  # standard deviation, relative to the mean


def single(value: float) -> float:
    """Round to what a 32-bit float register can hold."""
    return float(struct.unpack("<f", struct.pack("<f", value))[0])


def simulate(rnd: random.Random) -> list[list[Reading]]:
    """Return the hour's readings, one list per batch."""
    energy_wh = [rnd.randrange(10**7) for _ in range(METERS)]
    batches = []
    for batch_at in range(0, HOUR_S, BATCH_S):
        readings = []
        for meter in range(METERS):
            for second in range(batch_at, batch_at + BATCH_S, INTERVAL_S):
                at = START_MS + second * 1000 + meter * 37 + rnd.randrange(20)  # polls are spread and jitter a little
                device = f"meter-{meter + 1}"
                readings += [
                    Reading(device, point, at, single(mean * rnd.gauss(1, NOISE))) for point, mean in MEANS.items()
                ]
                energy_wh[meter] += rnd.randrange(12)
                readings.append(Reading(device, "energy_import_total", at, energy_wh[meter]))
        batches.append(readings)
    return batches


def best_rate(payloads: list[bytes], readings: int, rounds: int = 5) -> float:
    """Return readings decoded a second, with all validation, in the best of some rounds."""
    rates = []
    for _ in range(rounds):
        started = time.perf_counter()
        for payload in payloads:
            decode_batch(payload, "gw-1")
        rates.append(readings / (time.perf_counter() - started))
    return max(rates)


def main() -> None:
    """Measure, print a small table, then one JSON line."""
    batches = simulate(random.Random(1))
    kinds = {reading.device: "electricity_meter" for reading in batches[0]}
    count = sum(map(len, batches))
    payloads = [
        seal(
            encode_batch(
                Batch.of(readings, gateway="gw-1", config_hash="ab", clock=ClockState.SYNCHRONISED, kinds=kinds)
            ),
            lane=Lane.LIVE, epoch="00" * 8, seq=seq,
        )
        for seq, readings in enumerate(batches, 1)
    ]  # fmt: skip
    as_json = [json.dumps(msgspec.to_builtins(readings), separators=(",", ":")).encode() for readings in batches]
    as_msgpack = [msgspec.msgpack.encode(readings) for readings in batches]
    sizes = {
        "anlan": payloads,
        "JSON": as_json,
        "JSON + zlib": [zlib.compress(payload, 6) for payload in as_json],
        "MessagePack": as_msgpack,
        "MessagePack + zlib": [zlib.compress(payload, 6) for payload in as_msgpack],
    }
    print(f"{count} readings in {len(batches)} batches, noise in every digit of single precision, checked equal")
    for payload, readings in zip(payloads, batches, strict=True):
        assert set(decode_batch(payload, "gw-1")[1].readings()) == set(readings)
    for name, written in sizes.items():
        print(f"{name:20} {sum(map(len, written)) / count:7.2f} bytes per reading")
    bytes_per_reading = round(sum(map(len, payloads)) / count, 2)
    rate = best_rate(payloads, count)
    print(json.dumps({"bytes_per_reading": bytes_per_reading, "decode_per_s": round(rate)}))


if __name__ == "__main__":
    main()
