"""Commands for who may enter the broker: the authority, and the passwords and certificates of gateways."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cloud.access import AccessError, RequestError
from cloud.access.password_file import remove_password, set_password, users_of
from cloud.cli.shared import CLOUD_YAML, ConfigOption, count, errors_said, fail
from cloud.config import CloudConfig, load_cloud_config
from cloud.registry.registry import known_gateways
from cloud.start import open_database
from edge.contract.clock import SystemClock
from edge.contract.config_file import nearest
from edge.contract.files import PUBLIC, in_pairs, make_folder, write_file
from edge.contract.program import command, example

if TYPE_CHECKING:
    from cloud.access.authority import Authority, Entry

app = typer.Typer()
ca_app = typer.Typer(help="The authority that vouches for broker, cloud and gateways.", no_args_is_help=True)
gateway_app = typer.Typer(help="How gateways enter the broker.", no_args_is_help=True)
app.add_typer(ca_app, name="ca")
app.add_typer(gateway_app, name="gateway")

SOON_DAYS, DAY_MS = 30, 86_400_000
MAX_FILE = 1024 * 1024

HostOption = Annotated[
    list[str], typer.Option("--host", help="Name or address by which gateways and clouds reach the broker; repeatable.")
]
GatewayArgument = Annotated[str, typer.Argument(help="Id of a gateway of the registry.")]


@ca_app.command("init", epilog=example("cloud", "ca init --host mqtt.example.org"))
def init_ca(host: HostOption, *, config: ConfigOption = CLOUD_YAML) -> None:
    """Make the authority, and the keys of broker and cloud.

    Once: every certificate hangs on it. The key that signs stays in its folder (broker_access.authority); keep a copy
    where nobody else finds it.
    """
    with _errors_said():
        settings, secrets = load_cloud_config(config), _secrets(config)
        authority = _authority(settings)
        certificate = authority.make(host, secrets, now_ms=_now_ms())
        typer.echo(f"authority made in {authority.folder}, valid until {_day(certificate.not_after_ms)}")
        typer.echo(f"  SHA-256 {in_pairs(certificate.fingerprint)}")
        typer.echo(f"for the broker, in {authority.broker_files}: ca.crt clouds.crt server.crt server.key revoked.crl")
        typer.echo(f"for the cloud, in {secrets}: ca.crt cloud.crt cloud.key")
        typer.echo(f"the broker of {config} is then:")
        files = ", ".join(
            f"{setting}: {secrets.name}/{name}"
            for setting, name in (("ca_file", "ca.crt"), ("certificate_file", "cloud.crt"), ("key_file", "cloud.key"))
        )
        typer.echo(f"  broker: {{host: {host[0]}, port: 8885, tls: {{{files}}}}}")


@ca_app.command("renew", epilog=example("cloud", "ca renew --host mqtt.example.org"))
def renew_ca(host: HostOption, *, config: ConfigOption = CLOUD_YAML) -> None:
    """Make new keys of broker and cloud.

    Before they expire, or for other names. The authority and the certificates of gateways stay as they are.
    """
    with _errors_said():
        authority = _authority(load_cloud_config(config))
        authority.renew(host, _secrets(config), now_ms=_now_ms())
        typer.echo(f"new keys of the broker in {authority.broker_files}, of the cloud in {_secrets(config)}")
        _say_restart()


@gateway_app.command(epilog=example("cloud", "gateway add gw-7"))
def add(gateway: GatewayArgument, *, config: ConfigOption = CLOUD_YAML) -> None:
    """Give a gateway a new password.

    Shown once: only its hash is kept. An earlier password ends when the broker reads the file.
    """
    with _errors_said():
        settings = load_cloud_config(config)
        known = _known(settings)
        if gateway not in known:
            raise AccessError(f"{gateway!a}: no such gateway{nearest(gateway, known)}")
        make_folder(settings.broker_files, 0o750)
        password = set_password(_passwords(settings), gateway)
        typer.echo(f"{gateway}: this password is shown once:")
        typer.echo(password)
        typer.echo("On the gateway, it is the line of the file that gateway.yaml names (broker.password_file).")
        typer.echo("On the broker's machine, type: systemctl reload mosquitto")


@gateway_app.command(epilog=example("cloud", "gateway sign gw-7.csr"))
def sign(
    request: Annotated[Path, typer.Argument(help='What "edge request" made on the gateway.')],
    *,
    out: Annotated[Path | None, typer.Option(help="Where the certificate goes; default: beside the request.")] = None,
    config: ConfigOption = CLOUD_YAML,
) -> None:
    """Sign a gateway's request for a certificate.

    Compare the key that is shown with the one that the gateway showed. A gateway that has a certificate of another key
    gets none: revoke it first.
    """
    with _errors_said():
        settings = load_cloud_config(config)
        out = request.with_suffix(".crt") if out is None else out
        if out.exists():
            fail(f"{out}: is there already: move it away, or give another one with --out", code=1)
        authority, pem = _authority(settings), _read(request)
        try:
            asked, certificate = authority.sign(pem, _known(settings), now_ms=_now_ms())
        except RequestError as error:
            fail(f"{request}: {error}", code=1)
        write_file(out, certificate.pem + authority.authority_pem(), mode=PUBLIC)
        typer.echo(f"{asked.name}: certificate until {_day(certificate.not_after_ms)}")
        typer.echo(f"  SHA-256 {in_pairs(certificate.fingerprint)}")
        typer.echo(f"  for the key {in_pairs(asked.key)}")
        accept = command("edge", f"accept {out.name} --config gateway.yaml")
        typer.echo(f"written to {out}: bring it to the gateway, and type there: {accept}")


@gateway_app.command(epilog=example("cloud", "gateway revoke gw-7"))
def revoke(gateway: Annotated[str, typer.Argument(help="Id of a gateway.")], config: ConfigOption = CLOUD_YAML) -> None:
    """Take back a gateway's password and certificates.

    For a gateway that was stolen, replaced or given up.
    """
    with _errors_said():
        settings = load_cloud_config(config)
        certificates = _authority(settings).revoke(gateway, now_ms=_now_ms())
        had_password = remove_password(_passwords(settings), gateway)
        if not certificates and not had_password:
            known = {way.gateway for way in _ways(settings)} | _known(settings)
            typer.echo(f"{gateway}: had no way in{'' if gateway in known else nearest(gateway, known)}")
            return
        gone = [count(certificates, "certificate")] if certificates else []
        typer.echo(f"{gateway}: {' and '.join([*gone, *(['its password'] if had_password else [])])} taken back")
        _say_restart()


@gateway_app.command("list", epilog=example("cloud", "gateway list"))
def list_gateways(config: ConfigOption = CLOUD_YAML) -> None:
    """Show how each gateway may enter, and until when."""
    with _errors_said():
        settings, now_ms = load_cloud_config(config), _now_ms()
        rows = [("gateway", "password", "certificate", ""), *(way.cells(now_ms) for way in _ways(settings))]
        widths = [max(len(row[column]) for row in rows) for column in range(3)]
        for *cells, note in rows:
            line = "  ".join(f"{cell:{width}}" for cell, width in zip(cells, widths, strict=True))
            typer.echo(f"{line}  {note}".rstrip())
        for line in _servers(settings, now_ms):
            typer.echo(line)


@dataclass(frozen=True, slots=True)
class _Way:
    """How one gateway may enter the broker; `last` is its certificate that is valid longest, or was."""

    gateway: str
    is_registered: bool
    has_password: bool
    last: Entry | None

    def cells(self, now_ms: int) -> tuple[str, str, str, str]:
        """Return what stands in its line."""
        is_live = self.last is not None and self.last.is_live(now_ms)
        certificate = f"until {_day(self.last.not_after_ms)}" if self.last is not None and is_live else "-"
        return self.gateway, "yes" if self.has_password else "-", certificate, "; ".join(self._notes(now_ms))

    def _notes(self, now_ms: int) -> Iterator[str]:
        last = self.last
        if last is not None and last.revoked_ms is not None:
            yield f"certificate revoked {_day(last.revoked_ms)}"
        elif last is not None:
            yield from _expiry(last.not_after_ms, now_ms)
        has_entry = self.has_password or (last is not None and last.is_live(now_ms))
        if not self.is_registered and has_entry:
            yield "not registered: revoke it"
        elif not has_entry:
            yield "has no way in"


def _ways(settings: CloudConfig) -> list[_Way]:
    """Return how each gateway may enter, those that are not registered any more among them."""
    last: dict[str, Entry] = {}
    for entry in sorted(_authority(settings).book().entries, key=lambda e: (e.revoked_ms is None, e.not_after_ms)):
        last[entry.gateway] = entry
    known, users = _known(settings), users_of(_passwords(settings))
    return [_Way(each, each in known, each in users, last.get(each)) for each in sorted(known | users | set(last))]


def _servers(settings: CloudConfig, now_ms: int) -> Iterator[str]:
    """Say until when the broker and the cloud can show who they are."""
    from cloud.access.certificates import Certificate  # noqa: PLC0415 -- as in _authority

    for who, name in (("broker", "server.crt"), ("cloud", "clouds.crt")):
        path = settings.broker_files / name
        if path.exists():
            try:
                end_ms = Certificate.from_pem(path.read_bytes()).not_after_ms
            except AccessError as error:
                fail(f"{path}: {error}", code=1)
            yield "; ".join([f"{who}: certificate until {_day(end_ms)}", *_expiry(end_ms, now_ms)])


def _expiry(end_ms: int, now_ms: int) -> Iterator[str]:
    days = (end_ms - now_ms) // DAY_MS
    if days < 0:
        yield f"certificate expired {_day(end_ms)}"
    elif days < SOON_DAYS:
        yield f"EXPIRES IN {count(days, 'day').upper()}: renew it"


def _authority(settings: CloudConfig) -> Authority:
    from cloud.access.authority import Authority  # noqa: PLC0415 -- a cloud that runs never loads cryptography

    passphrase_file = settings.broker_access.passphrase_file
    passphrase = passphrase_file.read_text(encoding="utf-8").partition("\n")[0].rstrip("\r") if passphrase_file else ""
    return Authority(
        settings.authority,
        settings.broker_files,
        passphrase=passphrase.encode(),
        leaf_days=settings.broker_access.certificate_days,
    )


def _known(settings: CloudConfig) -> frozenset[str]:
    with open_database(settings) as database:
        return database.read_now(known_gateways)


def _passwords(settings: CloudConfig) -> Path:
    return settings.broker_files / "passwords"


def _secrets(config: Path) -> Path:
    """Return where the cloud's own keys lie: beside its configuration, as on a gateway."""
    return config.absolute().parent / "secrets"


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(MAX_FILE)


@contextmanager
def _errors_said() -> Iterator[None]:
    with errors_said():
        try:
            yield
        except AccessError as error:
            fail(str(error), code=1)


def _say_restart() -> None:
    typer.echo("On the broker's machine, type: systemctl restart mosquitto   (a reload leaves open connections open)")


def _now_ms() -> int:
    return SystemClock().now_ms()


def _day(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).date().isoformat()
