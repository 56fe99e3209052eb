"""How each gateway, device and point is: heard in time, stale, offline or never heard, and why; pure.

"No data" must never look like "all is well": a channel is judged by the age of its newest reading against the interval
at which its gateway promised one (the heartbeat of the inventory), whatever the gateway's own state says.

- A point is stale after 3 intervals, at least 10 minutes, and offline after 10. One whose newest reading is flagged 9
  is read and gives nothing: it is offline at once, for the reason that the reading's tests name.
- A device is as its worst point. A point that was never heard counts as offline once another of its device was heard.
- What is behind a gateway that is offline is offline because of it: one cause, told once, at the gateway.
- A gateway is a device too, and so is a camera. What a gateway cannot tell of them, such as a temperature, or the clock
  of a camera that never says the time, is no fault of anything.
- A point that is OK is doubtful where its newest reading was flagged 3 or 4: it is read, and not to be trusted.
- A device without points says nothing until something happens: only its last event is known.
"""

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum

from msgspec import Struct

from cloud.series import LastHeard
from edge.contract.messages import DeviceInventory, Flag, Inventory, PointInventory, Test

Key = tuple[str, str]
"""A gateway and its device."""


class Condition(StrEnum):
    """What can be said of a channel."""

    OK = "ok"  # 正常
    STALE = "stale"  # 陈旧
    OFFLINE = "offline"  # 离线
    NEVER = "never"  # 从未上线


class Reason(StrEnum):
    """Why a channel is not OK; pages put it into words."""

    SILENT = "silent"  # nothing came for too long
    NO_ANSWER = "no_answer"  # the device does not answer its gateway
    REFUSED = "refused"  # the device answers its gateway with an exception
    SENTINEL = "sentinel"  # the device answers that it has no value
    MISSING = "missing"  # there is no value, and no test says why
    CLOSED = "closed"  # the gateway's connection has ended
    GATEWAY = "gateway"  # its gateway is offline
    NEVER_HEARD = "never_heard"
    UNLISTED = "unlisted"  # it is registered, but its gateway does not read it (any more)
    ONLY_EVENTS = "only_events"  # OK as far as one can know: it gives no readings
    NOT_OFFERED = "not_offered"  # OK: a gateway's machine has no such sensor, or does not tell


OWN_KIND = "gateway"  # the kind of the gateway's own device
TOLD_KINDS = frozenset({OWN_KIND, "camera"})  # whose points the gateway tells: it may not know them all
OWN_ID = "gateway"  # what it is called before it has told its kind
DOUBTED = (Flag.SUSPECT, Flag.FAIL)
REASON_OF_TEST = ((Test.NO_ANSWER, Reason.NO_ANSWER), (Test.REFUSED, Reason.REFUSED), (Test.SENTINEL, Reason.SENTINEL))


class HealthRules(Struct, frozen=True, kw_only=True):
    """After how many of its intervals a channel is what, in seconds where there is a least."""

    stale_intervals: float = 3
    stale_at_least_s: float = 600
    offline_intervals: float = 10
    unknown_interval_s: float = 600  # of a point whose gateway does not say how often it reads it
    stopped_at_least_s: float = 180  # all gateways together

    def limits_ms(self, interval_s: float) -> tuple[float, float]:
        """Return the ages over which a reading is stale and its point offline."""
        stale_s = max(self.stale_intervals * interval_s, self.stale_at_least_s)
        return stale_s * 1000, max(self.offline_intervals * interval_s, stale_s) * 1000


RULES = HealthRules()


class GatewayFacts(Struct, frozen=True, kw_only=True):
    """What is known of a registered gateway; `last_seen` is None when it has never told its state.

    `online` is what it, or the broker for it, said last; after `fresh_until`, three intervals of its statuses later,
    that is no longer known to be so.
    """

    gateway: str
    name: str
    site: str
    online: bool | None = None
    last_seen: int | None = None
    fresh_until: int = 0
    inventory: Inventory | None = None


class DeviceFacts(Struct, frozen=True, kw_only=True):
    """A registered device."""

    name: str
    site: str


class PointHealth(Struct, frozen=True, kw_only=True):
    """How one point is; `since` is when it last was as it should, None where it never was."""

    point: str
    unit: str
    interval_s: float
    condition: Condition
    reason: Reason | None
    since: int | None
    heard: LastHeard | None

    @property
    def is_doubtful(self) -> bool:
        """Whether it is as it should be, but for the value that it gives."""
        return self.condition is Condition.OK and self.heard is not None and self.heard.flag in DOUBTED


class DeviceHealth(Struct, frozen=True, kw_only=True):
    """How one device is, and its points; `heard_at` is its newest reading or event, `valued_at` its newest value."""

    gateway: str
    device: str
    name: str | None  # None: not registered
    site: str | None
    kind: str  # empty: neither its gateway nor a reading has told
    condition: Condition
    reason: Reason | None
    since: int | None
    heard_at: int | None
    valued_at: int | None
    points: list[PointHealth]

    @property
    def is_own(self) -> bool:
        """Whether it is the gateway itself, which is no sensor: it is shown with its gateway, and counted nowhere."""
        return self.kind == OWN_KIND or (not self.kind and self.device == OWN_ID)

    @property
    def is_doubtful(self) -> bool:
        """Whether it is as it should be, but for the values that it gives."""
        return self.condition is Condition.OK and any(point.is_doubtful for point in self.points)


class GatewayHealth(Struct, frozen=True, kw_only=True):
    """How one gateway is, and what is behind it."""

    gateway: str
    name: str
    site: str
    condition: Condition
    reason: Reason | None
    since: int | None
    last_seen: int | None
    devices: list[DeviceHealth]

    @property
    def sensors(self) -> list[DeviceHealth]:
        """What is behind it, without itself."""
        return [device for device in self.devices if not device.is_own]


class Counts(Struct, kw_only=True):
    """How many channels are how; `behind_gateway` are offline because their gateway is, and not counted as offline.

    Nor are `doubtful` ones counted as ok.
    """

    ok: int = 0
    doubtful: int = 0
    stale: int = 0
    offline: int = 0
    never: int = 0
    behind_gateway: int = 0

    def add(self, channel: GatewayHealth | DeviceHealth | PointHealth) -> None:
        """Count one channel."""
        name = "behind_gateway" if channel.reason is Reason.GATEWAY else channel.condition.value
        if not isinstance(channel, GatewayHealth) and channel.is_doubtful:
            name = "doubtful"
        setattr(self, name, getattr(self, name) + 1)


class Health(Struct, frozen=True, kw_only=True):
    """How everything is that is registered, by gateway; gateways are not among the devices that are counted."""

    gateways: list[GatewayHealth]
    of_gateways: Counts
    of_devices: Counts
    of_points: Counts
    stopped_since: int | None  # everything has stopped: when the last gateway was heard


def judge(
    gateways: Sequence[GatewayFacts],
    devices: Mapping[Key, DeviceFacts],
    heard: Iterable[LastHeard],
    *,
    last_events: Mapping[Key, int],
    now_ms: int,
    rules: HealthRules = RULES,
) -> Health:
    """Return how every registered gateway is, with every device that is registered behind it or that it says it reads.

    `heard` is the newest reading of each series; `last_events` when the last event of a device was, where there was
    one.
    """
    of_device: dict[Key, list[LastHeard]] = {}
    for one in heard:
        of_device.setdefault((one.gateway, one.device), []).append(one)
    registered: dict[str, list[str]] = {}
    for gateway, device in devices:
        registered.setdefault(gateway, []).append(device)
    found = []
    for facts in gateways:
        judge_of = _GatewayJudge(facts, _judge_gateway(facts, now_ms, rules), now_ms=now_ms, rules=rules)
        listed = {each.device: each for each in facts.inventory.devices} if facts.inventory else {}
        names = sorted(listed.keys() | set(registered.get(facts.gateway, ())))
        keys = [(facts.gateway, name) for name in names]
        children = [
            judge_of.device(
                key[1], devices.get(key), listed.get(key[1]), of_device.get(key, ()), last_event=last_events.get(key)
            )
            for key in keys
        ]
        found.append(judge_of.gateway(children))
    return _counted(found, everything_stopped(gateways, now_ms=now_ms, rules=rules))


def everything_stopped(gateways: Iterable[GatewayFacts], *, now_ms: int, rules: HealthRules = RULES) -> int | None:
    """Return since when no gateway at all was heard, be it through a fault of theirs, the broker's or ours; or None.

    That is so when some were heard before, and each is silent for three of its own status intervals, at least three
    minutes.
    """
    last = [(one.last_seen, one.fresh_until) for one in gateways if one.last_seen is not None]
    at_least_ms = round(rules.stopped_at_least_s * 1000)
    if not last or any(now_ms <= max(fresh_until, seen + at_least_ms) for seen, fresh_until in last):
        return None
    return max(seen for seen, _ in last)


class _Verdict(Struct, frozen=True):
    condition: Condition
    reason: Reason | None = None
    since: int | None = None


_OK = _Verdict(Condition.OK)
_NEVER = _Verdict(Condition.NEVER, Reason.NEVER_HEARD)


def _judge_gateway(facts: GatewayFacts, now_ms: int, rules: HealthRules) -> _Verdict:
    if facts.last_seen is None:
        return _NEVER
    if not facts.online:
        return _Verdict(Condition.OFFLINE, Reason.CLOSED, facts.last_seen)
    if now_ms <= facts.fresh_until:
        return _OK
    silent_ms = (facts.fresh_until - facts.last_seen) / rules.stale_intervals * rules.offline_intervals
    is_offline = now_ms - facts.last_seen > silent_ms
    return _Verdict(Condition.OFFLINE if is_offline else Condition.STALE, Reason.SILENT, facts.last_seen)


class _GatewayJudge:
    """Judges what is behind one gateway."""

    def __init__(self, facts: GatewayFacts, verdict: _Verdict, *, now_ms: int, rules: HealthRules) -> None:
        self._facts, self._verdict, self._now_ms, self._rules = facts, verdict, now_ms, rules
        is_offline = verdict.condition is Condition.OFFLINE
        self._behind = _Verdict(Condition.OFFLINE, Reason.GATEWAY, verdict.since) if is_offline else None

    def gateway(self, devices: list[DeviceHealth]) -> GatewayHealth:
        return GatewayHealth(
            gateway=self._facts.gateway,
            name=self._facts.name,
            site=self._facts.site,
            condition=self._verdict.condition,
            reason=self._verdict.reason,
            since=self._verdict.since,
            last_seen=self._facts.last_seen,
            devices=devices,
        )

    def device(
        self,
        device: str,
        facts: DeviceFacts | None,
        listed: DeviceInventory | None,
        heard: Sequence[LastHeard],
        *,
        last_event: int | None,
    ) -> DeviceHealth:
        points = self._points(listed, {one.point: one for one in heard})
        verdict = _worst(points) if points else self._by_events(last_event)
        if listed is None and self._facts.inventory is not None and verdict.condition is not Condition.OK:
            verdict = _Verdict(verdict.condition, Reason.UNLISTED, verdict.since)
        times = [one.taken_at for one in heard] + ([last_event] if last_event is not None else [])
        return DeviceHealth(
            gateway=self._facts.gateway,
            device=device,
            name=facts.name if facts else None,
            site=facts.site if facts else self._facts.site,
            kind=listed.kind if listed else next((one.kind for one in heard), ""),
            condition=verdict.condition,
            reason=verdict.reason,
            since=verdict.since,
            heard_at=max(times, default=None),
            valued_at=max((one.valued_at for one in heard if one.valued_at is not None), default=None),
            points=points,
        )

    def _points(self, listed: DeviceInventory | None, heard: Mapping[str, LastHeard]) -> list[PointHealth]:
        """Judge the points that the gateway says it reads; where it does not say, those that were ever heard."""
        unknown_s = self._rules.unknown_interval_s
        expected = listed.points if listed else [PointInventory(name, "", unknown_s, unknown_s) for name in heard]
        is_told = listed is not None and listed.kind in TOLD_KINDS
        return [self._point(point, heard.get(point.name), is_told=is_told) for point in expected]

    def _point(self, point: PointInventory, heard: LastHeard | None, *, is_told: bool) -> PointHealth:
        verdict = self._judge_point(heard, point.heartbeat_s)
        if is_told and verdict.reason is Reason.REFUSED:
            verdict = _Verdict(Condition.OK, Reason.NOT_OFFERED)
        return PointHealth(
            point=point.name,
            unit=point.unit,
            interval_s=point.heartbeat_s,
            condition=verdict.condition,
            reason=verdict.reason,
            since=verdict.since,
            heard=heard,
        )

    def _judge_point(self, heard: LastHeard | None, interval_s: float) -> _Verdict:
        if heard is None:
            return _NEVER
        if self._behind is not None:
            return self._behind
        age_ms = self._now_ms - heard.taken_at
        stale_ms, offline_ms = self._rules.limits_ms(interval_s)
        if age_ms > offline_ms:
            return _Verdict(Condition.OFFLINE, Reason.SILENT, heard.taken_at)
        if heard.flag is Flag.MISSING:
            return _Verdict(Condition.OFFLINE, _reason_of(heard.tests), heard.valued_at)
        return _Verdict(Condition.STALE, Reason.SILENT, heard.taken_at) if age_ms > stale_ms else _OK

    def _by_events(self, last_event: int | None) -> _Verdict:
        if last_event is None:
            return _NEVER
        return self._behind or _Verdict(Condition.OK, Reason.ONLY_EVENTS)


def _reason_of(tests: int) -> Reason:
    return next((reason for test, reason in REASON_OF_TEST if tests & test), Reason.MISSING)


_BADNESS = {Condition.OK: 0, Condition.STALE: 1, Condition.NEVER: 2, Condition.OFFLINE: 3}


def _worst(points: Sequence[PointHealth]) -> _Verdict:
    worst = max(points, key=lambda point: _BADNESS[point.condition])  # the first of those that are equally bad
    if worst.condition is Condition.OK:
        return _OK
    if worst.condition is Condition.NEVER and any(point.heard for point in points):
        return _Verdict(Condition.OFFLINE, worst.reason, worst.since)
    return _Verdict(worst.condition, worst.reason, worst.since)


def _counted(gateways: list[GatewayHealth], stopped_since: int | None) -> Health:
    of_gateways, of_devices, of_points = Counts(), Counts(), Counts()
    for gateway in gateways:
        of_gateways.add(gateway)
        for device in gateway.sensors:
            of_devices.add(device)
            for point in device.points:
                of_points.add(point)
    return Health(
        gateways=gateways,
        of_gateways=of_gateways,
        of_devices=of_devices,
        of_points=of_points,
        stopped_since=stopped_since,
    )
