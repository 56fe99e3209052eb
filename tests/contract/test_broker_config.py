"""The broker section of every configuration file."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from edge.contract.broker_config import BrokerConfig, TlsConfig


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_this_machine_may_be_plain_and_anonymous(host: str) -> None:
    """On loopback neither TLS nor a user is asked for."""
    assert BrokerConfig(host=host, port=1883).is_loopback


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({}, "tls"),
        ({"username": "gw", "password_file": Path("p")}, "tls"),
        ({"tls": TlsConfig()}, "username"),
    ],
)
def test_another_machine_needs_tls_and_a_user(settings: dict[str, object], key: str) -> None:
    """Elsewhere plaintext or anonymous access is an error that names what is missing."""
    with pytest.raises(ValidationError, match=rf"{key}: missing: mqtt\.example\.org is not this machine"):
        BrokerConfig(host="mqtt.example.org", port=8883, **settings)  # type: ignore[arg-type]


def test_both_are_missed_at_once() -> None:
    """Who gives neither TLS nor a user is told both, not one after the other."""
    with pytest.raises(ValidationError) as caught:
        BrokerConfig(host="mqtt.example.org", port=8883)
    assert "tls: missing" in str(caught.value)
    assert "username: missing" in str(caught.value)


def test_a_certificate_says_who_we_are() -> None:
    """A client certificate stands for user and password."""
    tls = TlsConfig(certificate_file=Path("c.pem"), key_file=Path("k.pem"))
    assert BrokerConfig(host="mqtt.example.org", port=8883, tls=tls).address == "mqtt.example.org:8883"


@pytest.mark.parametrize(
    "settings", [{"username": "gw"}, {"password_file": Path("p")}, {"tls": {"key_file": Path("k")}}, {"host": "a b"}]
)
def test_halves_are_refused(settings: dict[str, object]) -> None:
    """A user without a password file, a key without a certificate, and a host with a space are errors."""
    with pytest.raises(ValidationError):
        BrokerConfig.model_validate({"host": "127.0.0.1", "port": 1883, **settings})
