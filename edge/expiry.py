"""Until when our certificate is valid, read without a library for it, so that the agent's process stays small."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime
from pathlib import Path

import structlog

from edge.contract.clock import Clock
from edge.contract.readings import is_undated

SOON_DAYS, DAY_MS = 30, 86_400_000
_LOOK_S, _TIME_S = 86_400.0, 60.0
_UTC_TIME, _GENERALIZED_TIME, _VERSION = 0x17, 0x18, 0xA0
_BEGIN, _END = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"

_log = structlog.get_logger()


async def watch_expiry(certificate: Path, clock: Clock) -> None:
    """Warn each day, from 30 days before the certificate ends; for ever."""
    while True:
        while is_undated(clock.now_ms()):
            await clock.sleep(_TIME_S)
        say_expiry(certificate, clock.now_ms())
        await clock.sleep(_LOOK_S)


def say_expiry(certificate: Path, now_ms: int) -> None:
    """Warn when the certificate ends within 30 days, or has ended."""
    try:
        end_ms = end_of(certificate.read_text(encoding="ascii"))
    except (OSError, ValueError) as error:
        _log.warning("our certificate cannot be read", file=str(certificate), reason=str(error))
        return
    if end_ms - now_ms < SOON_DAYS * DAY_MS:
        end = datetime.fromtimestamp(end_ms / 1000, UTC).date().isoformat()
        _log.warning("our certificate must be renewed", file=str(certificate), valid_until=end)


def end_of(pem: str) -> int:
    """Return the end of the first certificate of a file, milliseconds UTC (RFC 5280, 4.1). Raises ValueError."""
    found, _, _ = pem[max(pem.find(_BEGIN), 0) :].partition(_END)
    [(_, certificate)] = _elements(ssl.PEM_cert_to_DER_cert(f"{found}{_END}\n"))
    (_, signed), *_ = _elements(certificate)
    fields = [element for element in _elements(signed) if element[0] != _VERSION]
    _serial, _algorithm, _issuer, (_, validity), *_ = fields
    _, (tag, end) = _elements(validity)
    form = {_UTC_TIME: "%y%m%d%H%M%SZ", _GENERALIZED_TIME: "%Y%m%d%H%M%SZ"}.get(tag, "")
    return int(datetime.strptime(end.decode("ascii"), form).replace(tzinfo=UTC).timestamp()) * 1000


def _elements(data: bytes) -> list[tuple[int, bytes]]:
    """Split DER into its elements, tag and content. Raises ValueError."""
    elements = []
    while data:
        if len(data) < 2:
            raise ValueError("not a certificate")
        tag, size, start = data[0], data[1], 2
        if size & 0x80:
            start += size & 0x7F
            size = int.from_bytes(data[2:start])
        if start + size > len(data):
            raise ValueError("not a certificate")
        elements.append((tag, data[start : start + size]))
        data = data[start + size :]
    return elements
