"""cloud.yaml: where the cloud keeps things, which broker and which series store it uses, where its API listens.

Only `data_dir` must be given; a cloud without other servers keeps everything there:

    data_dir: /var/lib/anlan
    broker: {host: 127.0.0.1, port: 1883}
    api: {host: 127.0.0.1, port: 8000}
"""

from pathlib import Path
from typing import Annotated, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from pydantic import AfterValidator, Field, model_validator

from cloud.database import check_url, with_password
from cloud.map_file import load_ground
from cloud.series.config import SeriesConfig
from edge.contract.broker_config import BrokerConfig
from edge.contract.config_file import ConfigModel, LocalPath, Misfit, SecretPath, load_yaml, nearest, read_secret
from edge.contract.forms import HOST, HTTP_ADDRESS

DatabaseUrl = Annotated[str, AfterValidator(check_url)]
TILES = r"^https?://[A-Za-z0-9.:-]+/[^\s;,'\"]*$"


def _known_timezone(name: str) -> str:
    """Return a timezone's name; raises ValueError for one that this machine does not know."""
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f'"{name}" is not a timezone{nearest(name, available_timezones())}') from None
    return name


def _drawable(path: Path) -> Path:
    """A file that the map can be drawn from; raises ValueError."""
    load_ground(path)
    return path


class ApiConfig(ConfigModel):
    """Where pages and API listen. They speak plain HTTP: beyond this machine, put a proxy with TLS before them."""

    host: str = Field(default="127.0.0.1", min_length=1, max_length=253, description="Address to listen on.")
    port: int = Field(default=8000, ge=1, le=65535, description="Port to listen on.")
    public_url: Annotated[str, HTTP_ADDRESS] | None = Field(
        default=None, description="What people type to reach it, for links: https://anlan.example.org"
    )


class MapConfig(ConfigModel):
    """What the map shows under sites and grids; without either it shows just these."""

    geojson: Annotated[LocalPath, AfterValidator(_drawable)] | None = Field(
        default=None, description="Roads, water and buildings as GeoJSON, WGS 84."
    )
    tiles: str | None = Field(
        default=None,
        max_length=500,
        pattern=TILES,
        description="Map tiles: https://tiles.example.org/{z}/{x}/{y}.png. Browsers then ask that server.",
    )
    attribution: str = Field(default="", max_length=200, description="Whose map it is, shown in its corner.")


class NewGatewaysConfig(ConfigModel):
    """What the page for installers proposes for the gateway.yaml of a new gateway; {gateway} stands for its id."""

    host: Annotated[str, HOST] | None = Field(
        default=None, description="Broker as gateways reach it; default: the cloud's own, where that is not local."
    )
    port: int = Field(default=8883, ge=1, le=65535, description="Its port for gateways.")
    tls: bool = Field(default=True, description="Whether they encrypt; only a broker on this machine may go without.")
    username: str = Field(default="{gateway}", min_length=1, max_length=256, description="Who they are to the broker.")
    password_file: str = Field(
        default="secrets/broker.password", min_length=1, max_length=500, description="Where the password is kept there."
    )
    ca_file: str | None = Field(
        default=None,
        min_length=1,
        max_length=500,
        description="The broker's authority there; default: ca.crt, where the cloud has one (broker.tls.ca_file).",
    )
    data_dir: str = Field(default="/var/lib/anlan", min_length=1, max_length=500, description="Where they keep data.")


class BrokerAccessConfig(ConfigModel):
    """Where the commands `ca` and `gateway` keep what lets gateways into the broker."""

    authority: LocalPath | None = Field(
        default=None, description="Folder of the key that signs certificates; default: authority in data_dir."
    )
    broker_files: LocalPath | None = Field(
        default=None, description="Folder of what the broker reads; default: broker in data_dir."
    )
    passphrase_file: SecretPath | None = Field(
        default=None, description="Its first line unlocks the key that signs; default: the key is not locked."
    )
    certificate_days: int = Field(default=397, ge=1, le=825, description="How long a gateway's certificate is valid.")


class CloudConfig(ConfigModel):
    """The whole of cloud.yaml."""

    data_dir: LocalPath = Field(description="Folder of the databases and pictures.")
    broker: BrokerConfig = BrokerConfig(host="127.0.0.1", port=1883)
    shared: bool = Field(default=False, description="Share the messages with other cloud processes; MQTT 5 brokers.")
    database_url: DatabaseUrl | None = Field(default=None, description="SQLAlchemy URL; default: a file in data_dir.")
    database_password_file: SecretPath | None = Field(
        default=None, description="PostgreSQL: its first line is the password, which is no part of database_url."
    )
    series: SeriesConfig = SeriesConfig()
    api: ApiConfig = ApiConfig()
    map: MapConfig = MapConfig()
    new_gateways: NewGatewaysConfig = NewGatewaysConfig()
    broker_access: BrokerAccessConfig = BrokerAccessConfig()
    ledger_days: int = Field(
        default=35, ge=8, le=36500, description="How long the ledger keeps each message by itself; then ranges of them."
    )
    timezone: Annotated[str, AfterValidator(_known_timezone)] = Field(
        default="Asia/Shanghai", description="In which pages show times, by its IANA name."
    )

    @property
    def address(self) -> str:
        """What people type to reach the pages."""
        return self.api.public_url or f"http://{self.api.host}:{self.api.port}"

    @property
    def gateway_defaults(self) -> NewGatewaysConfig:
        """What a new gateway.yaml begins with: the cloud's own broker, unless another one is said or it is local."""
        given, tls = self.new_gateways, self.broker.tls
        if given.ca_file is None and tls is not None and tls.ca_file is not None:
            given = given.model_copy(update={"ca_file": "ca.crt"})
        if given.host is not None or self.broker.is_loopback:
            return given
        # A port where the cloud shows a certificate is no port for gateways with a password.
        is_shared = "port" not in given.model_fields_set and (tls is None or tls.certificate_file is None)
        port = self.broker.port if is_shared else given.port
        return given.model_copy(update={"host": self.broker.host, "port": port})

    @property
    def authority(self) -> Path:
        """Where the key lies that signs certificates."""
        return self.broker_access.authority or self.data_dir / "authority"

    @property
    def broker_files(self) -> Path:
        """Where the files lie that the broker reads."""
        return self.broker_access.broker_files or self.data_dir / "broker"

    @property
    def blobs_folder(self) -> Path:
        """Where pictures lie."""
        return self.data_dir / "blobs"

    @property
    def database_file(self) -> Path:
        """The SQLite file that is the database when `database_url` names no other."""
        return self.data_dir / "cloud.db"

    @property
    def database(self) -> str:
        """The SQLAlchemy URL of registry, ledger and work orders, with its password: for `Database` alone."""
        if self.database_url is None:
            return f"sqlite:///{self.database_file}"
        password = read_secret(self.database_password_file)
        return with_password(self.database_url, password) if password else self.database_url

    @model_validator(mode="after")
    def _password_has_its_database(self) -> Self:
        is_server = self.database_url is not None and self.database_url.startswith("postgresql")
        if self.database_password_file is not None and not is_server:
            raise Misfit([(("database_password_file",), "only for a database_url of postgresql")])
        return self


def load_cloud_config(path: Path) -> CloudConfig:
    """Read and check cloud.yaml. Raises ConfigError with every problem found."""
    return load_yaml(path, CloudConfig)
