"""Writes what is generated: JSON Schemas of the configuration files, pages of profiles, settings and event classes.

python docs/generate.py            writes every file that differs
python docs/generate.py --check    writes nothing; lists the stale files and exits 1 when there are any
"""

import argparse
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from cloud.config import CloudConfig
from cloud.registry.registry_file import RegistryFile
from cloud.workorders.work_time import WorkTimeFile
from docs import dependencies, schemas
from edge.contract.camera_tables import camera_tables
from edge.contract.config_file import ConfigError
from edge.contract.event_classes import EventClass, Limit, SensingRule, event_classes
from edge.contract.forms import ID
from edge.contract.gateway_config import GatewayConfig
from edge.contract.profile import (
    DeviceProfile,
    ModbusProfile,
    Point,
    RegisterPoint,
    load_profile,
    profile_names,
    quantities,
)

_TYPES = {
    "string": "text",
    "integer": "whole number",
    "number": "number",
    "boolean": "true or false",
}
ROOT = Path(__file__).parents[1]
# Folders that hold nothing but generated files: what is there and not made here is stale.
FOLDERS = ("firmware_configs/schemas", "docs/profiles")
NOTICE = "<!-- Made by `./anlan generate`: change the source, not this file. -->\n\n"
CONFIGS = "../firmware_configs"
FILES: Mapping[str, tuple[Any, str]] = {
    "gateway.yaml": (GatewayConfig, f"An example: [river_street.yaml]({CONFIGS}/gateways/river_street.yaml)."),
    "cloud.yaml": (CloudConfig, "The least there is: `data_dir: /var/lib/anlan`."),
    "registry.yaml": (RegistryFile, f"An example: [heping.yaml]({CONFIGS}/registries/heping.yaml)."),
    "work_time.yaml": (WorkTimeFile, f"The one that is used: [work_time.yaml]({CONFIGS}/work_time.yaml)."),
}


def generated() -> dict[str, str]:
    """Every generated file: its path from the repository's root, and its content."""
    files = schemas.schema_files()
    profiles = [load_profile(name) for name in profile_names()]
    files |= {f"docs/profiles/{profile.profile}.md": profile_page(profile) for profile in profiles}
    files["docs/profiles/README.md"] = profile_index(profiles)
    files["docs/configuration.md"] = settings_page()
    files["docs/event_classes.md"] = event_classes_page()
    files["docs/camera_tables.md"] = camera_tables_page()
    files["docs/dependencies.md"] = f"{NOTICE}{dependencies.page()}"
    return files


def stale_files(files: Mapping[str, str], root: Path = ROOT) -> list[str]:
    """Paths that are missing, differ, or stand in a generated folder although nothing makes them."""
    surplus = {
        str(path.relative_to(root)) for folder in FOLDERS for path in (root / folder).glob("**/*") if path.is_file()
    } - set(files)
    different = {name for name, text in files.items() if _read(root / name) != text}
    return sorted(surplus | different)


def write_files(files: Mapping[str, str], root: Path = ROOT) -> list[str]:
    """Bring every stale file up to date; return the paths that were written or removed."""
    stale = stale_files(files, root)
    for name in stale:
        path = root / name
        if name in files:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(files[name], encoding="utf-8")
        else:
            path.unlink()
    return stale


def _read(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.exists() else None


def table(headings: list[str], rows: list[list[str]]) -> str:
    """A Markdown table."""
    lines = [headings, ["---"] * len(headings), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def profile_index(profiles: list[DeviceProfile]) -> str:
    """The list of all profiles."""
    rows = [
        [f"[{profile.profile}]({profile.profile}.md)", profile.maker, profile.model, profile.kind]
        for profile in profiles
    ]
    return f"{NOTICE}# Device profiles\n\n{table(['profile', 'maker', 'model', 'kind'], rows)}"


def profile_page(profile: DeviceProfile) -> str:
    """One device model: where its map comes from, and its points."""
    source = profile.source
    facts = [["kind", profile.kind], ["read by", profile.protocol], ["register map", source.document]]
    facts += [["revision", source.revision]] if source.revision else []
    facts += [["origin", source.origin], ["checked", source.checked]]
    if isinstance(profile, ModbusProfile):
        facts.append(["reads", _reads_words(profile)])
    points = [_point_row(point) for point in profile.points]
    headings = ["point", "中文", "English", "unit", "span", "deadband"]
    headings += ["register", "holds"] if isinstance(profile, ModbusProfile) else []
    title = f"# {profile.maker}: {profile.model}\n\nProfile `{profile.profile}`.\n\n"
    return f"{NOTICE}{title}{table(['', ''], facts)}\n## Points\n\n{table(headings, points)}"


def _reads_words(profile: ModbusProfile) -> str:
    reads = profile.reads
    words = f"at most {reads.max_registers} registers a request, gaps of up to {reads.max_gap} are read across"
    words += f", {reads.pause_ms} ms between requests" if reads.pause_ms else ""
    for taboo in reads.illegal:
        words += f"; {taboo.table} 0x{taboo.first:04X}-0x{taboo.last:04X} must not be read"
    return words


def _point_row(point: Point) -> list[str]:
    quantity = point.quantity
    span = f"{point.span[0]:.15g} to {point.span[1]:.15g}" if point.span else ""
    deadband = f"{point.deadband:g}" if point.deadband else ""
    row = [f"`{point.name}`", point.zh or quantity.zh, point.en or quantity.en, quantity.unit, span, deadband]
    if not isinstance(point, RegisterPoint):
        return row
    bit = f" bit {point.bit}" if point.bit is not None else ""
    bit = f" bits {point.bits[0]}-{point.bits[1]}" if point.bits else bit
    return [*row, f"{point.table} 0x{point.address:04X}{bit}", ", ".join(_holds_words(point))]


def _holds_words(point: RegisterPoint) -> Iterator[str]:
    scale = f" x {point.scale}" if point.scale != 1 else ""
    in_unit = f" in {point.unit}" if point.quantity.type != "contact" and not point.enum else ""
    yield f"{point.type}{in_unit}{scale}"
    if point.scale_from:
        what = "power of ten" if point.scale_from.sign > 0 else "number of decimals"
        yield f"{what} in 0x{point.scale_from.address:04X}"
    if point.word_order == "low_first":
        yield "low word first"
    if point.byte_order == "low_first":
        yield "low byte first"
    if point.wraps_at is not None:
        yield f"begins again at 0 after {point.wraps_at}"
    if point.enum:
        yield "; ".join(f"{number} {word}" for number, word in point.enum.items())
    if point.reversible:
        yield "sign turns with `reversed`"
    if point.swaps_with:
        yield f"with `reversed` exchanged for {point.swaps_with}"
    if point.missing:
        yield f"no value: {', '.join(f'0x{pattern:X}' for pattern in point.missing)}"


def event_classes_page() -> str:
    """Every event class: what raises it, how long people have, and where the numbers come from."""
    page = f"{NOTICE}# Event classes\n\nMade from [event_classes.yaml]({CONFIGS}/event_classes.yaml). "
    page += (
        "Urgent minutes, urgent hours and natural days run round the clock, work hours and days in work time only.\n\n"
    )
    headings = ["code", "中文", "English", "severity", "limits", "rule", "basis"]
    return page + table(headings, [_class_row(each) for each in event_classes().values()])


def camera_tables_page() -> str:
    """What each brand of camera calls what it sees, and what that is to us."""
    page = f"{NOTICE}# Camera tables\n\nWhat the events of each brand become, unless gateway.yaml says otherwise: "
    page += "see [cameras](cameras.md).\n"
    for each in camera_tables().values():
        source = each.source
        page += f"\n## {each.brand}\n\n{source.document} ({source.origin}). Checked: {source.checked}.\n\n"
        rows = [[f"`{line.kind}`", line.zh, line.en, f"`{line.to}`"] for line in each.kinds]
        page += table(["kind", "中文", "English", "becomes"], rows)
    return page


def _class_row(each: EventClass) -> list[str]:
    limits = [f"acknowledge {_limit_words(each.acknowledge)}"] if each.acknowledge else []
    if each.first_action:
        limits.append(f"{each.first_action.en} {_limit_words(each.first_action.within)}")
    if each.opens_order:
        limits.append(f"handle {_limit_words(each.handle) if each.handle else 'as the emergency plan says'}")
    else:
        limits.append("watched only")
    rules = [_rule_words(rule) for rule in each.rules] or [_camera_words(each)]
    words = ["; ".join(limits), "; or ".join(rules), each.basis]
    return [f"`{each.code}`", each.zh, each.en, each.severity.value, *words]


def _camera_words(each: EventClass) -> str:
    return f"a camera; its pictures are kept {each.picture_days} days" if each.camera else "not sensed from one device"


def _limit_words(limit: Limit) -> str:
    unit = limit.unit.replace("_", " ")
    return f"within {limit.amount:g} {unit}{'' if limit.amount == 1 else 's'}"


def _rule_words(rule: SensingRule) -> str:
    unit = quantities()[rule.quantity].unit
    words = {"at_least": "at least", "below": "below", "equals": "equal to"}[rule.comparison]
    number = (
        "a value of the site" if rule.threshold is None else f"{rule.threshold:g}{'' if unit == '1' else f' {unit}'}"
    )
    samples = f", {rule.samples} samples" if rule.samples > 1 else ""
    hold = f", for {rule.hold_s:g} s" if rule.hold_s else ""
    clear = next((f"{value:g}" for value in (rule.clear, rule.threshold) if value is not None), "it")
    side = {"at_least": f"below {clear}", "below": f"at least {clear}", "equals": "anything else"}[rule.comparison]
    over = f"{side} for {rule.clear_hold_s:g} s" if rule.clear_hold_s else side
    return f"{rule.quantity} {words} {number}{samples}{hold}; over when {over}"


def settings_page() -> str:
    """Every setting of the files that people write, with its default, unit and meaning."""
    page = f"{NOTICE}# Settings\n\nA unit is the end of a setting's name: `_s` seconds, `_mb` MiB, `_days` days. "
    page += "`[]` stands for each entry of a list. Relative paths count from the file's folder. "
    page += f"An id is made of {ID.words}.\n"
    for name, (kind, words) in FILES.items():
        schema = schemas.schema_of(kind)
        rows = list(_setting_rows(schema, schema, prefix=""))
        page += f"\n## {name}\n\n{words}\n\n{table(['setting', 'value', 'default', 'meaning'], rows)}"
    return page


def _setting_rows(whole: dict[str, Any], part: dict[str, Any], *, prefix: str) -> Iterator[list[str]]:
    for name, setting in part["properties"].items():
        inner = _resolve(whole, setting)
        items = _resolve(whole, inner.get("items", {}))
        key = f"{prefix}{name}{'[]' if 'properties' in items else ''}"
        meaning = setting.get("description") or inner.get("description", "").partition("\n")[0]
        if not meaning:
            raise SystemExit(f"{key}: has no description: give its Field one")
        section = next((each for each in (inner, items) if "properties" in each), None)
        is_required = name in part.get("required", ())
        default = "required" if is_required else "" if section else _default_words(setting.get("default"))
        yield [f"`{key}`", "" if section else _value_words(whole, inner), default, meaning]
        if section:
            yield from _setting_rows(whole, section, prefix=f"{key}.")


def _resolve(whole: dict[str, Any], part: dict[str, Any]) -> dict[str, Any]:
    """What a schema stands for: the other half of an optional, the target of a reference."""
    for choice in part.get("anyOf", ()):
        if choice.get("type") != "null":
            return _resolve(whole, choice)
    if "$ref" in part:
        found: dict[str, Any] = whole["$defs"][part["$ref"].rpartition("/")[2]]
        return found
    return part


def _value_words(whole: dict[str, Any], inner: dict[str, Any]) -> str:
    if "enum" in inner:
        return " or ".join(f"`{choice}`" for choice in inner["enum"])
    if "prefixItems" in inner:
        return f"[{', '.join(_value_words(whole, _resolve(whole, each)) for each in inner['prefixItems'])}]"
    if inner["type"] == "array":
        return f"list of {_value_words(whole, _resolve(whole, inner['items']))}"
    if inner.get("pattern") == f"^{ID.pattern}$":
        return "id"
    if inner["type"] == "object":
        values = inner.get("additionalProperties") or next(iter(inner["patternProperties"].values()))
        named = _resolve(whole, values)
        return f"names, each with {'settings' if 'properties' in named else f'a {_value_words(whole, named)}'}"
    words = _TYPES[inner["type"]]
    words = {"path": "path", "date": "date"}.get(inner.get("format", ""), words)
    low, high = inner.get("minimum"), inner.get("maximum")
    if low is not None and high is not None:
        words += f", {low:g} to {high:g}" if high < 1e6 else f", from {low:g}"
    elif low is not None:
        words += f", from {low:g}"
    elif high is not None:
        words += f", up to {high:g}"
    return words


def _default_words(default: Any) -> str:
    return "" if default is None else f"`{json.dumps(default)}`"


def main() -> int:
    """Write or check; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing, exit 1 when a file is stale")
    is_check = parser.parse_args().check
    try:
        files = generated()
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 1
    changed = stale_files(files) if is_check else write_files(files)
    for name in changed:
        print(f"{name}: {'stale: run ./anlan generate' if is_check else 'written'}")
    return 1 if is_check and changed else 0


if __name__ == "__main__":
    sys.exit(main())
