"""What lets a phone open its orders without a network."""

import re

import msgspec
import pytest

from cloud.web.offline import FALLBACK, SHELL
from tests.cloud.web.conftest import Site


@pytest.mark.parametrize(("language", "name"), [("zh", "安澜"), ("en", "Anlan")])
async def test_the_manifest_is_in_the_language_of_the_page(site: Site, language: str, name: str) -> None:
    """With icons that are there, one of which may be cut to a shape."""
    answer = await site.visit("li", "/manifest.webmanifest", language=language)
    assert answer.headers["content-type"] == "application/manifest+json"
    manifest = answer.json()
    assert (manifest["name"], manifest["start_url"], manifest["display"]) == (name, "/", "standalone")
    assert {icon["purpose"] for icon in manifest["icons"]} == {"any", "maskable"}
    for icon in manifest["icons"]:
        picture = await site.visit(None, icon["src"])
        assert picture.content.startswith(b"\x89PNG")
        width = int.from_bytes(picture.content[16:20])
        assert icon["sizes"] == f"{width}x{width}"


async def test_the_service_worker_keeps_what_its_pages_load(site: Site) -> None:
    """Every file of its list is there, and everything that the pages of orders name is in the list."""
    answer = await site.visit(None, "/sw.js")
    assert answer.headers["cache-control"] == "no-cache"
    match = re.match(r"self\.SHELL = (.*);\n", answer.text)
    assert match is not None
    shell = msgspec.json.decode(match.group(1))
    for path in [*shell["files"], shell["fallback"]]:
        assert (await site.visit(None, path)).status_code == 200
    named = set(re.findall(r'(?:src|href)="(/assets/[^"#]+)', await site.see("li", "/orders")))
    assert named <= set(shell["files"])
    assert len(shell["files"]) == len(SHELL)


async def test_the_page_without_a_network_knows_nobody(site: Site) -> None:
    """It is kept by the phone, so it is the same for everybody."""
    texts = {await site.see(login, FALLBACK) for login in ("li", "chen", None)}
    assert len(texts) == 1
    assert "李强" not in texts.pop()
