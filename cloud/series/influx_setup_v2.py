"""Looking at and setting up a bucket of InfluxDB 2.x, by its API (docs.influxdata.com/influxdb/v2/api).

InfluxQL finds a bucket by a mapping (DBRP). Later versions have a virtual one of each bucket's own name. 3.x has
neither buckets nor mappings: there a database is only tried.
"""

from typing import Any, Literal

from cloud.series import MisconfiguredError
from cloud.series.influx_http import Answer, InfluxHttp
from cloud.series.influx_standing import Standing
from edge.contract.program import command

NO_RIGHT = {401, 403}
NO_RIGHT_TO_READ = "the token has not the right to read this bucket: give it that, or use another token"
NO_RIGHT_TO_WRITE = "the token has not the right to write to this bucket: give it that, or use another token"


class V2Setup:
    """See `influx_standing.Setup`."""

    def __init__(self, http: InfluxHttp) -> None:
        self._http = http
        self._settings = http.settings

    async def look(self) -> Standing:
        """See `influx_standing.Setup`."""
        settings = self._settings
        params = {"org": settings.org, "bucket": settings.database, "precision": "ms"}
        written = await self._http.ask("POST", "/api/v2/write", params=params, content=b"")
        if written.status == 404 and "organization" in written.said:
            raise self._fault(f"there is no organisation {settings.org}, or none for this token: correct org")
        if written.status == 404 and isinstance(written.document, dict):
            return Standing(exists=False)
        if written.status == 403:
            return await self._look_as_reader([NO_RIGHT_TO_WRITE])
        if written.is_success or written.status == 400:  # there was nothing to write
            return await self._look_as_reader([])
        raise written.sorted(settings)

    async def create(self, retention_s: int | None) -> None:
        """See `influx_standing.Setup`."""
        wanted = {
            "orgID": await self._org(retention_s),
            "name": self._settings.database,
            "retentionRules": [_rule(retention_s)] if retention_s else [],
        }
        answer = await self._http.ask("POST", "/api/v2/buckets", json=wanted)
        self._check_right(answer, f"create buckets; with one that may: {self._create_by_hand(retention_s)}")

    async def alter(self, standing: Standing, retention_s: int | None) -> None:
        """See `influx_standing.Setup`."""
        place, rule = f"/api/v2/buckets/{standing.part}", _rule(retention_s or 0)
        answer = await self._http.ask("PATCH", place, json={"retentionRules": [rule]})
        if answer.status == 422 and retention_s is None:  # before 2.1 no rule was for ever, and a rule of 0 an error
            answer = await self._http.ask("PATCH", place, json={"retentionRules": []})
        by_hand = f"influx bucket update --id {standing.part} --retention {_duration(retention_s)}"
        self._check_right(answer, f"change how long it keeps readings; with one that may: {by_hand}")

    async def mend(self, standing: Standing) -> None:
        """See `influx_standing.Setup`: InfluxQL has to find it."""
        if standing.mapping != "none":
            return
        mapping = {
            "orgID": standing.org,
            "bucketID": standing.part,
            "database": self._settings.database,
            "retention_policy": "autogen",
            "default": True,
        }
        answer = await self._http.ask("POST", "/api/v2/dbrps", json=mapping)
        by_hand = f"influx v1 dbrp create --bucket-id {standing.part} --db {self._settings.database} --rp autogen"
        self._check_right(answer, f"add the mapping for InfluxQL; with one that may: {by_hand} --default")

    async def _look_as_reader(self, faults: list[str]) -> Standing:
        settings = self._settings
        answer = await self._http.ask("GET", "/api/v2/buckets", params={"org": settings.org, "name": settings.database})
        if answer.status >= 500:
            raise answer.sorted(settings)
        if answer.status == 404 and answer.document is None:  # a server that has no buckets
            return Standing(exists=True, faults=[*faults, *await self._reading_faults()])
        bucket = next((one for one in _listed(answer, "buckets") if one.get("name") == settings.database), None)
        if bucket is None:
            return Standing(exists=True, faults=[*faults, NO_RIGHT_TO_READ])
        mapping, mapping_fault = await self._mapping(str(bucket["id"]))
        return Standing(
            exists=True,
            faults=[*faults, *([mapping_fault] if mapping_fault else await self._reading_faults())],
            retention_s=next((rule["everySeconds"] for rule in bucket.get("retentionRules", [])), 0) or None,
            is_retention_known=True,
            part=str(bucket["id"]),
            org=str(bucket.get("orgID", "")),
            mapping=mapping,
        )

    async def _mapping(self, bucket: str) -> tuple[Literal["here", "none", "elsewhere"], str | None]:
        params = {"org": self._settings.org, "db": self._settings.database}
        answer = await self._http.ask("GET", "/api/v2/dbrps", params=params)
        if not answer.is_success:
            return "here", None  # reading shows whether there is one
        # Where there are several, InfluxDB takes the first.
        led_to = next((one.get("bucketID") for one in _listed(answer, "content") if one.get("default")), None)
        if led_to is None:
            return "none", f"InfluxQL does not find it: {command('cloud', 'init')} adds a mapping (DBRP)"
        if led_to != bucket:
            elsewhere = f"InfluxQL is led to another bucket ({led_to}) by the mapping (DBRP) of this name"
            return "elsewhere", f"{elsewhere}: correct that with influx v1 dbrp, or choose another database"
        return "here", None

    async def _reading_faults(self) -> list[str]:
        settings = self._settings
        answer = await self._http.ask(
            "POST", "/query", data={"db": settings.database, "q": "SHOW MEASUREMENTS LIMIT 1"}
        )
        if answer.status in NO_RIGHT:
            return [NO_RIGHT_TO_READ]
        if answer.status >= 500:
            raise answer.sorted(settings)
        results = _listed(answer, "results")
        error = next((one["error"] for one in results if "error" in one), None if results else answer.said)
        return [] if error is None else [f"cannot be read by InfluxQL: {error}"]

    async def _org(self, retention_s: int | None) -> str:
        answer = await self._http.ask("GET", "/api/v2/orgs", params={"org": self._settings.org})
        orgs = _listed(answer, "orgs")
        if not orgs:
            by_hand = self._create_by_hand(retention_s)
            raise self._fault(f"not there, and the token may not look up organisations; with one that may: {by_hand}")
        return str(orgs[0]["id"])

    def _create_by_hand(self, retention_s: int | None) -> str:
        settings = self._settings
        return (
            f"influx bucket create --name {settings.database} --org {settings.org} "
            f"--retention {_duration(retention_s)}, or with InfluxDB 3: influxdb3 create database {settings.database}"
        )

    def _check_right(self, answer: Answer, what: str) -> None:
        if answer.status in NO_RIGHT:
            raise self._fault(f"the token has not the right to {what}")
        if not answer.is_success:
            raise answer.sorted(self._settings)

    def _fault(self, what: str) -> MisconfiguredError:
        return MisconfiguredError(f"{self._settings.place}: {what}")


def _listed(answer: Answer, name: str) -> list[dict[str, Any]]:
    """Return the list of this name in an answer; nothing where there is none."""
    found = answer.document.get(name) if isinstance(answer.document, dict) else None
    return found if isinstance(found, list) else []


def _rule(retention_s: int) -> dict[str, Any]:
    return {"type": "expire", "everySeconds": retention_s}


def _duration(retention_s: int | None) -> str:
    return f"{retention_s // 86_400}d" if retention_s else "0"
