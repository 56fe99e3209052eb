"""What a series store on InfluxDB is told; apart from `influx`, whose client takes a second to import."""

from typing import Literal

from msgspec import Struct


class InfluxSettings(Struct, frozen=True, kw_only=True):
    """Where the database is and who we are there; `api` is how it is written: v1 for 1.x, v2 for 2.x and later.

    With v1, `username` and `password` sign in where the server asks for it; with v2, `token` does, and `database` names
    the bucket.
    """

    url: str
    database: str
    api: Literal["v1", "v2"] = "v2"
    username: str = ""
    password: str = ""
    token: str = ""
    org: str = ""
    timeout_s: float = 30.0
