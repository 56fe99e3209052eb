"""What speaks for a profile and what against it, on every profile there is, without a wire."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from edge.contract.buses import Line
from edge.contract.profile import ModbusProfile, RegisterPoint, Table
from edge.drivers.modbus_link import ModbusLink
from edge.scan.fit import Fit, best
from edge.scan.identify import Registers, identify, modbus_profiles
from simulators.device import SimulatedDevice
from tests.edge.scan.test_serial_scan import device


class OnPaper(Registers):
    """The registers of a simulated device, read without a wire; ``zeros`` stand where it would refuse."""

    def __init__(self, held: SimulatedDevice, *, zeros: bool = False) -> None:
        self._held, self._zeros = held, zeros
        self._link = ModbusLink(Line("paper", 0, "rtu", 9600))

    async def words(self, table: Table, address: int, count: int, *, pause_s: float = 0.0) -> tuple[int, ...] | None:
        if not self._zeros:
            words = self._held.read(table, address, count)
            return None if words is None else tuple(words)
        return tuple((self._held.read(table, each, 1) or [0])[0] for each in range(address, address + count))


def names(fits: Sequence[Fit]) -> list[str]:
    return [each.profile for each in fits]


@pytest.mark.parametrize("profile", modbus_profiles(), ids=lambda each: each.profile)
async def test_every_profile_is_among_those_that_fit_its_device(profile: ModbusProfile) -> None:
    """A device in use is found with its own profile; with a proof in it, as sure."""
    fits = await identify(OnPaper(device(profile.profile)))
    assert profile.profile in names(fits), fits
    if any(mark.is_proof for mark in profile.signature) or profile.discovery:
        assert (profile.profile, "sure") in [(each.profile, each.confidence) for each in fits]
    assert all(each.rests_on for each in fits)


@pytest.mark.parametrize("name", ["eastron_sdm630", "abb_b23", "chint_dtsu666", "carlo_gavazzi_em340"])
async def test_registers_that_are_0_speak_for_nothing(name: str) -> None:
    """Many devices answer 0 where they have nothing: the right profile stays the first."""
    assert names(await identify(OnPaper(device(name), zeros=True)))[0] == name


async def test_a_device_without_any_value_is_never_sure() -> None:
    """All zeros, and no profile with a proof fits them: possible at most."""
    profile = next(each for each in modbus_profiles() if each.profile == "eastron_sdm630")
    fits = await identify(OnPaper(SimulatedDevice(profile), zeros=True))
    assert {each.confidence for each in fits} <= {"possible"}


async def test_a_wrong_word_order_does_not_fit() -> None:
    """Floats whose words are exchanged are no voltages."""
    held = device("eastron_sdm630")
    profile = next(each for each in modbus_profiles() if each.profile == "eastron_sdm630")
    turned = profile.model_copy(
        update={
            "points": tuple(
                RegisterPoint.model_validate({**each.model_dump(), "word_order": "low_first"})
                for each in profile.points
            )
        }
    )
    assert await identify(OnPaper(held), [turned]) == []


def test_the_surest_come_first() -> None:
    """Where one is sure, what is only possible is not named; those as good as the first are."""
    sure = Fit("b", "sure", 100.0, ("x",))
    likely = [Fit("c", "likely", 5.0, ("x",)), Fit("a", "likely", 5.2, ("x",)), Fit("d", "likely", 2.0, ("x",))]
    assert names(best([*likely, sure])) == ["b"]
    assert names(best(likely)) == ["a", "c"]
