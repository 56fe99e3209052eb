"""The fixtures that start real servers."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from tests import conftest, leftovers, servers
from tests.servers import InfluxDB, Mosquitto, Postgres, Server, VictoriaMetrics


def connack(broker: Mosquitto, user: str = "", password: str = "") -> int:
    """The broker's answer to an MQTT 3.1.1 CONNECT: 0 for welcome, 5 for not authorised."""
    fields = ["test", user, password] if user else ["test"]
    payload = b"".join(len(field).to_bytes(2) + field.encode() for field in fields)
    variable = b"\x00\x04MQTT\x04" + (b"\xc2" if user else b"\x02") + b"\x00\x3c"
    with socket.create_connection(("127.0.0.1", broker.port), timeout=10) as connection:
        connection.sendall(b"\x10" + bytes([len(variable + payload)]) + variable + payload)
        return connection.recv(4)[3]


def series_value(store: InfluxDB, auth: tuple[str, str] | None = None) -> object:
    """The only value in the measurement `m` of the database `kept`."""
    answer = httpx.get(f"{store.url}/query", params={"db": "kept", "q": "SELECT v FROM m"}, auth=auth)
    return answer.json()["results"][0]["series"][0]["values"][0][1]


def test_the_shared_servers_serve_at_the_same_time(
    mosquitto: Mosquitto, influxdb: InfluxDB, victoria_metrics: VictoriaMetrics, postgres: Postgres
) -> None:
    """All four are ready when a test gets them, on ports of their own."""
    together: list[Server] = [mosquitto, influxdb, victoria_metrics, postgres]
    assert all(server.is_ready() for server in together)
    assert len({server.port for server in together}) == 4


def test_a_killed_broker_comes_back_on_its_port(start_mosquitto: Callable[..., Mosquitto]) -> None:
    """kill() leaves nobody on the port, start() serves there again."""
    broker = start_mosquitto()
    port = broker.port
    broker.kill()
    assert not servers.is_accepting(port)
    broker.start()
    assert broker.port == port
    assert servers.is_accepting(port)


def test_a_broker_with_users_lets_in_nobody_else(start_mosquitto: Callable[..., Mosquitto]) -> None:
    """The right password is let in, a wrong one and none are not."""
    broker = start_mosquitto(users={"gw-1": "right"})
    assert connack(broker, "gw-1", "right") == 0
    assert connack(broker, "gw-1", "wrong") == 5
    assert connack(broker) == 5


def test_influxdb_keeps_what_it_acknowledged_when_killed(start_influxdb: Callable[..., InfluxDB]) -> None:
    """A point answered with 204 is there after kill -9."""
    store = start_influxdb()
    store.query("CREATE DATABASE kept")
    httpx.post(f"{store.url}/write", params={"db": "kept"}, content=b"m v=0.1 1").raise_for_status()
    store.kill()
    store.start()
    assert series_value(store) == 0.1


def test_influxdb_with_an_admin_asks_for_the_password(start_influxdb: Callable[..., InfluxDB]) -> None:
    """The admin may write, nobody else, also after a restart."""
    store = start_influxdb(admin=("root", "right"))
    store.query("CREATE DATABASE kept")
    store.restart()
    write = f"{store.url}/write?db=kept"
    assert httpx.post(write, content=b"m v=2i 1", auth=("root", "wrong")).status_code == 401
    assert httpx.post(write, content=b"m v=2i 1", auth=("root", "right")).status_code == 204
    assert series_value(store, ("root", "right")) == 2


def test_victoria_metrics_answers_the_second_write_interface(
    start_victoria_metrics: Callable[..., VictoriaMetrics],
) -> None:
    """`/api/v2/write` takes line protocol, and with a login gives a real 401."""
    open_store, closed_store = start_victoria_metrics(), start_victoria_metrics(login=("user", "right"))
    assert httpx.post(f"{open_store.url}/api/v2/write", content=b"m v=1 1").status_code == 204
    assert httpx.post(f"{closed_store.url}/api/v2/write", content=b"m v=1 1").status_code == 401


def test_postgres_keeps_what_it_committed_when_killed(start_postgres: Callable[..., Postgres]) -> None:
    """A committed table is there after kill -9, and a bad statement says what is wrong."""
    database = start_postgres()
    database.query("CREATE TABLE kept (id int)")
    database.kill()
    database.start()
    database.query("INSERT INTO kept VALUES (1)")
    with pytest.raises(servers.ServerError, match='relation "lost" does not exist'):
        database.query("INSERT INTO lost VALUES (1)")


def test_a_server_that_cannot_start_says_why(tmp_path: Path) -> None:
    """The error of a failed start has the end of the server's log, and nothing is left running."""
    conftest.require(Mosquitto)
    broker = Mosquitto(tmp_path, options=["no_such_option true"])
    with pytest.raises(servers.ServerError, match="no_such_option"):
        broker.start()
    assert broker not in servers.running


def test_a_missing_server_skips_and_fails_in_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a server is not installed a person gets a skip with the line to type, CI a failure."""
    monkeypatch.setattr(Mosquitto, "program", classmethod(lambda cls: None))
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="apt-get install mosquitto"):
        conftest.require(Mosquitto)
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="apt-get install mosquitto"):
        conftest.require(Mosquitto)


def test_a_child_process_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that outlives its test is named by its command line."""
    monkeypatch.setattr(leftovers, "GRACE_S", 0.05)
    processes = leftovers.child_processes()
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        (line,) = leftovers.left_behind(set(threading.enumerate()), processes)
        child.kill()
    assert f"process {child.pid}" in line
    assert "input()" in line


async def test_a_thread_that_ends_by_itself_is_no_leftover() -> None:
    """The loop's own worker threads end with the loop: this test must pass the check itself."""
    assert await asyncio.to_thread(os.getpid) == os.getpid()


def test_the_plugin_fails_the_test_that_leaves_a_thread(tmp_path: Path) -> None:
    """A thread that goes on fails its test by name, and only that one."""
    (tmp_path / "test_sample.py").write_text(
        "import threading\n"
        "def test_bad():\n    threading.Thread(target=threading.Event().wait, name='forgotten', daemon=True).start()\n"
        "def test_good():\n    pass\n"
    )
    command = [sys.executable, "-m", "pytest", "-p", "tests.leftovers", "-p", "no:cacheprovider", str(tmp_path)]
    root = Path(__file__).parents[1]
    done = subprocess.run(
        [*command, "--rootdir", str(tmp_path), "-c", os.devnull],
        capture_output=True, text=True, check=False, cwd=root, env={**os.environ, "PYTHONPATH": str(root)}, timeout=60,
    )  # fmt: skip
    assert "the test left behind: thread forgotten" in done.stdout
    assert "2 passed, 1 error" in done.stdout
