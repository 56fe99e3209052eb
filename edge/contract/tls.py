"""TLS as we speak it: the other side is always verified, and what it has against our certificate can be said."""

from __future__ import annotations

import ssl
from contextlib import suppress
from typing import Any

from edge.contract.broker_config import TlsConfig


def open_context(tls: TlsConfig) -> ssl.SSLContext:
    """Read the files of a configuration; raises OSError for one that cannot be used. Never less than TLS 1.2."""
    context = ssl.create_default_context(cafile=tls.ca_file)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.sslsocket_class = TlsSocket
    if tls.certificate_file is not None:
        context.load_cert_chain(tls.certificate_file, tls.key_file, password=_no_passphrase)
    return context


def _no_passphrase() -> bytes:
    """Answer for a key that is locked: a service has nobody whom OpenSSL could ask on the terminal."""
    return b""


class TlsSocket(ssl.SSLSocket):
    """Closes itself when the handshake fails; paho would leave it open. Keeps what the other side has against us.

    With TLS 1.3 that comes after the handshake: we have ended it when the other side looks at our certificate.
    """

    fault: ssl.SSLError | None = None

    def recv(self, buflen: int = 1024, flags: int = 0) -> bytes:
        """Read as ever."""
        try:
            return super().recv(buflen, flags)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except ssl.SSLError as error:
            self.fault = error
            raise

    def send(self, data: Any, flags: int = 0) -> int:
        """Write as ever; where that fails, read what was said before."""
        try:
            return super().send(data, flags)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except OSError:
            with suppress(OSError):
                self.recv(1)  # it has closed already, and said why
            raise

    def do_handshake(self, block: bool = False) -> None:  # noqa: FBT001, FBT002 -- the standard library's signature
        """Shake hands as ever."""
        try:
            super().do_handshake(block)
        except OSError:
            self.close()
            raise


_ALERTS = {  # as OpenSSL names what RFC 8446, 6.2, numbers
    "CERTIFICATE_REQUIRED": "it asks for a certificate: give tls.certificate_file and tls.key_file",
    "CERTIFICATE_EXPIRED": "our certificate has ended: renew it",
    "CERTIFICATE_REVOKED": "our certificate was revoked",
    "UNKNOWN_CA": "it does not know the authority of our certificate",
    "CERTIFICATE": "it does not take our certificate",  # bad, unsupported: also one that begins later
    "DECRYPT_ERROR": "it does not take our certificate",  # the name of its authority is right, the signature is not
}


def alert_words(error: ssl.SSLError) -> str | None:
    """What the other side says against our certificate, or None when that is not what it says."""
    reason = (getattr(error, "reason", None) or "").partition("_ALERT_")[2]
    return next((words for alert, words in _ALERTS.items() if alert in reason), None)
