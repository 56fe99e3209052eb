"""gateway.yaml from a form, for an installer to put on a gateway: checked by the gateway's own model, on no disk.

    form = {"gateway": "gw-7", "broker.host": "mqtt.example.org", "devices.0.id": "road-1", "devices.0.poll_s": "60", …}
    text = gateway_yaml(form)         # or FormError, with the faults at these fields

The form's fields are the keys of gateway.yaml. `name` and `site`, its own and those of devices, are the registry's
(`cloud.registry.additions`) and left out here, so that one form serves both. Errors: `FormError`.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from cloud.registry.forms import Fault, Filled, Form, FormError, fill
from edge.contract.broker_config import BrokerConfig
from edge.contract.buses import ModbusAddress
from edge.contract.camera_config import CameraConfig, CameraListenerConfig
from edge.contract.config_file import in_yaml
from edge.contract.event_classes import event_classes
from edge.contract.gateway_config import DeviceConfig, GatewayConfig
from edge.contract.profile import profile_names
from edge.contract.rules import RuleChoice

START: Mapping[str, str] = {
    "broker.port": "8883",
    "broker.password_file": "secrets/broker.password",
    "broker.tls": "on",
    "data_dir": "/var/lib/anlan",
}
"""What a new form begins with; the username is usually the gateway's id."""

OWN_HEALTH: Mapping[str, Any] = {"id": "gateway", "profile": "anlan_gateway", "poll_s": 60, "heartbeat_s": 600}
"""The gateway's own health, which every gateway reads; a form need not name it."""

NUMBERS = frozenset(
    (
        *("port", "unit", "timeout_s", "poll_s", "heartbeat_s", "threshold", "clear", "samples", "hold_s"),
        *("over_s", "clear_hold_s", "keepalive_s", "batch_s", "status_s", "max_mb", "max_days", "baud", "stop_bits"),
        *("deadband", "deadband_percent", "after_s", "within_s", "least", "per_min", "share"),
        *("longest_s", "same_within_s", "silent_s", "mask"),
    )
)
"""Last parts of the keys that hold numbers, besides the settings of devices, whose names are their profiles'."""

_COMMENTS: Mapping[str, str] = {
    "password_file": "its first line is the password; chmod 600 首行是密码，仅所有者可读",
    "tls": "{} trusts the authorities that this machine trusts 信任本机已信任的证书机构",
    "data_dir": "what waits for the cloud is kept here 待传数据存放处",
}
_HEAD = """\
# gateway.yaml of {gateway}, made by Anlan's page for installers. 由安澜的安装页面生成。
# Paths count from this file's folder; secrets are files of their own. 相对路径从本文件所在文件夹算起，密码另存为文件。
# First, on the gateway, nothing is connected 先在网关上检查，不连接任何设备: anlan-edge check --config {gateway}.yaml
"""
_WINDOWS = {"value": "", "rise": " rises in {:g} h", "sum": " in {:g} h"}
_SIGNS = {"at_least": "≥", "below": "<", "equals": "="}
_MODELS = (
    *(GatewayConfig, DeviceConfig, BrokerConfig, ModbusAddress, RuleChoice),
    *(CameraConfig, CameraListenerConfig),
)
_ORDER = list(dict.fromkeys(field.alias or name for model in _MODELS for name, field in model.model_fields.items()))
_REGISTRY_ONLY = re.compile(r"(.*\.)?(name|site)")
_DEVICE = re.compile(r"devices\.(\d+)(.*)")
_SETTING = re.compile(r"devices\.\d+\.settings\.([^.]+)")
_WIDTH = 42  # of a line before its comment


def gateway_yaml(form: Form) -> str:
    """Return the text of a gateway.yaml. Raises FormError with every fault."""
    _refuse_unknown_profiles(form)
    wanted = {field: text for field, text in form.items() if _REGISTRY_ONLY.fullmatch(field) is None}
    numbers = NUMBERS | {found[1] for field in wanted if (found := _SETTING.fullmatch(field))}
    filled = _with_own_health(fill(wanted, numbers=numbers, empty={"tls"}))
    config = filled.check(GatewayConfig)
    return "\n".join(_lines(_ordered(filled.values), config)).rstrip() + "\n"


def _refuse_unknown_profiles(form: Form) -> None:
    """Only profiles that come with Anlan: a path would be looked for on this machine, not on the gateway."""
    named = {field: text.strip() for field, text in form.items() if field.endswith(".profile")}
    unknown = {field: name for field, name in named.items() if name and name not in profile_names()}
    if unknown:
        raise FormError(
            Fault(field, f"没有设备型号 {name}", f'unknown profile "{name}"') for field, name in unknown.items()
        )


def _with_own_health(filled: Filled) -> Filled:
    """Put the gateway itself before its devices, unless the form has it."""
    devices = filled.values.get("devices", [])
    if not isinstance(devices, list) or any(_is_own_health(device) for device in devices):
        return filled
    return Filled(
        {**filled.values, "devices": [dict(OWN_HEALTH), *devices]},
        {_one_further(key): field for key, field in filled.fields.items()},
    )


def _is_own_health(device: Any) -> bool:
    return isinstance(device, dict) and device.get("profile") == OWN_HEALTH["profile"]


def _one_further(key: str) -> str:
    found = _DEVICE.fullmatch(key)
    return f"devices.{int(found[1]) + 1}{found[2]}" if found else key


def _ordered(values: Any) -> Any:
    """The same values with their keys in the order of the models."""
    if isinstance(values, list):
        return [_ordered(value) for value in values]
    if isinstance(values, dict):
        return {key: _ordered(values[key]) for key in sorted(values, key=_place)}
    return values


def _place(key: str) -> int:
    return _ORDER.index(key) if key in _ORDER else len(_ORDER)


def _lines(values: Mapping[str, Any], config: GatewayConfig) -> Iterator[str]:
    yield from _HEAD.format(gateway=config.gateway).splitlines()
    for key, value in values.items():
        if key == "devices":
            yield from ("", "devices:")
            for device, checked in zip(value, config.devices, strict=True):
                yield from _device_lines(device, checked)
        elif key == "cameras":
            yield "cameras:"
            for camera in value:
                yield from _item_lines(camera)
        elif key == "broker":
            yield "broker:"
            yield from (_line(name, setting, indent="  ") for name, setting in value.items())
        else:
            yield _line(key, value)


def _device_lines(device: Mapping[str, Any], config: DeviceConfig) -> Iterator[str]:
    profile = config.device_profile
    lines = _item_lines({key: value for key, value in device.items() if key != "rules"})
    yield next(lines)
    yield _commented(next(lines), f"{profile.maker}: {profile.model}")
    yield from lines
    if device.get("rules"):
        yield "    rules:"
        yield from (_commented(f"      - {in_yaml(rule)}", _of_rule(rule, config)) for rule in device["rules"])
    yield ""


def _item_lines(item: Mapping[str, Any]) -> Iterator[str]:
    """An item of a list, its first key behind the dash."""
    for place, (key, value) in enumerate(item.items()):
        yield _line(key, value, indent="    " if place else "  - ")


def _line(key: str, value: Any, *, indent: str = "") -> str:
    return _commented(f"{indent}{key}: {in_yaml(value)}", _COMMENTS.get(key, ""))


def _commented(line: str, comment: str) -> str:
    return f"{line:<{_WIDTH}}  # {comment}" if comment else line


def _of_rule(rule: Mapping[str, Any], config: DeviceConfig) -> str:
    """What a class is called, and its conditions with the numbers that hold here."""
    event_class = event_classes()[rule["class"]]
    conditions = [
        f"{each.point}{_WINDOWS[each.measure].format(each.over_s / 3600)} {_SIGNS[each.comparison]} "
        f"{each.threshold:g} {each.unit}".removesuffix(" 1")
        for each in config.device_rules
        if each.class_code == event_class.code and rule.get("point") in (None, each.point)
    ]
    return f"{event_class.zh} {event_class.en}: {', '.join(conditions)}"
