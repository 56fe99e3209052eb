"""The folder of our authority: its key, and the book of what it signed for gateways.

    authority/   authority.key   stays here, for whoever signs alone
                 authority.crt
                 book.json       every certificate of a gateway, and when it was revoked

What others need is written where they read it: `broker_files` for the broker, `cloud_files` for the cloud.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from cloud.access import CLOUD_USER, AccessError, RequestError
from cloud.access.certificates import (
    Certificate,
    Request,
    Signer,
    key_to_pem,
    make_client,
    new_key,
    read_request,
)
from edge.contract.config_file import nearest
from edge.contract.files import FOR_GROUP, PRIVATE, PUBLIC, locked, make_folder, secret_mode, write_file
from edge.contract.forms import HOST
from edge.contract.program import command

AUTHORITY_DAYS, SERVER_DAYS = 20 * 365, 5 * 365
LEAF_DAYS = 397


class Entry(msgspec.Struct, kw_only=True):
    """A certificate of a gateway in the book; `key` is the SHA-256 of its public key."""

    gateway: str
    serial: str
    key: str
    fingerprint: str
    not_before_ms: int
    not_after_ms: int
    revoked_ms: int | None = None

    def is_live(self, now_ms: int) -> bool:
        """Whether the broker lets in who has it."""
        return self.revoked_ms is None and now_ms < self.not_after_ms


class Book(msgspec.Struct, kw_only=True):
    """All that was signed for gateways; `lists` counts the lists of revoked ones."""

    lists: int = 0
    entries: list[Entry] = []


@dataclass(frozen=True, slots=True)
class Authority:
    """Where everything is; the folder is empty until `make`."""

    folder: Path
    broker_files: Path
    passphrase: bytes = b""
    leaf_days: int = LEAF_DAYS

    @property
    def exists(self) -> bool:
        """Whether there is a key that signs."""
        return (self.folder / "authority.key").exists()

    def make(self, hosts: Sequence[str], cloud_files: Path, *, now_ms: int) -> Certificate:
        """Make the authority, and the files of the broker and the cloud. Raises AccessError when there is one."""
        _check_hosts(hosts)
        make_folder(self.folder, 0o700)
        with locked(self.folder):
            if self.exists:
                raise AccessError(f"{self.folder}: there is an authority: every certificate hangs on it")
            signer = Signer.make(now_ms=now_ms, days=AUTHORITY_DAYS)
            certificate = Certificate.of(signer.certificate)
            self._write_servers(signer, hosts, cloud_files, now_ms=now_ms)
            self._keep(Book(), signer, now_ms=now_ms)
            write_file(self.folder / "authority.crt", certificate.pem, mode=PUBLIC)
            # Last: with it there is an authority.
            write_file(self.folder / "authority.key", key_to_pem(signer.key, self.passphrase), mode=PRIVATE)
        return certificate

    def renew(self, hosts: Sequence[str], cloud_files: Path, *, now_ms: int) -> None:
        """Make new keys and certificates of the broker and the cloud; those of gateways stay."""
        _check_hosts(hosts)
        signer = self._signer()
        with locked(self.folder):
            self._write_servers(signer, hosts, cloud_files, now_ms=now_ms)

    def sign(self, pem: bytes, gateways: Collection[str], *, now_ms: int) -> tuple[Request, Certificate]:
        """Grant the request of one of these gateways. Raises RequestError, AccessError."""
        request = read_request(pem)
        if request.name not in gateways:
            raise RequestError(f"is for {request.name!a}: no such gateway{nearest(request.name, gateways)}")
        signer = self._signer()
        with locked(self.folder):
            book = self.book()
            for entry in book.entries:
                if entry.gateway == request.name and entry.is_live(now_ms) and entry.key != request.key:
                    revoke = command("cloud", f"gateway revoke {request.name}")
                    raise RequestError(
                        f"is for {request.name}, which has a certificate of another key: if its hardware was replaced, "
                        f"first: {revoke}"
                    )
            certificate = signer.sign_gateway(request, now_ms=now_ms, days=self.leaf_days)
            book.entries.append(_entry(request.name, certificate))
            self._write_book(book)
        return request, certificate

    def revoke(self, gateway: str, *, now_ms: int) -> int:
        """Take a gateway's certificates back; return how many. Raises AccessError."""
        if not self.exists:
            return 0
        signer = self._signer()
        with locked(self.folder):
            book = self.book()
            live = [entry for entry in book.entries if entry.gateway == gateway and entry.is_live(now_ms)]
            for entry in live:
                entry.revoked_ms = now_ms
            self._keep(book, signer, now_ms=now_ms)
        return len(live)

    def book(self) -> Book:
        """Return all that was signed for gateways. Raises AccessError."""
        path = self.folder / "book.json"
        if not self.exists:
            return Book()
        try:
            return msgspec.json.decode(path.read_bytes(), type=Book)
        except FileNotFoundError:  # with an empty one, whoever was revoked could come in again
            raise AccessError(f"{path}: is not there: put it back from a backup") from None
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise AccessError(f"{path}: damaged: put it back from a backup: {error}") from None

    def authority_pem(self) -> bytes:
        """Return the authority's certificate."""
        return (self.folder / "authority.crt").read_bytes()

    def _signer(self) -> Signer:
        if not self.exists:
            raise AccessError(f"{self.folder}: no authority yet: {command('cloud', 'ca init --host NAME')}")
        key = (self.folder / "authority.key").read_bytes()
        try:
            return Signer.read(key, self.authority_pem(), self.passphrase)
        except AccessError as error:
            raise AccessError(f"{self.folder}: {error}") from None

    def _write_servers(self, signer: Signer, hosts: Iterable[str], cloud_files: Path, *, now_ms: int) -> None:
        server, cloud = new_key(), new_key()
        server_certificate = signer.sign_server(server, hosts, now_ms=now_ms, days=SERVER_DAYS)
        cloud_certificate = make_client(cloud, CLOUD_USER, now_ms=now_ms, days=SERVER_DAYS)
        authority = Certificate.of(signer.certificate).pem
        make_folder(self.broker_files, 0o750)
        make_folder(cloud_files, 0o750)
        for folder, name, content, mode in (
            (cloud_files, "ca.crt", authority, PUBLIC),
            (cloud_files, "cloud.key", key_to_pem(cloud), secret_mode(cloud_files)),
            (cloud_files, "cloud.crt", cloud_certificate.pem, PUBLIC),
            (self.broker_files, "ca.crt", authority, PUBLIC),
            (self.broker_files, "server.key", key_to_pem(server), FOR_GROUP),
            (self.broker_files, "server.crt", server_certificate.pem, PUBLIC),
            (self.broker_files, "clouds.crt", cloud_certificate.pem, PUBLIC),
        ):
            write_file(folder / name, content, mode=mode)
        passwords = self.broker_files / "passwords"
        if not passwords.exists():
            write_file(passwords, b"", mode=FOR_GROUP)

    def _keep(self, book: Book, signer: Signer, *, now_ms: int) -> None:
        """Write the book, and from it the list of revoked certificates."""
        book.lists += 1
        self._write_book(book)
        revoked = {entry.serial: entry.revoked_ms for entry in book.entries if entry.revoked_ms is not None}
        crl = signer.sign_revocations(revoked, number=book.lists, now_ms=now_ms)
        write_file(self.broker_files / "revoked.crl", crl, mode=PUBLIC)

    def _write_book(self, book: Book) -> None:
        text = msgspec.json.format(msgspec.json.encode(book), indent=1)
        write_file(self.folder / "book.json", text, mode=PRIVATE)


def _entry(gateway: str, certificate: Certificate) -> Entry:
    return Entry(
        gateway=gateway,
        serial=certificate.serial,
        key=certificate.key,
        fingerprint=certificate.fingerprint,
        not_before_ms=certificate.not_before_ms,
        not_after_ms=certificate.not_after_ms,
    )


def _check_hosts(hosts: Sequence[str]) -> None:
    for host in hosts:
        try:
            HOST.check(host)
        except ValueError as error:
            raise AccessError(f"--host: {error}") from None
