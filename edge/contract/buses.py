"""Where devices answer: on a bus that several share, or at a TCP address of their own.

A *bus* is one pair of wires: whoever talks on it, talks alone. It ends in a serial port of the gateway, or in a
converter on the network that passes bytes on (``framing: rtu``) or speaks Modbus TCP (``framing: tcp``; some of these
never give the transaction id back: ``framing: tcp_without_ids``).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal, NamedTuple, Self

from pydantic import Field, model_validator

from edge.contract.config_file import CheckedModel, ConfigModel, Key, Misfit
from edge.contract.forms import HOST, SERIAL_PORT, Id

Host = Annotated[str, Field(max_length=253), HOST]
Framing = Literal["rtu", "tcp", "tcp_without_ids"]
Parity = Literal["none", "even", "odd"]
Baud = Literal[1200, 2400, 4800, 9600, 19200, 38400, 57600, 115200]

MODBUS_PORT = 502
OWN_TIMEOUT_S, BUS_TIMEOUT_S = 3.0, 1.0


class Line(NamedTuple):
    """How a unit is reached, as a value: two units on the same line are equal here.

    ``baud`` is None where no slow wire is known of; ``port`` is 0 for a serial port, whose path is ``host``.
    """

    host: str
    port: int
    framing: Framing
    baud: int | None = None
    parity: Parity = "none"
    stop_bits: int = 1

    def __str__(self) -> str:
        return self.host if self.is_serial else f"{self.host}:{self.port}"

    @property
    def is_serial(self) -> bool:
        """Whether it is a serial port of this machine."""
        return self.port == 0

    @property
    def bits_per_char(self) -> int:
        """Bits on the wire for one byte: start, eight of data, parity, stop."""
        return 9 + (self.parity != "none") + self.stop_bits


class BusConfig(CheckedModel):
    """A line that several units share: a serial port, or a serial converter on the network."""

    id: Id = Field(description="What devices call it in modbus.bus.")
    serial: Annotated[str, SERIAL_PORT] | None = Field(default=None, description="Serial port, such as /dev/ttyUSB0.")
    host: Host | None = Field(default=None, description="Address of the converter.")
    port: int = Field(default=MODBUS_PORT, ge=1, le=65535, description="TCP port of the converter.")
    framing: Framing = Field(
        default="rtu",
        description="rtu: the converter passes bytes on as they are; tcp: it speaks Modbus TCP; tcp_without_ids: "
        "so too, but it never gives the transaction id back.",
    )
    baud: Baud = Field(default=9600, description="Of the serial line, also of one behind a converter.")
    parity: Parity = Field(default="none", description="As all devices of the bus are set.")
    stop_bits: Literal[1, 2] = Field(default=1, description="Devices without parity often use 1, as the standard 2.")
    timeout_s: float = Field(
        default=BUS_TIMEOUT_S, ge=0.05, le=60, description="How long an answer may take at most; the usual is learnt."
    )

    @property
    def line(self) -> Line:
        """The bus as a value."""
        host, port = (self.serial, 0) if self.serial else (self.host or "", self.port)
        return Line(host, port, self.framing, self.baud, self.parity, self.stop_bits)

    def _problems(self) -> Iterator[tuple[Key, str]]:
        if (self.serial is None) == (self.host is None):
            yield ("serial",), "say either serial (a port of this machine) or host (a converter on the network)"
        if self.serial is not None and self.framing != "rtu":
            yield ("framing",), "a serial port carries rtu; tcp is for converters that speak Modbus TCP"
        if self.serial is not None and "port" in self.model_fields_set:
            yield ("port",), "a serial port has no TCP port"


class ModbusAddress(ConfigModel):
    """Where a device answers: on a bus, or at a TCP address of its own."""

    bus: Id | None = Field(default=None, description="Id of one of buses, where it shares a line with others.")
    host: Host | None = Field(default=None, description="Address of a device with Modbus TCP.")
    port: int = Field(default=MODBUS_PORT, ge=1, le=65535, description="Its TCP port.")
    unit: int = Field(
        default=1, ge=0, le=255, description="Modbus unit (slave) number: 1 to 247, over Modbus TCP also 0 and 255."
    )
    timeout_s: float | None = Field(
        default=None, ge=0.05, le=60, description="How long an answer may take at most: the bus says it, else 3 s."
    )

    @model_validator(mode="after")
    def _has_one_place(self) -> Self:
        if self.bus is None and self.host is None:
            raise Misfit([(("host",), "missing")])
        if self.bus is not None and self.host is not None:
            raise Misfit([(("host",), "belongs to the bus, not to a device on it")])
        if self.bus is not None and "port" in self.model_fields_set:
            raise Misfit([(("port",), "belongs to the bus, not to a device on it")])
        return self

    @property
    def line(self) -> Line | None:
        """The device's own line; None for one on a bus."""
        return None if self.host is None else Line(self.host, self.port, "tcp")
