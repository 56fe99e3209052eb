"""Signatures: the words of a model are known again, and those of another are not."""

from typing import Any

import pytest

from edge.contract.signatures import Signature


def signature(**changes: Any) -> Signature:
    """A number that is 0x0102, or what the changes say."""
    return Signature.model_validate({"table": "input", "address": 8, "type": "uint16", "text": "model code", **changes})


@pytest.mark.parametrize(
    ("changes", "yes", "no"),
    [
        ({"equals": 0x0102}, [0x0102], [0x0103]),
        ({"equals": 0x0102}, [0x0102], [0x0102, 0x0102]),
        ({"equals": 0x0102, "byte_order": "low_first"}, [0x0201], [0x0102]),
        ({"type": "uint32", "equals": 0x0102, "word_order": "low_first"}, [0x0102, 0], [0, 0x0102]),
        ({"type": "int16", "equals": -2}, [0xFFFE], [2]),
        ({"type": "bcd16", "equals": 102}, [0x0102], [0x010A]),
        ({"type": "float32", "between": (45, 65)}, [0x4248, 0], [0x4348, 0]),  # 50.0, 200.0
        ({"type": "float32", "between": (45, 65)}, [0x4234, 0], [0x7FC0, 0]),  # 45.0, NaN
        ({"between": (4500, 6500)}, [6500], [6501]),
        ({"type": "string", "length": 3, "equals": "EM24"}, [0x454D, 0x3234, 0], [0x454D, 0x3235, 0]),
        ({"type": "string", "length": 2, "equals": "EM24"}, [0x454D, 0x3234], [0x454D, 0x3200]),
        ({"type": "string", "length": 3, "equals": "EM24"}, [0x454D, 0x3234, 0x2020], [0x454D, 0x3234, 0x4120]),
        ({"type": "string", "length": 2, "begins": "EM"}, [0x454D, 0x3235], [0x4D45, 0x3235]),
        ({"type": "string", "length": 2, "begins": "EM", "byte_order": "low_first"}, [0x4D45, 0], [0x454D, 0]),
        ({"type": "string", "length": 2, "begins": "EM"}, [0x454D, 0xFFFF], [0xFFFF, 0xFFFF]),
        ({"type": "string", "length": 2, "begins": "EM"}, [0x454D, 0], []),
    ],
)
def test_known_again(changes: dict[str, Any], yes: list[int], no: list[int]) -> None:
    """Numbers in every order, ranges and texts with their fillers fit what they are, and nothing else."""
    each = signature(**changes)
    assert each.matches(yes)
    assert not each.matches(no)


def test_what_is_read_and_what_it_proves() -> None:
    """A signature says which registers it needs; a range is a hint and no proof."""
    text = signature(type="string", length=6, begins="EM")
    assert (text.registers, text.is_proof) == (range(8, 14), True)
    frequency = signature(type="float32", between=(45, 65))
    assert (frequency.registers, frequency.is_proof) == (range(8, 10), False)
