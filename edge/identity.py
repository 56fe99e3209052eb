"""Who the gateway is to the broker: a key made here, which never leaves, and the certificate for it.

    identity = find_identity(Path("gateway.yaml"))
    make_request(identity)                     # secrets/gateway.key, and gw-7.csr for whoever signs
    accept(identity, signed, now_ms=…)         # secrets/gateway.crt and secrets/ca.crt

gateway.yaml may name files that are still to come, so of it only the gateway's id and these names are read. The one
module of the gateway that imports cryptography; the agent does not import this one.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from edge.contract.config_file import Document, read_document
from edge.contract.files import PUBLIC, make_folder, secret_mode, write_file
from edge.contract.forms import ID
from edge.contract.program import command

MAX_FILE = 1024 * 1024


class IdentityError(Exception):
    """A request cannot be made, or a certificate is not ours; the text says what to do."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Whose key and certificate, and where they lie; `is_configured`: gateway.yaml names the certificate."""

    gateway: str
    key_file: Path
    certificate_file: Path
    ca_file: Path
    request_file: Path
    is_configured: bool


def find_identity(config: Path) -> Identity:
    """Return what a gateway.yaml says, or would say. Raises ConfigError."""
    document = read_document(config)
    gateway = str(document.value.get("gateway", ""))
    try:
        ID.check(gateway)
    except ValueError as error:
        document.refuse([(("gateway",), str(error))])
    tls = _tls_of(document)

    def path(setting: str, default: str) -> Path:
        return config.absolute().parent / str(tls.get(setting) or default)

    return Identity(
        gateway=gateway,
        key_file=path("key_file", "secrets/gateway.key"),
        certificate_file=path("certificate_file", "secrets/gateway.crt"),
        ca_file=path("ca_file", "secrets/ca.crt"),
        request_file=config.absolute().parent / f"{gateway}.csr",
        is_configured="certificate_file" in tls,
    )


def _tls_of(document: Document) -> dict[str, Any]:
    broker = document.value.get("broker")
    tls = broker.get("tls") if isinstance(broker, dict) else None
    return tls if isinstance(tls, dict) else {}


def make_request(identity: Identity, *, renew: bool) -> str:
    """Make the key, or with `renew` take the one there is, and write the request; return the SHA-256 of the key.

    Raises IdentityError when there is a key that would be lost, or none to renew for.
    """
    if renew:
        key = _read_key(identity)
    else:
        if identity.key_file.exists():
            again = command("edge", "request --renew")
            raise IdentityError(f"{identity.key_file}: is there already. For a new certificate of this key: {again}")
        key = ec.generate_private_key(ec.SECP256R1())
        make_folder(identity.key_file.parent, 0o750)
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        write_file(identity.key_file, pem, mode=secret_mode(identity.key_file.parent))
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, identity.gateway)])
    request = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())
    write_file(identity.request_file, request.public_bytes(serialization.Encoding.PEM), mode=PUBLIC)
    return fingerprint(_der_of(key.public_key()))


@dataclass(frozen=True, slots=True)
class Accepted:
    """What was put in place."""

    valid_until: datetime
    authority: str


def accept(identity: Identity, file: Path, *, now_ms: int) -> Accepted:
    """Put a certificate in place once it is sure that it is ours. Raises IdentityError; then nothing was changed."""
    certificate, authority = _read_signed(file)
    try:
        _check_ours(identity, certificate, datetime.fromtimestamp(now_ms / 1000, UTC))
        _check_authority(identity, certificate, authority)
    except IdentityError as error:
        raise IdentityError(f"{file}: {error}") from None
    encoding = serialization.Encoding.PEM
    for path, content in ((identity.ca_file, authority), (identity.certificate_file, certificate)):
        make_folder(path.parent, 0o750)
        write_file(path, content.public_bytes(encoding), mode=PUBLIC)
    return Accepted(certificate.not_valid_after_utc, authority.fingerprint(hashes.SHA256()).hex())


def _check_ours(identity: Identity, certificate: x509.Certificate, now: datetime) -> None:
    names = [str(name.value) for name in certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    if names != [identity.gateway]:
        raise IdentityError(f"is for {' and '.join(map(ascii, names)) or 'nobody'}, this is {identity.gateway}")
    if _der_of(certificate.public_key()) != _der_of(_read_key(identity).public_key()):
        raise IdentityError(f"is for another key than {identity.key_file}: was it made from this gateway's request?")
    if now < certificate.not_valid_before_utc:
        begin = certificate.not_valid_before_utc
        raise IdentityError(f"is valid from {begin:%Y-%m-%d %H:%M} UTC, here it is {now:%Y-%m-%d %H:%M}: set the clock")
    if now > certificate.not_valid_after_utc:
        end = certificate.not_valid_after_utc
        raise IdentityError(f"ended {end:%Y-%m-%d}: make a new request with {command('edge', 'request --renew')}")
    try:
        usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except (x509.ExtensionNotFound, ValueError):
        usage = x509.ExtendedKeyUsage([])
    if ExtendedKeyUsageOID.CLIENT_AUTH not in usage:
        raise IdentityError("is not for entering a broker (no client authentication)")


def _check_authority(identity: Identity, certificate: x509.Certificate, authority: x509.Certificate) -> None:
    try:
        certificate.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature):
        raise IdentityError("the two certificates in it do not belong together: bring the file again") from None
    if identity.ca_file.exists() and _parse(identity.ca_file)[0] != authority:
        raise IdentityError(
            f"comes from another authority than {identity.ca_file}; if there is a new one, move the old file away"
        )


def _read_signed(file: Path) -> tuple[x509.Certificate, x509.Certificate]:
    """Return our certificate and that of the authority."""
    certificates = _parse(file)
    if len(certificates) != 2:
        raise IdentityError(f"{file}: expected two certificates, ours and the authority's, found {len(certificates)}")
    return certificates[0], certificates[1]


def _parse(file: Path) -> list[x509.Certificate]:
    with file.open("rb") as opened:
        pem = opened.read(MAX_FILE)
    try:
        return x509.load_pem_x509_certificates(pem)
    except ValueError:
        raise IdentityError(f"{file}: is no certificate (PEM, BEGIN CERTIFICATE)") from None


def _read_key(identity: Identity) -> ec.EllipticCurvePrivateKey:
    try:
        key = serialization.load_pem_private_key(identity.key_file.read_bytes(), None)
    except FileNotFoundError:
        request = command("edge", "request")
        raise IdentityError(f"{identity.key_file}: no key yet: make it with {request}") from None
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise IdentityError(f"{identity.key_file}: is no private key that can be used") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise IdentityError(f"{identity.key_file}: is no key of ours (EC P-256)")
    return key


def _der_of(key: Any) -> bytes:
    der: bytes = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return der


def fingerprint(data: bytes) -> str:
    """Return the SHA-256 of some bytes, in hex."""
    digest = hashes.Hash(hashes.SHA256())
    digest.update(data)
    return digest.finalize().hex()
