"""What lets a worker's phone open its orders without a network: manifest, service worker, and a page for all others."""

from collections.abc import Sequence
from functools import cache

import msgspec
from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response

from cloud.web.assets import STATIC, asset_url
from cloud.web.page import AnyPage, Page

router = APIRouter()

FALLBACK = "/offline"
SHELL = (
    "app.css",
    "app.js",
    "orders.css",
    "orders.js",
    "map.css",
    "map.js",
    "icons.svg",
    "icons/anlan.svg",
    "icons/anlan-192.png",
)
"""What the pages of orders load."""
ICONS: Sequence[tuple[str, str, str]] = (
    ("icons/anlan-192.png", "192x192", "any"),
    ("icons/anlan-512.png", "512x512", "any"),
    ("icons/anlan-maskable-512.png", "512x512", "maskable"),
)
GROUND, BRAND = "#f3f7f9", "#0a6577"


@router.get("/manifest.webmanifest")
async def show_manifest(page: AnyPage) -> Response:
    """Say how the pages are put on a phone's first screen."""
    manifest = {
        "id": "/",
        "name": page._("Anlan"),
        "short_name": page._("Anlan"),
        "description": page._("Sensors, judged on the spot; work, finished by people."),
        "lang": page.language.tag,
        "dir": "ltr",
        "start_url": "/",
        "scope": "/",
        "display": "standalone",
        "background_color": GROUND,
        "theme_color": BRAND,
        "icons": [
            {"src": asset_url(name), "sizes": sizes, "type": "image/png", "purpose": purpose}
            for name, sizes, purpose in ICONS
        ],
    }
    headers = {"Cache-Control": "no-cache", "Vary": "Cookie"}
    return JSONResponse(manifest, media_type="application/manifest+json", headers=headers)


@router.get("/sw.js")
async def show_service_worker() -> Response:
    """Give the service worker; a browser takes a new one when a file that the pages load has changed."""
    return Response(_service_worker(), media_type="text/javascript", headers={"Cache-Control": "no-cache"})


@router.get(FALLBACK)
async def show_offline(page: AnyPage) -> Response:
    """Say that there is no network and nothing was kept; it is kept itself, so it knows nobody."""
    return Page(page.request, page.services, None).render("orders/offline.html")


@cache
def _service_worker() -> bytes:
    shell = {"files": [asset_url(name) for name in SHELL], "fallback": FALLBACK}
    parts = [
        b"self.SHELL = " + msgspec.json.encode(shell) + b";",
        (STATIC / "js" / "queue.js").read_bytes(),
        (STATIC / "js" / "worker.js").read_bytes(),
    ]
    return b"\n".join(parts)
