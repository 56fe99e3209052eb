"""Fast simulated meters for ``./anlan bench edge``: a process of its own, so that its work is nobody else's.

    python -m tests.bench._meters PORT

Every address 127.x.y.z with this port is a meter of 50 registers. It answers a read of all of them at once, each time
with other values in every register: those of a meter whose readings walk a little from second to second.
"""

from __future__ import annotations

import asyncio
import random
import struct
import sys
from itertools import count

REGISTERS = 50
ANSWERS = 512  # prepared; then they begin again
_REQUEST = 12  # bytes of a read request over TCP
_MEANS = (2310, 512, 3050, 970, 5000)  # 231.0 V, 5.12 A, 3050 W, 0.970, 50.00 Hz: the registers of PROFILE, in turn

PROFILE = """\
profile: meter
maker: Anlan
model: Bench meter
kind: electricity_meter
protocol: modbus
source: {document: no document, origin: made for a measurement, checked: nothing to check}
reads: {max_registers: 125, max_gap: 0}
points:
"""
_POINTS = (
    "{{name: voltage_l{0}, unit: V, table: holding, address: {1}, type: uint16, scale: '0.1', span: [0, 400]}}",
    "{{name: current_l{0}, unit: A, table: holding, address: {1}, type: uint16, scale: '0.01', span: [0, 100]}}",
    "{{name: active_power_l{0}, unit: W, table: holding, address: {1}, type: uint16, span: [0, 15000]}}",
    "{{name: power_factor_l{0}, unit: '1', table: holding, address: {1}, type: uint16, scale: '0.001', span: [0, 2]}}",
    "{{name: frequency_l{0}, unit: Hz, table: holding, address: {1}, type: uint16, scale: '0.01', span: [40, 70]}}",
)


def profile() -> str:
    """The profile of such a meter: 50 points in one block."""
    lines = (f"  - {_POINTS[at % 5].format(at // 5 + 1, at)}\n" for at in range(REGISTERS))
    return PROFILE + "".join(lines)


def host(number: int) -> str:
    """The address of a meter."""
    return f"127.1.{number // 250}.{number % 250 + 1}"


def _walk() -> list[bytes]:
    """Answers, without the transaction id; no register has the same number twice in a row."""
    rnd = random.Random(1)
    held = [_MEANS[at % 5] for at in range(REGISTERS)]
    answers = []
    for _ in range(ANSWERS):
        for at, before in enumerate(held):
            step = rnd.choice((-3, -2, -1, 1, 2, 3))
            held[at] = before + (step if abs(before + step - _MEANS[at % 5]) < 60 else -step)
        frame = struct.pack(">HHBBB", 0, 3 + 2 * REGISTERS, 1, 3, 2 * REGISTERS)
        answers.append(frame + struct.pack(f">{REGISTERS}H", *held))
    return answers


class _Meter(asyncio.Protocol):
    """One connection to a meter."""

    answers = _walk()
    numbers = count()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._at = next(self.numbers) * 17  # meters do not go in step

    def data_received(self, data: bytes) -> None:
        for first in range(0, len(data), _REQUEST):
            self._at += 1
            self._transport.write(data[first : first + 2] + self.answers[self._at % ANSWERS])


async def serve(port: int) -> None:
    """Be all meters until the process is ended."""
    server = await asyncio.get_running_loop().create_server(_Meter, "0.0.0.0", port, backlog=4096)
    print("ready", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1])))
