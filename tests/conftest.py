"""Fixtures that many tests use: real servers, started when first asked for and stopped after.

``mosquitto``, ``influxdb``, ``victoria_metrics`` and ``postgres`` are shared by the whole run: use gateways, databases
and topics of your own in them and never kill them. A test that kills, restarts or wants a password starts its own with
``start_mosquitto(users={"gw-1": "secret"})``, ``start_influxdb(admin=("root", "secret"))`` and so on.

A server that is not installed: the test skips and says what to type; with CI=true it fails.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings

from tests import servers
from tests.leftovers import nothing_left_behind  # noqa: F401  # an autouse fixture: here it holds for all tests
from tests.servers import InfluxDB, Mosquitto, Postgres, Server, VictoriaMetrics

S = TypeVar("S", bound=Server)
REMOVE_S = 5.0

SERVER_FIXTURES = {
    f"{prefix}{name}" for prefix in ("", "start_") for name in ("mosquitto", "influxdb", "victoria_metrics", "postgres")
}


os.environ["ANLAN_PROGRAM"] = "./anlan"  # hints read as in a checkout, however the tests were started

# A busy machine is no fault: by itself Hypothesis fails an example that takes over 200 ms.
settings.register_profile("any machine", settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark `servers` what asks for one, before `-m servers` picks."""
    for item in items:
        if SERVER_FIXTURES & set(getattr(item, "fixturenames", ())):
            item.add_marker("servers")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show the logs of the running servers under a failed test."""
    report = yield
    if report.failed:
        report.sections += [(f"log of {each.name} on port {each.port}", each.log_tail()) for each in servers.running]
    return report


def require(kind: type[Server]) -> None:
    """Skip the test, or with CI=true fail it, when this server is not installed."""
    if kind.program() is not None:
        return
    reason = f"{kind.name} is not installed; on Debian type: apt-get install {kind.package}"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@contextmanager
def starter(kind: type[S]) -> Iterator[Callable[..., S]]:
    """A function that makes and starts a server of this kind with the options given; all are stopped at the end."""
    # Not pytest's tmp_path: that is closed to the user that PostgreSQL runs as.
    root = Path(tempfile.mkdtemp(prefix="anlan-servers-"))
    root.chmod(0o755)
    made: list[S] = []

    def start(**options: Any) -> S:
        require(kind)
        folder = root / str(len(made))
        folder.mkdir()
        server = kind(folder, **options)
        made.append(server)
        server.start()
        return server

    try:
        yield start
    finally:
        for server in made:
            server.stop()
        _remove(root)


def _remove(folder: Path) -> None:
    """Remove a folder into which a helper of a server that has ended may still write for a moment, as Chromium's do."""
    deadline = time.monotonic() + REMOVE_S
    while folder.exists():
        shutil.rmtree(folder, ignore_errors=time.monotonic() < deadline)


@pytest.fixture(scope="session")
def mosquitto() -> Iterator[Mosquitto]:
    """The run's shared broker, open to anyone."""
    with starter(Mosquitto) as start:
        yield start()


@pytest.fixture
def start_mosquitto() -> Iterator[Callable[..., Mosquitto]]:
    """Starts a Mosquitto of the test's own; takes the keyword arguments of servers.Mosquitto."""
    with starter(Mosquitto) as start:
        yield start


@pytest.fixture(scope="session")
def influxdb() -> Iterator[InfluxDB]:
    """The run's shared InfluxDB 1.x without passwords."""
    with starter(InfluxDB) as start:
        yield start()


@pytest.fixture
def start_influxdb() -> Iterator[Callable[..., InfluxDB]]:
    """Starts a InfluxDB of the test's own; takes the keyword arguments of servers.InfluxDB."""
    with starter(InfluxDB) as start:
        yield start


@pytest.fixture(scope="session")
def victoria_metrics() -> Iterator[VictoriaMetrics]:
    """The run's shared VictoriaMetrics without a password."""
    with starter(VictoriaMetrics) as start:
        yield start()


@pytest.fixture
def start_victoria_metrics() -> Iterator[Callable[..., VictoriaMetrics]]:
    """Starts a VictoriaMetrics of the test's own; takes the keyword arguments of servers.VictoriaMetrics."""
    with starter(VictoriaMetrics) as start:
        yield start


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """The run's shared PostgreSQL, which a crash would leave without its databases."""
    with starter(Postgres) as start:
        yield start(durable=False)


@pytest.fixture
def start_postgres() -> Iterator[Callable[..., Postgres]]:
    """Starts a Postgres of the test's own; takes the keyword arguments of servers.Postgres."""
    with starter(Postgres) as start:
        yield start


@pytest.fixture(scope="session")
def sqlite_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the SQLite database of one test after another is."""
    return tmp_path_factory.mktemp("sqlite")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """The folder of a disk of 1 MiB, for tests that fill it."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounting = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)]
    if subprocess.run(mounting, capture_output=True, check=False).returncode != 0:
        reason = "a small disk needs the right to mount: run as root"
        if os.environ.get("CI") == "true" and os.geteuid() == 0:
            pytest.fail(reason)
        pytest.skip(reason)
    yield disk
    subprocess.run(["umount", disk], check=True)
