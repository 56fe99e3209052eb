"""The form with which an installer adds a gateway: what was typed so far, in steps, and what is wrong with it.

Nothing is kept on the server between the steps: each page of the form carries everything that was typed before. The
fields are the keys of gateway.yaml (`cloud.registry.gateway_yaml`), and besides

    name, devices.0.name           as people call it; only the registry has it
    place                          known: at `site`; new: at a place that is made from new.name, new.address,
                                   new.latitude, new.longitude, new.grid
    devices.0.new.latitude, …      the same for a device that stands elsewhere; without a name it has the device's
    devices.0.rules.3.class        a box that is ticked; what belongs to one that is not is left out
    q, site_q, devices.0.site_q    words that models of devices and places are searched by
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set

from msgspec import Struct
from sqlalchemy import Connection

from cloud.config import NewGatewaysConfig
from cloud.registry.additions import add_gateway, add_site, change_gateway
from cloud.registry.choices import ClassChoice, ProfileChoice, rules_for, search_profiles
from cloud.registry.forms import Fault, FormError
from cloud.registry.gateway_files import GatewayFile, keep_file
from cloud.registry.gateway_yaml import gateway_yaml

Typed = Mapping[str, str]

STEPS = ("place", "devices", "connection")
MOST_DEVICES = 60
MAX_TEXT = 500
NEW, KNOWN = "new", "known"
RESERVED = "new"  # /gateways/new is the page of this form

_FIELD = re.compile(
    r"gateway|name|place|site|q|site_q|(devices\.\d{1,3}\.)?new\.(name|address|latitude|longitude|grid)|data_dir"
    r"|broker\.(host|port|tls|tls\.ca_file|username|password_file)"
    r"|devices\.\d{1,3}\.(profile|id|name|site|site_q|poll_s|heartbeat_s|modbus\.(host|port|unit)"
    r"|settings\.[a-z0-9_-]{1,64}|rules\.\d{1,3}\.(class|point|threshold|clear))"
)
_FOR_FILES = re.compile(r"gateway|name|site|data_dir|broker\..*|devices\.\d+\.(?!new\.|site_q).*")
_SITE = re.compile(r"(devices\.\d{1,3}\.)?site")
_ROW = re.compile(r"devices\.(\d+)\.(.*)")
_RULE = re.compile(r"(devices\.\d+\.rules\.\d+)\.(class|point|threshold|clear)")
_STEMS = {
    "climate_sensor": "climate",
    "electricity_meter": "meter",
    "heat_meter": "heat",
    "level_transmitter": "level",
    "rain_gauge": "rain",
    "water_meter": "water",
    "waterlogging_sensor": "depth",
}
"""What ids of a kind of device begin with."""
_PACES = {"electricity_meter": ("10", "300")}
_PACE = ("60", "600")
"""Seconds between readings and between reports of an unchanged value."""


class RuleLine(Struct, frozen=True, kw_only=True):
    """An event class that a device can watch for; `field` begins the names of its fields."""

    field: str
    choice: ClassChoice
    is_ticked: bool


class DeviceRow(Struct, frozen=True, kw_only=True):
    """A device of the form; `field` begins the names of its fields."""

    number: int
    field: str
    profile: ProfileChoice
    rules: Sequence[RuleLine]


def take_typed(posted: Iterable[tuple[str, object]]) -> dict[str, str]:
    """Return the fields of the form that were posted; what is none of them is left out."""
    return {
        name: " ".join(text[:MAX_TEXT].split()) for name, text in posted if isinstance(text, str) and is_field(name)
    }


def is_field(name: str) -> bool:
    """Whether the form has such a field."""
    return _FIELD.fullmatch(name) is not None


def is_site(name: str) -> bool:
    """Whether it is a field that a known place is chosen in."""
    return _SITE.fullmatch(name) is not None


def is_search(name: str) -> bool:
    """Whether it is a field of words to search by, which are of no use once the search is over."""
    return name == "q" or name.endswith("site_q")


def begin(defaults: NewGatewaysConfig, gateway: str, name: str) -> dict[str, str]:
    """Return what a new form begins with; `gateway` is a proposal."""
    return {
        "gateway": gateway,
        "name": name,
        "place": NEW,
        "broker.host": defaults.host or "",
        "broker.port": str(defaults.port),
        **({"broker.tls": "on", "broker.tls.ca_file": defaults.ca_file or ""} if defaults.tls else {}),
        "broker.username": defaults.username,
        "broker.password_file": defaults.password_file,
        "data_dir": defaults.data_dir,
    }


def rows_of(typed: Typed) -> list[DeviceRow]:
    """Return the devices of the form, in the order in which they were added; of unknown models none."""
    models = {choice.profile: choice for choice in search_profiles("")}
    numbers = sorted({int(found[1]) for name in typed if (found := _ROW.fullmatch(name))})
    named = ((number, models.get(typed.get(f"devices.{number}.profile", ""))) for number in numbers)
    return [_row(typed, number, profile) for number, profile in named if profile is not None][:MOST_DEVICES]


def add_row(typed: Typed, profile: str, *, kind_name: str) -> dict[str, str]:
    """Return the form with one more device of a model, filled with what is likely; as it was for an unknown model."""
    found = next((choice for choice in search_profiles("") if choice.profile == profile), None)
    rows = rows_of(typed)
    if found is None or len(rows) >= MOST_DEVICES:
        return dict(typed)
    number = max((row.number for row in rows), default=-1) + 1
    last = f"devices.{rows[-1].number}.modbus" if rows else ""
    place = _free_number(typed, _STEMS.get(found.kind, found.kind))
    poll, heartbeat = _PACES.get(found.kind, _PACE)
    proposed = {
        "profile": profile,
        "id": f"{_STEMS.get(found.kind, found.kind)}-{place}",
        "name": f"{kind_name} {place}",
        "modbus.host": typed.get(f"{last}.host", ""),
        "modbus.port": typed.get(f"{last}.port", "502"),
        "modbus.unit": _next(typed.get(f"{last}.unit", "0")),
        "poll_s": poll,
        "heartbeat_s": heartbeat,
        **{f"settings.{setting.name}": setting.default for setting in found.settings if setting.default},
    }
    return {**typed, **{f"devices.{number}.{part}": text for part, text in proposed.items()}}


def remove_row(typed: Typed, number: str) -> tuple[dict[str, str], dict[str, str]]:
    """Return the form without a device, and what the device had, to put it back."""
    removed = {name: text for name, text in typed.items() if name.startswith(f"devices.{number}.")}
    return {name: text for name, text in typed.items() if name not in removed}, removed


def for_files(typed: Typed) -> dict[str, str]:
    """Return what goes into gateway.yaml and registry: without boxes that are not ticked; {gateway} is the id."""
    found = {}
    for name, text in typed.items():
        rule = _RULE.fullmatch(name)
        is_left_out = rule is not None and not typed.get(f"{rule[1]}.class")
        is_left_out |= name == "broker.tls.ca_file" and not typed.get("broker.tls")
        if _FOR_FILES.fullmatch(name) and not is_left_out:
            found[name] = text.replace("{gateway}", typed.get("gateway", ""))
    if typed.get("place") == NEW:
        found.pop("site", None)
    return found


def step_of(field: str) -> str:
    """Return the step that a field is shown in."""
    if field.startswith("devices"):
        return "devices"
    is_first = field in {"gateway", "name", "site", "place"} or field.startswith("new.")
    return "place" if is_first else "connection"


def register(connection: Connection, typed: Typed, *, is_new: bool, login: str, now_ms: int) -> str:
    """Add the gateway, or change one that was added so; return its id. Raises FormError with every fault.

    With the new places, its devices and its gateway.yaml, in the caller's transaction.
    """
    form, text = for_files(typed), ""
    faults = list(_faults_of_its_own(typed, form))
    try:
        text = gateway_yaml(form)
    except FormError as error:
        faults += error.faults
    made, faults_of_places = _make_places(connection, typed)
    faults += faults_of_places + _thresholds_missing(typed, {fault.field for fault in faults})
    form |= made
    try:
        (add_gateway if is_new else change_gateway)(connection, form)
    except FormError as error:
        faults += [fault for fault in error.faults if fault.field != "site" or typed.get("place") != NEW]
    if faults:
        raise FormError(faults)
    kept = {name: typed_text for name, typed_text in typed.items() if not (_is_of_new_place(name) or is_search(name))}
    kept |= {**made, "place": KNOWN, "site": form["site"]}
    keep_file(
        connection,
        GatewayFile(gateway=form["gateway"], form=kept, text=text, made_at=now_ms, made_by=login),
    )
    return form["gateway"]


def find_faults(connection: Connection, typed: Typed, *, is_new: bool) -> list[Fault]:
    """Return everything that is wrong with the form so far; nothing of it stays in the database."""
    attempt = connection.begin_nested()
    try:
        register(connection, typed, is_new=is_new, login="", now_ms=0)
    except FormError as error:
        return error.faults
    finally:
        attempt.rollback()
    return []


def _thresholds_missing(typed: Typed, told: Set[str]) -> list[Fault]:
    """Tell at once what gateway.yaml's check tells only of devices that are right otherwise."""
    ticked = [rule for row in rows_of(typed) for rule in row.rules if rule.is_ticked and rule.choice.needs_threshold]
    fields = [field for rule in ticked if not typed.get(field := f"{rule.field}.threshold") and field not in told]
    return [Fault(field, "请填写本站的数值", "give the value of this site") for field in fields]


def _faults_of_its_own(typed: Typed, form: Typed) -> Iterator[Fault]:
    """What neither gateway nor registry would mind."""
    if form.get("gateway") == RESERVED:
        yield Fault("gateway", f"{RESERVED} 不能用作编号", f"{RESERVED} cannot be an id")
    for row in rows_of(typed):
        if typed.get(f"{row.field}.site") and _place_typed(typed, f"{row.field}."):
            yield Fault(f"{row.field}.site", "已有位置与新位置只能选一个", "either this site or a new one, not both")


def _make_places(connection: Connection, typed: Typed) -> tuple[dict[str, str], list[Fault]]:
    """Add the places that are new; return their codes by the field of `site` that each is for, and what is wrong."""
    wanted = {"": _place_typed(typed, "")} if typed.get("place") == NEW else {}
    for row in rows_of(typed):
        if place := _place_typed(typed, f"{row.field}."):
            wanted[f"{row.field}."] = {**place, "name": place.get("name") or typed.get(f"{row.field}.name", "")}
    made, faults = {}, []
    for owner, place in wanted.items():
        try:
            made[f"{owner}site"] = add_site(connection, place)
        except FormError as error:
            faults += [fault._replace(field=f"{owner}new.{fault.field or 'latitude'}") for fault in error.faults]
    return made, faults


def _place_typed(typed: Typed, owner: str) -> dict[str, str]:
    """Return what was typed of a new place, of the gateway or of a device; nothing where nothing was."""
    begins = f"{owner}new."
    return {name.removeprefix(begins): text for name, text in typed.items() if name.startswith(begins) and text}


def _is_of_new_place(name: str) -> bool:
    return name.startswith("new.") or ".new." in name


def _row(typed: Typed, number: int, profile: ProfileChoice) -> DeviceRow:
    field = f"devices.{number}"
    rules = [
        RuleLine(
            field=f"{field}.rules.{place}",
            choice=choice,
            is_ticked=typed.get(f"{field}.rules.{place}.class") == choice.event_class.code,
        )
        for place, choice in enumerate(rules_for(profile.profile))
    ]
    return DeviceRow(number=number, field=field, profile=profile, rules=rules)


def _free_number(typed: Typed, stem: str) -> int:
    taken = {text for name, text in typed.items() if name.endswith(".id")}
    return next(number for number in range(1, MOST_DEVICES + 2) if f"{stem}-{number}" not in taken)


def _next(unit: str) -> str:
    return str(int(unit) + 1) if unit.isdecimal() and int(unit) < 247 else "1"
