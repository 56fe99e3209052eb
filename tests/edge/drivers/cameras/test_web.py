"""HTTP to a camera: https is verified, passwords go only where they may, and odd challenges do no harm."""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from edge.contract.camera_config import AskConfig
from edge.drivers.cameras.streams import EVENT_MANAGER
from edge.drivers.cameras.web import CameraWeb, SignInError, UnreachableError
from simulators.cameras.dahua import DahuaCamera
from simulators.cameras.http_side import Answer, Request
from tests.servers import free_ports


def own_certificate(folder: Path) -> tuple[ssl.SSLContext, Path]:
    """What a camera makes for itself: a certificate signed by nobody else."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "camera")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    certificate, secret = folder / "camera.crt", folder / "camera.key"
    certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    secret.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, secret)
    return context, certificate


def asked_at(url: str, folder: Path, *, ca_file: Path | None = None, password: str = "simulated") -> AskConfig:  # noqa: S107
    login = folder / "camera.login"
    login.write_text(f"{password}\n", encoding="utf-8")
    return AskConfig(url=url, username="anlan", password_file=login, ca_file=ca_file)


async def first_bytes(pull: AskConfig) -> bytes:
    async with CameraWeb(pull) as web, web.open(EVENT_MANAGER) as stream:
        return await anext(stream)


async def test_a_certificate_of_its_own_is_trusted_by_name(tmp_path: Path) -> None:
    """The certificate that gateway.yaml names is trusted, and no other: without it nothing is sent."""
    context, certificate = own_certificate(tmp_path)
    async with DahuaCamera(tls=context) as camera:
        assert b"Heartbeat" in await first_bytes(asked_at(camera.url, tmp_path, ca_file=certificate))
        with pytest.raises(
            UnreachableError, match=r"\(self-signed certificate\): save it as PEM and name it in ca_file"
        ):
            await first_bytes(asked_at(camera.url, tmp_path))
        assert camera.connections == 1


async def test_what_an_installer_can_mend_is_said_so(tmp_path: Path) -> None:
    """A wrong name, port, path or file of a certificate is told with what to check, not as an error of a library."""
    [port] = free_ports(1)
    async with Foreign() as camera:
        for url, ca_file, reason in (
            ("http://nobody.invalid", None, "nobody knows the name in url"),
            (f"http://127.0.0.1:{port}", None, "nothing listens at that address and port"),
            (camera.url, None, "status 404 for /cgi-bin/eventManager.cgi: of another brand"),
            (f"https://127.0.0.1:{port}", tmp_path / "camera.login", r"camera\.login: holds no certificate as PEM"),
        ):
            with pytest.raises(UnreachableError, match=reason):
                await first_bytes(asked_at(url, tmp_path, ca_file=ca_file))


async def test_a_certificate_for_another_name_is_said(tmp_path: Path) -> None:
    """To name it in ca_file would not help: it is there."""
    context, certificate = own_certificate(tmp_path)
    async with DahuaCamera(tls=context) as camera:
        url = camera.url.replace("127.0.0.1", "localhost")
        with pytest.raises(UnreachableError, match=r"Hostname mismatch.*url must name it so"):
            await first_bytes(asked_at(url, tmp_path, ca_file=certificate))


class Foreign(DahuaCamera):
    """A camera of another brand."""

    path = "/elsewhere"


class Basic(DahuaCamera):
    """A camera that wants the password itself."""

    asks_for_digest = False
    seen = ""

    async def answer(self, request: Request) -> Answer:
        self.seen = request.headers.get("authorization", "")
        if self.seen:
            return await super().answer(request)
        return Answer("401 Unauthorized", "text/html", b"<html>", 'WWW-Authenticate: Basic realm="x"\r\n')


async def test_no_password_goes_over_http(tmp_path: Path) -> None:
    """A camera that offers only Basic gets the password over https, and nothing over http."""
    context, certificate = own_certificate(tmp_path)
    async with Basic() as camera:
        with pytest.raises(SignInError, match="offers no Digest"):
            await first_bytes(asked_at(camera.url, tmp_path))
        assert camera.seen == ""
    async with Basic(tls=context) as camera:
        assert b"Heartbeat" in await first_bytes(asked_at(camera.url, tmp_path, ca_file=certificate))


class Puzzling(DahuaCamera):
    """A camera whose challenge nobody can answer."""

    asks_for_digest = False
    challenge = ""

    async def answer(self, request: Request) -> Answer:
        return Answer("401 Unauthorized", "text/html", b"x" * 1_000_000, f"WWW-Authenticate: {self.challenge}\r\n")


@pytest.mark.parametrize(
    "challenge",
    [
        'Digest realm="x", nonce="y", algorithm=ROT13',
        'Digest realm="x", nonce="y", qop="auth-int"',
        'Digest realm="x"',
        'Digest realm="x", nonce="y", algorithm=',
        "Digest nonsense",
        "Negotiate",
    ],
)
async def test_a_challenge_that_cannot_be_answered(challenge: str, tmp_path: Path) -> None:
    """Whatever a camera asks for, what comes of it is that it cannot be reached, with a reason without the password."""
    async with Puzzling() as camera:
        camera.challenge = challenge
        with pytest.raises(UnreachableError) as error:
            await first_bytes(asked_at(camera.url, tmp_path, password="correct horse"))
    assert "horse" not in str(error.value)


@pytest.mark.parametrize("oddity", ["algorithm=BOGUS", 'qop="auth-int"', 'qop="odd"'])
async def test_a_challenge_that_cannot_be_answered_is_forgotten(oddity: str, tmp_path: Path) -> None:
    """What comes after it fails as it did, and once the camera asks for what can be answered, it is."""
    async with Puzzling() as camera, CameraWeb(asked_at(camera.url, tmp_path)) as web:
        camera.challenge = f'Digest realm="x", nonce="y", {oddity}'
        for _ in range(2):
            with pytest.raises(UnreachableError, match="its Digest cannot be answered"):
                await web.post("/", b"", content_type="text/xml", wait_s=5)
        camera.challenge = 'Digest realm="x", nonce="y"'
        with pytest.raises(SignInError):
            await web.post("/", b"", content_type="text/xml", wait_s=5)


class Trickling(DahuaCamera):
    """A camera whose answer never ends."""

    asks_for_digest = False

    async def answer(self, request: Request) -> Answer:
        return Answer("200 OK", "text/xml", self.blanks())

    async def blanks(self) -> AsyncIterator[bytes]:
        while True:
            yield b" "
            await asyncio.sleep(0.02)


async def test_an_answer_that_trickles_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However often something comes, the whole answer has its time."""
    async with Trickling() as camera, CameraWeb(asked_at(camera.url, tmp_path)) as web:
        monkeypatch.setattr("edge.drivers.cameras.web.CONNECT_S", 0.1)
        with pytest.raises(UnreachableError, match=r"not whole within 0\.3 s"):
            await web.post("/", b"", content_type="text/xml", wait_s=0.2)


class Spoiling(DahuaCamera):
    """A camera that sends, within its answer over https, a record that nobody sealed."""

    async def _exchange(self, request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n")
        await writer.drain()
        os.write(writer.get_extra_info("socket").fileno(), b"\x17\x03\x03\x00\x20" + b"x" * 32)


async def test_a_broken_tls_record_loses_the_camera(tmp_path: Path) -> None:
    """What the layers below HTTP raise is told as a camera that cannot be reached."""
    context, certificate = own_certificate(tmp_path)
    async with Spoiling(tls=context) as camera:
        pull = asked_at(camera.url, tmp_path, ca_file=certificate)
        with pytest.raises(UnreachableError, match="SSLError"):
            await first_bytes(pull)
        async with CameraWeb(pull) as web:
            with pytest.raises(UnreachableError, match="SSLError"):
                await web.post("/", b"", content_type="text/xml", wait_s=5)


async def test_secrets_that_cannot_be_read(tmp_path: Path) -> None:
    """A password or certificate that is gone is said by the name of its file; the camera is asked again later."""
    pull = asked_at("https://127.0.0.1:9", tmp_path)
    pull.password_file.unlink()
    with pytest.raises(UnreachableError, match=r"camera\.login: No such file"):
        await first_bytes(pull)
