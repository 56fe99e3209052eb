"""What a series store on InfluxDB is told; apart from `influx`, whose client takes a second to import."""

from pathlib import Path
from typing import Literal

from msgspec import Struct


class InfluxSettings(Struct, frozen=True, kw_only=True):
    """Where the database is and who we are there; `api` is how it is written: v1 for 1.x, v2 for 2.x and later.

    With v1, `username` and `password` sign in where the server asks for it; with v2, `token` does, and `database` names
    the bucket. `ca_file` holds the authorities that a server with https is verified by; None: those of this machine.
    `retention_days` is how long the database shall keep readings, None for ever.
    """

    url: str
    database: str
    api: Literal["v1", "v2"] = "v2"
    username: str = ""
    password: str = ""
    token: str = ""
    org: str = ""
    ca_file: Path | None = None
    retention_days: int | None = None
    timeout_s: float = 30.0

    @property
    def place(self) -> str:
        """What messages call the database."""
        return f"InfluxDB {self.url}, database {self.database}"

    @property
    def retention_s(self) -> int | None:
        """How long readings shall be kept, in seconds."""
        return None if self.retention_days is None else self.retention_days * 86_400

    @property
    def who(self) -> str:
        """Whom a message calls us."""
        if self.api == "v2":
            return "the token"
        return f"user {self.username}" if self.username else "somebody without username"

    @property
    def correct_who(self) -> str:
        """What to do when the server does not know us."""
        if self.api == "v2":
            return "put a valid token into the file that token_file names"
        if self.username:
            return "correct username, or the file that password_file names"
        return "give username and password_file"
