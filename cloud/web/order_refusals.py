"""Why a step was not taken, in the words of whoever pressed the button."""

from collections.abc import Mapping

from msgspec import Struct
from pydantic import ValidationError

from cloud.blobs import MAX_EVIDENCE, PictureError
from cloud.web.order_view import OrderView
from cloud.web.order_words import say_step
from cloud.web.page import Page
from cloud.workorders.states import ForbiddenError, ImpossibleError, IncompleteError, Need


class Refusal(Struct, frozen=True):
    """The status, a sentence, and what others did meanwhile."""

    status: int
    text: str
    meanwhile: list[str] = []


def refusal_of(
    page: Page, error: Exception, view: OrderView, said: Mapping[str, str], *, seen_version: int | None
) -> Refusal:
    """Say why; `said` is what the person wanted, `seen_version` the order's as they saw it, where they said it."""
    if isinstance(error, PictureError):
        size = page.formats.size(MAX_EVIDENCE)
        return Refusal(415, page._("The picture was not taken: JPEG or PNG, %(size)s at most.") % {"size": size})
    if isinstance(error, ForbiddenError):
        return Refusal(403, page._("You may not take this step: somebody else has to."))
    if isinstance(error, ValidationError):
        return Refusal(422, page._("Something in the form is missing or too long."))
    if isinstance(error, IncompleteError):
        return Refusal(422, _missing(page, view, said))
    meanwhile = _meanwhile(page, view, seen_version)
    if isinstance(error, ImpossibleError) and not meanwhile:
        return Refusal(409, page._("The order cannot take this step from where it stands."))
    return Refusal(409, page._("The order has moved on meanwhile. This is how it stands now."), meanwhile)


def _missing(page: Page, view: OrderView, said: Mapping[str, str]) -> str:
    needs: frozenset[Need] = next((step.needs for step in view.steps if step.target == said["to"]), frozenset())
    if Need.REASON in needs and not said["reason"]:
        return page._("Pick a reason, or write one.")
    if Need.CLOSING_STANDARD in needs:
        return page._("Pick the closing standard that is met.")
    if Need.ASSIGNEE in needs:
        return page._("Pick a worker.")
    return page._("This waited in the phone for too long: look at the order again.")


def _meanwhile(page: Page, view: OrderView, seen_version: int | None) -> list[str]:
    """Say what was done since; without a version, which a queued step does not know, the last thing done."""
    steps = view.order.transitions
    since = seen_version if seen_version is not None else steps[-1].version - 1
    return [
        f"{page.formats.time(step.at)} {say_step(page.words, step, view.names)}"
        for step in steps
        if step.version > since
    ]
