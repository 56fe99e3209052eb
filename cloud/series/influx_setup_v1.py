"""Looking at and setting up a database of InfluxDB 1.x, by InfluxQL."""

import re

from cloud.series import MisconfiguredError
from cloud.series.influx_http import Answer, InfluxHttp, found_in
from cloud.series.influx_standing import Standing
from cloud.series.influxql import Found, quoted_name

DAY_S = 86_400
_UNITS_S = {"h": 3600, "m": 60, "s": 1}


class V1Setup:
    """See `influx_standing.Setup`."""

    def __init__(self, http: InfluxHttp) -> None:
        self._http = http
        self._settings = http.settings
        self._name = quoted_name(http.settings.database)

    async def look(self) -> Standing:
        """See `influx_standing.Setup`."""
        params = {"db": self._settings.database, "precision": "ms"}
        written = await self._http.ask("POST", "/write", params=params, content=b"")
        if written.status == 404 and "database not found" in written.said:
            return Standing(exists=False)
        faults = []
        if written.status == 403:
            faults.append(self._lacks("write"))
        elif not written.is_success:
            raise written.sorted(self._settings)
        answer = await self._ask(f"SHOW RETENTION POLICIES ON {self._name}")
        if answer.status == 403:
            return Standing(exists=True, faults=[*faults, self._lacks("read")])
        default = next((row for row in _rows(self._found(answer)) if row["default"]), None)
        if default is None:
            fault = f"has no default retention policy: ALTER RETENTION POLICY ... ON {self._name} DEFAULT makes one"
            return Standing(exists=True, faults=[*faults, fault])
        return Standing(
            exists=True,
            faults=faults,
            retention_s=_seconds(str(default["duration"])) or None,
            is_retention_known=True,
            part=str(default["name"]),
        )

    async def create(self, retention_s: int | None) -> None:
        """See `influx_standing.Setup`."""
        await self._administer(f"CREATE DATABASE {self._name} WITH {_policy(retention_s)}", "create it")

    async def alter(self, standing: Standing, retention_s: int | None) -> None:
        """See `influx_standing.Setup`."""
        policy = f"{quoted_name(standing.part)} ON {self._name}"
        await self._administer(f"ALTER RETENTION POLICY {policy} {_policy(retention_s)}", "change how long it keeps")

    async def mend(self, standing: Standing) -> None:
        """See `influx_standing.Setup`: nothing else is needed."""

    async def _administer(self, statement: str, what: str) -> None:
        answer = await self._ask(statement)
        if answer.status == 403:
            grant = f"; {self._grant}" if self._settings.username and "CREATE" in statement else ""
            raise MisconfiguredError(
                f"{self._settings.place}: {self._settings.who} may not "
                f"{what}: an administrator has to run: {statement}{grant}"
            )
        self._found(answer)

    async def _ask(self, statement: str) -> Answer:
        return await self._http.ask("POST", "/query", data={"q": statement})

    def _found(self, answer: Answer) -> Found:
        if not answer.is_success:
            raise answer.sorted(self._settings)
        document = answer.document
        if not isinstance(document, dict) or not document.get("results"):
            raise Answer(404, answer.text).sorted(self._settings)
        return found_in(document["results"][0], self._settings)

    @property
    def _grant(self) -> str:
        return f"GRANT ALL ON {self._name} TO {quoted_name(self._settings.username)}"

    def _lacks(self, right: str) -> str:
        return f"{self._settings.who} may not {right}: an administrator has to run: {self._grant}"


def _policy(retention_s: int | None) -> str:
    """Return how long readings are kept, and in pieces of which length, as InfluxDB itself would choose."""
    if retention_s is None:
        return "DURATION INF SHARD DURATION 7d"
    days = retention_s // DAY_S
    piece = "1h" if days < 2 else "1d" if days < 180 else "7d"
    return f"DURATION {days}d SHARD DURATION {piece}"


def _rows(found: Found) -> list[dict[str, object]]:
    return [dict(zip(series["columns"], row, strict=True)) for series in found for row in series.get("values", [])]


def _seconds(duration: str) -> int:
    """Return the seconds of a duration as InfluxDB writes it, such as 2160h0m0s."""
    return sum(int(number) * _UNITS_S[unit] for number, unit in re.findall(r"(\d+)([hms])", duration))
