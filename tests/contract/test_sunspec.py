"""SunSpec: the chain of models is found wherever it begins, and whatever a device answers the walk has an end."""

from collections.abc import Collection, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.contract.sunspec import MARKER, MOST_MODELS, STARTS, Ask, Model, find_model, locate_models


def walk(held: dict[int, int], until: Collection[int] = ()) -> tuple[list[Model], list[Ask]]:
    """What is found in a device that refuses every address it does not hold, and what was asked."""
    asked: list[Ask] = []
    steps = locate_models(until)
    answer: Sequence[int] | None = None
    while True:
        try:
            asked.append(steps.send(answer))
        except StopIteration as end:
            return end.value, asked
        addresses = range(asked[-1].address, asked[-1].address + asked[-1].count)
        answer = [held[each] for each in addresses] if all(each in held for each in addresses) else None


def device(start: int, *models: tuple[int, int]) -> dict[int, int]:
    """The registers of a device with these models (id and length) behind its marker, and the end behind these."""
    words = [*MARKER]
    for number, length in models:
        words += [number, length, *[0] * length]
    return dict(enumerate([*words, 0xFFFF, 0], start))


@pytest.mark.parametrize("start", STARTS)
def test_the_chain_is_walked_from_each_start(start: int) -> None:
    """The common model of 66 registers and the meter behind it are found where they stand."""
    found, asked = walk(device(start, (1, 66), (203, 105)))
    assert found == [Model(1, start + 2, 66), Model(203, start + 70, 105)]
    assert asked == [
        *(Ask(each, 2) for each in STARTS[: STARTS.index(start) + 1]),
        Ask(start + 2, 2), Ask(start + 70, 2), Ask(start + 177, 2),
    ]  # fmt: skip


def test_the_walk_ends_at_the_model_that_is_looked_for() -> None:
    """Nothing is asked behind the first model with a wanted id."""
    found, asked = walk(device(40_000, (1, 65), (203, 105), (160, 20)), until=(203, 204))
    assert [model.id for model in found] == [1, 203]
    assert asked[-1] == Ask(40_069, 2)


@pytest.mark.parametrize(
    "held",
    [{}, dict.fromkeys(range(40_000, 40_200), 0), {40_000: MARKER[1], 40_001: MARKER[0]}, {40_000: MARKER[0]}],
)
def test_without_a_marker_there_are_no_models(held: dict[int, int]) -> None:
    """A device that refuses, or holds something else at the three places, is no SunSpec device."""
    found, asked = walk(held)
    assert found == []
    assert asked == [Ask(start, 2) for start in STARTS]


def test_a_chain_that_breaks_off_ends() -> None:
    """Where the device refuses the next header, what was found until then counts."""
    held = {address: word for address, word in device(0, (1, 66), (203, 105)).items() if address < 177}
    assert walk(held)[0] == [Model(1, 2, 66), Model(203, 70, 105)]


@given(st.integers(0, 0xFFFE), st.integers(0, 0xFFFF))
def test_the_walk_has_an_end(number: int, length: int) -> None:
    """A device that says the same of every header is asked a bounded number of times, never above 0xFFFF."""
    held = dict(enumerate(MARKER)) | {address: (number, length)[address % 2] for address in range(2, 0x10000)}
    found, asked = walk(held)
    assert len(found) <= MOST_MODELS
    assert all(ask.address + ask.count <= 0x10000 for ask in asked)


def test_a_model_must_be_long_enough() -> None:
    """The first model with a wanted id is taken if it holds what is to be read: behind it the next one begins."""
    models = [Model(1, 40_002, 66), Model(203, 40_070, 105), Model(204, 40_177, 105)]
    assert find_model(models, (203, 204), least=107) == models[1]
    assert find_model(models, (203, 204), least=108) is None
    assert find_model(models, (101,), least=2) is None
