"""Signatures: what tells one device model from others, by registers that are only read."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from typing import Literal

from pydantic import Field

from edge.contract.config_file import CheckedModel, Key
from edge.contract.registers import FLOATS, REGISTER_COUNT, Order, number_reader

SignatureType = Literal[
    "uint16", "int16", "sign_magnitude16", "bcd16", "uint32", "int32", "bcd32", "uint64", "int64",
    "float32", "float64", "string",
]  # fmt: skip


class Signature(CheckedModel):
    """Registers that hold one thing on this model, and most likely another on any other.

    `equals` and `begins` are proof; `between` is a hint, such as a mains frequency where the map says there is one.
    """

    table: Literal["input", "holding"] = Field(description="input: function 4, holding: 3.")
    address: int = Field(ge=0, le=0xFFFF, description="Counted from 0, as sent on the wire.")
    type: SignatureType = Field(description="What the registers hold; string: two letters in each.")
    length: int = Field(default=0, ge=0, le=125, description="Of a string: how many registers.")
    word_order: Order = Field(default="high_first", description="Which register of a wide number comes first.")
    byte_order: Order = Field(default="high_first", description="Which byte of each register comes first.")
    equals: int | str | None = Field(default=None, description="The number or text that it holds, before any scale.")
    begins: str | None = Field(default=None, min_length=1, description="What the text that it holds begins with.")
    between: tuple[float, float] | None = Field(default=None, description="Lowest and highest number, unscaled.")
    text: str = Field(description='What it is, for the installer: "model code of the EM24".')

    @property
    def registers(self) -> range:
        """The addresses that are read for it, in one request."""
        count = self.length if self.type == "string" else REGISTER_COUNT[self.type]
        return range(self.address, self.address + count)

    @property
    def is_proof(self) -> bool:
        """Whether it tells this model from all others, rather than from some."""
        return self.between is None

    def matches(self, registers: Sequence[int]) -> bool:
        """Whether the words of its registers are what this model holds; words that cannot be are none."""
        if self.type == "string":
            return self._matches_text(self._text(registers))
        try:
            number = number_reader(self.type, self.word_order, self.byte_order)(registers)
        except struct.error:
            return False
        return number is not None and (
            number == self.equals if self.between is None else self.between[0] <= number <= self.between[1]
        )

    def _text(self, registers: Sequence[int]) -> str:
        end: Literal["big", "little"] = "big" if self.byte_order == "high_first" else "little"
        data = b"".join((word & 0xFFFF).to_bytes(2, end) for word in registers)
        return data.partition(b"\0")[0].decode("ascii", errors="replace").strip()

    def _matches_text(self, found: str) -> bool:
        return found == self.equals if self.begins is None else found.startswith(self.begins)

    def _problems(self) -> Iterator[tuple[Key, str]]:
        is_string = self.type == "string"
        if [self.equals, self.begins, self.between].count(None) != 2:
            yield (), "say one of equals, begins and between"
        if is_string != bool(self.length):
            yield ("length",), "missing: say how many registers the string has" if is_string else "only for a string"
        if is_string and (self.between or isinstance(self.equals, int)):
            yield ("type",), "a string equals or begins with a text"
        if not is_string and (self.begins or isinstance(self.equals, str)):
            yield ("type",), f"{self.type} equals a number, or is between two"
        if self.type in FLOATS and self.equals is not None:
            yield ("equals",), "a float is hardly ever equal to a number: say between"
        if self.between and not self.between[0] < self.between[1]:
            yield ("between",), "the first number must be less than the second"
        if len(self.registers) and self.registers[-1] > 0xFFFF:
            yield ("address",), f"{self.type} does not fit below address 0x10000"
