"""What is kept of an open event can be damaged: it is refused, or goes on and what it tells can be sent."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from edge.contract.messages import Reading, encode_event
from edge.contract.readings import ContractError
from edge.contract.rules import DeviceRule
from edge.detect_memory import read_state
from tests.edge.quality.states import at, changed, others, places
from tests.edge.test_ladder import AT, LADDER, MINUTE, RAIN, RISE, detector, feed, samples

MUTATED = 400  # states of each kind
Values = Sequence[float]
KINDS: dict[str, tuple[Sequence[DeviceRule], Values, Values]] = {  # rules, values before the restart, and after it
    "ladder": (
        LADDER,
        [0, 40, 80, 120, 140, 160, 170, 200, 230, 270, 300],
        [280, 320, 380, *[180] * 20, *[60] * 30, *[0] * 40],
    ),
    "rise": ([RISE], [10 * each for each in range(60)], [*[600 + 10 * each for each in range(30)], *[1200] * 70]),
    "rain": (RAIN, [2 * each for each in range(100)], [*[200 + 2 * each for each in range(40)], *[320] * 40]),
}


def written(state: Any) -> str:
    """As JSON; what has none is nothing."""
    try:
        return json.dumps(state)
    except TypeError:
        return ""


def goes_on(state: str, rules: Sequence[DeviceRule], values: Sequence[float], first: int) -> bool:
    """Whether a state is taken; then every revision that follows must be one that the contract allows."""
    try:
        memory = read_state(state)
        memory.go_on(boot="", offset_ms=1000, now_ms=AT + first * MINUTE)
    except (msgspec.DecodeError, ContractError):
        return False
    one = detector(rules)
    one.restore(memory)
    for place, value in enumerate(values, start=first):
        event = one.feed(Reading("road-1", "depth", AT + place * MINUTE, float(value)))
        if event is not None:
            encode_event(event)
    one.state()
    return True


@pytest.mark.parametrize("kind", KINDS)
def test_a_state_that_was_changed_is_refused_or_harmless(kind: str) -> None:
    """Something of another type, missing, too long, or a number that cannot be: no agent ends for it."""
    rules, before, after = KINDS[kind]
    rnd, one = random.Random(1), detector(rules)
    feed(one, samples(*before))
    assert one.open is not None
    text = one.state() or ""
    assert goes_on(text, rules, after, len(before))
    state = json.loads(text)
    every = [(place, value) for place in places(state) for value in (*others(at(state, place)), ...)]
    mutated = [changed(state, *each) for each in rnd.sample(every, MUTATED)]
    taken = [goes_on(written(each), rules, after, len(before)) for each in mutated]
    assert 0 < sum(taken) < MUTATED
