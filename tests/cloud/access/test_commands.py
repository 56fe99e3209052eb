"""`./anlan cloud ca …` and `./anlan cloud gateway …` as a person types them."""

from __future__ import annotations

import re
import stat
from dataclasses import dataclass
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cloud.access.authority import Authority
from cloud.cli import app
from cloud.config import load_cloud_config
from edge.contract.clock import SystemClock
from edge.identity import find_identity, make_request
from tests.cloud.databases import add_neighbourhood, new_sqlite

PASSWORD = re.compile(r"^[a-z2-9]{5}(-[a-z2-9]{5}){4}$", re.MULTILINE)
RESTART = "On the broker's machine, type: systemctl restart mosquitto   (a reload leaves open connections open)\n"
DAY_MS = 86_400_000


@dataclass
class Site:
    """A folder with a cloud.yaml whose registry has gw-1."""

    folder: Path

    def run(self, *arguments: str, code: int = 0) -> str:
        """Run a command; return what it said, on which end as its exit code wants."""
        done = CliRunner().invoke(app, [*arguments, "--config", str(self.folder / "cloud.yaml")])
        assert done.exit_code == code, done.output
        assert not (done.stdout if code else done.stderr)
        return (done.stderr if code else done.stdout).replace(f"{self.folder}/", "")

    def request(self, gateway: str) -> str:
        """Make a request as that gateway does; return the file."""
        folder = self.folder / f"of-{gateway}"
        folder.mkdir(exist_ok=True)
        (folder / "gateway.yaml").write_text(f"gateway: {gateway}\n")
        identity = find_identity(folder / "gateway.yaml")
        make_request(identity, renew=identity.key_file.exists())
        return str(identity.request_file)

    @property
    def authority(self) -> Authority:
        return Authority(self.folder / "data" / "authority", self.folder / "data" / "broker", leaf_days=10)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    (tmp_path / "cloud.yaml").write_text("data_dir: data\n")
    (tmp_path / "data").mkdir()
    with new_sqlite(tmp_path / "data" / "cloud.db") as database:
        database.write_now(add_neighbourhood)
    return Site(tmp_path)


def test_from_nothing_to_a_gateway_with_a_certificate(site: Site) -> None:
    """Each command says what it made, where it is, and what to type next; what it tells to write can be loaded."""
    said = site.run("ca", "init", "--host", "mqtt.example.org", "--host", "192.0.2.7")
    assert "authority made in data/authority, valid until 20" in said
    assert "for the broker, in data/broker: ca.crt clouds.crt server.crt server.key revoked.crl" in said
    files = "ca_file: secrets/ca.crt, certificate_file: secrets/cloud.crt, key_file: secrets/cloud.key"
    section = f"broker: {{host: mqtt.example.org, port: 8885, tls: {{{files}}}}}"
    assert said.endswith(f"the broker of cloud.yaml is then:\n  {section}\n")
    (site.folder / "cloud.yaml").write_text(f"data_dir: data\n{section}\n")
    assert load_cloud_config(site.folder / "cloud.yaml").broker.port == 8885

    request = site.request("gw-1")
    said = site.run("gateway", "sign", request)
    assert said.startswith("gw-1: certificate until 20")
    assert "written to of-gw-1/gw-1.crt: bring it to the gateway, and type there: ./anlan edge accept gw-1.crt" in said
    assert (site.folder / "of-gw-1" / "gw-1.crt").read_text().count("BEGIN CERTIFICATE") == 2
    assert "gw-1.crt: is there already: move it away" in site.run("gateway", "sign", request, code=1)
    again = site.run("gateway", "sign", site.request("gw-1"), "--out", str(site.folder / "again.crt"))
    assert "written to again.crt" in again


def test_a_password_is_shown_once(site: Site) -> None:
    """`gateway add` shows a password that is kept nowhere; repeating it makes another one."""
    shown = []
    for _ in range(2):
        said = site.run("gateway", "add", "gw-1")
        shown += [match.group() for match in PASSWORD.finditer(said)]
        assert "systemctl reload mosquitto" in said
    assert len(set(shown)) == 2
    kept = [path.read_bytes() for path in site.folder.rglob("*") if path.is_file()]
    assert not any(password.encode() in data for password in shown for data in kept)
    assert not any(password in site.run("gateway", "list") for password in shown)
    assert stat.S_IMODE((site.folder / "data" / "broker" / "passwords").stat().st_mode) == 0o640


def test_revoking(site: Site) -> None:
    """`gateway revoke` takes back all there is, says what and what to type, and may be repeated."""
    site.run("ca", "init", "--host", "localhost")
    site.run("gateway", "add", "gw-1")
    site.run("gateway", "sign", site.request("gw-1"))
    assert site.run("gateway", "revoke", "gw-1") == f"gw-1: 1 certificate and its password taken back\n{RESTART}"
    assert site.run("gateway", "revoke", "gw-1") == "gw-1: had no way in\n"
    assert site.run("gateway", "revoke", "gw-11") == 'gw-11: had no way in (did you mean "gw-1"?)\n'
    site.run("gateway", "add", "gw-1")
    assert site.run("gateway", "revoke", "gw-1") == f"gw-1: its password taken back\n{RESTART}"


def test_the_list(site: Site) -> None:
    """Each gateway has its line: how it enters, until when, and what somebody should do; then broker and cloud."""
    assert site.run("gateway", "list") == (
        "gateway  password  certificate\ngw-1     -         -            has no way in\n"
    )
    site.run("ca", "init", "--host", "localhost")
    site.run("gateway", "sign", site.request("gw-1"))
    day = r"20\d\d-\d\d-\d\d"
    assert re.fullmatch(
        rf"gateway  password  certificate\ngw-1     -         until {day}\n"
        rf"broker: certificate until {day}\ncloud: certificate until {day}\n",
        site.run("gateway", "list"),
    )
    now_ms = SystemClock().now_ms()
    (site.folder / "of-gw-1" / "gw-1.csr").unlink()
    site.run("gateway", "revoke", "gw-1")
    site.run("gateway", "add", "gw-1")
    gone = Path(site.request("gw-gone")).read_bytes()
    site.authority.sign(gone, {"gw-gone"}, now_ms=now_ms)
    old = Path(site.request("gw-old")).read_bytes()
    site.authority.sign(old, {"gw-old"}, now_ms=now_ms - 20 * DAY_MS)
    site.authority.renew(["localhost"], site.folder / "secrets", now_ms=now_ms - (5 * 365 - 2) * DAY_MS)
    lines = [re.sub(day, "DAY", line) for line in site.run("gateway", "list").splitlines()]
    assert [re.sub(r" +", " ", line) for line in lines] == [
        "gateway password certificate",
        "gw-1 yes - certificate revoked DAY",
        "gw-gone - until DAY EXPIRES IN 9 DAYS: renew it; not registered: revoke it",
        "gw-old - - certificate expired DAY; has no way in",
        "broker: certificate until DAY; EXPIRES IN 1 DAY: renew it",
        "cloud: certificate until DAY; EXPIRES IN 1 DAY: renew it",
    ]


def test_mistakes_are_one_line(site: Site) -> None:
    """A wrong id, file or order is said in one line that says what to do."""
    said = site.run("gateway", "sign", site.request("gw-1"), code=1)
    assert said == "data/authority: no authority yet: ./anlan cloud ca init --host NAME\n"
    site.run("ca", "init", "--host", "localhost")
    for arguments, reason in (
        (("gateway", "add", "gw-11"), "'gw-11': no such gateway (did you mean \"gw-1\"?)\n"),
        (("gateway", "sign", site.request("gw-11")), "of-gw-11/gw-11.csr: is for 'gw-11': no such gateway (did you"),
        (("gateway", "sign", str(site.folder / "none.csr")), "none.csr: No such file or directory\n"),
        (("gateway", "sign", str(site.folder / "cloud.yaml")), "cloud.yaml: is no request for a certificate"),
        (("ca", "init", "--host", "localhost"), "data/authority: there is an authority"),
        (("ca", "renew", "--host", "a b"), "--host: expected a host name or an address"),
    ):
        said = site.run(*arguments, code=1)
        assert said.startswith(reason), said
        assert said.count("\n") == 1


def test_settings(site: Site, tmp_path: Path) -> None:
    """Folders, validity and a passphrase are as cloud.yaml says."""
    (tmp_path / "passphrase").write_text("correct horse\n")
    (tmp_path / "passphrase").chmod(0o600)
    places = "authority: ca, broker_files: etc, passphrase_file: passphrase, certificate_days: 7"
    (tmp_path / "cloud.yaml").write_text(f"data_dir: data\nbroker_access: {{{places}}}\n")
    site.run("ca", "init", "--host", "localhost")
    site.run("gateway", "sign", site.request("gw-1"))
    assert b"ENCRYPTED" in (tmp_path / "ca" / "authority.key").read_bytes()
    assert (tmp_path / "etc" / "passwords").read_bytes() == b""
    assert "EXPIRES IN 6 DAYS: renew it" in site.run("gateway", "list")
    assert "new keys of the broker in etc, of the cloud in secrets" in site.run("ca", "renew", "--host", "localhost")
