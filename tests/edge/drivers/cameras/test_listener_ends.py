"""What ends before it is whole at the camera listener: posts that are broken off, other protocols, and its own stop."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import httpx
import pytest
from structlog.testing import capture_logs

from edge.drivers.cameras.app import Patience
from edge.drivers.cameras.witness import Away, Witness
from tests.edge.drivers.cameras.stand import RIGHT, Site, begin_post

HELLO = b"\x16\x03\x01\x00\xc8\x01\x00\x00\xc4\x03\x03" + bytes(32)  # how TLS begins


class Ear(Witness):
    """Keeps what was turned away."""

    def __init__(self) -> None:
        self.told: asyncio.Queue[Away] = asyncio.Queue()

    def turned_away(self, away: Away) -> None:
        """Keep it."""
        self.told.put_nowait(away)

    async def next(self) -> Away:
        """Wait for one."""
        async with asyncio.timeout(20):
            return await self.told.get()


def site_of(folder: Path, ear: Witness, **patience: float) -> Site:
    return Site(folder, max_mb=1, patience=Patience(**patience), witness=ear)


async def test_a_camera_that_hangs_up_leaves_nothing_but_is_told(tmp_path: Path) -> None:
    """Half a post is no event, the listener goes on, and whoever sets up the camera is told who broke off what."""
    ear = Ear()
    site = site_of(tmp_path, ear)
    async with site.http, site.listener:
        _, writer = await begin_post(site, length=100, body=b'{"class": ')
        writer.close()
        await writer.wait_closed()
        assert await ear.next() == Away(0, "hung up before its post was whole", "127.0.0.1", RIGHT[0], "/v1/trigger")
        assert (await site.post_event()).status_code == 202
    assert len(site.kept) == 1


@pytest.mark.parametrize(
    ("sent", "words"),
    [(HELLO, "speaks TLS; this listener is plain HTTP"), (b"\0\x01hello\r\n", "is no HTTP")],
    ids=["tls", "other"],
)
async def test_what_speaks_something_else_is_told(tmp_path: Path, sent: bytes, words: str) -> None:
    """A camera that is set to https, or to a protocol of its vendor, is named with what to change, not passed over."""
    ear = Ear()
    site = site_of(tmp_path, ear)
    with capture_logs() as logged:
        async with site.http, site.listener:
            reader, writer = await asyncio.open_connection("127.0.0.1", site.config.port)
            writer.write(sent)
            await reader.read()
            writer.close()
            away = await ear.next()
    assert (away.status, away.address) == (0, "127.0.0.1")
    assert words in away.text
    assert [(each["log_level"], each["address"], each["error"]) for each in logged] == [
        ("warning", "127.0.0.1", away.text)
    ]


async def test_posts_under_way_are_finished_on_stopping(tmp_path: Path) -> None:
    """A post that is being committed when the agent stops is committed and answered; afterwards nobody listens."""
    site = Site(tmp_path, max_mb=1, patience=Patience())
    site.outbox.may_go_on.clear()
    async with site.http:
        async with site.listener:
            posting = asyncio.create_task(site.post_event())
            await site.outbox.begun.wait()
            asyncio.get_running_loop().call_later(0.2, site.outbox.may_go_on.set)
        assert (await posting).status_code == 202
        assert len(site.kept) == 1
        with pytest.raises(httpx.ConnectError):
            await site.post_event()


async def test_a_password_is_the_whole_first_line_as_editors_save_it(tmp_path: Path) -> None:
    """A byte order mark is none of it, nor is the end of a line of Windows; a blank within it is."""
    site = site_of(tmp_path, Witness())
    (tmp_path / "cam-1.password").write_bytes(b"\xef\xbb\xbfcorrect horse \r\nmore\r\n")
    async with site.http, site.listener:
        assert (await site.post(auth=("cam-1", "correct horse "), json={"class": "CAM.BIN"})).status_code == 202
        assert (await site.post(auth=RIGHT, json={"class": "CAM.BIN"})).status_code == 401


async def test_a_post_that_never_ends_does_not_hold_up_the_stop(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It is told to come again, and nothing of it stands in the log as a fault of the gateway."""
    site = site_of(tmp_path, Witness(), body_s=120, linger_s=120, stop_s=0.05)
    async with site.http:
        async with site.listener:
            reader, writer = await begin_post(site, length=100, body=b"abc")
        assert (await reader.readline()).startswith(b"HTTP/1.1 503")
        writer.close()
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR] == []
