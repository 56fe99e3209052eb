"""HTTP to a camera: signed in by Digest, bounded in everything, nothing of the password in any text or address.

httpx is imported only where a camera is asked: it costs a gateway 15 MiB. Its exceptions are translated here::

    UnreachableError    no answer that can be used: ask again after a while
    └── SignInError     user or password is not right: ask again much later, for cameras lock out who tries often

Redirects are not followed, content is not unpacked (a bomb would be), the environment's proxies are not asked. Over
https the certificate is verified, against ca_file where gateway.yaml names one. Basic sign-in is refused over http.
"""

from __future__ import annotations

import asyncio
import base64
import socket
import ssl
from collections.abc import AsyncIterator, Generator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Final

from edge.contract.camera_config import AskConfig
from edge.contract.config_file import read_secret
from edge.drivers import DriverError
from edge.drivers.cameras import Refused, Why

if TYPE_CHECKING:
    import httpx

    DigestFlow = Generator[httpx.Request, httpx.Response, None]

CONNECT_S: Final = 10.0
MOST_ANSWER: Final = 256 * 1024
OTHER_NAME: Final = (62, 64)  # of OpenSSL: a certificate for another name, another address
REASONS: Final = {  # by the name of what httpx raises
    "ConnectTimeout": f"no connection within {CONNECT_S:g} s: check url, and that the camera is on",
    "ReadTimeout": "it is connected, but does not answer",
}


class UnreachableError(DriverError):
    """The camera gave no answer that can be used."""


class SignInError(UnreachableError):
    """The camera refused user or password."""


class CameraWeb:
    """``async with CameraWeb(pull) as web``: one camera, by its address in gateway.yaml.

    Entering raises UnreachableError where a file of secrets or certificates cannot be read.
    """

    def __init__(self, pull: AskConfig) -> None:
        self._pull = pull
        self.base = pull.url.rstrip("/")
        self.password = ""

    async def __aenter__(self) -> CameraWeb:
        import httpx  # noqa: PLC0415 -- see above

        try:
            self.password = read_secret(self._pull.password_file)
            trusted = _trusted(self._pull)
        except ssl.SSLError as error:
            raise UnreachableError(f"{self._pull.ca_file}: holds no certificate as PEM (BEGIN CERTIFICATE)") from error
        except OSError as error:
            raise UnreachableError(f"{error.filename or self._pull.ca_file}: {error.strerror}") from error
        self._httpx = httpx
        self._digest = self._new_digest()
        self._client = httpx.AsyncClient(
            verify=trusted,
            trust_env=False,
            headers={"accept-encoding": "identity", "user-agent": "anlan"},
            timeout=httpx.Timeout(CONNECT_S, read=self._pull.timeout_s),
            limits=httpx.Limits(max_connections=2),
        )
        await self._client.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        with self._suppressed():
            await self._client.aclose()

    @asynccontextmanager
    async def open(self, path: str) -> AsyncIterator[AsyncIterator[bytes]]:
        """GET an answer that has no end, and give its bytes as they come. Raises UnreachableError, also from them."""
        with self._translated():
            request = self._client.build_request("GET", self.base + path)
            response = await self._send(request)
        try:
            self._expect(response, {200})
            yield self._bytes(response)
        finally:
            with self._suppressed():
                await response.aclose()

    async def post(self, path: str, body: bytes, *, content_type: str, wait_s: float) -> tuple[int, bytes]:
        """POST and return status (200, 400 or 500) and the whole answer. Raises UnreachableError and Refused.

        ``wait_s`` is for each read, and with the time to connect for the whole: an answer that trickles is none.
        """
        with self._translated():
            timeout = self._httpx.Timeout(CONNECT_S, read=wait_s)
            headers = {"content-type": content_type}
            request = self._client.build_request(
                "POST", self.base + path, content=body, headers=headers, timeout=timeout
            )
            try:
                async with asyncio.timeout(CONNECT_S + wait_s):
                    return await self._exchange(request)
            except TimeoutError as error:
                raise UnreachableError(f"its answer was not whole within {CONNECT_S + wait_s:g} s") from error

    async def _exchange(self, request: httpx.Request) -> tuple[int, bytes]:
        response = await self._send(request)
        try:
            self._expect(response, {200, 400, 500})
            return response.status_code, await self._whole(response)
        finally:
            with self._suppressed():
                await response.aclose()

    async def _send(self, request: httpx.Request) -> httpx.Response:
        """Send it, and once more signed when the camera asks who we are; what it says beside that is not read."""
        flow = self._digest.auth_flow(request)
        response = await self._client.send(self._step(flow) or request, stream=True)
        if response.status_code != 401:
            return response
        await response.aclose()
        signed = self._step(flow, response) or self._basic(request, response.headers)
        return await self._client.send(signed, stream=True)

    def _step(self, flow: DigestFlow, response: httpx.Response | None = None) -> httpx.Request | None:
        """Return what Digest sends next, None where it has nothing to say.

        The challenge is kept for later requests: one that cannot be answered is forgotten, or all would fail.
        """
        try:
            return next(flow) if response is None else flow.send(response)
        except StopIteration:
            return None
        except (LookupError, NotImplementedError, ValueError, self._httpx.ProtocolError) as error:
            self._digest = self._new_digest()
            raise UnreachableError(f"its Digest cannot be answered: {type(error).__name__}") from error

    def _new_digest(self) -> httpx.DigestAuth:
        return self._httpx.DigestAuth(self._pull.username, self.password)

    def _basic(self, request: httpx.Request, headers: Mapping[str, str]) -> httpx.Request:
        if not headers.get("www-authenticate", "").lower().startswith("basic") or request.url.scheme != "https":
            raise SignInError("it offers no Digest, and over http no password is sent: switch on Digest, or use https")
        word = base64.b64encode(f"{self._pull.username}:{self.password}".encode()).decode()
        request.headers["authorization"] = f"Basic {word}"
        return request

    def _expect(self, response: httpx.Response, statuses: set[int]) -> None:
        if response.status_code in {401, 403}:
            raise SignInError(f"status {response.status_code}: user, password, or what the user may see is not right")
        if response.status_code not in statuses:
            advice = ": of another brand, or switched off in it?" if response.status_code == 404 else ""
            raise UnreachableError(f"status {response.status_code} for {response.request.url.path}{advice}")

    async def _bytes(self, response: httpx.Response) -> AsyncIterator[bytes]:
        with self._translated():
            async for piece in response.aiter_raw():
                yield piece

    async def _whole(self, response: httpx.Response) -> bytes:
        body = bytearray()
        async for piece in response.aiter_raw():
            body += piece
            if len(body) > MOST_ANSWER:
                raise Refused(Why.TOO_LARGE, f"its answer has more than {MOST_ANSWER} bytes")
        return bytes(body)

    def _translated(self) -> _Translated:
        """Translate also what comes from below httpx: a TLS record that is broken is an ssl.SSLError, an OSError."""
        return _Translated(self._httpx.HTTPError, self._httpx.InvalidURL, OSError)

    def _suppressed(self) -> suppress:
        """Let nothing of a connection that does not close in order hide why it is closed."""
        return suppress(self._httpx.HTTPError, OSError)


class _Translated:
    """Turns what httpx raises into UnreachableError. The text of its errors has no secrets: addresses have none."""

    def __init__(self, *kinds: type[Exception]) -> None:
        self._kinds = kinds

    def __enter__(self) -> None:
        return None

    def __exit__(self, _: type[BaseException] | None, error: BaseException | None, __: object) -> None:
        if isinstance(error, self._kinds):
            raise UnreachableError(_reason(error)) from error


def _reason(error: BaseException) -> str:
    """Say what happened, as far as whoever installs the camera can do something about it."""
    below: BaseException | None = error
    while below is not None:
        match below:
            case ssl.SSLCertVerificationError(verify_code=code, verify_message=said):
                advice = "url must name it so" if code in OTHER_NAME else "save it as PEM and name it in ca_file"
                return f"its certificate is not trusted ({said}): {advice}"
            case socket.gaierror():
                return "nobody knows the name in url: check it, and the name server of the gateway"
            case ConnectionRefusedError():
                return "nothing listens at that address and port: check url, and that the camera is on"
        below = below.__cause__ or below.__context__
    kind = type(error).__name__
    return REASONS.get(kind) or (f"{kind}: {error}" if str(error) else kind)


def _trusted(pull: AskConfig) -> ssl.SSLContext:
    """Whom to trust; over http nobody is asked, and the list of authorities is not read."""
    if pull.url.startswith("https:"):
        return ssl.create_default_context(cafile=pull.ca_file)
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
