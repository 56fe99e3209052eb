"""Real servers for tests, each on free loopback ports and in a folder of its own.

A server is started with ``start()``, ended kindly with ``stop()`` or with -9 by ``kill()``; it keeps its ports and its
files, so ``start()`` after either finds what it had written. All waits are bounded. Fixtures are in tests/conftest.py.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import ClassVar

import httpx

START_S = 30.0
STOP_S = 20.0

running: list[Server] = []
"""Every server that is up now, so that a failed test can show their logs."""


class ServerError(RuntimeError):
    """A server did not start or end as it should; the text has the end of its log."""


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on at this moment, all different."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


class Server(ABC):
    """One server process.

    `folder` holds its configuration, its log and its files. `port` is where clients connect, on 127.0.0.1.
    """

    name: ClassVar[str]
    package: ClassVar[str]
    """The Debian package that brings it."""
    stop_signal: ClassVar[signal.Signals] = signal.SIGTERM

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = folder / f"{self.name}.log"
        self.port, self.second_port = free_ports(2)
        self._process: subprocess.Popen[bytes] | None = None

    @classmethod
    @abstractmethod
    def program(cls) -> str | None:
        """The path of its program, or None when it is not installed."""

    @abstractmethod
    def command(self) -> list[str]:
        """The command line; called at each start, after the folder exists."""

    @abstractmethod
    def is_ready(self) -> bool:
        """Whether a client would be served now."""

    @property
    def user(self) -> str | None:
        """The user to run as, None for the present one."""
        return None

    def start(self) -> None:
        """Start it and return when it serves clients; ServerError after 30 s or when it ends by itself."""
        if self._process is not None:
            raise ServerError(f"{self.name}: already started")
        command = self.command()
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, user=self.user
            )
        running.append(self)
        deadline = time.monotonic() + START_S
        while not self.is_ready():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise ServerError(f"{self.name}: did not start\n{self.log_tail()}")
            time.sleep(0.02)

    def stop(self) -> None:
        """End it as an operator would; ServerError when that takes over 20 s. Harmless when it is down."""
        if self._process is None:
            return
        self._process.send_signal(self.stop_signal)
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired as error:
            self.kill()
            raise ServerError(f"{self.name}: did not end on {self.stop_signal.name}\n{self.log_tail()}") from error
        self._forget()

    def kill(self) -> None:
        """End it and its children with -9. Harmless when it is down."""
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(STOP_S)
        self._forget()

    def pause(self) -> None:
        """Let it stand still, with all connections open, until `resume`."""
        if self._process is not None:
            self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)

    def restart(self) -> None:
        """Stop and start, on the same ports, with the same files."""
        self.stop()
        self.start()

    def log_tail(self, lines: int = 40) -> str:
        """The end of its log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def _forget(self) -> None:
        self._process = None
        running.remove(self)


def is_accepting(port: int) -> bool:
    """Whether something accepts TCP connections on this loopback port."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=2, trust_env=False).status_code < httpx.codes.BAD_REQUEST
    except httpx.TransportError:
        return False


def _which(program: str) -> str | None:
    return shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")


def _run(command: Iterable[str], *, user: str | None = None) -> None:
    done = subprocess.run(list(command), capture_output=True, text=True, timeout=60, check=False, user=user)
    if done.returncode != 0:
        raise ServerError(f"{' '.join(command)}\n{done.stdout}{done.stderr}")


class Mosquitto(Server):
    """An MQTT 5 and 3.1.1 broker that persists; open to anyone, or with `users` (name -> password)."""

    name = "mosquitto"
    package = "mosquitto"

    def __init__(self, folder: Path, *, users: Mapping[str, str] | None = None, options: Iterable[str] = ()) -> None:
        """Take `options` as further lines of mosquitto.conf."""
        super().__init__(folder)
        self._users = dict(users or {})
        self._options = list(options)

    @classmethod
    def program(cls) -> str | None:
        """The path of mosquitto."""
        return _which("mosquitto")

    def command(self) -> list[str]:
        """Write its configuration and password file."""
        passwords = self.folder / "passwords"
        lines = [
            f"listener {self.port} 127.0.0.1",
            "persistence true",
            f"persistence_location {self.folder}/",
            f"allow_anonymous {'false' if self._users else 'true'}",
            *self._options,
        ]
        if os.geteuid() == 0:
            lines.append("user root")  # as user mosquitto it could not write into our folder
        if self._users:
            passwords.unlink(missing_ok=True)
            passwords.touch(mode=0o600)
            for user, password in self._users.items():
                _run(["mosquitto_passwd", "-b", str(passwords), user, password])
            lines.append(f"password_file {passwords}")
        config = self.folder / "mosquitto.conf"
        config.write_text("\n".join(lines) + "\n")
        return [self.program() or "mosquitto", "-c", str(config)]

    def is_ready(self) -> bool:
        """Whether it accepts connections."""
        return is_accepting(self.port)

    def wipe(self) -> None:
        """Remove all that it had kept, while it is down."""
        (self.folder / "mosquitto.db").unlink(missing_ok=True)


_INFLUXDB_CONFIG = """\
reporting-disabled = true
bind-address = "127.0.0.1:{rpc_port}"
[meta]
  dir = "{folder}/meta"
[data]
  dir = "{folder}/data"
  wal-dir = "{folder}/wal"
  query-log-enabled = false
[monitor]
  store-enabled = false
[http]
  bind-address = "127.0.0.1:{port}"
  auth-enabled = {auth}
  log-enabled = false
"""


class InfluxDB(Server):
    """InfluxDB 1.x: ``/write`` and InfluxQL ``/query``; with `admin` = (name, password) it asks for them.

    With a `certificate`, a file that has its key too, it speaks https alone.
    """

    name = "influxdb"
    package = "influxdb"

    def __init__(self, folder: Path, *, admin: tuple[str, str] | None = None, certificate: Path | None = None) -> None:
        super().__init__(folder)
        self.admin = admin
        self.certificate = certificate

    @classmethod
    def program(cls) -> str | None:
        """The path of influxd."""
        return _which("influxd")

    @property
    def url(self) -> str:
        """Where its HTTP interface is."""
        return f"{'https' if self.certificate else 'http'}://127.0.0.1:{self.port}"

    def command(self) -> list[str]:
        """Write its configuration."""
        config = self.folder / "influxdb.conf"
        auth = "true" if self.admin else "false"
        tls = f'  https-enabled = true\n  https-certificate = "{self.certificate}"\n' if self.certificate else ""
        config.write_text(
            _INFLUXDB_CONFIG.format(folder=self.folder, port=self.port, rpc_port=self.second_port, auth=auth) + tls
        )
        return [self.program() or "influxd", "-config", str(config)]

    def is_ready(self) -> bool:
        """Whether it answers a ping."""
        return is_accepting(self.port) if self.certificate else _answers(f"{self.url}/ping")

    def start(self) -> None:
        """Start it; at the first start with an admin, make that admin."""
        is_first = not (self.folder / "meta").exists()
        super().start()
        if is_first and self.admin:
            name, password = self.admin
            self.query(f"CREATE USER \"{name}\" WITH PASSWORD '{password}' WITH ALL PRIVILEGES")

    def query(self, statement: str) -> None:
        """Run one InfluxQL statement that gives no rows, such as CREATE DATABASE; ServerError when it is refused."""
        answer = httpx.post(
            f"{self.url}/query", data={"q": statement}, auth=self.admin or None, timeout=10, trust_env=False
        )
        if answer.is_error or "error" in answer.text:
            raise ServerError(f"{self.name}: {answer.status_code} {answer.text}")


class VictoriaMetrics(Server):
    """Answers influxdb-client's ``/api/v2/write``: good for syntax and speed, not for equality or loss (see DESIGN).

    With `login` = (name, password) it answers 401 to those who give neither or another.
    """

    name = "victoria-metrics"
    package = "victoria-metrics"
    stop_signal = signal.SIGINT

    def __init__(self, folder: Path, *, login: tuple[str, str] | None = None) -> None:
        super().__init__(folder)
        self.login = login

    @classmethod
    def program(cls) -> str | None:
        """The path of victoria-metrics."""
        return _which("victoria-metrics")

    @property
    def url(self) -> str:
        """Where its HTTP interface is."""
        return f"http://127.0.0.1:{self.port}"

    def command(self) -> list[str]:
        """Keep 100 years, so that old points are not silently dropped, and the last of those with one time."""
        login = [f"-httpAuth.username={self.login[0]}", f"-httpAuth.password={self.login[1]}"] if self.login else []
        return [
            self.program() or "victoria-metrics",
            f"-httpListenAddr=127.0.0.1:{self.port}",
            f"-storageDataPath={self.folder}/data",
            "-retentionPeriod=100y",
            "-dedup.minScrapeInterval=1ms",
            *login,
        ]

    def is_ready(self) -> bool:
        """Whether it says it is healthy."""
        return _answers(f"{self.url}/health")


class Postgres(Server):
    """PostgreSQL with one superuser, anlan, whom it trusts on loopback; unless `durable` it loses all in a crash."""

    name = "postgresql"
    package = "postgresql"
    stop_signal = signal.SIGINT  # "fast": does not wait for clients to leave

    def __init__(self, folder: Path, *, durable: bool = True) -> None:
        """Without `durable` nothing waits for the disk, which no test should that does not kill it."""
        super().__init__(folder)
        self._durable = durable

    @classmethod
    def _binary(cls, program: str) -> str | None:
        found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{program}"))  # Debian keeps them off the PATH
        return str(found[-1]) if found else _which(program)

    @classmethod
    def program(cls) -> str | None:
        """The path of postgres."""
        return cls._binary("postgres")

    @property
    def user(self) -> str | None:
        """It refuses to run as root."""
        return "postgres" if os.geteuid() == 0 else None

    def url(self, database: str = "postgres") -> str:
        """The URL of a database, without a driver: ``postgresql://…``."""
        return f"postgresql://anlan@127.0.0.1:{self.port}/{database}"

    def command(self) -> list[str]:
        """Make the cluster at the first start."""
        data = self.folder / "data"
        if not data.exists():
            if self.user:
                os.chown(self.folder, pwd.getpwnam(self.user).pw_uid, -1)
            initdb = self._binary("initdb") or "initdb"
            options = ["-U", "anlan", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"]
            _run([initdb, "-D", str(data), *options], user=self.user)
        address = ["-c", "listen_addresses=127.0.0.1", "-p", str(self.port), "-k", str(self.folder)]
        careless = ["fsync=off", "synchronous_commit=off", "full_page_writes=off"]
        options = [] if self._durable else [part for each in careless for part in ("-c", each)]
        return [self.program() or "postgres", "-D", str(data), *address, *options]

    def is_ready(self) -> bool:
        """Whether it takes queries; during recovery it accepts connections and refuses them."""
        pg_isready = self._binary("pg_isready") or "pg_isready"
        command = [pg_isready, "-q", "-h", "127.0.0.1", "-p", str(self.port), "-U", "anlan"]
        return subprocess.run(command, timeout=10, check=False).returncode == 0

    def query(self, statement: str) -> None:
        """Run one statement that gives no rows, such as CREATE DATABASE; ServerError when it is refused."""
        psql = self._binary("psql") or "psql"
        _run([psql, "-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", self.url(), "-c", statement])
