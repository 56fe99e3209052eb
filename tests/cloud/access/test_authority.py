"""The authority: what it signs, what it refuses to sign, and what it remembers."""

from __future__ import annotations

import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from cloud.access import AccessError, RequestError
from cloud.access.authority import Authority
from cloud.access.certificates import Certificate, key_to_pem, new_key

NOON = 1_790_000_000_000
DAY_MS = 86_400_000
GATEWAYS = {"gw-1", "gw-2"}
Builder = x509.CertificateSigningRequestBuilder


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    authority = Authority(tmp_path / "authority", tmp_path / "broker")
    authority.make(["mqtt.example.org", "192.0.2.7"], tmp_path / "cloud", now_ms=NOON)
    return authority


def named(*names: tuple[x509.ObjectIdentifier, str]) -> x509.Name:
    return x509.Name([x509.NameAttribute(oid, value) for oid, value in names])


def asking(name: str) -> Builder:
    return Builder().subject_name(named((NameOID.COMMON_NAME, name)))


def pem_of(builder: Builder, key: ec.EllipticCurvePrivateKey | None = None) -> bytes:
    return builder.sign(key or new_key(), hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def parsed(certificate: Certificate) -> x509.Certificate:
    return x509.load_pem_x509_certificate(certificate.pem)


def test_a_request_is_granted(authority: Authority) -> None:
    """The certificate has the asked name and key, is good for a client alone, and is in the book."""
    key = new_key()
    request, certificate = authority.sign(pem_of(asking("gw-1"), key), GATEWAYS, now_ms=NOON)
    made = parsed(certificate)
    assert request.name == "gw-1"
    assert made.subject == named((NameOID.COMMON_NAME, "gw-1"))
    assert made.public_key() == key.public_key()
    made.verify_directly_issued_by(x509.load_pem_x509_certificate(authority.authority_pem()))
    usages = made.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usages) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    assert not made.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert (certificate.not_after_ms - NOON) / DAY_MS == 397
    assert NOON - certificate.not_before_ms == 3_600_000
    [entry] = authority.book().entries
    assert (entry.gateway, entry.serial, entry.key) == ("gw-1", certificate.serial, request.key)


def _ed25519(name: str) -> bytes:
    return asking(name).sign(ed25519.Ed25519PrivateKey.generate(), None).public_bytes(serialization.Encoding.PEM)


def _small_rsa(name: str) -> bytes:
    key = rsa.generate_private_key(65537, 1024)  # noqa: S505 -- what must not be taken
    return asking(name).sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def _other_signature() -> bytes:
    """A request whose public key is not that of the signature."""
    asked = asking("gw-1").sign(new_key(), hashes.SHA256())
    der = bytearray(asked.public_bytes(serialization.Encoding.DER))
    der[-1] ^= 1
    body = subprocess.run(["base64"], input=bytes(der), capture_output=True, check=True).stdout
    return b"-----BEGIN CERTIFICATE REQUEST-----\n" + body + b"-----END CERTIFICATE REQUEST-----\n"


def _two_names() -> bytes:
    return pem_of(Builder().subject_name(named((NameOID.COMMON_NAME, "gw-1"), (NameOID.COMMON_NAME, "gw-2"))))


def _alternative_names() -> bytes:
    names = x509.SubjectAlternativeName([x509.DNSName("gw-2")])
    return pem_of(asking("gw-1").add_extension(names, critical=False))


def _as_authority() -> bytes:
    return pem_of(asking("gw-1").add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True))


REFUSED: dict[str, tuple[Callable[[], bytes], str]] = {
    "unknown": (lambda: pem_of(asking("gw-9")), r"is for 'gw-9': no such gateway \(did you mean \"gw-[12]\"\?\)"),
    "wildcard": (lambda: pem_of(asking("+")), r"is for '\+': no such gateway"),
    "level": (lambda: pem_of(asking("gw-1/#")), r"is for 'gw-1/#': no such gateway"),
    "cloud": (lambda: pem_of(asking("anlan.cloud")), r"is for 'anlan.cloud': no such gateway"),
    "escape": (lambda: pem_of(asking("gw-1\x1b[2J")), r"is for 'gw-1\\x1b\[2J': no such gateway"),
    "two names": (_two_names, "must have the gateway's id as its one name"),
    "no name": (lambda: pem_of(Builder().subject_name(x509.Name([]))), "must have the gateway's id as its one name"),
    "other names": (_alternative_names, "asks for more than one name"),
    "authority": (_as_authority, "asks for more than one name"),
    "small key": (lambda: _small_rsa("gw-1"), "its key is too weak"),
    "other key": (lambda: _ed25519("gw-1"), "its key is too weak, or of a kind"),
    "signature": (_other_signature, "its signature is wrong"),
    "nothing": (lambda: b"", "is no request for a certificate"),
    "a key": (lambda: key_to_pem(new_key()), "is no request for a certificate"),
    "large": (lambda: b"x" * 100_000, "too large"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_a_request_is_refused(authority: Authority, what: str) -> None:
    """Nothing is signed that has another name than a gateway's id, or a weak key, or that was tampered with."""
    make, reason = REFUSED[what]
    with pytest.raises(RequestError, match=reason):
        authority.sign(make(), GATEWAYS, now_ms=NOON)
    assert authority.book().entries == []


def test_nobody_gets_a_second_key_beside_the_first(authority: Authority) -> None:
    """A gateway with a certificate gets another one for the same key, but none for another key before it is revoked."""
    key = new_key()
    authority.sign(pem_of(asking("gw-1"), key), GATEWAYS, now_ms=NOON)
    authority.sign(pem_of(asking("gw-1"), key), GATEWAYS, now_ms=NOON + DAY_MS)
    other = pem_of(asking("gw-1"))
    with pytest.raises(RequestError, match=r"which has a certificate of another key: .* gateway revoke gw-1"):
        authority.sign(other, GATEWAYS, now_ms=NOON + DAY_MS)
    assert authority.revoke("gw-1", now_ms=NOON + DAY_MS) == 2
    authority.sign(other, GATEWAYS, now_ms=NOON + DAY_MS)
    third = pem_of(asking("gw-1"))
    authority.sign(third, GATEWAYS, now_ms=NOON + 400 * DAY_MS)  # the others have ended by themselves


def test_the_list_of_revoked_certificates(authority: Authority) -> None:
    """It has what was revoked, is signed, counted, and never ends before the authority does."""
    ca = x509.load_pem_x509_certificate(authority.authority_pem())

    def revoked() -> x509.CertificateRevocationList:
        return x509.load_pem_x509_crl((authority.broker_files / "revoked.crl").read_bytes())

    assert len(revoked()) == 0
    _, first = authority.sign(pem_of(asking("gw-1")), GATEWAYS, now_ms=NOON)
    _, second = authority.sign(pem_of(asking("gw-2")), GATEWAYS, now_ms=NOON)
    numbers = []
    for gateway in ("gw-1", "gw-2", "gw-2", "gw-3"):
        authority.revoke(gateway, now_ms=NOON + DAY_MS)
        crl = revoked()
        numbers.append(crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number)
        assert crl.is_signature_valid(ca.public_key())  # type: ignore[arg-type]
        assert crl.next_update_utc == ca.not_valid_after_utc
    assert {f"{entry.serial_number:x}" for entry in revoked()} == {first.serial, second.serial}
    assert numbers == [2, 3, 4, 5]


def test_the_certificates_of_broker_and_cloud(authority: Authority, tmp_path: Path) -> None:
    """The broker's has its hosts, the cloud's vouches for itself; OpenSSL takes both, strictly."""
    broker = authority.broker_files
    server = x509.load_pem_x509_certificate((broker / "server.crt").read_bytes())
    names = server.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["mqtt.example.org"]
    assert [str(address) for address in names.get_values_for_type(x509.IPAddress)] == ["192.0.2.7"]
    for trusted, purpose, file in (
        (broker / "ca.crt", "sslserver", broker / "server.crt"),
        (broker / "clouds.crt", "sslclient", tmp_path / "cloud" / "cloud.crt"),
    ):
        when = ["-x509_strict", "-attime", str(NOON // 1000)]
        verify = ["openssl", "verify", *when, "-purpose", purpose, "-CAfile", str(trusted), str(file)]
        done = subprocess.run(verify, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


def test_who_may_read_what(authority: Authority, tmp_path: Path) -> None:
    """The key that signs is its owner's alone; the broker's may be read by a group; no secret by everyone."""
    modes = {
        str(path.relative_to(tmp_path)): stat.S_IMODE(path.stat().st_mode)
        for path in sorted(tmp_path.rglob("*"))
        if not path.is_dir() and path.suffix not in (".crt", ".crl")
    }
    assert modes == {
        "authority/authority.key": 0o600,
        "authority/book.json": 0o600,
        "broker/passwords": 0o640,
        "broker/server.key": 0o640,
        "cloud/cloud.key": 0o600,
    }
    assert stat.S_IMODE(authority.folder.stat().st_mode) == 0o700


def test_there_is_one_authority(authority: Authority, tmp_path: Path) -> None:
    """A second `init` is refused and changes nothing: the certificates of all gateways hang on the first."""
    before = authority.authority_pem()
    with pytest.raises(AccessError, match="there is an authority"):
        authority.make(["mqtt.example.org"], tmp_path / "cloud", now_ms=NOON)
    assert authority.authority_pem() == before


def test_a_wrong_host_is_refused(tmp_path: Path) -> None:
    """What is no name of a host makes nothing at all."""
    authority = Authority(tmp_path / "authority", tmp_path / "broker")
    with pytest.raises(AccessError, match=r'--host: expected a host name or an address, .*found "mqtt example"'):
        authority.make(["mqtt example"], tmp_path / "cloud", now_ms=NOON)
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_signed_without_an_authority(tmp_path: Path) -> None:
    """The error says how to make one; and there is nothing to revoke."""
    authority = Authority(tmp_path / "authority", tmp_path / "broker")
    with pytest.raises(AccessError, match=r"no authority yet: .*ca init --host NAME"):
        authority.sign(pem_of(asking("gw-1")), GATEWAYS, now_ms=NOON)
    assert authority.revoke("gw-1", now_ms=NOON) == 0
    assert authority.book().entries == []


def test_a_locked_key(tmp_path: Path) -> None:
    """With a passphrase, nobody signs without it or with another; the error says which file to give."""
    places = tmp_path / "authority", tmp_path / "broker"
    locked = Authority(*places, passphrase=b"correct horse")
    locked.make(["localhost"], tmp_path / "cloud", now_ms=NOON)
    assert b"ENCRYPTED" in (tmp_path / "authority" / "authority.key").read_bytes()
    request = pem_of(asking("gw-1"))
    with pytest.raises(AccessError, match="is locked: give passphrase_file"):
        Authority(*places).sign(request, GATEWAYS, now_ms=NOON)
    with pytest.raises(AccessError, match="wrong passphrase"):
        Authority(*places, passphrase=b"wrong").sign(request, GATEWAYS, now_ms=NOON)
    locked.sign(request, GATEWAYS, now_ms=NOON)


def test_a_damaged_book_signs_nothing(authority: Authority) -> None:
    """Without its memory the authority would forget what it revoked: it stops, and names the file."""
    book = authority.folder / "book.json"
    book.write_text("{")
    with pytest.raises(AccessError, match=r"book.json: damaged: put it back from a backup"):
        authority.revoke("gw-1", now_ms=NOON)
    book.unlink()
    with pytest.raises(AccessError, match=r"book.json: is not there: put it back from a backup"):
        authority.sign(pem_of(asking("gw-1")), GATEWAYS, now_ms=NOON)


def test_nothing_outlives_the_authority(authority: Authority) -> None:
    """A certificate signed in its last year ends with it; after that it signs nothing."""
    late = NOON + (20 * 365 - 10) * DAY_MS
    _, certificate = authority.sign(pem_of(asking("gw-1")), GATEWAYS, now_ms=late)
    assert (certificate.not_after_ms - late) / DAY_MS == 10
    with pytest.raises(AccessError, match="the authority has ended"):
        authority.sign(pem_of(asking("gw-2")), GATEWAYS, now_ms=late + 11 * DAY_MS)
