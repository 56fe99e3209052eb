"""Who gets into the broker, and who does not: by which door, with which certificate or password, until when."""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from cloud.access import CLOUD_USER
from cloud.access.certificates import Signer, make_client, new_key
from cloud.access.password_file import remove_password, set_password
from edge.contract.broker_config import BrokerConfig, TlsConfig
from edge.contract.mqtt import DisconnectedError, MqttError, RefusedError, connect
from tests.broker.conftest import Closed, StartClosed
from tests.broker.deployed import DEPLOY, Keys, now_ms

CONNECT_311 = b"\x10\x10\x00\x04MQTT\x04\x02\x00\x3c\x00\x04gw-1"


async def refusal(broker: BrokerConfig) -> str:
    """Why the broker does not let somebody in; empty when it does."""
    try:
        async with connect(broker, client_id="any"):
            return ""
    except MqttError as error:
        return str(error)


def _self_signed(keys: Keys, name: str, port: int) -> BrokerConfig:
    key = new_key()
    return keys.with_pem(make_client(key, name, now_ms=now_ms(), days=1).pem, key, port)


def _of_server(keys: Keys, port: int) -> BrokerConfig:
    files = keys.authority.broker_files
    tls = TlsConfig(ca_file=files / "ca.crt", certificate_file=files / "server.crt", key_file=files / "server.key")
    return BrokerConfig(host="localhost", port=port, tls=tls)


Forge = Callable[[Keys, int], BrokerConfig]

FORGED: dict[str, tuple[Forge, str]] = {
    "expired": (lambda keys, port: keys.forged("gw-1", port, from_day=-2), "our certificate has ended: renew it"),
    "not yet valid": (lambda keys, port: keys.forged("gw-1", port, from_day=2), "it does not take our certificate"),
    "of an unknown authority": (
        lambda keys, port: keys.forged("gw-1", port, signer=Signer.make(now_ms=now_ms(), days=1)),
        "it does not know the authority of our certificate",
    ),
    "of an authority of the same name": (
        lambda keys, port: keys.forged("gw-1", port, signer=Signer(new_key(), keys.signer.certificate)),
        "it does not know the authority of our certificate",
    ),
    "self-signed": (
        lambda keys, port: _self_signed(keys, "gw-1", port),
        "it does not know the authority of our certificate",
    ),
    "the broker's own": (_of_server, "it does not take our certificate"),
    "the cloud's": (lambda keys, port: keys.cloud(port), "it does not know the authority of our certificate"),
    "none": (
        lambda keys, port: keys.by_password("gw-1", port, password="any"),
        "it asks for a certificate: give tls.certificate_file and tls.key_file",
    ),
}


@pytest.mark.parametrize("what", FORGED)
async def test_a_certificate_that_is_not_right_opens_nothing(closed: Closed, what: str) -> None:
    """At the gateways' door, none but a valid certificate of our authority gets in; the reason is said."""
    forge, reason = FORGED[what]
    assert reason in await refusal(forge(closed.keys, closed.broker.by_certificate))


async def test_the_clouds_door_is_for_clouds(closed: Closed) -> None:
    """Neither a gateway's certificate, nor one of the cloud's name from our own authority, opens the clouds' door."""
    port = closed.broker.for_clouds
    assert await refusal(closed.cloud) == ""
    gateway = closed.gateways["gw-1", "certificate"].model_copy(update={"port": port})
    for broker in (gateway, closed.keys.forged(CLOUD_USER, port), _self_signed(closed.keys, CLOUD_USER, port)):
        assert "does not let us in" in await refusal(broker)


@pytest.mark.parametrize(
    ("user", "password"),
    [
        ("gw-1", "wrong"),
        ("gw-9", "wrong"),
        ("gw-1", "gw-1"),
        (CLOUD_USER, "wrong"),
        ("", ""),
        ("+", "x"),
        ("GW-1", "x"),
    ],
)
async def test_a_wrong_password_opens_nothing(closed: Closed, user: str, password: str) -> None:
    """Neither a wrong password, nor an unknown name, nor none at all gets in."""
    port = closed.broker.by_password
    broker = BrokerConfig(host="127.0.0.1", port=port, tls=TlsConfig(ca_file=closed.keys.cloud_files / "ca.crt"))
    if user:
        broker = closed.keys.by_password(user, port, password=password)
    assert "not authorized" in await refusal(broker)


async def test_the_password_of_another_opens_nothing(closed: Closed) -> None:
    """A password is good with its own name alone."""
    theirs = closed.gateways["gw-2", "password"]
    assert await refusal(theirs) == ""
    assert "not authorized (user gw-1)" in await refusal(theirs.model_copy(update={"username": "gw-1"}))


def listeners() -> dict[str, list[str]]:
    """The listeners of anlan.conf: address -> its lines."""
    _, *parts = re.split(r"^listener ", (DEPLOY / "anlan.conf").read_text(), flags=re.MULTILINE)
    return {part.splitlines()[0]: part.splitlines()[1:] for part in parts}


def test_every_door_is_shut_by_tls() -> None:
    """No listener is without TLS 1.2, nobody is anonymous, and no gateway can choose its client id."""
    found = listeners()
    assert list(found) == ["8883", "8884", "8885"]
    for port, lines in found.items():
        assert {"tls_version tlsv1.2", "certfile /etc/mosquitto/anlan/server.crt"} <= set(lines)
        assert any(line.startswith("max_connections ") for line in lines)
        assert ("use_username_as_clientid true" in lines) == (port != "8885")
        assert ("require_certificate true" in lines) == (port != "8883")
    assert "allow_anonymous false" in (DEPLOY / "anlan.conf").read_text()


def test_no_door_takes_plaintext(closed: Closed) -> None:
    """A plaintext CONNECT is answered by no CONNACK at any door, on loopback or elsewhere."""
    for port in (closed.broker.by_password, closed.broker.by_certificate, closed.broker.for_clouds):
        for address in ("127.0.0.1", "127.0.0.2"):
            with socket.create_connection((address, port), timeout=10) as plain:
                plain.sendall(CONNECT_311)
                with suppress(ConnectionResetError):
                    assert not plain.recv(100).startswith(b"\x20")


@pytest.mark.filterwarnings("ignore:.*TLSv1_1 is deprecated")
def test_no_door_takes_old_tls(closed: Closed) -> None:
    """TLS 1.1 and ciphers without forward secrecy are refused; TLS 1.2 and 1.3 are spoken."""
    assert _spoken(closed, ssl.TLSVersion.TLSv1_3) == "TLSv1.3"
    assert _spoken(closed, ssl.TLSVersion.TLSv1_2) == "TLSv1.2"
    for version, ciphers in ((ssl.TLSVersion.TLSv1_1, "ALL:@SECLEVEL=0"), (ssl.TLSVersion.TLSv1_2, "AES128-SHA")):
        with pytest.raises((ssl.SSLError, ConnectionError)):
            _spoken(closed, version, ciphers)


def _spoken(closed: Closed, version: ssl.TLSVersion, ciphers: str = "DEFAULT") -> str | None:
    context = ssl.create_default_context(cafile=closed.keys.cloud_files / "ca.crt")
    context.minimum_version = context.maximum_version = version
    context.set_ciphers(ciphers)
    with (
        socket.create_connection(("127.0.0.1", closed.broker.by_password), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as secured,
    ):
        return secured.version()


async def test_a_new_password_ends_the_old_one(start_closed: StartClosed, tmp_path: Path) -> None:
    """After a reload the new password opens, the old one does not, and who came in by it is out; others stay."""
    closed = start_closed(tmp_path)
    old = closed.gateways["gw-1", "password"]
    async with (
        connect(old, client_id="any") as held,
        connect(closed.gateways["gw-2", "password"], client_id="any") as other,
    ):
        (tmp_path / "new").write_text(set_password(closed.keys.passwords, "gw-1"))
        await asyncio.to_thread(closed.broker.reload)
        with pytest.raises(DisconnectedError):
            await held.publish("anlan/v1/gw-1/batch", b"")
        await other.publish("anlan/v1/gw-2/batch", b"")
    assert "not authorized" in await refusal(old)
    assert await refusal(old.model_copy(update={"password_file": tmp_path / "new"})) == ""


async def test_what_was_revoked_opens_nothing(start_closed: StartClosed, tmp_path: Path) -> None:
    """A revoked certificate is refused from the next reload on, a removed password too; another gateway's are not."""
    closed = start_closed(tmp_path)
    assert closed.keys.authority.revoke("gw-1", now_ms=now_ms()) == 1
    assert remove_password(closed.keys.passwords, "gw-1")
    await asyncio.to_thread(closed.broker.reload)
    assert "our certificate was revoked" in await refusal(closed.gateways["gw-1", "certificate"])
    assert "not authorized" in await refusal(closed.gateways["gw-1", "password"])
    assert [await refusal(closed.gateways["gw-2", way]) for way in ("certificate", "password")] == ["", ""]


async def test_a_restart_ends_the_connection_of_a_revoked_certificate(
    start_closed: StartClosed, tmp_path: Path
) -> None:
    """An open connection outlives a reload, which is why the commands say restart; it does not outlive that."""
    closed = start_closed(tmp_path)
    async with connect(closed.gateways["gw-1", "certificate"], client_id="any") as held:
        closed.keys.authority.revoke("gw-1", now_ms=now_ms())
        await asyncio.to_thread(closed.broker.reload)
        await held.publish("anlan/v1/gw-1/batch", b"")
        await asyncio.to_thread(closed.broker.restart)
        with pytest.raises(DisconnectedError):
            await held.publish("anlan/v1/gw-1/batch", b"")
    assert "revoked" in await refusal(closed.gateways["gw-1", "certificate"])


async def test_new_keys_of_broker_and_cloud(start_closed: StartClosed, tmp_path: Path) -> None:
    """After `ca renew` and a restart, the cloud's new key opens, its old one does not, and gateways notice nothing."""
    closed = start_closed(tmp_path)
    old = tmp_path / "old"
    old.mkdir()
    for name in ("cloud.crt", "cloud.key"):
        (old / name).write_bytes((closed.keys.cloud_files / name).read_bytes())
    closed.keys.authority.renew(["localhost"], closed.keys.cloud_files, now_ms=now_ms())
    await asyncio.to_thread(closed.broker.restart)
    assert await refusal(closed.cloud) == ""
    assert [await refusal(broker) for broker in closed.gateways.values()] == [""] * 4
    assert closed.cloud.tls is not None
    tls = closed.cloud.tls.model_copy(update={"certificate_file": old / "cloud.crt", "key_file": old / "cloud.key"})
    assert "does not let us in" in await refusal(closed.cloud.model_copy(update={"tls": tls}))


# --- our side: TLS that fails is no connection, and never one without TLS ---


async def test_a_broker_that_is_not_ours_is_not_spoken_to(start_closed: StartClosed, tmp_path: Path) -> None:
    """Another authority, another name and an expired certificate of the broker are refused, and the reason is said."""
    closed = start_closed(tmp_path)
    ours = closed.gateways["gw-1", "password"]
    other = Keys(tmp_path / "other")
    stranger = ours.model_copy(update={"tls": TlsConfig(ca_file=other.cloud_files / "ca.crt")})
    with pytest.raises(RefusedError, match=r"its certificate is not trusted: .*: check host and tls.ca_file"):
        async with connect(stranger, client_id="any"):
            pass
    assert "is not trusted" in await refusal(ours.model_copy(update={"tls": TlsConfig()}))
    for hosts, age_days, reason in (
        (["mqtt.example.org"], 0, "Hostname mismatch"),
        (["localhost"], 6 * 365, "certificate has expired"),
        (["localhost"], -2, "certificate is not yet valid"),
    ):
        at_ms = now_ms() - age_days * 86_400_000
        closed.keys.authority.renew(hosts, closed.keys.cloud_files, now_ms=at_ms)
        await asyncio.to_thread(closed.broker.restart)
        assert reason in await refusal(ours)


async def test_tls_never_falls_back_to_clear_text(closed: Closed) -> None:
    """Who strips TLS, by answering in clear text or by hanging up, hears a ClientHello and never a name or password."""
    heard: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.read(65_536))
        if len(heard) % 2:
            writer.write(b"\x20\x02\x00\x00")  # a CONNACK: come in
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    for way in ("password", "certificate", "password", "certificate"):
        broker = closed.gateways["gw-1", way].model_copy(update={"host": "127.0.0.1", "port": port})
        assert await refusal(broker) != ""
    server.close()
    await server.wait_closed()
    assert len(heard) == 4
    for data in heard:
        assert data.startswith(b"\x16\x03")
        assert b"MQTT" not in data
        assert b"gw-1" not in data
