"""How readings are judged: which judge looks at which points, and what a profile or a site says otherwise.

Nothing has to be said: limits are learned per sensor. What is said, one line per test, replaces what is learned:

    quality: {spike: off, rate: {per_min: 20}, flat: {after_s: 21600}}

stands at a point of a profile, or at a point of a device in gateway.yaml, which goes before the profile.
`firmware_configs/quality.yaml` names the judge of each quantity. Errors: `ConfigError`.
"""

from collections.abc import Mapping
from functools import cache
from typing import Any, Literal, Self

from pydantic import Field, GetJsonSchemaHandler, PrivateAttr, field_validator, model_validator
from pydantic_core import CoreSchema

from edge.contract.config_file import ConfigModel, load_yaml, nearest
from edge.contract.forms import Id
from edge.contract.quantities import config_folder, quantities

Source = Literal["site", "profile", "default"]
JudgeKind = Literal["level", "street", "contact", "meter", "power", "rain", "health"]


class TestChoice(ConfigModel):
    """What is said of one test; `off` instead of all of it switches the test off."""

    __test__ = False  # pytest: not a test class

    off: bool = Field(default=False, description="Whether this test is left out; `spike: off` says the same.")
    _source: Source = PrivateAttr(default="site")

    @property
    def source(self) -> Source:
        """Who said this."""
        return self._source

    def said_by(self, source: Source) -> Self:
        """The same, said by somebody."""
        copy = self.model_copy()
        copy._source = source  # noqa: SLF001 -- of this class itself
        return copy

    @model_validator(mode="before")
    @classmethod
    def _off(cls, given: Any) -> Any:
        return {"off": True} if given is False else given

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        written = handler(schema)
        handler.resolve_ref_schema(written)["type"] = ["object", "boolean"]
        return written


class RateChoice(TestChoice):
    """How fast the thing itself can change."""

    per_min: float | None = Field(default=None, gt=0, description="Most it may change in a minute, in its unit.")


class SpikeChoice(TestChoice):
    """One sample, or a few, away from what is around them."""

    least: float | None = Field(default=None, gt=0, description="Height from which on it counts, in its unit.")


class FlatChoice(TestChoice):
    """A sensor that stands still."""

    after_s: float | None = Field(default=None, ge=1, description="How long it may stand still.")


class AttenuatedChoice(TestChoice):
    """A sensor that still moves, but far less than it used to."""

    within_s: float | None = Field(default=None, ge=1, description="Over which time it must have moved as usual.")


class StepChoice(TestChoice):
    """A jump to another level."""

    least: float | None = Field(default=None, gt=0, description="Height from which on it counts, in its unit.")


class DriftChoice(TestChoice):
    """A slow departure from what is usual."""

    least: float | None = Field(default=None, gt=0, description="Departure from which on it counts, in its unit.")


class GapChoice(TestChoice):
    """Readings that do not come."""

    after_s: float | None = Field(default=None, ge=1, description="How far apart two readings may be.")


class NeighbourChoice(TestChoice):
    """Another sensor of this gateway that sees the same water."""

    device: Id | None = Field(default=None, description="Its device; the point has the same name there.")
    least: float | None = Field(default=None, gt=0, description="Difference beyond the usual one that counts.")


class SanityChoice(TestChoice):
    """Points of one device that must fit together."""

    share: float | None = Field(default=None, gt=0, le=1, description="By which share of the larger they may differ.")


class QualityChoice(ConfigModel):
    """One line per test; what is not said is learned, or has the default of the quantity."""

    rate: RateChoice | None = Field(default=None, description="Changes too fast.")
    spike: SpikeChoice | None = Field(default=None, description="Away and back.")
    flat: FlatChoice | None = Field(default=None, description="Stands still.")
    attenuated: AttenuatedChoice | None = Field(default=None, description="Moves less than it used to.")
    step: StepChoice | None = Field(default=None, description="Jumps and stays.")
    drift: DriftChoice | None = Field(default=None, description="Creeps away.")
    gap: GapChoice | None = Field(default=None, description="Absent or late.")
    neighbour: NeighbourChoice | None = Field(default=None, description="Unlike the sensor beside it.")
    sanity: SanityChoice | None = Field(default=None, description="Unlike other points of its device.")

    def over(self, lower: Self) -> Self:
        """What holds where this one is said over a lower one, test by test."""
        return self.model_copy(
            update={name: getattr(lower, name) for name in type(self).model_fields if getattr(self, name) is None}
        )

    def said_by(self, source: Source) -> Self:
        """The same, all of it said by somebody."""
        said = {name: getattr(self, name) for name in type(self).model_fields}
        return self.model_copy(update={name: each and each.said_by(source) for name, each in said.items()})

    def is_off(self, test: str) -> bool:
        """Whether somebody switched a test off."""
        choice = getattr(self, test)
        return choice is not None and bool(choice.off)


class JudgeLine(ConfigModel):
    """Which judge looks at the points of some quantities; the first line that fits decides."""

    judge: JudgeKind = Field(description="Its name.")
    quantities: tuple[Id, ...] = Field(min_length=1, description="Of the points it looks at.")
    kinds: tuple[Id, ...] = Field(default=(), description="Only on devices of these kinds; none: on all.")
    quality: QualityChoice = Field(default=QualityChoice(), description="What holds where nobody says otherwise.")

    @field_validator("quantities")
    @classmethod
    def _are_known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            if name not in quantities():
                raise ValueError(f'unknown quantity "{name}"{nearest(name, quantities())}')
        return names


class QualityFile(ConfigModel):
    """The whole of quality.yaml."""

    judges: tuple[JudgeLine, ...] = Field(min_length=1, description="In this order.")


@cache
def judge_lines() -> Mapping[str, tuple[JudgeLine, ...]]:
    """The lines of quality.yaml by quantity. Raises ConfigError."""
    found: dict[str, tuple[JudgeLine, ...]] = {}
    for line in load_yaml(config_folder() / "quality.yaml", QualityFile).judges:
        for quantity in line.quantities:
            found[quantity] = (*found.get(quantity, ()), line)
    return found


def line_for(kind: str, quantity: str) -> JudgeLine | None:
    """The line that holds for a quantity on a device of this kind, None where only physics judges."""
    fitting = (line for line in judge_lines().get(quantity, ()) if not line.kinds or kind in line.kinds)
    return next(fitting, None)
