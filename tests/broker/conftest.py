"""One closed broker for all tests that do not stop it, with two gateways that may enter in both ways."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from edge.contract.broker_config import BrokerConfig
from tests.broker.deployed import Deployed, Keys
from tests.conftest import starter


@dataclass
class Closed:
    """A closed broker, its keys, and who may enter; `gateways` by name and way."""

    broker: Deployed
    keys: Keys
    cloud: BrokerConfig
    gateways: dict[tuple[str, str], BrokerConfig]


StartClosed = Callable[[Path], Closed]


@pytest.fixture
def start_closed() -> Iterator[StartClosed]:
    """Starts a closed broker of the test's own."""
    with starter(Deployed) as start:
        yield lambda folder: _closed(folder, start)


@pytest.fixture(scope="session")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Closed]:
    """The run's shared closed broker: never stop it, and take nobody's way in."""
    with starter(Deployed) as start:
        yield _closed(tmp_path_factory.mktemp("closed"), start)


def _closed(folder: Path, start: Callable[..., Deployed]) -> Closed:
    keys = Keys(folder)
    passwords = {gateway: keys.by_password(gateway, 1) for gateway in ("gw-1", "gw-2")}
    broker = start(broker_files=keys.authority.broker_files)
    gateways = {}
    for gateway, by_password in passwords.items():
        gateways[gateway, "password"] = by_password.model_copy(update={"port": broker.by_password})
        gateways[gateway, "certificate"] = keys.by_certificate(gateway, broker.by_certificate)
    return Closed(broker, keys, keys.cloud(broker.for_clouds), gateways)
