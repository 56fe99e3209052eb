"""The state machine of a work order, walked at random by everybody."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.registry.person import RULES, Person, Role
from cloud.workorders.states import (
    FINISHED,
    TRANSITIONS,
    Capacity,
    ForbiddenError,
    ImpossibleError,
    IncompleteError,
    Need,
    Standing,
    State,
    TransitionError,
    find_transition,
    next_states,
)
from edge.contract.messages import Severity

GRID = "heping-01"
WANG = Person(login="wang", name="王芳", roles=frozenset({Role.WORKER}), grids=frozenset({GRID}))
LI = Person(login="li", name="李强", roles=frozenset({Role.WORKER}), grids=frozenset({GRID}))
CHEN = Person(login="chen", name="陈静", roles=frozenset({Role.OPERATOR, Role.WORKER}), grids=frozenset({GRID}))
ZHAO = Person(login="zhao", name="赵磊", roles=frozenset({Role.ADMIN}))
FAR = Person(login="far", name="远", roles=frozenset({Role.WORKER}), grids=frozenset({"elsewhere"}))
EVERYBODY = [WANG, LI, CHEN, ZHAO, FAR, RULES]
EVERYTHING = frozenset(Need)

moves = st.lists(st.tuples(st.sampled_from(State), st.sampled_from(EVERYBODY), st.sampled_from([WANG, LI, CHEN])))


def walk(severity: Severity, attempts: list[tuple[State, Person, Person]]) -> list[tuple[Standing, State, Person]]:
    """Try every move; return those that were allowed, each with the order as it stood before."""
    order, taken = Standing(state=State.RAISED, severity=severity, grid=GRID), []
    for target, person, assignee in attempts:
        try:
            find_transition(order, target, person, EVERYTHING)
        except TransitionError:
            continue
        taken.append((order, target, person))
        handler = {State.DISPATCHED: assignee.login, State.RETURNED: None}.get(target, order.handler)
        times_returned = order.times_returned + (target is State.RETURNED)
        order = replace(order, state=target, handler=handler, times_returned=times_returned)
    return taken


@given(st.sampled_from(Severity), moves)
def test_no_path_lets_the_handler_verify(severity: Severity, attempts: list[tuple[State, Person, Person]]) -> None:
    """Whoever handled an order never verifies it or sends it back to themselves, whatever other roles they have."""
    for order, target, person in walk(severity, attempts):
        if target in {State.VERIFIED, State.REWORK}:
            assert person.login != order.handler


@given(st.sampled_from(Severity), moves)
def test_only_a_trivial_order_is_closed_by_its_handler(
    severity: Severity, attempts: list[tuple[State, Person, Person]]
) -> None:
    """Closer and handler are two persons, except for blue orders."""
    for order, target, person in walk(severity, attempts):
        if target is State.CLOSED and severity is not Severity.BLUE:
            assert person.login != order.handler


@given(moves)
def test_an_order_is_returned_at_most_twice(attempts: list[tuple[State, Person, Person]]) -> None:
    """The third time it is the dispatcher who decides."""
    assert sum(target is State.RETURNED for _, target, _ in walk(Severity.ORANGE, attempts)) <= 2


@given(moves)
def test_rules_never_finish_what_a_person_is_on(attempts: list[tuple[State, Person, Person]]) -> None:
    """Rules close only what nobody acknowledged, and nobody far away moves anything."""
    for order, target, person in walk(Severity.RED, attempts):
        assert person != FAR
        if person == RULES and target in FINISHED:
            assert order.state in {State.RAISED, State.ACCEPTED, State.DISPATCHED}


def test_third_return_is_refused() -> None:
    """The refusal says that the dispatcher decides, and the page does not offer it."""
    order = Standing(state=State.DISPATCHED, severity=Severity.ORANGE, grid=GRID, handler="wang", times_returned=2)
    with pytest.raises(ImpossibleError, match="returned 2 times already: the dispatcher decides"):
        find_transition(order, State.RETURNED, WANG, EVERYTHING)
    assert next_states(order, WANG) == [State.ACKNOWLEDGED]
    assert next_states(replace(order, times_returned=1), WANG) == [State.ACKNOWLEDGED, State.RETURNED]


def test_refusals_say_what_to_do() -> None:
    """Each kind of refusal has its own error and says who may, or what is missing."""
    order = Standing(state=State.DONE, severity=Severity.ORANGE, grid=GRID, handler="wang")
    with pytest.raises(ForbiddenError, match=r"wang may not .* an operator, other than its handler may"):
        find_transition(order, State.VERIFIED, WANG)
    with pytest.raises(IncompleteError, match="from done to rework needs: reason"):
        find_transition(order, State.REWORK, LI)
    with pytest.raises(ImpossibleError, match="an order that is done cannot become closed"):
        find_transition(order, State.CLOSED, ZHAO, EVERYTHING)


def test_every_state_can_be_reached_and_left() -> None:
    """From raised every state is reached; from every state a finished one is."""
    assert _closure(State.RAISED) == set(State)
    for state in set(State) - FINISHED:
        assert _closure(state) & FINISHED
    assert all(_closure(state) == {state} for state in FINISHED)


def test_every_capacity_is_used() -> None:
    """The table knows no capacity that nobody needs."""
    assert frozenset().union(*(line.by for line in TRANSITIONS.values())) == frozenset(Capacity)


def _closure(state: State) -> set[State]:
    seen, new = set[State](), {state}
    while new:
        seen |= new
        new = {target for source, target in TRANSITIONS if source in new} - seen
    return seen
