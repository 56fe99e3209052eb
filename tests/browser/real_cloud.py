"""A whole cloud in processes of its own, and what may be beside it: a broker, a gateway's agent, a simulated device."""

from __future__ import annotations

import asyncio
import sys
from asyncio.subprocess import PIPE, STDOUT
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from edge.contract.config_file import in_yaml
from tests import layout
from tests.servers import Mosquitto

READY_S = 60
REGISTRY = layout.ROOT / "firmware_configs" / "registries" / "heping.yaml"
GROUND = layout.ROOT / "simulators" / "scenarios" / "heping.geojson"


@asynccontextmanager
async def program(*arguments: str, ready: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run ``python -m ARGUMENTS`` until left; entered once a line that it says has the words `ready`."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-u", "-m", *arguments, stdout=PIPE, stderr=STDOUT, cwd=layout.ROOT
    )
    said: list[str] = []
    is_ready = asyncio.Event()
    listening = asyncio.create_task(_listen(process, said, ready, is_ready))
    try:
        async with asyncio.timeout(READY_S):
            await is_ready.wait()
        assert process.returncode is None, "".join(said)
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()
        await listening


async def _listen(process: asyncio.subprocess.Process, said: list[str], ready: str, is_ready: asyncio.Event) -> None:
    """Keep what a program says, until its end."""
    assert process.stdout is not None
    while line := (await process.stdout.readline()).decode():
        said.append(line)
        if ready in line:
            is_ready.set()
    await process.wait()
    is_ready.set()  # it has ended: there is nothing to wait for


async def run(*arguments: str) -> str:
    """Run ``python -m ARGUMENTS`` to its end, which must be good; return what it printed."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", *arguments, stdout=PIPE, stderr=PIPE, cwd=layout.ROOT
    )
    output, errors = await process.communicate()
    assert process.returncode == 0, f"{' '.join(arguments)}\n{output.decode()}{errors.decode()}"
    return output.decode()


class RealCloud:
    """The files of a cloud and of gateways in `folder`, with the people and grids of the example registry."""

    def __init__(self, folder: Path, broker: Mosquitto, users: Sequence[str], *, port: int) -> None:
        self.folder, self.url = folder, f"http://127.0.0.1:{port}"
        self._broker, self._users, self._port = broker, users, port
        self.config = folder / "cloud.yaml"

    def password_file(self, user: str) -> Path:
        """Where the password of one of the broker's users lies."""
        return self.folder / f"{user}.password"

    async def prepare(self) -> None:
        """Write the files, make the database and load the registry."""
        for user in self._users:
            self.password_file(user).touch(mode=0o600)
            self.password_file(user).write_text(f"secret of {user}\n")
        broker = {"host": "127.0.0.1", "port": self._broker.port}
        settings: dict[str, Any] = {
            "data_dir": str(self.folder / "cloud"),
            "broker": {**broker, "username": "cloud", "password_file": str(self.password_file("cloud"))},
            "api": {"host": "127.0.0.1", "port": self._port},
            "map": {"geojson": str(GROUND), "attribution": "虚构地图"},
            "new_gateways": {
                **broker,
                "tls": False,
                "username": "new",
                "password_file": str(self.password_file("new")),
                "data_dir": str(self.folder / "{gateway}"),
            },
        }
        self.config.write_text("".join(f"{key}: {in_yaml(value)}\n" for key, value in settings.items()))
        await run("cloud", "init", "--config", str(self.config))
        await run("cloud", "registry", "load", str(REGISTRY), "--config", str(self.config))

    async def link(self, login: str) -> str:
        """Return a one-time link of somebody."""
        return (await run("cloud", "user", "link", login, "--config", str(self.config))).split()[-1]
