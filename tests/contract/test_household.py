"""Ids of household devices: made by chance, told by their beginning, refused when they may say something."""

import re

import pytest

from edge.contract.forms import ID
from edge.contract.household import check_device_id, is_household, new_household_id


def test_a_new_id_is_one_of_a_household() -> None:
    """Each is made anew, has the form of an id, and is taken."""
    made = [new_household_id() for _ in range(100)]
    assert len(set(made)) == 100
    for device in made:
        assert is_household(ID.check(check_device_id(device)))


@pytest.mark.parametrize(
    "device", ["hh-", "hh-204", "hh-k3v7q2mxpa4", "hh-k3v7q2mxpa4tt", "hh-k3v7q2mxpa10", "hh-zhang"]
)
def test_an_id_that_may_say_something_is_refused_with_a_new_one(device: str) -> None:
    """Whoever writes a room, a name or half an id is given one that can be taken as it is; it counts as a home's."""
    assert is_household(device)
    with pytest.raises(ValueError, match="must say nothing about the home: write hh-") as refused:
        check_device_id(device)
    proposed = re.search(r"write (\S+),", str(refused.value))
    assert proposed is not None
    assert check_device_id(proposed[1]) == proposed[1]


def test_other_devices_are_named_as_ever() -> None:
    """What does not begin so is no household's, and is left alone."""
    for device in ("meter-1", "home-204", "hhh-1", "h"):
        assert check_device_id(device) == device
        assert not is_household(device)
