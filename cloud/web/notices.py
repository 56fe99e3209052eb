"""What needs a look, in words: a line each, with where to go to handle it.

What is found stands in `cloud.findings`; here it gets its icon, its sentence and its link.
"""

from collections.abc import Callable, Iterator, Mapping
from urllib.parse import quote

from msgspec import Struct

from cloud.findings import Finding, Findings, Kind
from cloud.health import Condition
from cloud.web.conditions import sentence
from cloud.web.order_words import LEFT, say_now
from cloud.web.page import Page
from cloud.web.words import N_, Words
from cloud.workorders.limits import MOST_URGENT_FIRST


class Notice(Struct, frozen=True, kw_only=True):
    """One line: `tone` is a severity, or how bad it is as badges have it; `key` is its own; `since` is ms UTC."""

    key: str
    icon: str
    tone: str
    title: str
    text: str
    since: int | None
    path: str


class More(Struct, frozen=True):
    """How many of a kind are not in the list, and where they are."""

    text: str
    path: str


ONE_NAME = N_("Two messages came under one name: a copied card, or two programs with one identity.")
SUSPECTED = N_("The sensor can neither prove nor withdraw it: have somebody look.")
TAKE_TURNS = N_("Two programs enter by its name in turn: a copied card, or two programs with one identity.")

Count = Callable[[Words, int], str]
MORE: Mapping[Kind, tuple[Count, str]] = {
    Kind.OVERDUE: (lambda w, n: w.plural("%(n)s more overdue order", "%(n)s more overdue orders", n), "/board"),
    Kind.WAITING: (lambda w, n: w.plural("%(n)s more waiting order", "%(n)s more waiting orders", n), "/board"),
    Kind.SUSPECTED: (
        lambda w, n: w.plural("%(n)s more long suspicion", "%(n)s more long suspicions", n),
        "/sensors?state=doubtful",
    ),
    Kind.GATEWAY: (
        lambda w, n: w.plural("%(n)s more silent gateway", "%(n)s more silent gateways", n),
        "/gateways?state=offline",
    ),
    Kind.DEVICE: (
        lambda w, n: w.plural("%(n)s more silent device", "%(n)s more silent devices", n),
        "/sensors?state=offline",
    ),
    Kind.CONFLICT: (
        lambda w, n: w.plural("%(n)s more gateway in conflict", "%(n)s more gateways in conflict", n),
        "/letters?cause=conflict",
    ),
    Kind.LOST: (
        lambda w, n: w.plural("%(n)s more gateway with losses", "%(n)s more gateways with losses", n),
        "/gateways?state=lost",
    ),
    Kind.UNREGISTERED: (
        lambda w, n: w.plural("%(n)s more gateway to register", "%(n)s more gateways to register", n),
        "/letters?tab=waiting",
    ),
    Kind.LETTERS: (
        lambda w, n: w.plural("%(n)s more gateway with messages", "%(n)s more gateways with messages", n),
        "/letters",
    ),
}


class Notices:
    """Puts findings into the words of a page; `gateways` and `people` are names by id and login."""

    def __init__(self, page: Page, *, gateways: Mapping[str, str], people: Mapping[str, str]) -> None:
        self._page, self._gateways, self._people = page, gateways, people

    def lines(self, findings: Findings) -> list[Notice]:
        """Return a line for each finding, the gravest first; that everything has stopped is said above the page."""
        lines = [each for each in findings.first if each.kind is not Kind.STOPPED]
        return [WORDS[each.kind](self, each) for each in sorted(lines, key=_place)]

    def more(self, findings: Findings) -> Iterator[More]:
        """Say how many of each kind have no line."""
        for kind, (count, path) in MORE.items():
            rest = findings.totals.get(kind, 0) - sum(each.kind is kind for each in findings.first)
            if rest > 0:
                yield More(count(self._page.words, rest) % {"n": rest}, path)

    def order(self, finding: Finding) -> Notice:
        """Say what an order waits for, or by how much it is overdue."""
        page, state = self._page, finding.state
        handler = self._people.get(finding.handler or "", finding.handler or "")
        is_late = finding.kind is Kind.OVERDUE
        if is_late and finding.stopwatch and finding.due_at:
            late = page._(LEFT[finding.stopwatch][1]) % {
                "duration": page.formats.duration(finding.due_at - page.now_ms)
            }
            text = f"{late} · {handler}" if handler else late
        else:
            text = say_now(page.words, state, handler) if state else ""
        return Notice(
            key=_key(finding),
            icon=finding.severity or "orders",
            tone=finding.severity or "none",
            title=f"{page.words.event_class(finding.class_code or '')} · {finding.site_name}",
            text=text,
            since=None if is_late else finding.since,  # by how much it is late is said already
            path=f"/orders/{finding.order}",
        )

    def suspected(self, finding: Finding) -> Notice:
        """Say what a sensor suspects and cannot prove."""
        page, gateway, device = self._page, quote(finding.gateway or ""), quote(finding.device or "")
        title = page._("Suspected: %(what)s") % {"what": page.words.event_class(finding.class_code or "")}
        return Notice(
            key=_key(finding),
            icon=finding.severity or "doubtful",
            tone=finding.severity or "warn",
            title=f"{title} · {finding.site_name}",
            text=f"{finding.name or finding.device} · {page._(SUSPECTED)}",
            since=finding.since,
            path=f"/gateways/{gateway}/devices/{device}",
        )

    def gateway(self, finding: Finding) -> Notice:
        """Say that a gateway is silent, and what is behind it."""
        behind = self._page.words.plural("%(n)s device behind it", "%(n)s devices behind it", finding.count)
        return self._silent(finding, N_("Gateway %(name)s"), behind % {"n": finding.count}, "")

    def device(self, finding: Finding) -> Notice:
        """Say that a device is silent."""
        return self._silent(finding, "%(name)s", self._gateway(finding), f"/devices/{quote(finding.device or '')}")

    def _silent(self, finding: Finding, title: str, more: str, below: str) -> Notice:
        page = self._page
        is_stale = finding.condition is Condition.STALE
        why = sentence(page.words, page.formats, finding.reason, finding.since)
        return Notice(
            key=_key(finding),
            icon="stale" if is_stale else "offline",
            tone="warn" if is_stale else "bad",
            title=page._(title) % {"name": finding.name or finding.device or finding.gateway},
            text=" · ".join(filter(None, (why, more))),
            since=finding.since,
            path=f"/gateways/{quote(finding.gateway or '')}{below}",
        )

    def conflict(self, finding: Finding) -> Notice:
        """Say that two messages of one gateway have one name, or that two programs take turns."""
        title = N_("%(name)s seems to be there twice")
        if finding.letter is None:
            path = f"/gateways/{quote(finding.gateway or '')}"
            return self._of_messages(finding, title, self._page._(TAKE_TURNS), path, tone="bad")
        return self._of_messages(finding, title, self._page._(ONE_NAME), _letters_of(finding), tone="bad")

    def lost(self, finding: Finding) -> Notice:
        """Say how many messages never came."""
        text = self._page.words.plural(
            "%(n)s message is lost: the gateway has it no more, and it never came",
            "%(n)s messages are lost: the gateway has them no more, and they never came",
            finding.count,
        )
        path = f"/gateways/{quote(finding.gateway or '')}"
        return self._of_messages(finding, N_("Losses at %(name)s"), text % {"n": finding.count}, path, tone="bad")

    def unregistered(self, finding: Finding) -> Notice:
        """Say that a gateway waits to be registered."""
        text = self._page.words.plural(
            "%(n)s message waits there until then", "%(n)s messages wait there until then", finding.count
        )
        title = N_("Gateway %(name)s is not registered")
        return self._of_messages(finding, title, text % {"n": finding.count}, "/letters?tab=waiting", tone="warn")

    def letters(self, finding: Finding) -> Notice:
        """Say that messages of a gateway could not be taken."""
        text = self._page.words.plural(
            "%(n)s message was not taken: take it again or discard it",
            "%(n)s messages were not taken: take them again or discard them",
            finding.count,
        )
        title = N_("Messages of %(name)s")
        return self._of_messages(finding, title, text % {"n": finding.count}, _letters_of(finding), tone="warn")

    def _of_messages(self, finding: Finding, title: str, text: str, path: str, *, tone: str) -> Notice:
        name = self._gateway(finding) or self._page._("an unknown sender")
        return Notice(
            key=_key(finding),
            icon="letters",
            tone=tone,
            title=self._page._(title) % {"name": name},
            text=text,
            since=finding.since,
            path=path,
        )

    def _gateway(self, finding: Finding) -> str:
        return self._gateways.get(finding.gateway or "", finding.gateway or "")


def _place(finding: Finding) -> float:
    """Return a number by which the gravest orders come first; what is silent comes before the least grave."""
    least = len(MOST_URGENT_FIRST) - 1
    if finding.severity:
        return MOST_URGENT_FIRST.index(finding.severity)
    return least - 0.5 if finding.kind in {Kind.GATEWAY, Kind.DEVICE} else least + 1


def _key(finding: Finding) -> str:
    """Return what a finding is known again by when the page is renewed."""
    return "-".join(filter(None, (finding.kind, finding.order, finding.gateway, finding.device)))


def _letters_of(finding: Finding) -> str:
    return f"/letters?gateway={quote(finding.gateway)}" if finding.gateway else "/letters"


WORDS: Mapping[Kind, Callable[[Notices, Finding], Notice]] = {
    Kind.OVERDUE: Notices.order,
    Kind.WAITING: Notices.order,
    Kind.SUSPECTED: Notices.suspected,
    Kind.GATEWAY: Notices.gateway,
    Kind.DEVICE: Notices.device,
    Kind.CONFLICT: Notices.conflict,
    Kind.LOST: Notices.lost,
    Kind.UNREGISTERED: Notices.unregistered,
    Kind.LETTERS: Notices.letters,
}
