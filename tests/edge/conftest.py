"""Where an outbox of a test lies, one that is open, and a gateway among devices that answer."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from edge.outbox import Outbox
from simulators.device import SimulatedDevice, load_modbus_profile
from simulators.modbus_server import ModbusServer
from tests.edge.agent_site import Site
from tests.edge.outbox_parts import open_outbox
from tests.servers import Mosquitto


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The file of an outbox, which is not there yet."""
    return tmp_path / "outbox.sqlite"


@pytest.fixture
def outbox(path: Path) -> Iterator[Outbox]:
    """An open outbox."""
    outbox = open_outbox(path)
    yield outbox
    outbox.close()


@pytest.fixture
async def site(tmp_path: Path, mosquitto: Mosquitto) -> AsyncIterator[Site]:
    """Two devices that answer."""
    units = {1: SimulatedDevice(load_modbus_profile("moxa_e1242_depth"))}
    units[2] = SimulatedDevice(load_modbus_profile("eastron_sdm630"))
    async with ModbusServer(units) as modbus:
        yield Site(tmp_path, mosquitto, modbus)
