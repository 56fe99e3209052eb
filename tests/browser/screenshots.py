"""Pictures of every page, as people of the demo see them: ``./anlan screenshots [--out DIR] [PAGE...]``.

Starts the demo, signs its three people in by their links, waits until the day has brought all that it brings, then
takes each page on a phone (390 px) and a desk (1440 px), in Chinese and English, light and dark. An index.html in the
folder shows them side by side. With --pictures it takes those of the README into docs/pictures/ instead.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import re
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

from playwright.async_api import Browser, BrowserContext, Page

from tests.browser.chromium import Chromium, connected

WIDTHS = {390: 844, 1440: 900}
LANGUAGES = ("zh", "en")
THEMES = ("light", "dark")
START_LIMIT_S = 240.0
SETTLE_MS = 250
LAST_SIGN = "is back online"  # of the gateway whose uplink was cut: then everything that the day brings has happened


class Shot(NamedTuple):
    """A page to take: its file's name, its path with {order} and {case} in it, and who looks; nobody when empty."""

    name: str
    path: str
    who: str


SHOTS: Sequence[Shot] = (
    Shot("sign-in", "/sign-in", ""),
    Shot("welcome", "/welcome", ""),
    Shot("case-form", "/case", ""),
    Shot("case", "/case/{case}", ""),
    Shot("not-found", "/nothing", ""),
    Shot("worker-orders", "/orders", "worker"),
    Shot("worker-order", "/orders/{order}", "worker"),
    Shot("account", "/account", "worker"),
    Shot("overview", "/overview", "operator"),
    Shot("board", "/board", "operator"),
    Shot("operator-order", "/orders/{order}", "operator"),
    Shot("sensors", "/sensors", "operator"),
    Shot("completeness", "/completeness", "operator"),
    Shot("device", "/gateways/gw-west/devices/home-204", "operator"),
    Shot("sensor", "/gateways/gw-east/devices/road-r3/depth?range=1h", "operator"),
    Shot("gateways", "/gateways", "operator"),
    Shot("gateway", "/gateways/gw-west", "operator"),
    Shot("statement", "/gateways/gw-west/statement", "operator"),
    Shot("letters", "/letters", "operator"),
    Shot("installer-gateways", "/gateways", "installer"),
    Shot("new-gateway", "/gateways/new", "installer"),
    Shot("live", "/gateways/gw-west/live", "installer"),
)


class Picture(NamedTuple):
    """One of the README's pictures: what a window of that size shows, each of its pixels made of several."""

    shot: str
    width: int
    height: int
    scale: float


PICTURES: Sequence[Picture] = (
    Picture("worker-order", 390, 760, 0.75),
    Picture("overview", 1280, 860, 0.5),
    Picture("new-gateway", 1280, 860, 0.5),
)
PICTURES_FOLDER = Path(__file__).parents[2] / "docs" / "pictures"


class Scene:
    """The running demo, as the pages need it."""

    def __init__(self, address: str, links: dict[str, str], order: str) -> None:
        self.address, self.links, self.order = address, links, order
        self.case = ""
        self.states: dict[str, Any] = {"": None}

    async def sign_in(self, browser: Browser) -> None:
        """Use each link up, and find the order's public code."""
        for who, link in self.links.items():
            context = await browser.new_context()
            page = await context.new_page()
            await page.goto(link)
            await page.click("main form button.primary")
            await page.wait_for_url(re.compile(r"/(orders|overview|gateways)"))
            if who == "operator":
                await page.goto(f"{self.address}/orders/{self.order}")
                text = await page.locator("main").inner_text()
                found = re.search(r"\b[0-9A-Z]{4}-[0-9A-Z]{4}-[0-9A-Z]{4}\b", text)
                self.case = found.group() if found else ""
            self.states[who] = await context.storage_state()
            await context.close()

    def url(self, shot: Shot) -> str:
        """Return the address of a page."""
        return self.address + shot.path.format(order=self.order, case=self.case)


def main() -> int:
    """Take the pictures; return the exit code."""
    parser = argparse.ArgumentParser(prog="./anlan screenshots", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("screenshots"), help="folder of the pictures")
    parser.add_argument("--pictures", action="store_true", help="only those of the README, into docs/pictures/")
    parser.add_argument("pages", nargs="*", metavar="PAGE", help=f"only these of: {', '.join(s.name for s in SHOTS)}")
    arguments = parser.parse_args()
    unknown = set(arguments.pages) - {shot.name for shot in SHOTS}
    if unknown:
        parser.error(f"no such page: {', '.join(sorted(unknown))}")
    if Chromium.program() is None:
        parser.error(f"Chromium is not installed; on Debian type: apt-get install {Chromium.package}")
    wanted = [shot for shot in SHOTS if not arguments.pages or shot.name in arguments.pages]
    (PICTURES_FOLDER if arguments.pictures else arguments.out).mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="anlan-screenshots-") as folder:
        chromium = Chromium(Path(folder))
        chromium.start()
        try:
            work = _take_pictures(chromium) if arguments.pictures else _take_all(chromium, arguments.out, wanted)
            return asyncio.run(work)
        finally:
            chromium.stop()


async def _take_all(chromium: Chromium, out: Path, wanted: Sequence[Shot]) -> int:
    async with demo() as scene, connected(chromium) as browser:
        await scene.sign_in(browser)
        faults = []
        for width, language, theme in itertools.product(WIDTHS, LANGUAGES, THEMES):
            print(f"{width} px, {language}, {theme} …", flush=True)
            for who in dict.fromkeys(shot.who for shot in wanted):
                context = await _look(browser, scene, who, width=width, language=language, theme=theme)
                for shot in (each for each in wanted if each.who == who):
                    path = out / f"{shot.name}-{width}-{language}-{theme}.png"
                    faults += await _take(await context.new_page(), scene.url(shot), path)
                await context.close()
    (out / "index.html").write_text(_index(wanted), encoding="utf-8")
    print(f"{len(wanted) * 8} pictures in {out}; open {out / 'index.html'}")
    for fault in faults:
        print(fault, file=sys.stderr)
    return 1 if faults else 0


async def _take_pictures(chromium: Chromium) -> int:
    shots = {shot.name: shot for shot in SHOTS}
    async with demo() as scene, connected(chromium) as browser:
        await scene.sign_in(browser)
        for picture in PICTURES:
            shot = shots[picture.shot]
            context = await browser.new_context(
                viewport={"width": picture.width, "height": picture.height},
                device_scale_factor=picture.scale,
                storage_state=scene.states[shot.who],
                reduced_motion="reduce",
                timezone_id="Asia/Shanghai",
            )
            page = await context.new_page()
            await page.goto(scene.url(shot))
            await page.wait_for_timeout(4 * SETTLE_MS)
            await page.screenshot(path=PICTURES_FOLDER / f"{picture.shot}.png")
            await context.close()
    return 0


async def _look(browser: Browser, scene: Scene, who: str, *, width: int, language: str, theme: str) -> BrowserContext:
    context = await browser.new_context(
        viewport={"width": width, "height": WIDTHS[width]},
        storage_state=scene.states[who],
        color_scheme="dark" if theme == "dark" else "light",
        reduced_motion="reduce",
        timezone_id="Asia/Shanghai",
        is_mobile=width < 600,
        has_touch=width < 600,
    )
    await context.add_cookies([{"name": "language", "value": language, "url": scene.address}])
    return context


async def _take(page: Page, url: str, path: Path) -> list[str]:
    """Take one page, as long as it is; return what is wrong with it."""
    answer = await page.goto(url)
    await page.wait_for_timeout(SETTLE_MS)  # charts and maps draw after the page has loaded
    overflow = await page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    await page.screenshot(path=path, full_page=True)
    await page.close()
    status = answer.status if answer else 0
    faults = [] if status == 200 or url.endswith("/nothing") else [f"{path.name}: answered {status}"]
    return faults + ([f"{path.name}: wider than the window by {overflow} px"] if overflow > 0 else [])


@asynccontextmanager
async def demo() -> AsyncIterator[Scene]:
    """Run the demo until its flood has an order and its meter is silent."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "simulators", "demo"), stdout=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(START_LIMIT_S):
            scene = await _wait_for_scene(process)
        yield scene
    finally:
        process.send_signal(signal.SIGINT)
        await process.communicate()


async def _wait_for_scene(process: asyncio.subprocess.Process) -> Scene:
    assert process.stdout is not None
    links: dict[str, str] = {}
    order = line = ""
    while not order or LAST_SIGN not in line:
        line = (await process.stdout.readline()).decode()
        if not line:
            raise SystemExit("the demo ended by itself")
        print(line, end="", flush=True)
        if found := re.search(r"(worker|operator|installer).*?(http://\S+/welcome#\S+)", line):
            links[found.group(1)] = found.group(2)
        if found := re.search(r"road-r3 .*order (WO-\d+)", line):
            order = found.group(1)
    return Scene(links["operator"].partition("/welcome")[0], links, order)


def _index(wanted: Sequence[Shot]) -> str:
    rows = []
    for shot in wanted:
        names = [
            f"{shot.name}-{width}-{language}-{theme}.png"
            for width, language, theme in itertools.product(WIDTHS, LANGUAGES, THEMES)
        ]
        pictures = "".join(f'<a href="{name}"><img src="{name}" alt="{name}" height="420"></a> ' for name in names)
        rows.append(f"<h2>{shot.name}</h2>{pictures}")
    return f"<!doctype html><meta charset=utf-8><title>Anlan</title>{''.join(rows)}"


if __name__ == "__main__":
    sys.exit(main())
