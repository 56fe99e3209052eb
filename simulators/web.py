"""HTTP for the simulators: the cloud's API as a person's page would use it, and a camera's post."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self

import httpx

TIMEOUT_S = 30.0


class WebError(RuntimeError):
    """The other side refused or did not answer; the text says what was asked, and what came back.

    ``status`` is the HTTP status, 0 when there was no answer.
    """

    def __init__(self, text: str, *, status: int = 0) -> None:
        super().__init__(text)
        self.status = status


class Web:
    """``async with Web(base_url, token=…) as web``: requests signed with a token, or with a name and password."""

    def __init__(self, base_url: str, *, token: str = "", sign_in: tuple[str, str] | None = None) -> None:
        self._client = httpx.AsyncClient(
            base_url=base_url,
            headers={"Authorization": f"Bearer {token}"} if token else {},
            auth=sign_in,
            timeout=TIMEOUT_S,
            trust_env=False,  # a proxy of this machine's user has no business with loopback
        )

    async def __aenter__(self) -> Self:
        await self._client.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.__aexit__(kind, error, trace)

    async def get(self, path: str, **query: str | int) -> Any:
        """GET; raises WebError."""
        return (await self.request("GET", path, params=query)).json()

    async def post(self, path: str, body: object) -> Any:
        """POST a JSON document; raises WebError."""
        return (await self.request("POST", path, json=body)).json()

    async def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Send any request; raises WebError for no answer and for an answer that is not a success."""
        try:
            response = await self._client.request(method, path, **options)
        except httpx.HTTPError as error:
            raise WebError(f"{method} {self._client.base_url}{path}: {type(error).__name__}: {error}") from error
        if not response.is_success:
            text = f"{method} {response.url}: {response.status_code} {response.text[:500]}"
            raise WebError(text, status=response.status_code)
        return response
