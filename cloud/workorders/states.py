"""The state machine of a work order, as one table of data; pure.

    raised ── accepted ── dispatched ── acknowledged ── on_site ── done ── verified ── closed
       └─ void ─┘   └─ returned ─┴──────────┘   └──── rework ────┘

`find_transition` says whether a person may move an order on; it changes nothing.

    ValueError
    └── TransitionError
        ├── ForbiddenError      this person may not do it (403)
        ├── ImpossibleError     the order is not in a state for it (409)
        └── IncompleteError     a reason, a closing standard or a worker is missing (422)
"""

from dataclasses import dataclass
from enum import StrEnum

from cloud.registry.person import RULES, Person, Role
from edge.contract.messages import Severity

MAX_RETURNS = 2
TRIVIAL_SEVERITIES = frozenset({Severity.BLUE})
"""Orders that whoever handled them may also close."""


class State(StrEnum):
    """Where an order stands."""

    RAISED = "raised"  # 已上报
    ACCEPTED = "accepted"  # 已立案
    VOID = "void"  # 作废
    DISPATCHED = "dispatched"  # 已派遣
    RETURNED = "returned"  # 已回退
    ACKNOWLEDGED = "acknowledged"  # 已签收
    ON_SITE = "on_site"  # 已到场
    DONE = "done"  # 处置完成
    VERIFIED = "verified"  # 核查通过
    REWORK = "rework"  # 返工
    CLOSED = "closed"  # 结案


FINISHED = frozenset({State.CLOSED, State.VOID})
UNANSWERED = frozenset({State.RAISED, State.ACCEPTED, State.DISPATCHED})
"""No person is on the order yet, unless someone acknowledged it before it was dispatched anew."""


class Capacity(StrEnum):
    """In what capacity someone acts on one order."""

    RULE = "a rule"
    DISPATCHER = "an operator"
    HANDLER = "the worker it is dispatched to"
    VERIFIER = "a worker of the grid or an operator, other than its handler"
    CLOSER = "an operator other than its handler"


class Need(StrEnum):
    """What must be said with a transition."""

    REASON = "reason"
    CLOSING_STANDARD = "closing_standard"
    ASSIGNEE = "assignee"


@dataclass(frozen=True, slots=True)
class Transition:
    """One line of the table: who may move an order from one state to another, and what they must say."""

    source: State
    target: State
    by: frozenset[Capacity]
    needs: frozenset[Need] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What the machine needs to know of an order."""

    state: State
    severity: Severity
    grid: str | None = None
    handler: str | None = None
    times_returned: int = 0


class TransitionError(ValueError):
    """The order stays as it is; the text says why."""


class ForbiddenError(TransitionError):
    """Someone else may do it, not this person."""


class ImpossibleError(TransitionError):
    """The order is not in a state for it."""


class IncompleteError(TransitionError):
    """A reason, a closing standard or a worker is missing."""


def _lines() -> list[Transition]:
    rule, dispatcher, handler = Capacity.RULE, Capacity.DISPATCHER, Capacity.HANDLER
    reason, closing = Need.REASON, Need.CLOSING_STANDARD
    table: list[tuple[State, State, set[Capacity], set[Need]]] = [
        (State.RAISED, State.ACCEPTED, {rule, dispatcher}, set()),
        (State.RAISED, State.VOID, {dispatcher}, {reason}),
        (State.RAISED, State.CLOSED, {rule}, {reason, closing}),
        (State.ACCEPTED, State.DISPATCHED, {rule, dispatcher}, {Need.ASSIGNEE}),
        (State.ACCEPTED, State.VOID, {dispatcher}, {reason}),
        (State.ACCEPTED, State.CLOSED, {rule}, {reason, closing}),
        (State.DISPATCHED, State.ACKNOWLEDGED, {handler}, set()),
        (State.DISPATCHED, State.RETURNED, {handler}, {reason}),
        (State.DISPATCHED, State.DISPATCHED, {dispatcher}, {reason, Need.ASSIGNEE}),  # the worker is off sick
        (State.DISPATCHED, State.VOID, {dispatcher}, {reason}),
        (State.DISPATCHED, State.CLOSED, {rule}, {reason, closing}),
        (State.RETURNED, State.DISPATCHED, {dispatcher}, {Need.ASSIGNEE}),
        (State.RETURNED, State.VOID, {dispatcher}, {reason}),
        (State.ACKNOWLEDGED, State.ON_SITE, {handler}, set()),
        (State.ACKNOWLEDGED, State.RETURNED, {handler}, {reason}),
        (State.ACKNOWLEDGED, State.DISPATCHED, {dispatcher}, {reason, Need.ASSIGNEE}),
        (State.ON_SITE, State.DONE, {handler}, set()),
        (State.DONE, State.VERIFIED, {Capacity.VERIFIER}, set()),
        (State.DONE, State.REWORK, {Capacity.VERIFIER}, {reason}),
        (State.REWORK, State.ON_SITE, {handler}, set()),
        (State.VERIFIED, State.CLOSED, {Capacity.CLOSER}, {closing}),
    ]
    return [Transition(source, target, frozenset(by), frozenset(needs)) for source, target, by, needs in table]


TRANSITIONS: dict[tuple[State, State], Transition] = {(line.source, line.target): line for line in _lines()}


def capacities(order: Standing, person: Person) -> frozenset[Capacity]:
    """Return in which capacities `person` may act on `order`."""
    if person == RULES:
        return frozenset({Capacity.RULE})
    is_handler = person.login == order.handler
    held = {
        Capacity.DISPATCHER: person.is_operator,
        Capacity.HANDLER: is_handler and Role.WORKER in person.roles,
        Capacity.VERIFIER: not is_handler and (person.is_operator or person.is_worker_of(order.grid)),
        Capacity.CLOSER: person.is_operator and (not is_handler or order.severity in TRIVIAL_SEVERITIES),
    }
    return frozenset(capacity for capacity, holds in held.items() if holds)


def find_transition(order: Standing, target: State, person: Person, said: frozenset[Need] = frozenset()) -> Transition:
    """Return the transition by which `person`, having `said` these things, may move `order` to `target`.

    Raises ImpossibleError, ForbiddenError or IncompleteError, looked at in this order.
    """
    transition = TRANSITIONS.get((order.state, target))
    if transition is None:
        raise ImpossibleError(f"an order that is {order.state} cannot become {target}")
    if not transition.by & capacities(order, person):
        allowed = " or ".join(sorted(transition.by - {Capacity.RULE}) or transition.by)
        raise ForbiddenError(f"{person.login} may not move this order from {order.state} to {target}: {allowed} may")
    if target is State.RETURNED and order.times_returned >= MAX_RETURNS:
        raise ImpossibleError(f"this order was returned {MAX_RETURNS} times already: the dispatcher decides")
    missing = sorted(transition.needs - said)
    if missing:
        raise IncompleteError(f"from {order.state} to {target} needs: {', '.join(missing)}")
    return transition


def next_states(order: Standing, person: Person) -> list[State]:
    """Return where `person` may move `order` now, in the order of the table."""
    held = capacities(order, person)
    returned_enough = order.times_returned >= MAX_RETURNS
    return [
        line.target
        for line in TRANSITIONS.values()
        if line.source is order.state and line.by & held and not (line.target is State.RETURNED and returned_enough)
    ]
