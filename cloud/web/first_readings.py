"""The first readings of a gateway as they arrive: each point with its value and whether it is right, or what to try.

What is expected is what the gateway says it reads; before it has said anything, what the gateway.yaml that was made for
it names.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from msgspec import Struct

from cloud.health import Condition, DeviceHealth, PointHealth, Reason
from cloud.web.gateway_advice import clock_of
from cloud.web.gateway_view import GatewayView
from cloud.web.page import Page
from cloud.web.wizard import for_files, rows_of
from cloud.web.words import N_
from edge.contract.messages import Flag
from edge.contract.profile import DeviceProfile, load_profile, profile_names
from edge.contract.readings import is_undated


class Check(Struct, frozen=True, kw_only=True):
    """One thing that must be so before readings arrive; `steps` is what to try while it is not."""

    is_done: bool
    text: str
    steps: tuple[str, ...] = ()


class LivePoint(Struct, frozen=True, kw_only=True):
    """A point with its newest value; `tone` is good, warn, bad, or none while nothing has come."""

    label: str
    value: str
    at: int | None
    tone: str
    text: str


class LiveDevice(Struct, frozen=True, kw_only=True):
    """A device with its points; `steps` is what to try when none of them has a value."""

    device: str
    name: str
    model: str
    points: list[LivePoint]
    steps: tuple[str, ...]

    @property
    def arrived(self) -> int:
        """How many points have a value that is right."""
        return sum(point.tone == "good" for point in self.points)


NEVER_HEARD = (
    N_("Is gateway.yaml on it, and does “edge check” find nothing wrong?"),
    N_("Does “edge run” run? Its log must say “uplink connected”."),
    N_("If its log says that it cannot connect: are the broker's address and port right, and can it be reached?"),
    N_("If it says that it is refused: are user name and password right, and is the clock set for TLS?"),
    N_("Is the id in its gateway.yaml exactly %(gateway)s?"),
)
UNREGISTERED = (N_("Register it: what it has kept until then comes by itself."),)
SILENT = (
    N_("Is it powered, and is its network up?"),
    N_("Does its program still run? What does its log say last?"),
)
CLOCK = (N_("Let it reach a time server (NTP, UDP port 123); timedatectl status says whether it does."),)
OTHER_DEVICES = (N_("Put the present gateway.yaml on it and start it anew: it reads something else."),)
TROUBLES: Mapping[Reason, tuple[str, tuple[str, ...]]] = {
    Reason.NO_ANSWER: (
        N_("no answer"),
        (
            N_("Are address and port right? Can they be reached from the gateway?"),
            N_("Is the Modbus unit the one that is set on the device?"),
            N_("Is it powered? On a serial line: A and B the right way round, speed and parity as on the device?"),
        ),
    ),
    Reason.REFUSED: (
        N_("the device refuses"),
        (N_("Is it really this model? Another one has other registers; look at its type plate."),),
    ),
    Reason.SENTINEL: (
        N_("the device has no value"),
        (N_("Is its probe connected? A broken wire or an empty pipe reads so."),),
    ),
    Reason.MISSING: (N_("no value"), (N_("What does the gateway's log say about this device?"),)),
}


def checks_of(page: Page, view: GatewayView, devices: Sequence[LiveDevice]) -> list[Check]:
    """Return what must be so, in the order in which to look; the first that is not is where to begin."""
    state, status = view.state, view.state.status if view.state else None
    is_heard = state is not None or view.letters.total > 0
    never = tuple(page._(step) % {"gateway": view.gateway} for step in NEVER_HEARD)
    found = [Check(is_done=is_heard, text=page._("The gateway has been heard"), steps=never)]
    if is_heard:
        unregistered = tuple(map(page._, UNREGISTERED))
        found.append(Check(is_done=view.health is not None, text=page._("It is registered"), steps=unregistered))
    if view.health is None or status is None:
        return found
    is_online = view.condition is Condition.OK
    found.append(Check(is_done=is_online, text=page._("It is online"), steps=tuple(map(page._, SILENT))))
    is_set = not is_undated(status.sent_at)
    clock = page._("Its clock is %(state)s") % {"state": page._(clock_of(status) if is_set else "set")}
    found.append(Check(is_done=is_set, text=clock, steps=tuple(map(page._, CLOCK))))
    if view.file is not None:
        same = _reads_what_it_should(view)
        text = page._("It reads the devices that its gateway.yaml names")
        found.append(Check(is_done=same, text=text, steps=tuple(map(page._, OTHER_DEVICES))))
    arrived, total = total_of(devices)
    text = page._("%(arrived)s of %(total)s points have arrived") % {"arrived": arrived, "total": total}
    found.append(Check(is_done=bool(total) and arrived == total, text=text))
    return found


def live_devices(page: Page, view: GatewayView) -> list[LiveDevice]:
    """Return every expected device with its points, its own health last."""
    known = view.health.devices if view.health else []
    told = [one for one in known if one.points]
    devices = [_live(page, view, device) for device in sorted(told, key=lambda one: one.is_own)]
    return [*devices, *_still_expected(page, view, {device.device for device in told})]


def _still_expected(page: Page, view: GatewayView, told: set[str]) -> Iterator[LiveDevice]:
    """Give the devices that gateway.yaml names and of which nothing is known yet."""
    typed = view.file.form if view.file else {}
    for row in rows_of(typed):
        device = typed.get(f"{row.field}.id", "")
        profile = _profile(row.profile.profile)
        if device not in told and profile is not None:
            waiting = page._("waiting")
            points = [
                LivePoint(label=page.words.point(point.name), value="—", at=None, tone="none", text=waiting)
                for point in profile.points
            ]
            name = typed.get(f"{row.field}.name") or device
            yield LiveDevice(device=device, name=name, model=_model(profile), points=points, steps=())


def _live(page: Page, view: GatewayView, device: DeviceHealth) -> LiveDevice:
    inventory = view.state.inventory if view.state else None
    listed = {one.device: one.profile for one in inventory.devices} if inventory else {}
    profile = _profile(listed.get(device.device, ""))
    expected = [point for point in device.points if point.reason is not Reason.NOT_OFFERED]
    since = view.file.made_at if view.file else 0
    return LiveDevice(
        device=device.device,
        name=device.name or device.device,
        model=page.words.kind(device.kind) if device.is_own or profile is None else _model(profile),
        points=[_point(page, point, profile, since=since) for point in expected],
        steps=_steps(page, expected, since=since),
    )


def _steps(page: Page, points: Sequence[PointHealth], *, since: int) -> tuple[str, ...]:
    """What to try when no point has a value, for the first reason that there is something to do about."""
    reasons = [reason for point in points if (reason := _reason(point, since=since)) is not None]
    if not reasons or len(reasons) < len(points):
        return ()
    return tuple(page._(step) for step in TROUBLES[reasons[0]][1])


def _reason(point: PointHealth, *, since: int) -> Reason | None:
    """Why a point has no value now; None when it has one, or when nothing has come since gateway.yaml was made."""
    if point.heard is None or point.heard.flag is not Flag.MISSING or point.heard.taken_at < since:
        return None
    return point.reason if point.reason in TROUBLES else Reason.MISSING


def _point(page: Page, point: PointHealth, profile: DeviceProfile | None, *, since: int) -> LivePoint:
    label = page.words.point(point.point)
    heard = point.heard
    if heard is None:
        return LivePoint(label=label, value="—", at=None, tone="none", text=page._("waiting"))
    tone, text = _verdict(page, point, profile, since=since)
    value = page.formats.value(heard.value, point.unit)
    return LivePoint(label=label, value=value, at=heard.taken_at, tone=tone, text=text)


def _verdict(page: Page, point: PointHealth, profile: DeviceProfile | None, *, since: int) -> tuple[str, str]:
    flag = point.heard.flag if point.heard else Flag.MISSING
    reason = _reason(point, since=since)
    if reason is not None:
        return "bad", page._(TROUBLES[reason][0])
    if flag is Flag.MISSING:
        return "none", page._("waiting for the first reading after the change")
    if flag is Flag.FAIL:
        return "bad", _out_of_span(page, point, profile)
    if flag is Flag.SUSPECT:
        return "warn", page._("suspect: compare it with a meter")
    if point.condition is not Condition.OK:
        return "warn", page._("nothing new")
    return "good", page._("right")


def _out_of_span(page: Page, point: PointHealth, profile: DeviceProfile | None) -> str:
    spans = {each.name: each.span for each in profile.points} if profile else {}
    span = spans.get(point.point)
    if span is None:
        return page._("outside what the sensor can measure: is it wired right, and this model?")
    bounds = {
        "lowest": page.formats.value(span[0], point.unit),
        "highest": page.formats.value(span[1], point.unit),
    }
    return page._("outside what it can measure, %(lowest)s to %(highest)s: is it wired right, and this model?") % bounds


def _reads_what_it_should(view: GatewayView) -> bool:
    form = for_files(view.file.form) if view.file else {}
    wanted = {text for name, text in form.items() if name.startswith("devices.") and name.endswith(".id")}
    inventory = view.state.inventory if view.state else None
    return wanted <= {device.device for device in (inventory.devices if inventory else ())}


def _profile(name: str) -> DeviceProfile | None:
    """Return a profile that comes with Anlan; a gateway may name one of its own, which is not here."""
    return load_profile(name) if name in profile_names() else None


def _model(profile: DeviceProfile) -> str:
    return f"{profile.maker} {profile.model}"


def total_of(devices: Iterable[LiveDevice]) -> tuple[int, int]:
    """Return how many points have arrived, and how many are expected."""
    devices = list(devices)
    return sum(one.arrived for one in devices), sum(len(one.points) for one in devices)
