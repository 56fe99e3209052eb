"""The files of a rainy day: two gateway.yaml, cloud.yaml, the registry, passwords and ports, in one folder.

The numbers below are sized for a demo and stated by it; real ones are minutes (docs: event classes).
"""

from __future__ import annotations

import json
import secrets
import socket
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final, NamedTuple

import yaml

from simulators.scenarios.heping import GATEWAY_NAMES, GRIDS, SPOTS, map_text, streets
from simulators.scenarios.rainy_day import CAMERA, EAST, SEATS, SPARE, WEST, Seat

POLL_S: Final = 5.0
CLEAR_HOLD_S: Final = 15.0
HEARTBEAT_S: Final = 60.0
BATCH_S: Final = 5.0
STATUS_S: Final = 5.0
TIMEOUT_S: Final = 1.0
RIVER_WARNING_MM: Final = 2_300
LIMITS: Final = (
    f"demo-sized limits: every device is polled each {POLL_S:.0f} s, an event ends after {CLEAR_HOLD_S:.0f} s below "
    "its limit (30 min in real life), and a storm of two hours takes two minutes"
)

BROKER, API, CAMERA_LISTENER, UPLINK = "broker", "api", "camera", f"uplink-{WEST}"
GATEWAYS: Final = (EAST, WEST)
USERS: Final = (*GATEWAYS, "cloud", SPARE.gateway)


class Workspace:
    """A folder with everything that the programs of the scenario need; made by :meth:`create`."""

    def __init__(self, folder: Path) -> None:
        """Open a folder that :meth:`create` has made."""
        self.folder = folder
        self.ports: dict[str, int] = json.loads((folder / "ports.json").read_text())

    @classmethod
    def create(cls, folder: Path) -> Workspace:
        """Write all files, with free ports and random passwords that only their owner can read."""
        folder.mkdir(parents=True, exist_ok=True)
        buses = sorted({_bus(seat) for seat in (*SEATS, SPARE)})
        _write(folder / "ports.json", json.dumps(_free_ports([BROKER, API, CAMERA_LISTENER, UPLINK, *buses])))
        workspace = cls(folder)
        workspace._write_secrets()
        for gateway in GATEWAYS:
            _write_yaml(workspace.gateway_file(gateway), workspace._gateway(gateway))
        _write_yaml(workspace.registry_file, _registry())
        _write(workspace.map_file, map_text())
        _write_yaml(workspace.cloud_file, workspace._cloud())
        return workspace

    @classmethod
    def open_or_create(cls, folder: Path) -> Workspace:
        """The workspace in a folder, made when there is none yet."""
        return cls(folder) if (folder / "ports.json").exists() else cls.create(folder)

    def gateway_file(self, gateway: str) -> Path:
        """The gateway's gateway.yaml."""
        return self.folder / f"{gateway}.yaml"

    @property
    def cloud_file(self) -> Path:
        """The cloud's cloud.yaml."""
        return self.folder / "cloud.yaml"

    @property
    def registry_file(self) -> Path:
        """Streets, grids, sites, gateways, devices and people."""
        return self.folder / "registry.yaml"

    @property
    def map_file(self) -> Path:
        """What the map shows under sites and grids."""
        return self.folder / "map.geojson"

    @property
    def users_file(self) -> Path:
        """The broker's users."""
        return self.folder / "secrets" / "broker-users"

    def password_file(self, user: str) -> Path:
        """The file that holds the password of a broker's user or of the camera."""
        return self.folder / "secrets" / user

    def data_dir(self, gateway: str) -> Path:
        """Where the gateway keeps its outbox."""
        return self.folder / gateway

    def journal_file(self, gateway: str) -> Path:
        """Where the gateway's agent notes what it has committed."""
        return self.folder / f"{gateway}.journal"

    def bus_port(self, seat: Seat) -> int:
        """The TCP port of the converter that the device is behind."""
        return self.ports[_bus(seat)]

    def _write_secrets(self) -> None:
        (self.folder / "secrets").mkdir(mode=0o700)
        for user in (*USERS, CAMERA):
            _write(self.password_file(user), secrets.token_urlsafe(24) + "\n")
        users = [f"{user}:{self.password_file(user).read_text()}" for user in USERS]
        _write(self.users_file, "".join(users))

    def _cloud(self) -> dict[str, Any]:
        return {
            "data_dir": str(self.folder / "cloud"),
            "broker": self.broker("cloud"),
            "api": {"host": "127.0.0.1", "port": self.ports[API]},
            "new_gateways": {
                "host": "127.0.0.1",
                "port": self.ports[BROKER],
                "tls": False,
                "username": SPARE.gateway,
                "password_file": str(self.password_file(SPARE.gateway)),
                "data_dir": str(self.folder / SPARE.gateway / "{gateway}"),
            },
            "map": {"geojson": str(self.map_file), "attribution": "虚构地图"},
        }

    def _gateway(self, gateway: str) -> dict[str, Any]:
        config: dict[str, Any] = {
            "gateway": gateway,
            "broker": self.broker(gateway),
            "data_dir": str(self.data_dir(gateway)),
            "batch_s": BATCH_S,
            "status_s": STATUS_S,
            "devices": [_OWN_HEALTH, *(self._device(seat) for seat in SEATS if seat.gateway == gateway)],
        }
        if gateway == WEST:
            camera = {
                "id": CAMERA,
                "purpose": "垃圾投放点巡查，发现暴露垃圾",
                "sign": "垃圾房门侧公示牌",
                "password_file": str(self.password_file(CAMERA)),
                "classes": ["CAM.GARBAGE"],
            }
            config["camera_listener"] = {"host": "127.0.0.1", "port": self.ports[CAMERA_LISTENER]}
            config["cameras"] = [camera]
        return config

    def broker(self, user: str) -> dict[str, Any]:
        """The broker section for one of :data:`USERS`; the west gateway goes through the proxy that can be cut."""
        port = self.ports[UPLINK if user == WEST else BROKER]
        return {
            "host": "127.0.0.1",
            "port": port,
            "username": user,
            "password_file": str(self.password_file(user)),
        }

    def _device(self, seat: Seat) -> dict[str, Any]:
        address = {"host": "127.0.0.1", "port": self.bus_port(seat), "unit": seat.unit, "timeout_s": TIMEOUT_S}
        return {
            "id": seat.device,
            "profile": seat.profile,
            "modbus": address,
            "poll_s": POLL_S,
            "heartbeat_s": HEARTBEAT_S,
            "rules": _rules(seat),
        }


_OWN_HEALTH: Final = {"id": "gateway", "profile": "anlan_gateway", "poll_s": POLL_S, "heartbeat_s": HEARTBEAT_S}


def _rules(seat: Seat) -> list[dict[str, Any]]:
    if seat.device.startswith("road"):
        return [{"class": "WATERLOG.ROAD.2", "clear_hold_s": CLEAR_HOLD_S}]
    if seat.device.startswith("underpass"):
        return [{"class": "WATERLOG.UNDER.CLOSE", "clear_hold_s": CLEAR_HOLD_S}]
    if seat.device.startswith("river"):
        level = {"threshold": RIVER_WARNING_MM, "clear": RIVER_WARNING_MM - 50}
        return [{"class": "RIVER.WARN", **level, "clear_hold_s": CLEAR_HOLD_S}]
    return []


class Person(NamedTuple):
    """Somebody of the registry; only a worker has a grid."""

    login: str
    name: str
    role: str
    grid: str = ""


WORKER: Final = Person("wang", "王芳", "worker", GRIDS[EAST])
WEST_WORKER: Final = Person("liu", "刘洋", "worker", GRIDS[WEST])
OPERATOR: Final = Person("zhao", "赵敏", "operator")
INSTALLER: Final = Person("sun", "孙伟", "installer")
ADMIN: Final = Person("chen", "陈静", "admin")
PEOPLE: Final = (WORKER, WEST_WORKER, OPERATOR, INSTALLER, ADMIN)
VISITORS: Final = (WORKER, OPERATOR, INSTALLER)
"""Who can be played by a person who looks at the demo: the others have no link."""


def _registry() -> dict[str, Any]:
    return {
        "streets": streets(),
        "sites": [spot._asdict() for spot in SPOTS],
        "gateways": [
            {"id": name, "name": GATEWAY_NAMES[name], "site": name, "devices": _registered_devices(name)}
            for name in GATEWAYS
        ],
        "people": [
            {"login": one.login, "name": one.name, "roles": [one.role], **({"grids": [one.grid]} if one.grid else {})}
            for one in PEOPLE
        ],
    }


def _registered_devices(gateway: str) -> list[dict[str, str]]:
    devices = [{"id": "gateway", "name": "网关本机"}]
    for seat in SEATS:
        if seat.gateway == gateway:
            site = {"site": seat.device} if seat.bus == "street" else {}
            devices.append({"id": seat.device, "name": seat.name, **site})
    if gateway == WEST:
        devices.append({"id": CAMERA, "name": "垃圾房摄像机", "site": CAMERA})
    return devices


def _bus(seat: Seat) -> str:
    return f"{seat.gateway}-{seat.bus}"


def _free_ports(names: Iterable[str]) -> dict[str, int]:
    """A free loopback port for each name; all are held until the last is found, so that no two are the same."""
    with ExitStack() as held:
        ports = {}
        for name in names:
            listening = held.enter_context(socket.create_server(("127.0.0.1", 0)))
            ports[name] = listening.getsockname()[1]
        return ports


def _write(path: Path, text: str) -> None:
    """Write a file that only its owner may read, from its first moment on."""
    path.touch(mode=0o600)
    path.write_text(text, encoding="utf-8")


def _write_yaml(path: Path, document: dict[str, Any]) -> None:
    _write(path, yaml.safe_dump(document, allow_unicode=True, sort_keys=False))
