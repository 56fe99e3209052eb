"""What each brand of camera calls what it sees, and what that is to us: `firmware_configs/cameras/<brand>.yaml`.

A kind is mapped to an event class of cameras, to a fault of the camera itself, or to nothing. gateway.yaml replaces
lines for its site (`map:`). Errors: `ConfigError`.
"""

from collections.abc import Mapping
from functools import cache
from typing import Self

from pydantic import Field, model_validator

from edge.contract.camera_config import IGNORED, Brand, CameraConfig, Target
from edge.contract.config_file import ConfigModel, Key, Misfit, load_yaml
from edge.contract.event_classes import event_classes
from edge.contract.quantities import config_folder

OWN_WORDS: frozenset[Brand] = frozenset({"anlan", "webhook"})
"""Brands that may name our event classes themselves."""


class KindLine(ConfigModel):
    """One word of a vendor, and what it is to us."""

    kind: str = Field(
        min_length=1, max_length=120, description="The vendor's word; capitals and small letters are one."
    )
    to: Target = Field(description="An event class of cameras; offline, covered or view_changed; or ignored.")
    zh: str = Field(description="What the vendor means by it.")
    en: str = Field(description="What the vendor means by it.")


class BrandSource(ConfigModel):
    """Where the words come from, so that anyone can check them."""

    document: str = Field(min_length=11, description="Title of the document.")
    origin: str = Field(min_length=11, description="Where it can be found in public.")
    checked: str = Field(min_length=11, description="What was compared with it, and what could not be confirmed.")


class CameraTable(ConfigModel):
    """The whole of one brand's file."""

    brand: Brand
    source: BrandSource
    kinds: tuple[KindLine, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _unique(self) -> Self:
        seen: set[str] = set()
        problems: list[tuple[Key, str]] = []
        for index, line in enumerate(self.kinds):
            if line.kind.casefold() in seen:
                problems.append((("kinds", index, "kind"), f"{line.kind} is given twice"))
            seen.add(line.kind.casefold())
        if problems:
            raise Misfit(problems)
        return self


@cache
def camera_tables() -> Mapping[str, CameraTable]:
    """Every brand's table by the brand's name. Raises ConfigError."""
    return {path.stem: load_yaml(path, CameraTable) for path in sorted((config_folder() / "cameras").glob("*.yaml"))}


class Targets:
    """What the kinds of one camera are mapped to."""

    def __init__(self, camera: CameraConfig) -> None:
        table = camera_tables().get(camera.brand)
        lines = {line.kind: line.to for line in table.kinds} if table else {}
        self._targets = {kind.casefold(): target for kind, target in {**lines, **_folded(camera.map, lines)}.items()}
        if camera.brand in OWN_WORDS:
            own = {code.casefold(): code for code, each in event_classes().items() if each.camera}
            self._targets = own | self._targets

    def of(self, kind: str) -> str | None:
        """Return a class, a fault or `ignored`; None for a kind that no table knows.

        A kind with a place (`car@fire_lane`) that has no line of its own is nothing: the kind itself comes as well.
        """
        folded = kind.casefold()
        found = self._targets.get(folded)
        return IGNORED if found is None and "@" in folded else found


def _folded(chosen: Mapping[str, str], lines: Mapping[str, str]) -> dict[str, str]:
    """The site's lines under the table's spelling, so that they replace and do not stand beside."""
    spelled = {kind.casefold(): kind for kind in lines}
    return {spelled.get(kind.casefold(), kind): target for kind, target in chosen.items()}
