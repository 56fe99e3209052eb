"""The demo's broker lets in who is in its users file; the proxy before it can be cut and mended."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from simulators.broker import UsersFileError, read_users
from simulators.tcp_proxy import TcpProxy


def write_users(path: Path, text: str, mode: int = 0o600) -> Path:
    path.write_text(text)
    path.chmod(mode)
    return path


def test_users_are_read(tmp_path: Path) -> None:
    """Names and passwords are taken as they are; a password may hold a colon."""
    path = write_users(tmp_path / "users", "gw-1:secret\ncloud:a:b\n")
    assert read_users(path) == {"gw-1": "secret", "cloud": "a:b"}


@pytest.mark.parametrize(
    ("text", "mode", "said"),
    [("gw-1:secret\n", 0o640, "chmod 600"), ("gw-1\n", 0o600, "users:1: expected name:password"), (":x", 0o600, ":1:")],
)
def test_a_bad_users_file_is_refused(tmp_path: Path, text: str, mode: int, said: str) -> None:
    """A file that others may read, or a line that is no name and password, is refused."""
    with pytest.raises(UsersFileError, match=said):
        read_users(write_users(tmp_path / "users", text, mode))


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(100):
        writer.write(data)
    writer.close()


async def test_the_proxy_passes_is_cut_and_mended() -> None:
    """Bytes pass both ways; a cut ends what is connected and refuses what comes; mended, it passes again."""
    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    target_port = server.sockets[0].getsockname()[1]
    async with server, TcpProxy(port=0, target_port=target_port) as proxy:
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        writer.write(b"ping")
        assert await reader.readexactly(4) == b"ping"
        await proxy.cut()
        assert await reader.read() == b""
        writer.close()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", proxy.port)
        await proxy.mend()
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        writer.write(b"pong")
        assert await reader.readexactly(4) == b"pong"
        writer.close()
