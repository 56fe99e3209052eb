"""What the pages say of work orders: the steps one can take, what was done, how deep it is, how much time is left."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from msgspec import Struct

from cloud.api.orders import TransitionLine
from cloud.registry.person import RULES, Person
from cloud.web.formats import MINUTE_MS, Formats
from cloud.web.words import N_, Words
from cloud.workorders.limits import Running, Stopwatch
from cloud.workorders.states import TRANSITIONS, Need, Standing, State, next_states
from edge.contract.event_steps import StepKind
from edge.contract.messages import Event

IN_MINUTES_MS = 120 * MINUTE_MS  # what is nearer is told in minutes alone


class Step(Struct, frozen=True, kw_only=True):
    """A step that somebody can take: its button, and what must be said with it. Texts are sources, to be translated.

    `look` is primary for the one step that leads on, danger for one that cannot be taken back.
    """

    target: State
    label: str
    icon: str
    look: str
    needs: frozenset[Need]
    reasons: tuple[str, ...]

    @property
    def takes_photo(self) -> bool:
        """Whether a picture belongs to the step."""
        return self.target is State.DONE

    @property
    def takes_place(self) -> bool:
        """Whether where the person is belongs to the step."""
        return self.target is State.ON_SITE

    @property
    def asks(self) -> bool:
        """Whether there is anything to fill in before the button."""
        return bool(self.needs) or self.takes_photo


LABELS: Mapping[State, tuple[str, str]] = {
    State.ACCEPTED: (N_("Accept the case"), "check"),
    State.VOID: (N_("Void"), "cross"),
    State.DISPATCHED: (N_("Dispatch"), "person"),
    State.RETURNED: (N_("Hand back"), "hand-back"),
    State.ACKNOWLEDGED: (N_("Acknowledge"), "check"),
    State.ON_SITE: (N_("I am on site"), "map"),
    State.DONE: (N_("Photo, and done"), "camera"),
    State.VERIFIED: (N_("Verified: it is done"), "check"),
    State.REWORK: (N_("Send back for rework"), "again"),
    State.CLOSED: (N_("Close the case"), "ok"),
}
DISPATCH_ANEW = N_("Dispatch to somebody else")
REASONS: Mapping[State, tuple[str, ...]] = {
    State.RETURNED: (
        N_("Not in my grid"),
        N_("A matter for another department"),
        N_("I am on something more urgent"),
        N_("I am off duty"),
        N_("I cannot find the place"),
    ),
    State.VOID: (
        N_("False alarm: the sensor is faulty"),
        N_("The same as another order"),
        N_("Does not meet the standard for a case"),
    ),
    State.DISPATCHED: (
        N_("The worker is off duty"),
        N_("The worker is on something more urgent"),
        N_("It went to the wrong grid"),
        N_("Nobody acknowledged it for too long"),
    ),
    State.REWORK: (
        N_("The problem is still there"),
        N_("The photo does not show the result"),
        N_("The closing standard is not met"),
    ),
}
LEADS_ON = frozenset(
    {
        State.ACCEPTED,
        State.DISPATCHED,
        State.ACKNOWLEDGED,
        State.ON_SITE,
        State.DONE,
        State.VERIFIED,
        State.CLOSED,
    }
)
WITH_WORKER = frozenset({State.DISPATCHED, State.ACKNOWLEDGED})
"""Where a dispatch takes the order from somebody."""
QUEUED_BEHIND = frozenset({State.ACKNOWLEDGED, State.ON_SITE})
"""States from which a handler without a network goes on."""


def steps_for(order: Standing, person: Person) -> list[Step]:
    """Return the steps that a person can take now, the one that leads on first."""
    steps = [_step(order.state, target) for target in next_states(order, person)]
    return sorted(steps, key=lambda step: ("primary", "plain", "danger").index(step.look))


def later_steps(order: Standing, person: Person) -> dict[State, list[Step]]:
    """Return what an order's handler can do after the next steps, state by state, should there be no network then."""
    found: dict[State, list[Step]] = {}
    if person.login != order.handler:
        return found
    waiting = [order]
    while waiting:
        one = waiting.pop()
        for target in next_states(one, person):
            if target in QUEUED_BEHIND and target not in found:
                later = replace(one, state=target)
                found[target] = steps_for(later, person)
                waiting.append(later)
    return found


def _step(source: State, target: State) -> Step:
    label, icon = LABELS[target]
    is_anew = target is State.DISPATCHED and source in WITH_WORKER
    leads_on = target in LEADS_ON and not is_anew
    needs = TRANSITIONS[source, target].needs
    return Step(
        target=target,
        label=DISPATCH_ANEW if is_anew else label,
        icon=icon,
        look="primary" if leads_on else "danger" if target is State.VOID else "plain",
        needs=needs,
        reasons=REASONS.get(target, ()) if Need.REASON in needs else (),
    )


DONE_BY_PEOPLE: Mapping[State, str] = {
    State.ACCEPTED: N_("%(who)s accepted the case"),
    State.VOID: N_("%(who)s declared it void"),
    State.DISPATCHED: N_("%(who)s dispatched it to %(assignee)s"),
    State.RETURNED: N_("%(who)s handed it back"),
    State.ACKNOWLEDGED: N_("%(who)s acknowledged it"),
    State.ON_SITE: N_("%(who)s arrived on site"),
    State.DONE: N_("%(who)s finished the work"),
    State.VERIFIED: N_("%(who)s verified it"),
    State.REWORK: N_("%(who)s sent it back for rework"),
    State.CLOSED: N_("%(who)s closed the case"),
}
DONE_BY_RULES: Mapping[State, str] = {
    State.RAISED: N_("The sensor reported it"),
    State.ACCEPTED: N_("Accepted by rule"),
    State.DISPATCHED: N_("Dispatched by rule to %(assignee)s"),
    State.CLOSED: N_("Closed by itself: the sensor cleared before anybody acknowledged it"),
}
DISPATCHED_ANEW = N_("%(who)s dispatched it to %(assignee)s instead")
RAISED_BY_CAMERA = N_("The camera reported it")


def say_step(words: Words, step: TransitionLine, names: Mapping[str, str], *, by_camera: bool = False) -> str:
    """Say in one sentence what a transition was."""
    by_rule = step.who == RULES.login
    if step.target is State.RAISED and by_camera:
        source = RAISED_BY_CAMERA
    elif step.target is State.DISPATCHED and step.source in WITH_WORKER:
        source = DISPATCHED_ANEW
    else:
        source = (DONE_BY_RULES if by_rule else DONE_BY_PEOPLE).get(step.target, step.target)
    assignee = step.assignee or ""
    people = {"who": names.get(step.who, step.who), "assignee": names.get(assignee, assignee)}
    return words.text(source) % people


WAITS: Mapping[State, str] = {
    State.RAISED: N_("Waits for the duty officer to accept it"),
    State.ACCEPTED: N_("Waits to be dispatched: nobody works in this grid"),
    State.DISPATCHED: N_("Waits for %(handler)s to acknowledge it"),
    State.RETURNED: N_("Handed back: waits to be dispatched anew"),
    State.ACKNOWLEDGED: N_("%(handler)s is on the way"),
    State.ON_SITE: N_("%(handler)s is working on site"),
    State.DONE: N_("Done: waits to be verified by somebody other than %(handler)s"),
    State.REWORK: N_("Back with %(handler)s for rework"),
    State.VERIFIED: N_("Verified: waits for the duty officer to close it"),
    State.CLOSED: N_("The case is closed"),
    State.VOID: N_("Void: no case was made of it"),
}


def say_now(words: Words, state: State, handler: str) -> str:
    """Say what an order waits for, and for whom."""
    return words.text(WAITS[state]) % {"handler": handler}


LEFT: Mapping[Stopwatch, tuple[str, str]] = {
    Stopwatch.ACCEPT: (N_("%(duration)s left to accept"), N_("%(duration)s overdue: not accepted")),
    Stopwatch.DISPATCH: (N_("%(duration)s left to dispatch"), N_("%(duration)s overdue: not dispatched")),
    Stopwatch.ACKNOWLEDGE: (N_("%(duration)s left to acknowledge"), N_("%(duration)s overdue: not acknowledged")),
    Stopwatch.HANDLE: (N_("%(duration)s left to finish"), N_("%(duration)s overdue: not finished")),
}
GAP = {"duration": "{}"}


class Left(Struct, frozen=True, kw_only=True):
    """What is left of a running stopwatch, in words; `in_time` and `overdue` have {} where a duration belongs."""

    text: str
    due: str
    due_at: int
    in_time: str
    overdue: str
    look: str


def say_left(words: Words, formats: Formats, running: Running | None) -> Left | None:
    """Say how much time is left, or by how much it is overdue."""
    if running is None:
        return None
    in_time, overdue = map(words.text, LEFT[running.stopwatch])
    rest_ms = running.due_at - formats.now_ms
    due = words.text("by %(time)s") % {"time": say_clock(formats, running.due_at)}
    return Left(
        text=(in_time if rest_ms > 0 else overdue) % {"duration": formats.duration(rest_ms)},
        due=due,
        due_at=running.due_at,
        in_time=in_time % GAP,
        overdue=overdue % GAP,
        look="red" if rest_ms <= 0 else "warn" if running.is_soon_over else "",
    )


def say_clock(formats: Formats, at_ms: int) -> str:
    """Say a time to the minute, with the day where it is another one."""
    at = formats.local(at_ms)
    same_day = at.date() == formats.local(formats.now_ms).date()
    return f"{at:%H:%M}" if same_day else f"{at:%m-%d %H:%M}"


def say_size(words: Words, formats: Formats, event: Event | None) -> str:
    """Say how deep, how high or how much it is; what a camera saw has no number."""
    if event is None:
        return ""
    if event.value is None:
        return words.text("seen by a camera") if not event.point else ""
    return say_value(formats, event.value, event.unit)


def say_extreme(words: Words, event: Event | None) -> str:
    """Say what the value of an event is: the furthest beyond its threshold; nothing where there is no such value."""
    if event is None or event.value is None or event.threshold is None:
        return ""
    return words.text("lowest") if event.value < event.threshold else words.text("highest")


def say_forecast(words: Words, formats: Formats, event: Event | None) -> str:
    """Say when the level that comes next will be reached; nothing once that should have been."""
    said = event.forecast if event else None
    if event is None or said is None or event.ended_at is not None:
        return ""
    early, likely, late = (
        event.updated_at + 1000 * seconds - formats.now_ms for seconds in (said.early_s, said.likely_s, said.late_s)
    )
    if late <= 0:
        return ""
    sizes = {"size": say_value(formats, said.threshold, said.unit), "late": formats.duration(late)}
    if likely <= 0:
        return words.text("%(size)s expected any moment, at the latest in %(late)s") % sizes
    if late < IN_MINUTES_MS:
        minutes = {"likely": likely, "early": max(early, 0), "late": late}
        numbers = {name: round(ms / MINUTE_MS) for name, ms in minutes.items()}
        return words.text("%(size)s in about %(likely)s minutes (%(early)s to %(late)s)") % {**sizes, **numbers}
    durations = {"likely": formats.duration(likely), "early": formats.duration(max(early, 0))}
    return words.text("%(size)s in about %(likely)s (%(early)s to %(late)s)") % {**sizes, **durations}


LEVEL_STEPS: Mapping[StepKind, str] = {
    StepKind.SUSPECTED: N_("The sensor suspects: %(level)s"),
    StepKind.REACHED: N_("Level reached: %(level)s"),
    StepKind.NOT_CONFIRMED: N_("Not confirmed: %(level)s"),
    StepKind.STEPPED_DOWN: N_("Stepped down to: %(level)s"),
}


def say_level(words: Words, kind: StepKind, class_code: str) -> str:
    """Say what became of a level."""
    return words.text(LEVEL_STEPS[kind]) % {"level": words.event_class(class_code)}


def say_present(words: Words, order_class: str, event: Event | None) -> str:
    """Say at which level an event is that has stepped down from that of its order."""
    if event is None or event.ended_at is not None or event.class_code == order_class or event.highest_class is None:
        return ""
    return words.text("Has stepped down: %(level)s now") % {"level": words.event_class(event.class_code)}


def say_value(formats: Formats, value: float | None, unit: str) -> str:
    """Say a value; lengths of water as people know them, 18 cm and not 182.5 mm."""
    return formats.depth(value) if unit == "mm" and value is not None else formats.value(value, unit)


def join_reason(words: Words, parts: Sequence[str]) -> str:
    """Return a reason made of a line that was picked and of what was typed."""
    return words.text("; ").join(part.strip() for part in parts if part.strip())
