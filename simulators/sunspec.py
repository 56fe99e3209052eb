"""What stands around the model of a simulated SunSpec device: the marker, the common model, and the end."""

from __future__ import annotations

from typing import Final

from edge.contract.profile import ModbusProfile
from edge.contract.sunspec import END, HEADER, MARKER, STARTS

COMMON_ID: Final = 1
COMMON_LENGTH: Final = 66
METER_AT: Final = STARTS[0] + len(MARKER) + HEADER + COMMON_LENGTH


def placed(profile: ModbusProfile) -> ModbusProfile:
    """The profile as a device of ours has it: one with discovery stands behind the common model."""
    return profile.at(METER_AT) if profile.discovery else profile


def chain(profile: ModbusProfile) -> dict[int, int]:
    """The holding registers that lead to a profile with discovery, by address; none for any other."""
    if not profile.discovery:
        return {}
    length = profile.extent - HEADER
    common = [COMMON_ID, COMMON_LENGTH, *_text("Anlan", 16), *_text("simulated", 16), *[0] * (COMMON_LENGTH - 32)]
    held = dict(enumerate([*MARKER, *common, profile.model_ids[0], length], STARTS[0]))
    return held | dict(enumerate([END, 0], METER_AT + profile.extent))


def _text(text: str, registers: int) -> list[int]:
    data = text.encode("ascii").ljust(2 * registers, b"\0")
    return [int.from_bytes(data[at : at + 2], "big") for at in range(0, len(data), 2)]
