"""`/letters`: messages that were not taken: why, what is in them, and what a person can do about them."""

import asyncio
import time
from collections.abc import Mapping
from typing import Annotated, Literal
from urllib.parse import urlencode

from fastapi import APIRouter, HTTPException, Path, Query
from fastapi.responses import Response

from cloud.api.bounds import MAX_ID
from cloud.events import EventTaker
from cloud.registry.person import Role
from cloud.registry.registry import Registry
from cloud.replay import LetterNotFoundError, ReplayError, discard, replay
from cloud.series import SeriesError
from cloud.web.gateway_view import LANES
from cloud.web.letter_causes import WORDS, Cause
from cloud.web.letter_content import look_into
from cloud.web.letter_list import MOST_AT_ONCE, Asked, Tab, find_letters, numbers_of, one_letter
from cloud.web.page import OperatorPage, Page, local_path
from cloud.web.words import N_

LAST_PAGE = 200  # of at most 10,000 letters
LONGEST_AT_ONCE_S = 8.0  # that a browser waits for a click on many

KINDS: Mapping[str, str] = {
    "batch": N_("readings"),
    "event": N_("event"),
    "blob": N_("picture"),
    "status": N_("status"),
    "inventory": N_("inventory"),
    "limits": N_("what was learned"),
    "receipt": N_("receipt"),
}

router = APIRouter()

Number = Annotated[int, Path(ge=1, le=MAX_ID)]


@router.get("/letters")
async def list_letters(
    page: OperatorPage,
    tab: Tab = "look",
    gateway: Annotated[str, Query(max_length=64)] = "",
    cause_asked: Annotated[Cause | Literal[""], Query(alias="cause")] = "",
    number: Annotated[int, Query(alias="page", ge=1, le=LAST_PAGE)] = 1,
) -> Response:
    """Show what needs somebody, or the gateways that wait to be registered."""
    asked = Asked(tab=tab, gateway=gateway, cause=cause_asked or None, page=number)
    now_ms = page.now_ms
    found = await page.read(lambda connection: find_letters(connection, asked, now_ms))
    return page.render(
        "letters/list.html",
        found=found,
        asked=asked,
        kinds=KINDS,
        cause_words=WORDS,
        said=_said(page),
        may_install=page.may(Role.INSTALLER),
        most_at_once=MOST_AT_ONCE,
    )


@router.get("/letters/{letter}")
async def show_letter(page: OperatorPage, letter: Number) -> Response:
    """Show one letter with what is in it."""
    return await _letter_page(page, letter)


@router.post("/letters/{letter}/replay")
async def replay_letter(page: OperatorPage, letter: Number) -> Response:
    """Take a letter after all; when that does not work, its page says why."""
    back = local_path(str((await page.form()).get("next", "/letters")))
    try:
        await _replay(page, letter)
    except LetterNotFoundError:
        return page.go_to(_with(back, said="gone"))
    except ReplayError as error:
        return await _letter_page(page, letter, problem=_refused(page, error), status=409)
    except SeriesError:
        problem = page._("The series store does not answer now. Nothing is lost: try again later.")
        return await _letter_page(page, letter, problem=problem, status=503)
    return page.go_to(_with(back, said="taken"))


@router.post("/letters/{letter}/discard")
async def discard_letter(page: OperatorPage, letter: Number) -> Response:
    """Drop a letter for good."""
    form, person = await page.form(), page.person
    back = local_path(str(form.get("next", "/letters")))
    try:
        await page.write(lambda connection: discard(connection, letter, person=person))
    except LetterNotFoundError:
        return page.go_to(_with(back, said="gone"))
    return page.go_to(_with(back, said="discarded"))


@router.post("/letters/replay")
async def replay_letters(page: OperatorPage) -> Response:
    """Take many letters after all: those of one cause, of one gateway or of all."""
    form = await page.form()
    try:
        wanted = Cause(str(form.get("cause", "")))
    except ValueError:
        raise HTTPException(422) from None
    asked = Asked(cause=wanted, gateway=str(form.get("gateway", ""))[:64])
    numbers = await page.read(lambda connection: numbers_of(connection, asked))
    taken, refused, until = 0, 0, time.monotonic() + LONGEST_AT_ONCE_S
    for number in numbers:
        if time.monotonic() > until:
            break
        try:
            await _replay(page, number)
            taken += 1
        except ReplayError:
            refused += 1
        except LetterNotFoundError:
            continue
        except SeriesError:
            return page.go_to(_with(asked.path(), said="store", taken=taken, refused=refused))
    return page.go_to(_with(asked.path(), said="many", taken=taken, refused=refused))


async def _replay(page: Page, letter: int) -> None:
    services = page.services
    taker = EventTaker(
        services.database, Registry(services.database), services.clock, blobs_folder=services.blobs_folder
    )
    await replay(
        letter,
        database=services.database,
        series=services.series,
        taker=taker,
        clock=services.clock,
        person=page.person,
    )


async def _letter_page(page: Page, letter: int, *, problem: str = "", status: int = 200) -> Response:
    found = await page.read(lambda connection: one_letter(connection, letter))
    if found is None:
        raise HTTPException(404)
    content = await asyncio.to_thread(look_into, found.letter)
    return page.render(
        "letters/letter.html",
        status=status,
        letter=found.letter,
        words_of=WORDS[found.cause],
        name=found.name,
        may_be_taken=found.may_be_taken,
        lanes=LANES,
        content=content,
        kinds=KINDS,
        problem=problem,
        may_install=page.may(Role.INSTALLER),
    )


def _refused(page: Page, error: ReplayError) -> str:
    return page._("It was not taken: %(reason)s") % {"reason": error}


def _with(path: str, **parameters: str | int) -> str:
    """Return an address with what was done added to it."""
    return f"{path}{'&' if '?' in path else '?'}{urlencode(parameters)}"


def _said(page: Page) -> str:
    """Say what was done on the page before; empty when nothing was."""
    query = page.request.query_params
    numbers = {name: _count(query.get(name, "")) for name in ("taken", "refused")}
    sentences = {
        "taken": N_("The message was taken: it is stored now."),
        "discarded": N_("The message is discarded."),
        "gone": N_("That message is not here any more."),
        "many": N_("Taken: %(taken)s. Refused again: %(refused)s."),
        "store": N_("Taken: %(taken)s. Then the series store did not answer: go on later."),
    }
    return page._(sentences.get(query.get("said", ""), "")) % numbers if query.get("said", "") in sentences else ""


def _count(text: str) -> int:
    return min(int(text), MOST_AT_ONCE) if text.isdecimal() and len(text) < 6 else 0
