"""The gateway's key, its request, and which certificates it takes: `edge request` and `edge accept`, as typed."""

from __future__ import annotations

import re
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from typer.testing import CliRunner

from cloud.access.authority import Authority
from cloud.access.certificates import Certificate, Request, Signer, new_key, read_request
from edge.cli import app

DAY_MS = 86_400_000
GATEWAY_YAML = "gateway: gw-7\nbroker: {host: mqtt.example.org, port: 8883}\n"


@dataclass
class Gateway:
    """A folder with a gateway.yaml, and an authority beside it."""

    folder: Path
    authority: Authority

    def run(self, *arguments: str, code: int = 0) -> str:
        """Run a command; return what it said, on which end as its exit code wants."""
        config = str(self.folder / "gateway.yaml")
        done = CliRunner().invoke(app, [*arguments, "--config", config])
        assert done.exit_code == code, done.output
        assert not (done.stdout if code else done.stderr)
        return (done.stderr if code else done.stdout).replace(f"{self.folder}/", "")

    def signed(self, certificate: Certificate | None = None, *, more: bytes | None = None) -> str:
        """Let the authority sign the request, unless a certificate is given; return the file."""
        if certificate is None:
            pem = (self.folder / "gw-7.csr").read_bytes()
            _, certificate = self.authority.sign(pem, {"gw-7"}, now_ms=now_ms())
        path = self.folder / "gw-7.crt"
        path.write_bytes(certificate.pem + (self.authority.authority_pem() if more is None else more))
        return str(path)

    def forge(self, name: str = "gw-7", *, from_day: int = 0, key: ec.EllipticCurvePublicKey | None = None) -> str:
        """Sign what no command would; return the file."""
        asked = Request(name, key or read_request((self.folder / "gw-7.csr").read_bytes()).public_key)
        signer = Signer.read((self.authority.folder / "authority.key").read_bytes(), self.authority.authority_pem())
        return self.signed(signer.sign_gateway(asked, now_ms=now_ms() + from_day * DAY_MS, days=1))


def now_ms() -> int:
    return time.time_ns() // 1_000_000


@pytest.fixture
def gateway(tmp_path: Path) -> Gateway:
    folder = tmp_path / "gateway"
    folder.mkdir()
    (folder / "gateway.yaml").write_text(GATEWAY_YAML)
    authority = Authority(tmp_path / "authority", tmp_path / "broker")
    authority.make(["localhost"], tmp_path / "cloud", now_ms=now_ms())
    return Gateway(folder, authority)


def test_a_key_is_made_and_asked_for(gateway: Gateway) -> None:
    """The key is its owner's alone and not in the request, which proves it and has the gateway's name and no other."""
    said = gateway.run("request")
    assert "key made for gw-7: secrets/gateway.key, which stays here" in said
    assert "bring it to the cloud, and type there: ./anlan cloud gateway sign gw-7.csr" in said
    key, request = gateway.folder / "secrets" / "gateway.key", gateway.folder / "gw-7.csr"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert "PRIVATE" not in request.read_text()
    asked = read_request(request.read_bytes())
    assert asked.name == "gw-7"
    assert isinstance(asked.public_key.curve, ec.SECP256R1)  # type: ignore[union-attr]
    assert asked.key.upper() in said.replace(":", "")


def test_a_key_is_never_lost(gateway: Gateway) -> None:
    """A second request changes nothing; with --renew it asks for the same key again."""
    gateway.run("request")
    key = (gateway.folder / "secrets" / "gateway.key").read_bytes()
    said = gateway.run("request", code=1)
    assert (
        "secrets/gateway.key: is there already. For a new certificate of this key: ./anlan edge request --ren" in said
    )
    assert "key of gw-7" in gateway.run("request", "--renew")
    assert (gateway.folder / "secrets" / "gateway.key").read_bytes() == key


def test_a_signed_certificate_is_put_in_place(gateway: Gateway) -> None:
    """It is checked, put where gateway.yaml names it, or is told to; and so is that of the authority."""
    gateway.run("request")
    said = gateway.run("accept", gateway.signed())
    assert re.search(r"^gw-7: certificate in place, valid until \d{4}-\d\d-\d\d$", said, re.MULTILINE)
    names = "ca_file: secrets/ca.crt, certificate_file: secrets/gateway.crt, key_file: secrets/gateway.key"
    assert said.endswith(f"  port: 8884\n  tls: {{{names}}}\n")
    assert (gateway.folder / "secrets" / "ca.crt").read_bytes() == gateway.authority.authority_pem()
    [certificate] = x509.load_pem_x509_certificates((gateway.folder / "secrets" / "gateway.crt").read_bytes())
    assert certificate.subject.rfc4514_string() == "CN=gw-7"


def test_what_gateway_yaml_names_is_used(gateway: Gateway) -> None:
    """gateway.yaml may name the files before they are there; renewing takes the agent no restart."""
    tls = "{ca_file: ca.pem, certificate_file: own/me.pem, key_file: own/me.key}"
    (gateway.folder / "gateway.yaml").write_text(GATEWAY_YAML.replace("8883", f"8884, tls: {tls}"))
    for option in ((), ("--renew",)):
        gateway.run("request", *option)
        assert gateway.run("accept", gateway.signed()).endswith("the agent takes it at its next connection\n")
    assert sorted(path.name for path in (gateway.folder / "own").iterdir()) == ["me.key", "me.pem"]
    assert (gateway.folder / "ca.pem").exists()


Forge = Callable[[Gateway], str]


def _of_another_authority(gateway: Gateway) -> str:
    gateway.run("accept", gateway.signed())
    other = Authority(gateway.folder / "other", gateway.folder / "other-broker")
    other.make(["localhost"], gateway.folder / "other-cloud", now_ms=now_ms())
    _, certificate = other.sign((gateway.folder / "gw-7.csr").read_bytes(), {"gw-7"}, now_ms=now_ms())
    return gateway.signed(certificate, more=other.authority_pem())


def _of_the_broker(gateway: Gateway) -> str:
    pem = (gateway.authority.broker_files / "server.crt").read_bytes()
    return gateway.signed(Certificate.from_pem(pem))


def _mixed(gateway: Gateway) -> str:
    other = Signer.make(now_ms=now_ms(), days=1)
    return gateway.signed(more=Certificate.of(other.certificate).pem)


REFUSED: dict[str, tuple[Forge, str]] = {
    "another's": (lambda gateway: gateway.forge("gw-8"), r"gw-7.crt: is for 'gw-8', this is gw-7"),
    "another key's": (
        lambda gateway: gateway.forge(key=new_key().public_key()),
        r"gw-7.crt: is for another key than secrets/gateway.key: was it made from this gateway's request\?",
    ),
    "ended": (
        lambda gateway: gateway.forge(from_day=-3),
        r"gw-7.crt: ended 20\d\d-\d\d-\d\d: make a new request with ./anlan edge request --renew",
    ),
    "not begun": (
        lambda gateway: gateway.forge(from_day=3),
        r"gw-7.crt: is valid from 20\d\d-[\d: -]+ UTC, here it is 20\d\d-[\d: -]+: set the clock",
    ),
    "of another authority": (_of_another_authority, "gw-7.crt: comes from another authority than secrets/ca.crt"),
    "the broker's": (_of_the_broker, "gw-7.crt: is for 'localhost', this is gw-7"),
    "mixed": (_mixed, "gw-7.crt: the two certificates in it do not belong together"),
    "alone": (lambda gateway: gateway.signed(more=b""), "gw-7.crt: expected two certificates, .*, found 1"),
    "a request": (lambda gateway: str(gateway.folder / "gw-7.csr"), "gw-7.csr: is no certificate"),
    "not there": (lambda gateway: str(gateway.folder / "none.crt"), "none.crt: No such file or directory"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_a_certificate_is_refused(gateway: Gateway, what: str) -> None:
    """One that would not let this gateway in is not put in place; one line says why, and what was there stays."""
    gateway.run("request")
    forge, reason = REFUSED[what]
    file = forge(gateway)
    place = gateway.folder / "secrets"
    before = {path.name: path.read_bytes() for path in place.iterdir()}
    said = gateway.run("accept", file, code=1)
    assert re.match(reason, said), said
    assert said.count("\n") == 1
    assert {path.name: path.read_bytes() for path in place.iterdir()} == before


def test_a_certificate_without_a_key(gateway: Gateway) -> None:
    """Without a key there is nothing to accept for or to renew, and the error says what makes one."""
    gateway.run("request")
    file = gateway.signed()
    (gateway.folder / "secrets" / "gateway.key").unlink()
    for arguments in (("accept", file), ("request", "--renew")):
        assert "gateway.key: no key yet: make it with ./anlan edge request\n" in gateway.run(*arguments, code=1)
    (gateway.folder / "secrets" / "gateway.key").write_text("nothing")
    assert "is no private key that can be used" in gateway.run("request", "--renew", code=1)


def test_a_wrong_gateway_yaml(gateway: Gateway) -> None:
    """Without a right id nothing is made, and the fault is said as ever: file, line, key, reason."""
    (gateway.folder / "gateway.yaml").write_text("devices: []\ngateway: GW 7\n")
    assert gateway.run("request", code=2).startswith("gateway.yaml:2: gateway: expected small letters")
    (gateway.folder / "gateway.yaml").write_text("devices: []\n")
    assert gateway.run("request", code=2).startswith("gateway.yaml:1: gateway: expected small letters")
    assert not (gateway.folder / "secrets").exists()


def test_the_agent_loads_no_cryptography() -> None:
    """The program that runs on a gateway for years does not hold in memory what is needed once a year."""
    program = "import sys, edge.cli, edge.agent; sys.exit('cryptography' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
