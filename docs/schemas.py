"""JSON Schemas of the files that people write, for their editors: what the models say, and what their validators know.

A schema refuses nothing that the program takes. What it cannot express (two points on one register, a setting that no
point uses) the program itself tells. Written for draft 7, which every editor knows.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, NamedTuple, get_args

from pydantic import TypeAdapter

from cloud.config import CloudConfig
from cloud.registry.registry_file import RegistryFile
from cloud.workorders.work_time import WorkTimeFile
from edge.contract.camera_tables import CameraTable
from edge.contract.event_classes import EventClassFile, event_classes
from edge.contract.gateway_config import GatewayConfig
from edge.contract.profile import (
    BIT_TABLES,
    REGISTER_COUNT,
    DeviceProfile,
    GatewayProfile,
    ModbusProfile,
    Quantity,
    QuantityFile,
    RegisterType,
    load_profile,
    profile_names,
    quantities,
)
from edge.contract.quality_config import QualityFile
from edge.contract.readings import RESERVED_ENDINGS

Schema = dict[str, Any]

DRAFT: Final = "http://json-schema.org/draft-07/schema#"
DECIMAL: Final = r"^\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*$"
WORDS: Final = r"^\s*[0-9A-Fa-f]{1,4}(\s+[0-9A-Fa-f]{1,4})*\s*$"
ADDRESS: Final = "^(0[xX][0-9A-Fa-f]{1,4}|[0-9]{1,5})$"
TYPE_WORDS: Final[Mapping[RegisterType, str]] = {
    "bool": "one bit: a coil, a discrete input, or a bit of a register",
    "uint16": "one register, 0 to 65535",
    "int16": "one register, -32768 to 32767 (two's complement)",
    "sign_magnitude16": "one register, the top bit is the sign: 0x8005 is -5",
    "bcd16": "one register, four decimal digits: 0x1234 is 1234",
    "uint32": "two registers, without a sign",
    "int32": "two registers, with a sign (two's complement)",
    "bcd32": "two registers, eight decimal digits",
    "uint64": "four registers, without a sign",
    "int64": "four registers, with a sign (two's complement)",
    "float32": "two registers, IEEE 754 single precision",
    "float64": "four registers, IEEE 754 double precision",
}


def _as_it_is(schema: Schema) -> None:
    """Nothing is to be added to what the model says."""


class _Source(NamedTuple):
    """What a schema is made of: the model, its title, and what is added to it."""

    kind: Any
    title: str
    refine: Callable[[Schema], None] = _as_it_is


def schema_of(kind: Any) -> Schema:
    """The JSON Schema of a model, or of a union of models, as pydantic makes it."""
    return TypeAdapter[Any](kind).json_schema()


def schema_files() -> dict[str, str]:
    """Every schema as a file, by its path from the repository's root."""
    schemas = {name: schema(name) for name in SOURCES} | {"golden_case": _golden_case()}
    return {
        f"firmware_configs/schemas/{name}.json": json.dumps(each, indent=2, ensure_ascii=False) + "\n"
        for name, each in schemas.items()
    }


def schema(name: str) -> Schema:
    """One schema, refined for editors."""
    source = SOURCES[name]
    whole: Schema = _tidy(schema_of(source.kind))
    source.refine(whole)
    return {"$schema": DRAFT, **whole, "title": source.title}


def _tidy(node: Any, *, is_property: bool = False) -> Any:
    """Leave out titles that only repeat a key, say pairs as draft 7 does, and what a decimal in quotes looks like."""
    if isinstance(node, list):
        return [_tidy(each) for each in node]
    if not isinstance(node, dict):
        return node
    kept = {key: value for key, value in node.items() if not (key == "title" and is_property)}
    if "prefixItems" in kept:
        items = kept.pop("prefixItems")
        kept["items"] = items[0] if all(each == items[0] for each in items) else items
    if kept.get("anyOf") == [{"type": "number"}, {"type": "string"}]:
        kept["anyOf"] = [{"type": "number"}, {"type": "string", "pattern": DECIMAL}]
    return {
        key: {name: _tidy(each, is_property=True) for name, each in value.items()}
        if key in {"properties", "patternProperties"}
        else _tidy(value)
        for key, value in kept.items()
    }


def _profiles() -> list[DeviceProfile]:
    return [load_profile(name) for name in profile_names()]


def _refine_profile(whole: Schema) -> None:
    whole.pop("anyOf")
    parts = whole["$defs"]
    whole["description"] = "What a device model measures and where it is read: see docs/writing-profiles.md."
    whole["type"] = "object"
    whole["properties"] = {
        "protocol": {"enum": ["modbus", "gateway", "camera"], "description": "How the device is read."}
    }
    whole["required"] = ["protocol"]
    whole |= _when({"protocol": {"enum": ["gateway", "camera"]}}, _ref("GatewayProfile"), _ref("ModbusProfile"))
    kinds = sorted({profile.kind for profile in _profiles()})
    for name in ("GatewayProfile", "ModbusProfile"):
        parts[name]["properties"]["kind"]["examples"] = kinds
    parts["PointOfQuantity"] = {"allOf": list(_quantity_rules())}
    for name in ("Point", "RegisterPoint"):
        parts[name]["properties"]["name"] |= _point_name()
        parts[name]["allOf"] = [_ref("PointOfQuantity")]
    point = parts["RegisterPoint"]
    point["properties"]["type"]["enumDescriptions"] = [TYPE_WORDS[each] for each in get_args(RegisterType)]
    point["properties"]["scale"]["not"] = _decimal(0)
    point["properties"]["scale"]["examples"] = ["0.1", "0.01", "0.001"]
    point["allOf"] += list(_register_rules())
    parts["Setting"]["properties"]["unit"]["examples"] = ["1", "mm", "m³", "L"]


def _point_name() -> Schema:
    """A name that begins with a quantity, and none that the store keeps for itself."""
    ends = "|".join(RESERVED_ENDINGS)
    names = "|".join(sorted(quantities(), key=lambda name: (-len(name), name)))
    return {
        "pattern": f"^(?!.*({ends})$)({names})(_[a-z0-9_-]*)?$",
        "patternErrorMessage": "must begin with a quantity of firmware_configs/quantities.yaml, such as voltage_l1",
        "maxLength": 64,
        "examples": list(quantities()),
    }


def _quantity_rules() -> Iterator[Schema]:
    """What a point's name says of its unit, of being a counter, and of its span."""
    for name, quantity in quantities().items():
        longer = [other[len(name) + 1 :] for other in quantities() if other.startswith(f"{name}_")]
        but = f"(?!_({'|'.join(longer)})(_|$))" if longer else ""
        yield _when({"name": {"pattern": f"^{name}{but}(_|$)"}}, _of_quantity(quantity))


def _of_quantity(quantity: Quantity) -> Schema:
    is_counter = quantity.type == "counter"
    words = f"{quantity.zh} {quantity.en}; kept in {quantity.unit}"
    rule: Schema = {
        "properties": {
            "unit": {"enum": quantity.units, "description": words},
            "counter": {"const": is_counter},
        }
    }
    if is_counter:
        rule["required"] = ["counter"]
    if quantity.type == "number":
        rule["properties"]["span"] = {"type": "array"}
        rule["anyOf"] = [{"required": ["span"]}, {"required": ["enum"]}]
    return rule


def _register_rules() -> Iterator[Schema]:
    """What table and type say of each other, and how large addresses and patterns can be."""
    bits = {"table": {"enum": list(BIT_TABLES)}}
    yield _when(bits, {"properties": {"type": {"const": "bool"}, "bit": {"type": "null"}}})
    in_register = {"type": {"const": "bool"}, "table": {"enum": ["input", "holding"]}}
    yield _when(in_register, {"properties": {"bit": {"type": "integer"}}, "required": ["bit"]})
    plain: Schema = {"scale": _decimal(1), "offset": _decimal(0)}
    plain |= {"missing": {"maxItems": 0}, "times": {"maxItems": 0}, "plus": {"type": "null"}}
    plain |= {"scale_from": {"type": "null"}, "enum": {"maxProperties": 0}}
    yield _when({"type": {"const": "bool"}}, {"properties": plain}, {"properties": {"bit": {"type": "null"}}})
    yield _when({"type": {"const": "uint16"}}, {}, {"properties": {"bits": {"type": "null"}}})
    for count in sorted(set(REGISTER_COUNT.values())):
        types = [name for name, registers in REGISTER_COUNT.items() if registers == count]
        numbers = {"items": {"minimum": 0, "maximum": (1 << 16 * count) - 1}}
        held = {"address": {"maximum": 0x10000 - count}, "missing": numbers}
        yield _when({"type": {"enum": types}}, {"properties": held})


def _decimal(number: int) -> Schema:
    """That number, in quotes or without."""
    return {"anyOf": [{"const": number}, {"type": "string", "pattern": rf"^\s*[+-]?0*{number}\.?0*\s*$"}]}


def _refine_gateway(whole: Schema) -> None:
    profiles = _profiles()
    device = whole["$defs"]["DeviceConfig"]
    device["properties"]["profile"] |= {
        "anyOf": [
            {
                "enum": [profile.profile for profile in profiles],
                "enumDescriptions": [f"{profile.maker} {profile.model}" for profile in profiles],
            },
            {"pattern": r"\.yaml$"},
        ]
    }
    device["allOf"] = list(_profile_rules(profiles))
    classes = event_classes()
    sensed = [code for code, each in classes.items() if each.rules]
    whole["$defs"]["RuleChoice"]["properties"]["class"] |= _codes(sensed)
    seen = [code for code, each in classes.items() if each.camera]
    whole["$defs"]["CameraConfig"]["properties"]["classes"]["items"] |= _codes(seen)


def _codes(codes: list[str]) -> Schema:
    known = [event_classes()[code] for code in codes]
    return {"enum": codes, "enumDescriptions": [f"{each.zh} {each.en}" for each in known]}


def _profile_rules(profiles: list[DeviceProfile]) -> Iterator[Schema]:
    """What a device's profile says of its address and of the numbers of its site."""
    modbus = [profile for profile in profiles if isinstance(profile, ModbusProfile)]
    plain = [profile.profile for profile in modbus if not profile.settings]
    others = [profile.profile for profile in profiles if profile not in modbus]
    no_numbers: Schema = {"properties": {"settings": {"maxProperties": 0}}}
    yield _when({"profile": {"enum": others}}, {"properties": {"modbus": {"type": "null"}, **no_numbers["properties"]}})
    addressed: Schema = {"properties": {"modbus": {"type": "object"}}, "required": ["modbus"]}
    yield _when({"profile": {"enum": [profile.profile for profile in modbus]}}, addressed)
    yield _when({"profile": {"enum": plain}}, no_numbers)
    for profile in modbus:
        if profile.settings:
            yield _when({"profile": {"const": profile.profile}}, _numbers_of_site(profile))


def _numbers_of_site(profile: ModbusProfile) -> Schema:
    numbers: Schema = {}
    for name, setting in profile.settings.items():
        unit = "" if setting.unit == "1" else f", in {setting.unit}"
        numbers[name] = {"description": f"{setting.en} {setting.zh}{unit}", "examples": [float(setting.example)]}
        numbers[name] |= {"minimum": float(setting.range[0]), "maximum": float(setting.range[1])}
        if setting.default is not None:
            numbers[name]["default"] = float(setting.default)
    needed = [name for name, setting in profile.settings.items() if setting.default is None]
    settings: Schema = {"properties": numbers, "additionalProperties": False}
    if not needed:
        return {"properties": {"settings": settings}}
    return {"properties": {"settings": settings | {"required": needed}}, "required": ["settings"]}


def _golden_case() -> Schema:
    """The schema of a golden case of a profile, which only the tests read."""
    words: Schema = {
        "description": "Registers from this address on, as 16-bit words in hex: 4366 0000. A bit of a table is 0 or 1.",
        "type": ["string", "integer", "number"],
        "pattern": WORDS,
        "minimum": 0,
    }
    table: Schema = {
        "type": "object",
        "propertyNames": {"pattern": ADDRESS},
        "additionalProperties": words,
        "minProperties": 1,
    }
    tables = ("input", "holding", "coil", "discrete")
    number: Schema = {"type": ["number", "null"], "description": "In the unit of the quantity; null is no value."}
    properties: Schema = {
        "settings": {
            "description": "What gateway.yaml would say of the site, for profiles that ask for it.",
            "type": "object",
            "additionalProperties": {"type": "number"},
        },
        "registers": {
            "description": "What the device holds, by table and by the address of the first register.",
            "type": "object",
            "properties": {name: {"description": f"The {name} table.", **table} for name in tables},
            "additionalProperties": False,
            "minProperties": 1,
        },
        "expect": {
            "description": "The value of every point of the profile, worked out by hand.",
            "type": "object",
            "propertyNames": _point_name(),
            "additionalProperties": number,
            "minProperties": 1,
        },
    }
    return {
        "$schema": DRAFT,
        "title": "Golden case of a device profile",
        "description": "Registers of one device at one moment, and the values that they hold.",
        "type": "object",
        "properties": properties,
        "required": ["registers", "expect"],
        "additionalProperties": False,
    }


def _when(found: Schema, then: Schema, otherwise: Schema | None = None) -> Schema:
    """A rule: where the properties are so, this holds; else, where it is given, the other."""
    rule: Schema = {"if": {"properties": found, "required": list(found)}, "then": then}
    return rule if otherwise is None else {**rule, "else": otherwise}


def _ref(name: str) -> Schema:
    return {"$ref": f"#/$defs/{name}"}


SOURCES: Final[Mapping[str, _Source]] = {
    "profile": _Source(ModbusProfile | GatewayProfile, "Device profile", _refine_profile),
    "quantities": _Source(QuantityFile, "quantities.yaml"),
    "event_classes": _Source(EventClassFile, "event_classes.yaml"),
    "quality": _Source(QualityFile, "quality.yaml"),
    "work_time": _Source(WorkTimeFile, "work_time.yaml"),
    "camera": _Source(CameraTable, "What a brand of camera calls what it sees"),
    "gateway": _Source(GatewayConfig, "gateway.yaml", _refine_gateway),
    "cloud": _Source(CloudConfig, "cloud.yaml"),
    "registry": _Source(RegistryFile, "registry.yaml"),
}
