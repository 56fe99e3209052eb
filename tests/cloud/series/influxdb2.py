"""A stand-in for InfluxDB 2.7, as its API is documented (docs.influxdata.com/influxdb/v2/api), with the words it uses.

Only what sets it up and looks at it: /ping, /api/v2/orgs, buckets, dbrps, a write of no lines, and InfluxQL.
"""

import json
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.cloud.series.recording_server import Answer, Request

ORG, ORG_ID = "town", "059af7ed2a034000"
HEADERS = {"X-Influxdb-Version": "v2.7.11", "X-Influxdb-Build": "OSS", "Content-Type": "application/json"}
ALL = frozenset({"orgs", "create", "read", "write"})


class InfluxDB2:
    """Tokens with rights: to see organisations, to create buckets, to read and to write all of them."""

    def __init__(self, **tokens: frozenset[str]) -> None:
        self.tokens = tokens
        self.buckets: dict[str, dict[str, Any]] = {}
        self.mappings: list[dict[str, Any]] = []
        self.has_virtual_mappings = True
        self.version = "v2.7.11"

    def add(self, name: str, *, seconds: int = 0) -> str:
        """Create a bucket; return its id."""
        rules = [{"type": "expire", "everySeconds": seconds}] if seconds else []
        number = f"{len(self.buckets) + 1:016x}"
        self.buckets[name] = {"id": number, "orgID": ORG_ID, "type": "user", "name": name, "retentionRules": rules}
        return number

    def respond(self, request: Request) -> Answer:
        """Answer one request."""
        address = urlsplit(request.path)
        if address.path == "/ping":
            return Answer(204, b"", {**HEADERS, "X-Influxdb-Version": self.version})
        rights = self.tokens.get(request.headers.get("Authorization", "").removeprefix("Token "))
        if rights is None:
            return fault(401, "unauthorized", "unauthorized access")
        query = {name: values[0] for name, values in parse_qs(address.query).items()}
        if address.path == "/query":
            return self._influxql({name: values[0] for name, values in parse_qs(request.body.decode()).items()}, rights)
        if query.get("org", ORG) != ORG:
            return fault(404, "not found", f'organization name "{query["org"]}" not found')
        name = address.path.removeprefix("/api/v2/").partition("/")[0]
        answers = {"orgs": self._orgs, "buckets": self._buckets, "dbrps": self._dbrps, "write": self._write}
        return answers[name](request, query, rights)

    def _orgs(self, request: Request, query: dict[str, str], rights: frozenset[str]) -> Answer:
        return said(200, {"orgs": [{"id": ORG_ID, "name": ORG}] if "orgs" in rights else []})

    def _buckets(self, request: Request, query: dict[str, str], rights: frozenset[str]) -> Answer:
        if request.method == "GET":
            if query["name"] not in self.buckets:
                return fault(404, "not found", f'bucket "{query["name"]}" not found')
            return said(200, {"buckets": [self.buckets[query["name"]]] if "read" in rights else []})
        if request.method == "PATCH" and "write" not in rights:
            return fault(401, "unauthorized", f"write:orgs/{ORG_ID}/buckets/1 is unauthorized")
        if request.method == "POST" and "create" not in rights:
            return fault(401, "unauthorized", f"write:orgs/{ORG_ID}/buckets is unauthorized")
        wanted = json.loads(request.body)
        if request.method == "PATCH":
            [name] = [name for name, one in self.buckets.items() if request.path.endswith(one["id"])]
        else:
            name = wanted["name"]
            self.add(name)
        self.buckets[name]["retentionRules"] = [rule for rule in wanted["retentionRules"] if rule["everySeconds"]]
        return said(200 if request.method == "PATCH" else 201, self.buckets[name])

    def _dbrps(self, request: Request, query: dict[str, str], rights: frozenset[str]) -> Answer:
        if request.method == "GET":
            return said(200, {"content": self._mappings_of(query["db"]) if "read" in rights else []})
        if "write" not in rights:
            return fault(401, "unauthorized", f"write:orgs/{ORG_ID}/buckets/1 is unauthorized")
        self.mappings.append({"id": "0", "virtual": False, **json.loads(request.body)})
        return said(201, self.mappings[-1])

    def _mappings_of(self, database: str) -> list[dict[str, Any]]:
        found = [one for one in self.mappings if one["database"] == database]
        if self.has_virtual_mappings and database in self.buckets and not found:
            bucket = self.buckets[database]["id"]
            virtual = {"id": bucket, "bucketID": bucket, "orgID": ORG_ID, "database": database}
            found = [{**virtual, "retention_policy": "autogen", "default": True, "virtual": True}]
        return found

    def _write(self, request: Request, query: dict[str, str], rights: frozenset[str]) -> Answer:
        if query["bucket"] not in self.buckets:
            return fault(404, "not found", f'bucket "{query["bucket"]}" not found')
        if "write" not in rights:
            return fault(403, "forbidden", "insufficient permissions for write")
        assert request.body == b"", "nothing may be stored"
        return fault(400, "invalid", "writing requires points")

    def _influxql(self, form: dict[str, str], rights: frozenset[str]) -> Answer:
        result: dict[str, Any] = {"statement_id": 0}
        if "read" not in rights or not self._mappings_of(form["db"]):
            result["error"] = f"database not found: {form['db']}"
        return said(200, {"results": [result]})


def said(status: int, document: dict[str, Any]) -> Answer:
    return Answer(status, json.dumps(document).encode(), HEADERS)


def fault(status: int, code: str, message: str) -> Answer:
    return said(status, {"code": code, "message": message})
