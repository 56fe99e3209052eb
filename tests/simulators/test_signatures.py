"""What tells a model from others stands in its simulated registers."""

from __future__ import annotations

import json

import pytest

from edge.contract.profile import ModbusProfile, Signature, load_profile, profile_names
from simulators.device import SimulatedDevice
from simulators.plausible import Plausible
from simulators.signatures import signature_words

NOON_S = 43_200


def signed_profiles() -> list[ModbusProfile]:
    loaded = [load_profile(name) for name in profile_names()]
    return [profile for profile in loaded if isinstance(profile, ModbusProfile) and profile.signature]


@pytest.mark.parametrize("profile", signed_profiles(), ids=lambda profile: profile.profile)
def test_a_simulated_device_is_known_by_its_signature(profile: ModbusProfile) -> None:
    """Each mark of each profile is found in the registers of a device that is simulated at a usual site."""
    device = SimulatedDevice(profile)
    for name, value in Plausible(device.profile, "1").at(NOON_S).items():
        device.set(name, value)
    for mark in profile.signature:
        words = device.read(mark.table, mark.address, len(mark.registers))
        assert words is not None, mark.text
        assert mark.matches(words), mark.text


@pytest.mark.parametrize(
    ("form", "words"),
    [
        ({"type": "uint16", "equals": 341}, [341]),
        ({"type": "uint32", "equals": 0x12345, "word_order": "low_first"}, [0x2345, 1]),
        ({"type": "uint16", "equals": 0x0102, "byte_order": "low_first"}, [0x0201]),
        ({"type": "bcd16", "equals": 1234}, [0x1234]),
        ({"type": "float32", "between": [45, 55]}, [0x4248, 0]),
        ({"type": "string", "length": 3, "begins": "B23"}, [0x4232, 0x3300, 0]),
    ],
)
def test_words_of_a_mark(form: dict[str, object], words: list[int]) -> None:
    """The registers are as the types say, worked out by hand."""
    mark = Signature.model_validate_json(json.dumps({"table": "holding", "address": 7, "text": "code", **form}))
    assert list(signature_words(mark).items()) == list(enumerate(words, 7))
