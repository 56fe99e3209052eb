"""What holds for every page: safe headers, nothing from elsewhere, errors as pages, language and look."""

import gzip
import re

import pytest
from sqlalchemy import update

from cloud.config import MapConfig
from cloud.registry.tables import people
from cloud.web.assets import BUNDLES, asset_url, assets
from cloud.web.site import content_policy
from tests.cloud.web.conftest import Site

FORBIDDEN = (r'<script(?![^>]*\bsrc="/)', r'\bstyle="', r"<style", r"\bon[a-z]+=", r"javascript:")


async def test_pages_may_load_only_our_own_files(site: Site) -> None:
    """No script but ours, no frame, no address of ours told to others."""
    headers = (await site.visit("wang", "/account")).headers
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy
    assert headers["referrer-policy"] == "same-origin"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"] == "private, no-cache"


async def test_who_came_by_https_comes_back_by_https(site: Site) -> None:
    """The browser is told so, for pages, files and the API; not by http, where anybody could say it."""
    async with site.browser(base_url="https://anlan.example.org") as browser:
        for path in ("/sign-in", "/nothing", asset_url("app.css"), "/healthz"):
            assert (await browser.get(path)).headers["strict-transport-security"] == "max-age=31536000"
    assert "strict-transport-security" not in (await site.client.get("/sign-in")).headers


def test_a_server_of_map_tiles_is_allowed_by_name() -> None:
    """Where one is configured, pictures of that host alone."""
    policy = content_policy(MapConfig(tiles="https://tiles.example.org:8443/a/{z}/{x}/{y}.png"))
    assert "img-src 'self' blob: data: https://tiles.example.org:8443;" in policy


@pytest.mark.parametrize("path", ["/sign-in", "/welcome", "/account", "/nothing"])
async def test_pages_have_nothing_inline(site: Site, path: str) -> None:
    """The policy would not run it."""
    text = (await site.visit("wang" if path == "/account" else None, path)).text
    assert [pattern for pattern in FORBIDDEN if re.search(pattern, text)] == []
    assert re.findall(r'(?:src|href)="(?:https?:)?//', text) == []


async def test_an_asset_is_kept_for_ever_under_its_hash(site: Site) -> None:
    """Compressed where it helps; another hash, and what is not served, is not there."""
    answer = await site.client.get(asset_url("app.css"))
    assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert answer.headers["content-encoding"] == "gzip"
    assert answer.content == assets()["app.css"].content
    assert gzip.decompress(assets()["app.css"].compressed) == assets()["app.css"].content
    for path in ("/assets/000000000000/app.css", "/assets/x/../../page.py", "/assets/x/css/tokens.css"):
        assert (await site.client.get(path)).status_code == 404


def test_every_file_of_a_bundle_is_there() -> None:
    """And bundles hold what they are made of, in order."""
    for name in BUNDLES:
        assert len(assets()[name].content) > 10


async def test_errors_of_pages_are_pages_and_of_the_api_sentences(site: Site) -> None:
    """Each in the form of whoever asked."""
    page = await site.visit("wang", "/nothing", language="zh")
    assert page.status_code == 404
    assert "没有这个页面" in page.text
    api = await site.visit("wang", "/api/v1/nothing")
    assert api.json() == {"error": "Not Found"}


async def test_a_database_that_is_away_is_said_so(site: Site) -> None:
    """503 with a page that says that nothing is lost."""
    site.database.write_now(lambda connection: connection.exec_driver_sql("ALTER TABLE sessions RENAME TO gone"))
    answer = await site.visit("wang", "/account")
    assert answer.status_code == 503
    assert "Nothing is lost" in answer.text


@pytest.mark.parametrize(("login", "home"), [("wang", "/orders"), ("chen", "/overview"), ("sun", "/gateways")])
async def test_everybody_begins_with_their_own_page(site: Site, login: str, home: str) -> None:
    """The first page leads there; who is not signed in does that first."""
    assert (await site.visit(login, "/")).headers["location"] == home
    assert (await site.visit(None, "/")).headers["location"] == "/sign-in"


async def test_the_other_language_is_a_click_away(site: Site) -> None:
    """Chinese first; the choice is kept, and one stays where one was."""
    first = (await site.client.get("/sign-in")).text
    assert '<html lang="zh-CN"' in first
    answer = await site.client.post("/language", data={"language": "en", "next": "/sign-in"})
    assert answer.headers["location"] == "/sign-in"
    assert '<html lang="en"' in (await site.client.get("/sign-in")).text


async def test_the_look_is_kept(site: Site) -> None:
    """Light, dark or as the device; anything else is as the device."""
    await site.post("wang", "/theme", {"theme": "dark", "next": "/account"})
    assert site.client.cookies["theme"] == "dark"
    await site.post("wang", "/theme", {"theme": "<script>", "next": "/account"})
    assert site.client.cookies["theme"] == "auto"


async def test_a_name_is_text_wherever_it_is_shown(site: Site) -> None:
    """What somebody is called is never markup."""
    name = "<img src=x onerror=alert(1)>"
    site.write(lambda c: c.execute(update(people).values(name=name)))
    assert name not in await site.see("wang", "/account")
