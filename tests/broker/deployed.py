"""A Mosquitto on exactly what deploy/mosquitto has, with keys made as operators and installers make them."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from cloud.access.authority import Authority
from cloud.access.certificates import Key, Request, Signer, key_to_pem, new_key
from cloud.access.password_file import set_password
from edge.contract.broker_config import BrokerConfig, TlsConfig
from edge.identity import accept, find_identity, make_request
from tests import layout
from tests.servers import Mosquitto, free_ports, is_accepting

DEPLOY = layout.ROOT / "deploy" / "mosquitto"
DAY_MS = 86_400_000
HOST = "localhost"


class Deployed(Mosquitto):
    """A broker with the listeners of anlan.conf on free ports; of anlan.conf only ports and paths are changed."""

    def __init__(self, folder: Path, *, broker_files: Path) -> None:
        super().__init__(folder)
        self.broker_files = broker_files
        self.by_password, self.by_certificate, self.for_clouds = free_ports(3)

    def command(self) -> list[str]:
        """Write Debian's mosquitto.conf as far as it matters, and anlan.conf."""
        lines = ["persistence true", f"persistence_location {self.folder}/"]
        if os.geteuid() == 0:
            lines.append("user root")  # as user mosquitto it could not write into our folder
        text = (DEPLOY / "anlan.conf").read_text()
        for there, here in (
            ("/etc/mosquitto/anlan/", f"{self.broker_files}/"),
            ("/etc/mosquitto/anlan.acl", f"{DEPLOY}/anlan.acl"),
            ("listener 8883", f"listener {self.by_password}"),
            ("listener 8884", f"listener {self.by_certificate}"),
            ("listener 8885", f"listener {self.for_clouds}"),
        ):
            assert there in text
            text = text.replace(there, here)
        config = self.folder / "mosquitto.conf"
        config.write_text("\n".join(lines) + "\n" + text)
        return [self.program() or "mosquitto", "-c", str(config)]

    def is_ready(self) -> bool:
        """Whether the last of its listeners accepts connections."""
        return is_accepting(self.for_clouds)

    def reload(self) -> None:
        """Do what `systemctl reload mosquitto` does; it has read its files before it serves anybody again."""
        assert self._process is not None
        before = self.log.read_text().count("Reloading config")
        self._process.send_signal(signal.SIGHUP)
        deadline = time.monotonic() + 10
        while self.log.read_text().count("Reloading config") == before:
            assert time.monotonic() < deadline, "not reloaded"
            time.sleep(0.01)


class Keys:
    """An authority with what it made for the broker and the cloud, and ways in for gateways."""

    def __init__(self, folder: Path, *, hosts: tuple[str, ...] = (HOST, "127.0.0.1")) -> None:
        self.folder = folder
        self.authority = Authority(folder / "authority", folder / "broker")
        self.cloud_files = folder / "cloud"
        self.passwords = self.authority.broker_files / "passwords"
        self.authority.make(hosts, self.cloud_files, now_ms=now_ms())

    @property
    def signer(self) -> Signer:
        """The authority itself, for certificates that no command would make."""
        pem = (self.authority.folder / "authority.key").read_bytes()
        return Signer.read(pem, self.authority.authority_pem())

    def cloud(self, port: int) -> BrokerConfig:
        """How the cloud enters."""
        tls = TlsConfig(
            ca_file=self.cloud_files / "ca.crt",
            certificate_file=self.cloud_files / "cloud.crt",
            key_file=self.cloud_files / "cloud.key",
        )
        return BrokerConfig(host=HOST, port=port, tls=tls, keepalive_s=5)

    def by_password(self, gateway: str, port: int, *, password: str | None = None) -> BrokerConfig:
        """How a gateway enters with the password it gets here, or with another one."""
        file = self.folder / f"password-{len(list(self.folder.glob('password-*')))}"
        file.touch(mode=0o600)
        file.write_text(set_password(self.passwords, gateway) if password is None else password)
        tls = TlsConfig(ca_file=self.cloud_files / "ca.crt")
        return BrokerConfig(host=HOST, port=port, username=gateway, password_file=file, tls=tls, keepalive_s=5)

    def by_certificate(self, gateway: str, port: int) -> BrokerConfig:
        """How a gateway enters with the certificate that it asks for and gets here."""
        folder = self.folder / gateway
        folder.mkdir()
        (folder / "gateway.yaml").write_text(f"gateway: {gateway}\n")
        identity = find_identity(folder / "gateway.yaml")
        make_request(identity, renew=False)
        _, certificate = self.authority.sign(identity.request_file.read_bytes(), {gateway}, now_ms=now_ms())
        signed = folder / "signed.crt"
        signed.write_bytes(certificate.pem + self.authority.authority_pem())
        accept(identity, signed, now_ms=now_ms())
        tls = TlsConfig(
            ca_file=identity.ca_file, certificate_file=identity.certificate_file, key_file=identity.key_file
        )
        return BrokerConfig(host=HOST, port=port, tls=tls, keepalive_s=5)

    def forged(self, name: str, port: int, *, signer: Signer | None = None, from_day: int = 0) -> BrokerConfig:
        """How somebody would enter with a certificate of this name that begins on this day and lasts one."""
        key = new_key()
        request = Request(name, key.public_key())
        certificate = (signer or self.signer).sign_gateway(request, now_ms=now_ms() + from_day * DAY_MS, days=1)
        return self.with_pem(certificate.pem, key, port)

    def with_pem(self, pem: bytes, key: Key, port: int) -> BrokerConfig:
        """How somebody would enter with this certificate."""
        number = len(list(self.folder.glob("forged-*.crt")))
        certificate_file, key_file = (self.folder / f"forged-{number}.{end}" for end in ("crt", "key"))
        certificate_file.write_bytes(pem)
        key_file.touch(mode=0o600)
        key_file.write_bytes(key_to_pem(key))
        tls = TlsConfig(ca_file=self.cloud_files / "ca.crt", certificate_file=certificate_file, key_file=key_file)
        return BrokerConfig(host=HOST, port=port, tls=tls, keepalive_s=5)


def now_ms() -> int:
    """The machine's clock, which Mosquitto looks at too."""
    return time.time_ns() // 1_000_000
