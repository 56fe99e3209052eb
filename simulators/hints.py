"""What a person is told of served devices: where they are, and how to read them from another terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from edge.contract.buses import Line
from edge.contract.config_file import in_yaml
from edge.contract.profile import RegisterPoint
from edge.contract.program import command
from simulators.serving import Served

BUS = "line-1"


def how_to_read(devices: Sequence[Served], line: Line) -> str:
    """Several lines: the devices, command lines for them, and what gateway.yaml needs to have."""
    settings = f" ({line.baud} baud, {line.stop_bits} stop bit{'s' * (line.stop_bits > 1)})" if line.baud else ""
    said = [
        f"{one.device.profile.maker} {one.device.profile.model} at {line}{settings}, unit {one.unit}" for one in devices
    ]
    said[-1] += f"; Ctrl-C stops {'it' if len(devices) == 1 else 'them'}. To read:"
    return "\n".join([*said, *_command_lines(devices, line), *_gateway_lines(devices, line)])


def _command_lines(devices: Sequence[Served], line: Line) -> Iterator[str]:
    for one in devices:
        point = one.device.profile.points[0]
        if mbpoll := mbpoll_line(point, line, one.unit):
            yield f"  {mbpoll}   # {point.name}"
    yield f"  {command('edge', 'read device-1 --config gateway.yaml')}   # where gateway.yaml has"


def _gateway_lines(devices: Sequence[Served], line: Line) -> Iterator[str]:
    if line.baud:
        place: dict[str, object] = {"serial": line.host} if line.is_serial else {"host": line.host, "port": line.port}
        framing = {} if line.is_serial else {"framing": line.framing}
        settings = {"baud": line.baud, "parity": line.parity, "stop_bits": line.stop_bits}
        yield f"    buses:\n    - {in_yaml({'id': BUS, **place, **framing, **settings})}\n    devices:"
    for number, one in enumerate(devices, start=1):
        where: dict[str, object] = {"bus": BUS} if line.baud else {"host": line.host, "port": line.port}
        yield f"    - id: device-{number}\n      profile: {one.device.profile.profile}"
        yield f"      modbus: {in_yaml({**where, 'unit': one.unit})}"
        if one.numbers:
            yield f"      settings: {{{', '.join(f'{name}: {value}' for name, value in one.numbers.items())}}}"


def mbpoll_line(point: RegisterPoint, line: Line, unit: int) -> str:
    """The line for mbpoll, which counts registers from 1 and knows 16-bit, 32-bit and float32 registers.

    Empty for what mbpoll does not speak: RTU over TCP.
    """
    if line.framing == "rtu" and not line.is_serial:
        return ""
    number = {"coil": "0", "discrete": "1", "input": "3", "holding": "4"}[point.table]
    kind = {"float32": ":float", "int32": ":int", "uint32": ":int"}.get(point.type, "")
    words = "" if kind and point.word_order == "low_first" else " -B" if kind else ""
    count = 1 if kind else len(point.registers)
    what = f"-a {unit} -t {number}{kind}{words} -r {point.address + 1} -c {count} -1 {line.host}"
    if line.is_serial:
        return f"mbpoll -m rtu -b {line.baud} -P {line.parity} -s {line.stop_bits} {what}"
    return f"mbpoll -m tcp -p {line.port} {what}"
