"""How a gateway or the cloud reaches its MQTT broker: the ``broker`` section of gateway.yaml and of the cloud's file.

broker: {host: mqtt.example.org, port: 8883, username: gw-7, password_file: /etc/anlan/broker.password, tls: {}}
broker: {host: 127.0.0.1, port: 1883}          # plaintext or anonymous: on this machine only
"""

import ipaddress
from typing import Annotated, Self

from pydantic import Field, model_validator

from edge.contract.config_file import ConfigModel, Key, Misfit, ReadablePath, SecretPath
from edge.contract.forms import HOST


class TlsConfig(ConfigModel):
    """Whom to trust and, where the broker asks for it, who we are; files are PEM. The broker is always verified."""

    ca_file: ReadablePath | None = Field(default=None, description="Default: the authorities this machine trusts.")
    certificate_file: ReadablePath | None = Field(default=None, description="Our own, where the broker asks for one.")
    key_file: SecretPath | None = Field(default=None, description="The key of certificate_file.")

    @model_validator(mode="after")
    def _check_pair(self) -> Self:
        if (self.certificate_file is None) != (self.key_file is None):
            raise Misfit([((), "certificate_file and key_file belong together: give both or none")])
        return self


class BrokerConfig(ConfigModel):
    """One MQTT broker. Plaintext or anonymous access is for loopback alone."""

    host: Annotated[str, HOST] = Field(description="Name or address of the broker.")
    port: int = Field(ge=1, le=65535, description="8883 with TLS, 1883 without.")
    username: str | None = Field(default=None, min_length=1, max_length=256, description="Who we are to the broker.")
    password_file: SecretPath | None = Field(
        default=None, description="Its first line is the password; read at each connect, so that it can be renewed."
    )
    tls: TlsConfig | None = Field(default=None, description="`{}` is enough to encrypt; needed beyond this machine.")
    keepalive_s: int = Field(default=30, ge=5, le=1200, description="A silent broker is given up after 1.5 times this.")

    @property
    def address(self) -> str:
        """``host:port``, for messages."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        """Whether the broker is on this machine."""
        return is_loopback(self.host)

    @model_validator(mode="after")
    def _check_secrecy(self) -> Self:
        if (self.username is None) != (self.password_file is None):
            raise Misfit([((), "username and password_file belong together: give both or none")])
        if self.is_loopback:
            return self
        problems: list[tuple[Key, str]] = []
        if self.tls is None:
            problems += [(("tls",), f"missing: {self.host} is not this machine, so the connection must be encrypted")]
        if self.username is None and (self.tls is None or self.tls.certificate_file is None):
            problems += [(("username",), f"missing: {self.host} is not this machine, so it must know who we are")]
        if problems:
            raise Misfit(problems)
        return self


def is_loopback(host: str) -> bool:
    """Whether a host name or address means the machine where it is used."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
