"""What judges and checks remember can be damaged or of another version: they refuse it, or go on and never raise."""

from __future__ import annotations

import random
import tracemalloc
from typing import Any

import msgspec
import pytest
from msgspec import inspect

from edge.quality.kept import MOST_BYTES as MOST_KEPT
from edge.quality.kept import Count, Kept, Size, sealed
from edge.quality.kinds import JUDGES
from tests.bench.quality import MOST_BYTES
from tests.edge.quality.states import (
    KINDS,
    SETTINGS,
    Wild,
    at,
    changed,
    fed,
    feed,
    goes_on,
    is_there,
    new,
    others,
    places,
    plain,
)

MUTATED = 60  # states of each kind
WILD = 12
SEED = 1


def packed(state: Any) -> bytes:
    """As MessagePack; what cannot be written is nothing."""
    try:
        return msgspec.msgpack.encode(state)
    except OverflowError:
        return b""


def test_each_kind_of_judge_is_looked_at() -> None:
    """A new kind of judge must be looked at here too."""
    assert {setting.judge for setting in SETTINGS.values()} == set(JUDGES)


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_remembered_is_taken(kind: str) -> None:
    """Every kind goes on from its own state, and from the one that it has while it knows nothing."""
    assert goes_on(kind, fed(kind).part.state())
    assert goes_on(kind, new(kind).state())


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_damaged_or_of_something_else_changes_nothing(kind: str) -> None:
    """One wrong bit, an end that is missing, or a state of another kind: it is refused, and all is as before."""
    rnd, part, state = random.Random(SEED), new(kind), fed(kind).part.state()
    before = part.state()
    flipped = bytearray(state)
    flipped[rnd.randrange(len(state))] ^= 1 << rnd.randrange(8)
    other = new("rain" if kind != "rain" else "contact").state()
    for wrong in (b"", b"\xc1", bytes(flipped), state[:-1], state[1:], state + b"\0", other):
        with pytest.raises(ValueError, match="damaged, or of a version"):
            part.restore(wrong)
    assert part.state() == before


@pytest.mark.parametrize("kind", KINDS)
def test_a_state_that_was_changed_is_refused_or_harmless(kind: str) -> None:
    """Even under a good checksum: something of another type, missing, too long, or a number that cannot be."""
    rnd = random.Random(SEED)
    memory, state = plain(kind)
    every = list(places(state))
    taken = []
    for _ in range(MUTATED if every else 0):
        mutated = state
        for _ in range(rnd.choice([1, 1, 1, 3])):
            place = rnd.choice([each for each in every if is_there(mutated, each)])
            mutated = changed(mutated, place, rnd.choice([*others(at(mutated, place)), ...]))
        taken.append(goes_on(kind, sealed(memory, packed(mutated))))
    assert not every or 0 < sum(taken) < MUTATED, "changes are too mild or too harsh to show anything"


@pytest.mark.parametrize("kind", KINDS)
def test_whatever_is_within_its_bounds_is_harmless(kind: str) -> None:
    """A judge that goes on from any state that it takes never raises: the bounds are all that it needs."""
    memory, _ = plain(kind)
    for seed in range(WILD):
        state = Wild(seed).make(inspect.type_info(memory))
        assert goes_on(kind, sealed(memory, msgspec.msgpack.encode(state)))


@pytest.mark.parametrize("kind", KINDS)
def test_the_fullest_state_is_within_the_bound_of_memory(kind: str) -> None:
    """Every list as long as it may be: no sensor costs more than 50 kB, however it was left."""
    memory, _ = plain(kind)
    state = sealed(memory, msgspec.msgpack.encode(Wild(SEED, is_full=True).make(inspect.type_info(memory))))
    rest = fed(kind).rest
    tracemalloc.start()
    part = new(kind)
    part.restore(state)
    for at_ms, values in rest:
        feed(part, at_ms, values)
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held < MOST_BYTES


class Now(msgspec.Struct):
    """What a check remembers."""

    largest: Size = 0.0
    polls: Count = 0


class Later(msgspec.Struct):
    """The same in another version."""

    largest: Size = 0.0
    polls: Size = 0.0


@pytest.mark.parametrize("mine", [Now(), Later()])
def test_a_state_of_another_version_is_learned_anew(mine: msgspec.Struct) -> None:
    """A field of another type is another shape, although what is written would fit."""
    with pytest.raises(ValueError, match="of a version that remembers other things"):
        Kept(mine).restore(Kept(Later() if isinstance(mine, Now) else Now()).state())


def test_what_grows_when_it_is_unpacked_is_refused() -> None:
    """A few bytes that stand for many are not unpacked any further than a state may be large."""
    bomb = sealed(Now, msgspec.msgpack.encode({"largest": 1.0, "more": bytes(100 * MOST_KEPT)}))
    with pytest.raises(ValueError, match="it is none"):
        Kept(Now()).restore(bomb)
