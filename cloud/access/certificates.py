"""Certificates of our own authority: for the broker, for clouds, and for gateways by their requests.

Each has the extensions that strict verifiers ask for, and no name but the one that was checked: what a request wishes
beyond its name is no wish that is granted. Times are milliseconds UTC. The one module of the cloud that imports
cryptography. Raises AccessError and RequestError.
"""

import ipaddress
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Self

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from cloud.access import AccessError, RequestError

DAY_MS = 86_400_000
SLACK = timedelta(hours=1)  # a clock that is a little late finds a new certificate valid all the same
LEAST_CURVE_BITS, LEAST_RSA_BITS, MOST_RSA_BITS = 256, 2048, 8192
MAX_REQUEST = 64 * 1024

Key = ec.EllipticCurvePrivateKey
PublicKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey
_SHA256 = hashes.SHA256()


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate, and what is to be known of it; `key` is the SHA-256 of its public key."""

    pem: bytes
    serial: str
    not_before_ms: int
    not_after_ms: int
    fingerprint: str
    key: str

    @classmethod
    def of(cls, certificate: x509.Certificate) -> Self:
        """Take what is to be known from a parsed certificate."""
        return cls(
            pem=certificate.public_bytes(serialization.Encoding.PEM),
            serial=f"{certificate.serial_number:x}",
            not_before_ms=_in_ms(certificate.not_valid_before_utc),
            not_after_ms=_in_ms(certificate.not_valid_after_utc),
            fingerprint=certificate.fingerprint(_SHA256).hex(),
            key=_fingerprint_of(certificate.public_key()),
        )

    @classmethod
    def from_pem(cls, pem: bytes) -> Self:
        """Read the first certificate of a file. Raises AccessError."""
        return cls.of(_parse_certificate(pem))


@dataclass(frozen=True, slots=True)
class Request:
    """What a gateway asks for: a certificate with this name for this public key."""

    name: str
    public_key: PublicKey

    @property
    def key(self) -> str:
        """The SHA-256 of the public key, as the gateway shows it too."""
        return _fingerprint_of(self.public_key)


def read_request(pem: bytes) -> Request:
    """Read and check a request: proof of its key, one name, nothing else. Raises RequestError."""
    if len(pem) > MAX_REQUEST:
        raise RequestError("too large for a request for a certificate")
    try:
        request = x509.load_pem_x509_csr(pem)
        is_proven, extensions = request.is_signature_valid, list(request.extensions)
        names = list(request.subject)
        public_key = request.public_key()
    except (ValueError, UnsupportedAlgorithm, InvalidSignature):
        raise RequestError("is no request for a certificate (PEM, BEGIN CERTIFICATE REQUEST)") from None
    if not is_proven:
        raise RequestError("its signature is wrong: it was changed on its way, or made without the key")
    if extensions:
        raise RequestError("asks for more than one name: make it with anlan-edge request")
    if [name.oid for name in names] != [NameOID.COMMON_NAME]:
        raise RequestError("must have the gateway's id as its one name (CN): make it with anlan-edge request")
    return Request(str(names[0].value), _checked_key(public_key))


def _checked_key(key: object) -> PublicKey:
    if isinstance(key, ec.EllipticCurvePublicKey) and key.curve.key_size >= LEAST_CURVE_BITS:
        return key
    if isinstance(key, rsa.RSAPublicKey) and LEAST_RSA_BITS <= key.key_size <= MOST_RSA_BITS:
        return key
    least = f"EC from {LEAST_CURVE_BITS} bits, RSA from {LEAST_RSA_BITS} to {MOST_RSA_BITS}"
    raise RequestError(f"its key is too weak, or of a kind that is not taken ({least})")


def new_key() -> Key:
    """Make a private key."""
    return ec.generate_private_key(ec.SECP256R1())


def key_to_pem(key: Key, passphrase: bytes = b"") -> bytes:
    """Return a private key as a file; with a passphrase, nobody can use it without."""
    lock = serialization.BestAvailableEncryption(passphrase) if passphrase else serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, lock)


@dataclass(frozen=True, slots=True)
class Signer:
    """An authority that can sign: its key and its certificate."""

    key: Key
    certificate: x509.Certificate

    @classmethod
    def make(cls, *, now_ms: int, days: int) -> Self:
        """Make a new authority, whose name no other one has."""
        key = new_key()
        name = _name(f"Anlan broker authority {_fingerprint_of(key.public_key())[:8]}")
        builder = (
            _builder(name, key.public_key(), now_ms=now_ms, days=days)
            .issuer_name(name)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(signs_certificates=True), critical=True)
        )
        return cls(key, builder.sign(key, _SHA256))

    @classmethod
    def read(cls, key_pem: bytes, certificate_pem: bytes, passphrase: bytes = b"") -> Self:
        """Read an authority's files. Raises AccessError."""
        certificate = _parse_certificate(certificate_pem)
        try:
            key = serialization.load_pem_private_key(key_pem, passphrase or None)
        except TypeError:
            wrong = "is not locked: leave passphrase_file away" if passphrase else "is locked: give passphrase_file"
            raise AccessError(f"the authority's key {wrong}") from None
        except (ValueError, UnsupportedAlgorithm):
            raise AccessError("the authority's key cannot be read: wrong passphrase, or a damaged file") from None
        if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != certificate.public_key():
            raise AccessError("the authority's key and certificate do not belong together")
        return cls(key, certificate)

    def sign_gateway(self, request: Request, *, now_ms: int, days: int) -> Certificate:
        """Grant a request: a certificate that says who a gateway is, and is good for nothing else."""
        return self._sign(
            _builder(_name(request.name), request.public_key, now_ms=now_ms, days=days, most=self.certificate)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        )

    def sign_server(self, key: Key, hosts: Iterable[str], *, now_ms: int, days: int) -> Certificate:
        """Make the certificate of a server that is reached by these names and addresses."""
        hosts = list(hosts)
        return self._sign(
            _builder(_name(hosts[0][:64]), key.public_key(), now_ms=now_ms, days=days, most=self.certificate)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(x509.SubjectAlternativeName([_host(host) for host in hosts]), critical=False)
        )

    def sign_revocations(self, revoked: Mapping[str, int], *, number: int, now_ms: int) -> bytes:
        """Return the list of revoked certificates, serial -> since when; it is good as long as the authority is.

        A list that ends earlier would, at its end, shut out every gateway.
        """
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self.certificate.subject)
            .last_update(_at(now_ms) - SLACK)
            .next_update(self.certificate.not_valid_after_utc)
            .add_extension(x509.CRLNumber(number), critical=False)
            .add_extension(self._origin(), critical=False)
        )
        for serial, at_ms in revoked.items():
            entry = x509.RevokedCertificateBuilder().serial_number(int(serial, 16)).revocation_date(_at(at_ms))
            builder = builder.add_revoked_certificate(entry.build())
        return builder.sign(self.key, _SHA256).public_bytes(serialization.Encoding.PEM)

    def _sign(self, builder: x509.CertificateBuilder) -> Certificate:
        builder = builder.issuer_name(self.certificate.subject).add_extension(self._origin(), critical=False)
        return Certificate.of(builder.sign(self.key, _SHA256))

    def _origin(self) -> x509.AuthorityKeyIdentifier:
        return x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key())


def make_client(key: Key, name: str, *, now_ms: int, days: int) -> Certificate:
    """Make a certificate that vouches for itself, for whom a listener trusts it and nothing else."""
    builder = (
        _builder(_name(name), key.public_key(), now_ms=now_ms, days=days)
        .issuer_name(_name(name))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
    )
    return Certificate.of(builder.sign(key, _SHA256))


def _builder(
    subject: x509.Name, key: PublicKey, *, now_ms: int, days: int, most: x509.Certificate | None = None
) -> x509.CertificateBuilder:
    """Begin a certificate; it never outlives `most`, whose own it is."""
    end = _at(now_ms) + timedelta(days=days)
    if most is not None:
        end = min(end, most.not_valid_after_utc)
    if end <= _at(now_ms):
        raise AccessError("the authority has ended: make a new one in another folder, for all gateways")
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(_at(now_ms) - SLACK)
        .not_valid_after(end)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _usage(*, signs_certificates: bool = False) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _host(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        pass
    try:
        return x509.DNSName(host)
    except ValueError:
        raise AccessError(f"{json.dumps(host)} is no name or address of a host") from None


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _parse_certificate(pem: bytes) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(pem)
    except ValueError:
        raise AccessError("is no certificate (PEM, BEGIN CERTIFICATE)") from None


def _fingerprint_of(key: object) -> str:
    """Return the SHA-256 of a public key, in hex."""
    if not isinstance(key, ec.EllipticCurvePublicKey | rsa.RSAPublicKey):
        raise AccessError("the certificate has a key of a kind that is not taken")
    der = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    digest = hashes.Hash(_SHA256)
    digest.update(der)
    return digest.finalize().hex()


def _at(at_ms: int) -> datetime:
    return datetime.fromtimestamp(at_ms // 1000, UTC)


def _in_ms(at: datetime) -> int:
    return int(at.timestamp()) * 1000
