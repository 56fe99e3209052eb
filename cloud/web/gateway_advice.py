"""What to do about a gateway that is not as it should be, in plain words: one piece of advice for each trouble."""

from collections.abc import Iterator, Mapping
from urllib.parse import quote

from msgspec import Struct

from cloud import twins
from cloud.gateway_states import clock_off_ms
from cloud.health import Condition, Reason
from cloud.registry.person import Role
from cloud.web.conditions import sentence
from cloud.web.gateway_view import GatewayView
from cloud.web.notices import ONE_NAME, TAKE_TURNS
from cloud.web.page import Page
from cloud.web.words import N_
from edge.contract.messages import ClockState, Status
from edge.contract.readings import is_undated

FULL_PERCENT = 90.0


class Advice(Struct, frozen=True, kw_only=True):
    """What is wrong, what it means, and what to do, in the order in which to try; `path` is where one can go on."""

    tone: str  # bad or warn
    title: str
    meaning: str
    steps: tuple[str, ...] = ()
    path: str | None = None
    link: str = ""


POWER = N_("Is it powered, and is its network cable in or its card online? Look at its lamps.")
PROGRAM = N_("Does its program run? On the gateway: systemctl status anlan-edge, or start it by hand.")
BROKER = N_("Does it reach the broker? Its log says why not: a wrong address, name, password or certificate.")
STOPPED = N_("%(why)s. Its program was stopped: until it runs again, nothing is read.")
CUT_OFF = N_("%(why)s. If its program still runs, it goes on reading and keeps what it reads: that comes later.")
NEVER_STEPS = (
    N_("On the gateway, check its configuration: anlan-edge check --config gateway.yaml"),
    N_("Start it: anlan-edge run --config gateway.yaml"),
    N_("Its log must say “uplink connected”; otherwise it says why not: address, name, password or certificate."),
)
CLOCKS: Mapping[ClockState, str] = {
    ClockState.SYNCHRONISED: N_("synchronised"),
    ClockState.FREE_RUNNING: N_("set, and free-running"),
    ClockState.UNKNOWN: N_("set, but never synchronised"),
}


def clock_of(status: Status) -> str:
    """Return how its clock is, to be translated: whether it is set, and whether something keeps it right."""
    return N_("not set") if is_undated(status.sent_at) else CLOCKS[status.clock]


def advice_for(page: Page, view: GatewayView) -> list[Advice]:
    """Return what to do, the worst first; nothing when all is well."""
    found = [*_of_presence(page, view), *_of_messages(page, view), *_of_clock(page, view), *_of_machine(page, view)]
    return sorted(found, key=lambda advice: advice.tone != "bad")


def _of_presence(page: Page, view: GatewayView) -> Iterator[Advice]:
    health = view.health
    if health is None:
        yield _unregistered(page, view)
    elif health.condition is Condition.NEVER:
        yield Advice(
            tone="warn",
            title=page._("It has never been heard"),
            meaning=page._("Nothing has come from a gateway with this id yet."),
            steps=tuple(map(page._, NEVER_STEPS)),
            path=f"/gateways/{quote(view.gateway)}/live",
            link=page._("Watch the first readings arrive"),
        )
    elif health.condition is not Condition.OK:
        why = sentence(page.words, page.formats, health.reason, health.since)
        is_silent = health.reason is Reason.SILENT
        was_stopped = view.was_stopped and not is_silent
        what = STOPPED if was_stopped else CUT_OFF
        yield Advice(
            tone="warn" if health.condition is Condition.STALE else "bad",
            title=page._("It is silent") if is_silent else page._("It is offline"),
            meaning=page._(what) % {"why": why[:1].upper() + why[1:]},
            steps=(page._(PROGRAM),) if was_stopped else (page._(POWER), page._(PROGRAM), page._(BROKER)),
        )


def _unregistered(page: Page, view: GatewayView) -> Advice:
    may_add = page.may(Role.INSTALLER)
    waiting = page.words.plural("%(n)s message waits.", "%(n)s messages wait.", view.letters.waiting)
    return Advice(
        tone="bad",
        title=page._("It is not registered"),
        meaning=page._(
            "It is heard, but nothing of it is taken until it is registered; until then it keeps everything."
        )
        + (" " + waiting % {"n": view.letters.waiting} if view.letters.waiting else ""),
        steps=() if may_add else (page._("Ask an installer to add it, or name it in the registry file."),),
        path=f"/gateways/new?gateway={quote(view.gateway)}" if may_add else None,
        link=page._("Register this gateway"),
    )


def _of_messages(page: Page, view: GatewayView) -> Iterator[Advice]:
    letters = f"/letters?gateway={quote(view.gateway)}" if page.may(Role.OPERATOR) else None
    is_there_twice = view.state is not None and twins.is_there_twice(view.state.turns, now_ms=page.now_ms)
    if view.letters.conflicts or is_there_twice:
        yield Advice(
            tone="bad",
            title=page._("It seems to be there twice"),
            meaning=page._(ONE_NAME if view.letters.conflicts else TAKE_TURNS),
            steps=(
                page._("Find the second gateway that calls itself so, and stop it."),
                page._("Give it an id of its own and an empty data folder before it starts again."),
            ),
            path=letters if view.letters.conflicts else None,
            link=page._("The messages in question"),
        )
    if view.lost:
        words = page.words.plural("%(n)s message will never come", "%(n)s messages will never come", view.lost)
        yield Advice(
            tone="bad",
            title=words % {"n": view.lost},
            meaning=page._("The account below names them. The gateway does not have them any more."),
            steps=tuple(_why_lost(page, given_up=view.given_up)),
        )
    if view.letters.others:
        yield Advice(
            tone="warn",
            title=page.words.plural("%(n)s message was not taken", "%(n)s messages were not taken", view.letters.others)
            % {"n": view.letters.others},
            meaning=page._("Each says why. What is refused is set aside on the gateway, not sent for ever."),
            path=letters,
            link=page._("Look at them"),
        )


def _why_lost(page: Page, *, given_up: int) -> Iterator[str]:
    if given_up:
        yield page._("Its outbox was full or too old while the uplink was away: give it more room (outbox.max_mb).")
    else:
        yield page._(
            "Was its card or its data folder replaced or put back from a copy? Then what waited there is gone."
        )


def _of_clock(page: Page, view: GatewayView) -> Iterator[Advice]:
    status = view.state.status if view.state else None
    if view.state is None or status is None or not status.online:
        return
    off_ms = clock_off_ms(status, view.state.last_seen)
    server = page._("Let it reach a time server (NTP, UDP port 123): timedatectl status says whether it does.")
    if is_undated(status.sent_at):
        yield Advice(
            tone="bad",
            title=page._("Its clock is not set"),
            meaning=page._(
                "What it reads is kept there, and comes when it knows the time: until then nobody hears of a flood."
            ),
            steps=(server, page._("Where there is no network of that kind, give it a clock with a battery.")),
        )
    elif off_ms:
        slow, fast = page._("Its clock is %(duration)s slow"), page._("Its clock is %(duration)s fast")
        yield Advice(
            tone="warn",
            title=(slow if off_ms > 0 else fast) % {"duration": page.formats.duration(off_ms)},
            meaning=page._("Its readings have that time; what is more than 10 minutes ahead is refused."),
            steps=(server,),
        )


FULL: Mapping[str, tuple[str, str]] = {
    "disk_used": (N_("Its disk is nearly full"), N_("Make room, or it will have to give up readings.")),
    "memory_used": (N_("Its memory is nearly full"), N_("See what else runs there: the agent needs less than 100 MB.")),
}


def _of_machine(page: Page, view: GatewayView) -> Iterator[Advice]:
    for point, (title, step) in FULL.items():
        value = view.own_value(point)
        if value is not None and value >= FULL_PERCENT:
            text = page._("It is at %(value)s.") % {"value": page.formats.value(value, "%")}
            yield Advice(tone="warn", title=page._(title), meaning=text, steps=(page._(step),))
