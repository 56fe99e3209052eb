"""What the pages load: style sheets, scripts and icons, joined, compressed and named by their content.

An address such as /assets/9c1f0a2b71d4/app.css holds the hash of what it brings, so a browser may keep it for ever.
"""

import gzip
from collections.abc import Mapping
from functools import cache
from hashlib import sha256
from pathlib import Path

from msgspec import Struct
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

HERE = Path(__file__).parent
STATIC, NODE = HERE / "static", HERE / "node_modules"
VENDOR = (
    "htmx.org/dist/htmx.min.js",
    "htmx-ext-sse/dist/sse.min.js",
    "uplot/dist/uPlot.iife.min.js",
    "uplot/dist/uPlot.min.css",
    "leaflet/dist/leaflet.js",
    "leaflet/dist/leaflet.css",
)
"""Files of npm packages that are served, as they are."""
BUNDLES: Mapping[str, tuple[str, ...]] = {
    "app.css": ("css/tokens.css", "css/base.css", "css/parts.css", "css/layout.css", "css/pages.css"),
    "app.js": (VENDOR[0], VENDOR[1], "js/app.js", "js/stream.js"),
    "chart.css": (VENDOR[3], "css/chart.css"),
    "chart.js": (VENDOR[2], "js/chart_painter.js", "js/chart.js"),
    "orders.css": ("css/orders.css",),
    "orders.js": ("js/queue.js", "js/countdown.js", "js/photos.js", "js/places.js", "js/share.js", "js/orders.js"),
    "share.js": ("js/share.js",),
    "map.css": (VENDOR[5], "css/map.css"),
    "map.js": (VENDOR[4], "js/map.js"),
}
"""What is served under one name: files of `static/` and of npm packages, one after the other."""
MEDIA_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
}
FOR_EVER = "public, max-age=31536000, immutable"
HASH_DIGITS = 12


class MissingAssetError(RuntimeError):
    """A file that the pages need is not there: the npm packages were not installed."""


class Asset(Struct, frozen=True):
    """One file as it is served."""

    media_type: str
    content: bytes
    compressed: bytes
    hash: str


@cache
def assets() -> Mapping[str, Asset]:
    """Return every served file by name. Raises MissingAssetError."""
    found = {name: _asset(name, b"\n".join(map(_read, parts))) for name, parts in BUNDLES.items()}
    joined = {part for parts in BUNDLES.values() for part in parts}
    for path in sorted(STATIC.rglob("*")):
        name = path.relative_to(STATIC).as_posix()
        if path.suffix in MEDIA_TYPES and name not in joined:
            found[name] = _asset(name, path.read_bytes())
    return found


def asset_url(name: str) -> str:
    """Return the address of a file. Raises KeyError for one that is not there."""
    return f"/assets/{assets()[name].hash}/{name}"


async def serve_asset(request: Request) -> Response:
    """Answer with a file; one of another version is not found, so that it is never kept under a wrong name."""
    asset = assets().get(request.path_params["name"])
    if asset is None or asset.hash != request.path_params["hash"]:
        raise HTTPException(404)
    headers = {"Cache-Control": FOR_EVER, "Vary": "Accept-Encoding", "X-Content-Type-Options": "nosniff"}
    if "gzip" in request.headers.get("Accept-Encoding", "") and len(asset.compressed) < len(asset.content):
        headers["Content-Encoding"] = "gzip"
        return Response(asset.compressed, media_type=asset.media_type, headers=headers)
    return Response(asset.content, media_type=asset.media_type, headers=headers)


def _read(part: str) -> bytes:
    path = NODE / part if part in VENDOR else STATIC / part
    try:
        return path.read_bytes()
    except OSError as error:
        reason = f"{path}: {error.strerror}: in a checkout, ./anlan installs the packages of cloud/web/package.json"
        raise MissingAssetError(reason) from None


def _asset(name: str, content: bytes) -> Asset:
    return Asset(
        MEDIA_TYPES[Path(name).suffix],
        content,
        gzip.compress(content, 9, mtime=0),
        sha256(content).hexdigest()[:HASH_DIGITS],
    )
