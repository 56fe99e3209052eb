"""What the models of the files say is wrong, in Chinese; the models themselves say it in English.

Tests make each of these faults, so that a sentence that changes there is missed here.
"""

import re
from collections.abc import Mapping

_NAMED = re.compile(r"\{(\w+)\}")

SENTENCES: Mapping[str, str] = {
    "missing": "请填写",
    "unknown key": "没有这一项",
    "expected a whole number, found {found}": "应为整数，填写的是 {found}",
    "expected a number, found {found}": "应为数字，填写的是 {found}",
    "should be greater than or equal to {least}, found {found}": "不能小于 {least}，填写的是 {found}",
    "should be less than or equal to {most}, found {found}": "不能大于 {most}，填写的是 {found}",
    "should have at most {most} characters, found {found}": "最多 {most} 个字符",
    "expected small letters, digits, - and _, at most 64, beginning with a letter or digit, found {found}": (
        "只能用小写字母、数字、- 和 _，以字母或数字开头，最多 64 个，填写的是 {found}"
    ),
    "expected a host name or an address, such as mqtt.example.org or 192.0.2.7, found {found}": (
        "应为主机名或地址，例如 mqtt.example.org 或 192.0.2.7，填写的是 {found}"
    ),
    "latitude and longitude belong together: give both or none": "纬度和经度须一起填写，或都不填",
    "username and password_file belong together: give both or none": "用户名和密码文件须一起填写，或都不填",
    "certificate_file and key_file belong together: give both or none": "证书文件和私钥文件须一起填写，或都不填",
    "missing: {host} is not this machine, so the connection must be encrypted": "{host} 不是本机，连接必须加密 (TLS)",
    "missing: {host} is not this machine, so it must know who we are": "{host} 不是本机，须填写用户名和密码文件",
    "{id} is already the id of {place}": "编号 {id} 已经用过了",
    "{beat} s is shorter than poll_s {poll} s": "最长上报间隔 {beat} 秒，不能短于采集间隔 {poll} 秒",
    "missing: {code} has no default, it is a value of the site": "请填写：{code} 没有通用数值，须用本站的数值",
    "{threshold} must not be below the {lower} of {below}, the level under {code}": (
        "{threshold} 不能低于 {below} 的 {lower}：{code} 是它的上一级"
    ),
    "must be above 0: {code} looks at a {measure}": "应大于 0：{code} 看的是变化量",
    "{code} looks at the value itself, not at what it did over a time": "{code} 看的是数值本身，没有统计时段",
    "{over} s is too short: {point} is read every {poll} s, and a rise needs {least} samples ({s} s)": (
        "{over} 秒太短：{point} 每 {poll} 秒采集一次，涨率需要 {least} 个样本，即 {s} 秒"
    ),
    "{clear} must not be above the threshold {threshold}": "解除值 {clear} 不能高于阈值 {threshold}",
    "{clear} must not be below the threshold {threshold}": "解除值 {clear} 不能低于阈值 {threshold}",
    "has no meaning for equals": "这一类事件没有解除值",
    "{threshold} is never reached: {point} measures {lowest} to {highest} {unit}": (
        "永远达不到 {threshold}：{point} 的量程是 {lowest} 至 {highest} {unit}"
    ),
    "the event could never end: {point} measures {lowest} to {highest} {unit}": (
        "事件将无法结束：{point} 的量程是 {lowest} 至 {highest} {unit}"
    ),
    "missing: {setting}, such as {example}": "请填写，例如 {example}",
    "must be {least} to {most}, found {found}": "应在 {least} 至 {most} 之间，填写的是 {found}",
    "{profile} has no such setting (it has {names})": "{profile} 没有这一项",
    "{name} is chosen twice": "{name} 选了两次",
    "{code} watches {points}: say which with point": "{code} 同时监测 {points}，请选定其中一个测点",
    "{code} needs {quantity}, which {profile} does not measure": "{code} 需要 {quantity}，{profile} 不测这个量",
    "{profile} has no point {point}": "{profile} 没有测点 {point}",
    "{code} is for {kinds}, not for {kind}": "{code} 适用于 {kinds}，不适用于 {kind}",
    "{code} is not sensed from the readings of one device": "{code} 不能由单台设备的读数判断",
    "{code} is not a camera class": "{code} 不是摄像机事件",
    "unknown event class {code}": "没有事件类型 {code}",
    "missing: say where the cameras post to": "请填写摄像机把图片发到哪里",
    "device {id} is there twice": "设备 {id} 出现了两次",
    "hh- begins the id of a household's device, which must say nothing about the home: write {id}, "
    "which was made just now, or an id that begins otherwise": (
        "hh- 开头的是住户设备的编号，不得透露住户信息：请用刚刚生成的 {id}，或换一个开头"
    ),
}


def in_chinese(reason: str) -> str:
    """Return an English sentence of the models in Chinese; one that is not here as it is."""
    plain = re.sub(r' \(did you mean "[^"]*"\?\)$', "", reason)
    for pattern, chinese in _PATTERNS:
        found = pattern.fullmatch(plain)
        if found:
            return chinese.format(**found.groupdict())
    return reason


def _pattern(english: str) -> re.Pattern[str]:
    pieces = _NAMED.split(english)  # text, name, text, name, …
    return re.compile(
        "".join(f"(?P<{piece}>.+?)" if at % 2 else re.escape(piece) for at, piece in enumerate(pieces)), re.DOTALL
    )


_PATTERNS = [(_pattern(english), chinese) for english, chinese in SENTENCES.items()]
