"""Forms that a person fills in: checked by the models of the files, faults told at the fields, in both languages.

A form is a mapping of field names to what was typed. A field is named by the key it stands for, with dots between:
`devices.1.modbus.host`. Numbers in a name put rows in order; some may be left out, as when a row was removed.

    Exception
    └── FormError       what was typed cannot be taken: every fault says at which field, why, and so what to change
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, TypeVar

from pydantic import BaseModel

from cloud.registry.sentences import in_chinese
from edge.contract.config_file import ConfigError, check_values

Form = Mapping[str, str]
ModelT = TypeVar("ModelT", bound=BaseModel)

MAX_DEPTH = 8
_ROW = re.compile(r"[0-9]{1,4}")
_NUMBER = re.compile(r"[+-]?\d{1,15}(\.\d{1,15})?")


class Fault(NamedTuple):
    """What is wrong at one field; an empty field means the form as a whole."""

    field: str
    zh: str
    en: str


class FormError(ValueError):
    """What was typed cannot be taken as it is; prints all faults in English, one a line."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults = sorted(set(faults))
        super().__init__("\n".join(f"{fault.field}: {fault.en}" for fault in self.faults))

    def at(self, field: str) -> list[Fault]:
        """The faults to show beside a field."""
        return [fault for fault in self.faults if fault.field == field]


class Filled(NamedTuple):
    """A form as the plain values of a file; `fields` has the form's name for each dotted key of theirs."""

    values: dict[str, Any]
    fields: dict[str, str]

    def check(self, model: type[ModelT]) -> ModelT:
        """Return the values as a model. Raises FormError with every fault, at the form's own fields."""
        try:
            return check_values(self.values, model, name="form")
        except ConfigError as error:
            raise FormError(
                Fault(self.field_of(problem.key), in_chinese(problem.reason), problem.reason)
                for problem in error.problems
            ) from None

    def field_of(self, key: str) -> str:
        """The field of a key; of one that was not typed, as it would be named."""
        known, rest = key, ""
        while known and known not in self.fields:
            known, _, last = known.rpartition(".")
            rest = f".{last}{rest}"
        return f"{self.fields.get(known, '')}{rest}".lstrip(".")


def fill(form: Form, *, numbers: Iterable[str] = (), empty: Iterable[str] = ()) -> Filled:
    """Bring what was typed into the shape of a file; a field that is left empty is left out.

    `numbers`: last parts of the names of fields that hold a number. What is none there stays as typed, for the model to
    refuse. `empty`: those that a word there switches on, such as `tls`, and that stand for a section without settings.
    """
    tree: dict[str, Any] = {}
    for name, text in sorted(form.items()):
        parts = name.split(".")
        if text.strip() and len(parts) <= MAX_DEPTH:
            _plant(tree, parts, _value(parts[-1], text.strip(), frozenset(numbers), frozenset(empty)))
    fields: dict[str, str] = {}
    return Filled({part: _shape(child, part, part, fields) for part, child in tree.items()}, fields)


def _value(name: str, text: str, numbers: frozenset[str], empty: frozenset[str]) -> Any:
    if name in empty:
        return {}
    if name not in numbers or _NUMBER.fullmatch(text) is None:
        return text
    number = float(text)
    return int(number) if number.is_integer() else number


def _plant(tree: dict[str, Any], parts: list[str], value: Any) -> None:
    """Put a value into nested dicts; where a name is both a value and a section, the section stays."""
    for part in parts[:-1]:
        below = tree.get(part)
        if not isinstance(below, dict):
            below = tree[part] = {}
        tree = below
    if not isinstance(tree.get(parts[-1]), dict):
        tree[parts[-1]] = value


def _shape(node: Any, key: str, field: str, fields: dict[str, str]) -> Any:
    """Turn dicts whose keys are all numbers into lists, and note the form's name of each key."""
    fields[key] = field
    if not isinstance(node, dict):
        return node
    if node and all(_ROW.fullmatch(part) for part in node):
        rows = sorted(node, key=int)
        return [_shape(node[row], f"{key}.{index}", f"{field}.{row}", fields) for index, row in enumerate(rows)]
    return {part: _shape(child, f"{key}.{part}", f"{field}.{part}", fields) for part, child in node.items()}
