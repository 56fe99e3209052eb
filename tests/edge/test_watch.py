"""Reading again and again: each point at its interval, devices of one line in turn, until it is stopped."""

from __future__ import annotations

import asyncio
from pathlib import Path

from edge.contract.clock import SystemClock
from edge.contract.gateway_config import GatewayConfig, load_gateway_config
from edge.readout import open_readers
from edge.watch import Look, Watch
from simulators.device import SimulatedDevice, load_modbus_profile
from simulators.modbus_server import ModbusServer
from tests.servers import free_ports

YAML = """
gateway: gw-1
broker: {{host: 127.0.0.1, port: 1883}}
data_dir: .
devices:
  - {{id: road-1, profile: moxa_e1242_depth, modbus: {{host: 127.0.0.1, port: {port}}}, poll_s: 0.1,
     points: {{wet_contact: {{poll_s: 0.3}}}}}}
  - {{id: road-2, profile: moxa_e1242_depth, modbus: {{host: 127.0.0.1, port: {port}, unit: 2, timeout_s: 0.1}},
     poll_s: 0.2}}
"""


def config(folder: Path, port: int) -> GatewayConfig:
    path = folder / "gateway.yaml"
    path.write_text(YAML.format(port=port), encoding="utf-8")
    return load_gateway_config(path)


def sensor() -> SimulatedDevice:
    return SimulatedDevice(load_modbus_profile("moxa_e1242_depth"))


async def test_each_point_is_read_at_its_interval(tmp_path: Path) -> None:
    """What has an interval of its own is read by itself; each is read as often as asked, first seen once."""
    looks: list[Look] = []
    async with (
        ModbusServer({1: sensor()}) as server,
        open_readers(config(tmp_path, server.port), ["road-1"], clock=SystemClock()) as readers,
    ):
        await Watch(readers, show=looks.append, count=3).run()
    names = [tuple(each.point.name for each in look.readout.points) for look in looks]
    assert sorted(names) == [("depth",)] * 3 + [("wet_contact",)] * 3
    assert sorted(name for look in looks for name in look.first) == ["depth", "wet_contact"]


async def test_a_silent_device_is_asked_each_time(tmp_path: Path) -> None:
    """Nothing is left out because the last poll was in vain, and the first answer is seen at once."""
    server = ModbusServer({1: sensor(), 2: sensor()})
    server.units[2].silent = True
    looks: list[Look] = []

    def show(look: Look) -> None:
        looks.append(look)
        if len(looks) == 3:
            server.units[2].silent = False
        elif look.readout.is_answered:
            watch.stop()

    async with server, open_readers(config(tmp_path, server.port), ["road-2"], clock=SystemClock()) as readers:
        watch = Watch(readers, show=show)
        await asyncio.wait_for(watch.run(), 20)
    assert [look.readout.is_answered for look in looks[:4]] == [False, False, False, True]
    tally = watch.tallies["road-2"]
    assert (tally.polls, tally.answers, tally.misses) == (4, 1, 3)
    assert sum(tally.reasons.values()) == 3
    assert all("unit 2" in reason for reason in tally.reasons)


async def test_it_ends_when_it_is_stopped_while_a_device_is_waited_for(tmp_path: Path) -> None:
    """Stopping needs no answer."""
    (nobody,) = free_ports(1)
    async with open_readers(config(tmp_path, nobody), ["road-1"], clock=SystemClock()) as readers:
        watch = Watch(readers, show=lambda _: watch.stop())
        await asyncio.wait_for(watch.run(), 20)
    assert watch.tallies["road-1"].answers == 0
