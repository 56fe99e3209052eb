"""One question to one unit, and what came back: an answer, nothing, or something that tells what is wrong."""

from __future__ import annotations

import asyncio
from typing import Final

from edge.contract.profile import Table
from edge.drivers import NoAnswerError, RefusedError
from edge.drivers.modbus_frames import crc
from edge.drivers.modbus_link import ModbusLink
from edge.read_plan import Block
from edge.scan.report import Reply
from edge.scan.targets import PROBE_REGISTERS

LEAST_FRAME: Final = 5
REST_S: Final = 0.06  # until everything of a spoiled answer has come


async def ask(link: ModbusLink, unit: int, table: Table = "holding", *, wait_s: float, most_s: float) -> Reply:
    """Ask a unit for its first register; only ever reads."""
    block = Block(table, 0, PROBE_REGISTERS, ())
    try:
        answered = await link.read(unit, block, wait_s=wait_s, most_s=most_s)
    except RefusedError as error:
        return Reply(link.line, unit, "answer", max(link.lasted_s - link.wire_s(block), 0.0), unit, str(error))
    except NoAnswerError as error:
        return await _failed(link, unit, str(error))
    return Reply(link.line, unit, "answer", max(answered.took_s, 0.0), unit)


async def _failed(link: ModbusLink, unit: int, text: str) -> Reply:
    """Say what no answer was; bytes of a serial line are awaited to the last."""
    line = link.line
    if text.startswith("the converter answers"):
        return Reply(line, unit, "no unit", text=text)
    if not link.heard:
        return Reply(line, unit, "silent" if text.startswith("connected") else "closed", text=text)
    if line.framing == "rtu":
        size = -1
        while len(link.heard) != size:
            size = len(link.heard)
            await asyncio.sleep(REST_S)
        if "echoes" in text:
            return Reply(line, unit, "echo", text=text)
        if is_frame(link.heard):
            return Reply(line, unit, "foreign", from_unit=link.heard[0], text=text)
    return Reply(line, unit, "damaged", text=text)


def is_frame(data: bytes) -> bool:
    """Whether these bytes are a whole answer of some unit."""
    return len(data) >= LEAST_FRAME and 0 < data[0] < 248 and crc(data[:-2]) == data[-2:]
