"""What a device answers to a request, whatever carries it, and what a fault makes of that.

A PDU is the function and what follows it, without unit, transaction or checksum. Written after the Modbus Application
Protocol 1.1b3 (sections 6.1 to 6.4 and 7).
"""

from __future__ import annotations

import struct
from typing import Final

from edge.contract.profile import BIT_TABLES, Table
from simulators.device import SimulatedDevice
from simulators.faults import FaultPlan, Framing, Sending, distort

READ_REQUEST: Final = struct.Struct(">BHH")  # function, address, count
TABLES: Final[dict[int, Table]] = {1: "coil", 2: "discrete", 3: "holding", 4: "input"}
MAX_BITS: Final = 2000

ILLEGAL_FUNCTION, ILLEGAL_ADDRESS, ILLEGAL_VALUE, NO_SUCH_UNIT = 1, 2, 3, 0x0B


def reply(device: SimulatedDevice, unit: int, request: bytes, *, framing: Framing, faults: FaultPlan) -> Sending | None:
    """What goes out when a unit is asked; None when it keeps silent."""
    fault = faults.take(unit)
    device.suffer(fault)
    answer = answer_of(device, request)
    if answer is None:
        return None
    previous, device.answered = device.answered, answer
    return distort(fault, framing, unit, answer, previous)


def answer_of(device: SimulatedDevice, request: bytes) -> bytes | None:
    """The PDU that answers a PDU; None when the device keeps silent."""
    function = request[0] if request else 0
    if device.silent:
        return None
    if device.refuses_with is not None:
        return exception(function, device.refuses_with)
    if function not in TABLES:
        return exception(function, ILLEGAL_FUNCTION)
    if len(request) != READ_REQUEST.size:
        return exception(function, ILLEGAL_VALUE)
    return _answer_read(device, request)


def exception(function: int, code: int) -> bytes:
    """The PDU that refuses."""
    return bytes((function | 0x80, code))


def _answer_read(device: SimulatedDevice, request: bytes) -> bytes:
    function, address, count = READ_REQUEST.unpack(request)
    is_bits = TABLES[function] in BIT_TABLES
    if not 1 <= count <= (MAX_BITS if is_bits else device.profile.reads.max_registers):
        return exception(function, ILLEGAL_VALUE)
    words = device.read(TABLES[function], address, count)
    if words is None:
        return exception(function, ILLEGAL_ADDRESS)
    data = _pack_bits(words) if is_bits else struct.pack(f">{count}H", *words)
    return bytes((function, len(data))) + data


def _pack_bits(bits: list[int]) -> bytes:
    """Pack eight bits to a byte, the first in the lowest place (specification, section 6.1)."""
    packed = sum(bit << place for place, bit in enumerate(bits))
    return packed.to_bytes((len(bits) + 7) // 8, "little")
