"""TLS as we speak it: never an old version, never a question on a terminal, and its words for people."""

from __future__ import annotations

import ssl
import subprocess
from pathlib import Path

import pytest

from edge.contract.broker_config import TlsConfig
from edge.contract.tls import alert_words, open_context


def test_who_we_speak_to_is_always_verified() -> None:
    """Whatever a configuration says: TLS 1.2 at least, a certificate that is verified, and a name that fits."""
    context = open_context(TlsConfig())
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    assert context.verify_mode == ssl.CERT_REQUIRED
    assert context.check_hostname


def test_only_the_named_authority_is_trusted(tmp_path: Path) -> None:
    """With tls.ca_file none of the authorities counts that the machine trusts."""
    certificate, key = _self_signed(tmp_path)
    context = open_context(TlsConfig(ca_file=certificate, certificate_file=certificate, key_file=key))
    assert [each["serialNumber"] for each in context.get_ca_certs()] == ["07"]


def test_a_locked_key_is_an_error_and_no_question(tmp_path: Path) -> None:
    """A service has no terminal on which somebody could be asked for a passphrase."""
    certificate, key = _self_signed(tmp_path, "-passout", "pass:correct horse")
    with pytest.raises(OSError, match=r"."):
        open_context(TlsConfig(certificate_file=certificate, key_file=key))


def test_other_errors_are_not_about_our_certificate() -> None:
    """What is no alert about a certificate keeps its own words."""
    assert alert_words(ssl.SSLError(1, "any")) is None
    assert alert_words(ssl.SSLEOFError(8, "EOF occurred")) is None


def _self_signed(folder: Path, *lock: str) -> tuple[Path, Path]:
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-subj", "/CN=any", "-days", "2", "-set_serial", "7",
         *(lock or ("-nodes",)), "-keyout", key, "-out", certificate],
        check=True, capture_output=True,
    )  # fmt: skip
    return certificate, key
