"""For installers: adding a gateway in a few steps, its gateway.yaml to put on it, and changing it later."""

import asyncio
import os
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from shlex import quote
from types import MappingProxyType
from typing import Annotated, Any, NamedTuple

from fastapi import APIRouter, HTTPException, Query
from fastapi.responses import Response
from msgspec import Struct
from sqlalchemy import Connection, select

from cloud.registry.additions import free_gateway_id, grid_areas
from cloud.registry.areas import grid_at
from cloud.registry.choices import ProfileChoice, search_profiles
from cloud.registry.forms import Fault, FormError
from cloud.registry.gateway_files import GatewayFile, find_file
from cloud.registry.tables import grids, sites
from cloud.web.page import InstallerPage, Page
from cloud.web.wizard import (
    STEPS,
    Typed,
    add_row,
    begin,
    find_faults,
    for_files,
    is_field,
    is_search,
    is_site,
    register,
    remove_row,
    rows_of,
    step_of,
    take_typed,
)
from cloud.web.words import KINDS, N_, Language, words
from edge.contract.broker_config import is_loopback
from edge.contract.program import VARIABLE, command

router = APIRouter()

MOST_SITES = 8
SHOWN, REMOVED = "shown_", "removed_"
"""Before fields that say what a search was shown for, and what a device had that was just removed."""
Words = Annotated[str, Query(max_length=100)]
STEP_NAMES: Mapping[str, str] = {
    "place": N_("Gateway and site"),
    "devices": N_("Devices"),
    "connection": N_("Connection"),
}
LABELS: Mapping[str, str] = {
    "gateway": N_("Id of the gateway"),
    "name": N_("Name"),
    "site": N_("Site"),
    "new.name": N_("Name of the site"),
    "grid": N_("Grid"),
    "address": N_("Address"),
    "latitude": N_("Latitude"),
    "longitude": N_("Longitude"),
    "id": N_("Id"),
    "profile": N_("Model"),
    "modbus.host": N_("Network address"),
    "modbus.port": N_("Port"),
    "modbus.unit": N_("Modbus unit"),
    "poll_s": N_("Read every (seconds)"),
    "heartbeat_s": N_("Report at least every (seconds)"),
    "threshold": N_("Threshold"),
    "clear": N_("Clear value"),
    "point": N_("Point"),
    "class": N_("Event class"),
    "broker.host": N_("Broker"),
    "broker.port": N_("Port"),
    "broker.tls": N_("Encrypted (TLS)"),
    "broker.tls.ca_file": N_("Authority file"),
    "broker.username": N_("User name"),
    "broker.password_file": N_("Password file"),
    "data_dir": N_("Data folder"),
}
"""What fields are called, by the end of their names."""


class SiteChoice(Struct, frozen=True, kw_only=True):
    """A place to choose."""

    code: str
    name: str
    address: str
    grid_name: str

    @property
    def text(self) -> str:
        """What it is searched in."""
        return f"{self.code}\n{self.name}\n{self.address}\n{self.grid_name}".casefold()


class FoundSites(NamedTuple):
    """The first places that have the words searched by, of `total`."""

    sites: list[SiteChoice]
    total: int


class Told(Struct, frozen=True):
    """What is wrong at a field, in words; `label` says at which one."""

    field: str
    label: str
    text: str


@router.get("/gateways/new")
async def start(page: InstallerPage, gateway: Words = "") -> Response:
    """Begin the form, for a gateway that was heard already or for one that is to come."""
    proposed = gateway or await page.read(free_gateway_id)
    return await _show(page, begin(page.services.new_gateways, proposed, ""), STEPS[0])


@router.post("/gateways/new")
async def go_on(page: InstallerPage) -> Response:
    """Take what was typed and go where the button says; at the end register everything at once."""
    return await _go_on(page, is_new=True)


@router.get("/gateways/new/sites")
async def search_sites(page: InstallerPage, field: Words = "site") -> Response:
    """Show the places that have these words, while somebody types; `field` is what is chosen in."""
    if not is_site(field):
        raise HTTPException(404)
    typed = take_typed(page.request.query_params.multi_items())
    found = await page.read(lambda connection: _find_sites(_all_sites(connection), typed, field))
    return page.render("installer/sites.html", found=found, field=field, typed=typed)


@router.get("/gateways/new/models")
async def search_models(page: InstallerPage, q: Words = "") -> Response:
    """Show the models that have these words, while somebody types."""
    return page.render("installer/models.html", models=_models(q))


@router.get("/gateways/{gateway}/change")
async def change(page: InstallerPage, gateway: str) -> Response:
    """Open the form of a gateway that was added with it."""
    file = await _file(page, gateway)
    return await _show(page, dict(file.form), STEPS[0], changed=gateway)


@router.post("/gateways/{gateway}/change")
async def go_on_changing(page: InstallerPage, gateway: str) -> Response:
    """Take what was typed and go where the button says; at the end change everything at once."""
    await _file(page, gateway)
    return await _go_on(page, is_new=False, changed=gateway)


@router.get("/gateways/{gateway}/setup")
async def show_setup(page: InstallerPage, gateway: str) -> Response:
    """Show the gateway.yaml, and what to type on the gateway."""
    file = await _file(page, gateway)
    form = for_files(file.form)
    is_here, script = is_loopback(form.get("broker.host", "")), _script()
    return page.render(
        "installer/setup.html",
        file=file,
        form=form,
        is_new="new" in page.request.query_params,
        is_saved="saved" in page.request.query_params,
        has_password=is_here and _is_there(page, form.get("broker.password_file", "")),
        name=_name_of(gateway),
        checkout=quote(str(script.parent)) if is_here and script else None,
        commands=_commands(_name_of(gateway), script=script if is_here else None),
        put_password=_put_password(form.get("broker.password_file", "")),
        add_password=command("cloud", f"gateway add {gateway}") if form.get("broker.username") == gateway else None,
        ca_file=form.get("broker.tls.ca_file") if page.services.broker_ca else None,
    )


@router.get("/gateways/{gateway}/gateway.yaml")
async def send_file(page: InstallerPage, gateway: str) -> Response:
    """Send the file to be saved."""
    file = await _file(page, gateway)
    headers = {
        "Content-Disposition": f'attachment; filename="{_name_of(file.gateway)}"',
        "Cache-Control": "private, no-store",
    }
    return Response(file.text, media_type="application/yaml; charset=utf-8", headers=headers)


@router.get("/gateways/{gateway}/ca.crt")
async def send_authority(page: InstallerPage, gateway: str) -> Response:
    """Send the certificate of the broker's authority, which is no secret, to be saved beside the file."""
    await _file(page, gateway)
    if page.services.broker_ca is None:
        raise HTTPException(404)
    content = await asyncio.to_thread(page.services.broker_ca.read_bytes)
    headers = {"Content-Disposition": 'attachment; filename="ca.crt"', "Cache-Control": "private, no-store"}
    return Response(content, media_type="application/x-x509-ca-cert", headers=headers)


async def _file(page: Page, gateway: str) -> GatewayFile:
    file = await page.read(lambda connection: find_file(connection, gateway))
    if file is None:
        raise HTTPException(404)
    return file


async def _go_on(page: Page, *, is_new: bool, changed: str | None = None) -> Response:
    form = await page.form()
    typed = take_typed(form.multi_items())
    if changed is not None:
        typed["gateway"] = changed
    step = str(form.get("step"))
    step = step if step in STEPS else STEPS[0]
    action, _, what = str(form.get("do", "next")).partition(":")
    shown = {name.removeprefix(SHOWN): text for name, text in form.multi_items() if name.startswith(SHOWN)}
    if action == "next" and any(typed.get(name, "") != text for name, text in shown.items()):
        action = "find"  # Enter in a field of words to search by
    if action == "finish":
        return await _finish(page, typed, is_new=is_new, changed=changed)
    faults: Sequence[Fault] = ()
    removed: Typed = {}
    match action:
        case "add":
            typed = add_row(typed, what, kind_name=_kind_name(page, what))
        case "remove":
            typed, removed = remove_row(typed, what)
        case "undo":
            typed |= take_typed((name.removeprefix(REMOVED), text) for name, text in form.multi_items())
        case "go" if what in STEPS:
            step = what
        case "next":
            found = await page.write(lambda connection: find_faults(connection, typed, is_new=is_new))
            faults = [fault for fault in found if step_of(fault.field) == step]
            step = step if faults else STEPS[min(STEPS.index(step) + 1, len(STEPS) - 1)]
    return await _show(page, typed, step, faults=faults, changed=changed, removed=removed, last_added=action == "add")


async def _finish(page: Page, typed: Typed, *, is_new: bool, changed: str | None) -> Response:
    login, now_ms = page.person.login, page.now_ms
    try:
        gateway = await page.write(lambda c: register(c, typed, is_new=is_new, login=login, now_ms=now_ms))
    except FormError as error:
        first = min((step_of(fault.field) for fault in error.faults), key=STEPS.index)
        return await _show(page, typed, first, faults=error.faults, changed=changed)
    path = f"/gateways/{gateway}/setup?{'new' if is_new else 'saved'}"
    if "HX-Request" in page.request.headers:
        return Response(status_code=204, headers={"HX-Redirect": path})
    return page.go_to(path)


async def _show(
    page: Page,
    typed: Typed,
    step: str,
    *,
    faults: Sequence[Fault] = (),
    changed: str | None = None,
    removed: Typed = MappingProxyType({}),
    last_added: bool = False,
) -> Response:
    context = await page.read(lambda connection: _choices(connection, typed))
    rows = rows_of(typed)
    is_partial = "HX-Request" in page.request.headers
    return page.render(
        "installer/new.html",
        status=422 if faults and not is_partial else 200,
        typed=typed,
        step=step,
        steps=STEPS,
        step_names=STEP_NAMES,
        labels=LABELS,
        path=page.request.url.path,
        hidden={name: text for name, text in typed.items() if is_field(name) and _is_elsewhere(name, step)},
        told=[_tell(page, fault, typed) for fault in sorted(faults, key=_in_order) if step_of(fault.field) == step],
        rows=rows,
        removed=removed,
        removed_name=next((text for name, text in removed.items() if name.endswith(".name")), ""),
        added=rows[-1].number if rows and last_added else None,
        models=_models(typed.get("q", "")),
        is_here=is_loopback(page.services.new_gateways.host or ""),
        simulate=command("simulate", "device eastron_sdm630 --port 5020"),
        changed=changed,
        **context,
    )


def _is_elsewhere(name: str, step: str) -> bool:
    """Whether a field is carried along unseen; words to search by are dropped once the search is over."""
    return not is_search(name) and step_of(name) != step


def _choices(connection: Connection, typed: Typed) -> dict[str, Any]:
    try:
        position = float(typed.get("new.longitude", "")), float(typed.get("new.latitude", ""))
        found = grid_at(grid_areas(connection), *position)
    except ValueError:
        found = None
    known = _all_sites(connection)
    fields = ["site", *(f"{row.field}.site" for row in rows_of(typed))]
    named = connection.execute(select(grids.c.code, grids.c.name).where(grids.c.active).order_by(grids.c.code))
    names: dict[str, str] = dict(named.all())
    return {
        "grids": names,
        "grid_found": names.get(found or "", ""),
        "found_sites": {field: _find_sites(known, typed, field) for field in fields},
        "site_names": {site.code: site.name for site in known},
    }


def _all_sites(connection: Connection) -> list[SiteChoice]:
    wanted = select(sites.c.code, sites.c.name, sites.c.address, grids.c.name.label("grid_name"))
    rows = connection.execute(wanted.join(grids).where(sites.c.active).order_by(sites.c.name)).mappings()
    return [SiteChoice(**row) for row in rows]


def _find_sites(known: Sequence[SiteChoice], typed: Typed, field: str) -> FoundSites:
    """Return the first places that have every word typed beside the field, the chosen one before them."""
    asked, chosen = typed.get(f"{field}_q", "").casefold().split(), typed.get(field, "")
    first = [site for site in known if site.code == chosen]
    found = [site for site in known if site.code != chosen and all(word in site.text for word in asked)]
    return FoundSites(first + found[: MOST_SITES - len(first)], len(first) + len(found))


def _models(text: str) -> list[ProfileChoice]:
    names = {kind: " ".join(words(language).kind(kind) for language in Language) for kind in KINDS}
    return search_profiles(text, kinds=names)


def _kind_name(page: Page, profile: str) -> str:
    kinds = {choice.profile: choice.kind for choice in search_profiles("")}
    return page.words.kind(kinds.get(profile, ""))


def _in_order(fault: Fault) -> tuple[int, int, str]:
    """As the fields stand on the page, the settings of a model last."""
    parts = fault.field.split(".")
    device = int(parts[1]) if parts[0] == "devices" and len(parts) > 1 and parts[1].isdecimal() else -1
    ends = list(LABELS)
    place = next((place for place, end in enumerate(ends) if _is_label_of(end, fault.field)), len(ends))
    return device, place, fault.field


def _is_label_of(end: str, field: str) -> bool:
    return field == end or field.endswith(f".{end}")


def _tell(page: Page, fault: Fault, typed: Typed) -> Told:
    """Say what is wrong, and at which field of which device."""
    ends = sorted((end for end in LABELS if _is_label_of(end, fault.field)), key=len)
    label = page._(LABELS[ends[-1]]) if ends else _setting_label(page, fault.field, typed)
    parts = fault.field.split(".")
    if parts[0] == "devices" and len(parts) > 1:
        number = parts[1]
        name = typed.get(f"devices.{number}.name") or typed.get(f"devices.{number}.id") or number
        label = " · ".join(filter(None, (name, label)))
    text = page._("please fill this in") if fault.en == "missing" else page.words.pick(fault)
    return Told(fault.field, label, text)


def _setting_label(page: Page, field: str, typed: Typed) -> str:
    """Return what the model calls a setting of a device, nothing where the field is none."""
    device, _, name = field.partition(".settings.")
    settings = (setting for row in rows_of(typed) if row.field == device for setting in row.profile.settings)
    return next((page.words.pick(setting) for setting in settings if setting.name == name), "")


def _name_of(gateway: str) -> str:
    """Return what the file is called when it is saved: the files of two gateways can lie in one folder."""
    return f"{gateway}.yaml"


def _script() -> Path | None:
    """Return the script ./anlan of the checkout that this cloud runs from; None where the package is installed."""
    script = os.environ.get(VARIABLE)
    return Path(script).resolve() if script else None


def _commands(name: str, *, script: Path | None) -> dict[str, str]:
    """Return what to type in the folder of the file; with a script of a checkout, that is the folder of both."""
    program = f"./{quote(script.name)} edge" if script else "anlan-edge"
    return {each: f"{program} {each} --config {name}" for each in ("check", "run")}


def _put_password(path: str) -> str:
    """Return what to type to make the password file, which nobody else may read."""
    return f"mkdir -p {quote(str(PurePosixPath(path).parent))}\n(umask 077 && cat > {quote(path)})"


def _is_there(page: Page, password_file: str) -> bool:
    """Whether the password lies on this machine, where the configuration says, as it does in a demo."""
    proposed = page.services.new_gateways.password_file
    return password_file == proposed and Path(proposed).is_absolute() and Path(proposed).is_file()
