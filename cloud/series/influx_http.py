"""Asking an InfluxDB server by HTTP, and what its answers mean.

A secret goes into a header, never into an address, which logs and error texts show. What is refused for what it holds
(400, 422) has InfluxDB's own words in it: a page of some proxy with the same status says nothing about the readings.
"""

import json
import re
import ssl
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpx
from msgspec import Struct

from cloud.series import MisconfiguredError, RefusedError, SeriesError, UnavailableError
from cloud.series.influx_settings import InfluxSettings
from cloud.series.influxql import Found
from edge.contract.program import command

_EXPIRED = re.compile(r"(?:beyond|outside) retention policy.*\bdropped=(\d+)", re.DOTALL)
_TOKEN = re.compile(r"[!-~]*")
_LIMITS = ("max-series-per-database", "max-values-per-tag")


class Answer(Struct, frozen=True):
    """What a server said; `version` is what it calls itself, "" where it does not say."""

    status: int
    text: str = ""
    retry_after: str | None = None
    version: str = ""

    @property
    def is_success(self) -> bool:
        """Whether it did what it was asked."""
        return 200 <= self.status < 300

    @property
    def document(self) -> Any:
        """What its JSON says; None where it is none."""
        try:
            return json.loads(self.text)
        except ValueError:
            return None

    @property
    def expired(self) -> int:
        """How many points of a write were older than the database keeps them; all others are stored."""
        found = None if self.is_success else _EXPIRED.search(self.text)
        return int(found[1]) if found else 0

    @property
    def said(self) -> str:
        """The error that it names, or the beginning of what else it said, on one line that steers no terminal."""
        words = " ".join((self._named or self.text or "no reason given").split())[:300]
        return "".join(letter if letter.isprintable() else "?" for letter in words)

    @property
    def _named(self) -> str:
        document = self.document
        if not isinstance(document, dict):
            return ""
        named = document.get("error") or document.get("message") or ""
        lines = document.get("data")  # 3.x: what is wrong with each line
        if isinstance(lines, list) and lines and isinstance(lines[0], dict):
            named = f"{named}: {lines[0].get('error_message', '')}"
        return str(named)

    def sorted(self, settings: InfluxSettings) -> SeriesError:
        """Return the error that says what to do about this answer."""
        place, said = f"InfluxDB {settings.url}", self.said
        if any(limit in said for limit in _LIMITS):
            return MisconfiguredError(f"{settings.place}: {said}: raise this limit of InfluxDB")
        if self.status == 413 or (self._named and (self.status in {400, 422} or "partial write" in said)):
            return RefusedError(f"{settings.place}: {said}")
        if self.status in {408, 429} or self.status >= 500:
            return UnavailableError(f"{place}: answers {self.status}: {said}", _seconds(self.retry_after))
        if self.status == 401:
            return MisconfiguredError(f"{place}: does not let {settings.who} in: {said}: {settings.correct_who}")
        if self.status == 403:
            check = command("cloud", "check")
            return MisconfiguredError(f"{place}: {settings.who} has not the right: {said}: {check} says which to grant")
        if self.status == 404 and self._named:
            return MisconfiguredError(
                f"{place}: {said}: create the database {settings.database} or correct its name in the configuration; "
                f"{command('cloud', 'init')} creates it"
            )
        return MisconfiguredError(
            f"{place}: answers {self.status}: {said}: is this the address of an InfluxDB that speaks api "
            f"{settings.api}? {command('cloud', 'check')} says more"
        )


class InfluxHttp:
    """Asks one server as one user; connects when first used. Raises MisconfiguredError at once for a wrong file."""

    def __init__(self, settings: InfluxSettings) -> None:
        self.settings = settings
        if not _TOKEN.fullmatch(settings.token):  # whatever would come of it might be said with the token in it
            reason = "holds a blank or another character that no token has: its first line must be the token alone"
            raise MisconfiguredError(f"InfluxDB {settings.url}: the file that token_file names {reason}")
        auth = httpx.BasicAuth(settings.username, settings.password) if settings.username else None
        headers = {"Authorization": f"Token {settings.token}"} if settings.token else {}
        self._client = httpx.AsyncClient(
            base_url=settings.url,
            auth=auth,
            headers=headers,
            timeout=settings.timeout_s,
            verify=open_context(settings) or True,
            trust_env=False,
        )

    async def ask(self, method: str, path: str, **request: Any) -> Answer:
        """Return the answer, whatever it is. Raises SeriesError when there is none."""
        try:
            response = await self._client.request(method, path, **request)
        except httpx.TransportError as error:
            raise no_answer(self.settings, error) from error
        version = response.headers.get("X-Influxdb-Version", "")
        return Answer(response.status_code, response.text, response.headers.get("Retry-After"), version)

    async def query(self, *statements: str, database: str | None = None) -> list[Found]:
        """Return, for each statement, its series as InfluxDB describes them, with every number still a string.

        Raises SeriesError.
        """
        settings = self.settings
        question = {"db": database or settings.database, "epoch": "ms", "q": "; ".join(statements)}
        answer = await self.ask("POST", "/query", data=question)
        if not answer.is_success:
            raise answer.sorted(settings)
        return [found_in(result, settings) for result in _results(answer, settings)]

    async def close(self) -> None:
        """Release the connections."""
        await self._client.aclose()


def found_in(result: Mapping[str, Any], settings: InfluxSettings) -> Found:
    """Return what one statement found. Raises the error that it ended with."""
    if "error" in result:
        status = 404 if "not found" in result["error"] else 500
        raise Answer(status, json.dumps({"error": result["error"]})).sorted(settings)
    found: Found = result.get("series", [])
    return found


def _results(answer: Answer, settings: InfluxSettings) -> list[dict[str, Any]]:
    try:
        results: list[dict[str, Any]] = json.loads(answer.text, parse_int=str, parse_float=str)["results"]
    except (ValueError, KeyError, TypeError):
        beginning = " ".join(answer.text.split())[:100]
        raise MisconfiguredError(
            f"InfluxDB {settings.url}: answers a query with {beginning!r}: is this the address of an InfluxDB?"
        ) from None
    return results


def no_answer(settings: InfluxSettings, error: Exception) -> SeriesError:
    """Return the error for a server that cannot be asked."""
    reason, place = str(error) or type(error).__name__, f"InfluxDB {settings.url}"
    if "WRONG_VERSION_NUMBER" in reason:
        return MisconfiguredError(f"{place}: speaks no https there: correct the url")
    if "CERTIFICATE_VERIFY_FAILED" in reason:
        why = reason.partition("certificate verify failed: ")[2].partition(" (_ssl")[0]
        return MisconfiguredError(
            f"{place}: its certificate cannot be trusted: {why}: name its authority with ca_file, or correct the url"
        )
    return UnavailableError(f"{place}: no answer ({reason}): is it running there?")


def open_context(settings: InfluxSettings) -> ssl.SSLContext | None:
    """Return how a server is verified that is spoken to encrypted. Raises MisconfiguredError for a useless ca_file."""
    if not settings.url.startswith("https:"):
        return None
    try:
        return ssl.create_default_context(cafile=settings.ca_file)
    except OSError as error:
        raise MisconfiguredError(f"ca_file {settings.ca_file}: cannot be used: {error}: it must be PEM") from error


def _seconds(retry_after: str | None) -> float | None:
    """Return how long a server asks to wait: in seconds, or until a date (RFC 9110, 10.2.3); None for anything else."""
    if retry_after is None or retry_after.isdecimal():
        return float(retry_after) if retry_after else None
    try:
        until = parsedate_to_datetime(retry_after)
    except ValueError:
        return None
    return max((until.replace(tzinfo=until.tzinfo or UTC) - datetime.now(UTC)).total_seconds(), 0.0)
