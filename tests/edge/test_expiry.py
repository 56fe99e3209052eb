"""Until when a certificate is valid, as the agent reads it, and that it warns in time."""

from __future__ import annotations

import asyncio
import base64
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from edge.contract.clock import SteppedClock
from edge.expiry import end_of, say_expiry, watch_expiry

KEY = ec.generate_private_key(ec.SECP256R1())
NOON = 1_790_000_000_000
DAY_MS = 86_400_000


def certificate(end: datetime, *, name: str = "gw-1", serial: int = 1) -> str:
    """A certificate of any name and serial number that ends at this time."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(KEY.public_key())
        .serial_number(serial)
        .not_valid_before(end - timedelta(days=1))
        .not_valid_after(end)
        .sign(KEY, hashes.SHA256())
    )
    return made.public_bytes(serialization.Encoding.PEM).decode()


@given(
    end_s=st.integers(86_400, 5_000_000_000),  # 1970 to 2128; from 2050 on, time has another form
    name=st.text(st.characters(codec="utf-8"), min_size=1, max_size=16),
    serial=st.integers(1, 2**158),
)
def test_the_end_of_any_certificate(end_s: int, name: str, serial: int) -> None:
    """In either form of time, the end is that which was written, to the second."""
    end = datetime.fromtimestamp(end_s, UTC)
    pem = certificate(end, name=name, serial=serial)
    assert end_of(pem) == end_s * 1000
    assert end_of(f"a comment\n{pem}{certificate(end + timedelta(days=9))}") == end_of(pem)


@given(st.binary(max_size=60))
def test_what_is_no_certificate(data: bytes) -> None:
    """Whatever stands in its place is a ValueError and nothing else."""
    for text in (data.decode("latin-1"), _in_pem(base64.b64encode(data).decode())):
        with pytest.raises(ValueError, match=r"."):
            end_of(text)


def _in_pem(body: str) -> str:
    return f"-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n"


def said(file: Path, now_ms: int) -> list[Any]:
    with capture_logs() as logs:
        say_expiry(file, now_ms)
    return [dict(entry) for entry in logs]


def test_it_is_said_thirty_days_before(tmp_path: Path) -> None:
    """Nothing is said while there is time; from 30 days before the end, and after it, one warning with the day."""
    file = tmp_path / "gateway.crt"
    file.write_text(certificate(datetime.fromtimestamp(NOON / 1000, UTC) + timedelta(days=60)))
    assert said(file, NOON + 29 * DAY_MS) == []
    for day in (31, 59, 61):
        [entry] = said(file, NOON + day * DAY_MS)
        assert entry["log_level"] == "warning"
        assert (entry["event"], entry["valid_until"]) == ("our certificate must be renewed", "2026-11-20")


def test_a_file_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    """An absent or damaged certificate is a warning, and no end of the agent."""
    for content in (None, "nothing", _in_pem("MAA=")):
        if content is not None:
            (tmp_path / "gateway.crt").write_text(content)
        [entry] = said(tmp_path / "gateway.crt", NOON)
        assert entry["event"] == "our certificate cannot be read"


async def test_the_agent_looks_each_day(tmp_path: Path) -> None:
    """The watch speaks when the day comes, without a restart."""
    file = tmp_path / "gateway.crt"
    file.write_text(certificate(datetime.fromtimestamp(NOON / 1000, UTC) + timedelta(days=31, hours=12)))
    clock = SteppedClock(NOON)
    with capture_logs() as logs:
        watching = asyncio.create_task(watch_expiry(file, clock))
        await asyncio.sleep(0)
        assert logs == []
        for day in (1, 2):
            await clock.advance_to(NOON + day * DAY_MS)
        watching.cancel()
    assert [entry["event"] for entry in logs] == ["our certificate must be renewed"]
