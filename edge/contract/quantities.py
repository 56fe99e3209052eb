"""Quantities: what can be measured, with one unit each; `firmware_configs/quantities.yaml`. Errors: `ConfigError`."""

from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from edge.contract.config_file import ConfigModel, load_yaml, nearest
from edge.contract.forms import Id

Ratio = Annotated[str, StringConstraints(pattern=r"^[1-9][0-9]*/[1-9][0-9]*$")]


class Quantity(ConfigModel):
    """A physical kind of value: its one unit, and the register units that are brought to it."""

    unit: str = Field(description="The one unit inside the program and in the store.")
    type: Literal["number", "counter", "contact"] = Field(
        description="number: 64-bit float; counter: 64-bit integer that only grows; contact: 0.0 or 1.0."
    )
    accepts: dict[str, Decimal | Ratio] = Field(
        default_factory=dict, description="Register unit: factor to the quantity's, a decimal or a ratio such as 10/36."
    )
    zh: str = Field(description="Chinese label.")
    en: str = Field(description="English label.")

    @property
    def units(self) -> list[str]:
        """Every unit that a value of this quantity may be given in, its own first."""
        return [self.unit, *self.accepts]

    def factor(self, unit: str) -> Fraction:
        """Exact factor from one of `units` to the quantity's own."""
        return Fraction(self.accepts.get(unit, Decimal(1)))


class QuantityFile(ConfigModel):
    """The whole of quantities.yaml."""

    quantities: dict[Id, Quantity] = Field(description="By name; a point's name begins with its quantity.")


def config_folder() -> Path:
    """The folder `firmware_configs`, in a checkout as in an installed package."""
    return Path(str(files("firmware_configs").joinpath("quantities.yaml"))).parent


@cache
def quantities() -> Mapping[str, Quantity]:
    """Every quantity by name, from quantities.yaml. Raises ConfigError."""
    return load_yaml(config_folder() / "quantities.yaml", QuantityFile).quantities


def quantity_of(name: str) -> str:
    """The longest quantity that a point's name begins with: `voltage_l1` -> `voltage`. Raises ValueError."""
    found = [quantity for quantity in quantities() if name == quantity or name.startswith(f"{quantity}_")]
    if not found:
        hint = nearest(name, quantities()) or nearest(name.rpartition("_")[0], quantities())
        raise ValueError(f'"{name}" does not begin with a quantity of quantities.yaml{hint}')
    return max(found, key=len)
