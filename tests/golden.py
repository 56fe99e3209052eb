"""The golden cases of profiles: registers of a device at one moment and the values in them, worked out by hand."""

from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

import yaml

from edge.contract.readings import Value

CASES = sorted((Path(__file__).parent / "cases" / "profiles").glob("*/*.yaml"))


class Case(NamedTuple):
    """Registers of one device at one moment, and the readings they hold with the numbers of a site."""

    registers: dict[str, dict[int, int]]
    expect: dict[str, Value]
    settings: dict[str, Decimal]


def case_name(path: Path) -> str:
    """What a case is called in the list of tests."""
    return f"{path.parent.name}/{path.stem}"


def load_case(path: Path) -> Case:
    """Read a case; every number of it as it is written."""
    # BaseLoader keeps every scalar as text: 0123 must stay a hex word
    content = yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.BaseLoader)  # noqa: S506 -- makes strings only
    registers: dict[str, dict[int, int]] = {}
    for table, blocks in content["registers"].items():
        for first, text in blocks.items():
            found = {int(first, 0) + index: int(word, 16) for index, word in enumerate(text.split())}
            registers.setdefault(table, {}).update(found)
    settings = {name: Decimal(text) for name, text in content.get("settings", {}).items()}
    return Case(registers, {name: _to_value(text) for name, text in content["expect"].items()}, settings)


def _to_value(text: str) -> Value:
    if text == "null":
        return None
    return float(text) if "." in text else int(text)
