"""How gateway and cloud processes log: one human line, or one JSON object, per event on standard error.

What others send us may stand in a line, but cannot look like a line of its own or steer the terminal that shows it.
"""

from __future__ import annotations

import logging
import sys
import textwrap

import structlog
from structlog.processors import ExceptionRenderer
from structlog.tracebacks import ExceptionDictTransformer
from structlog.typing import EventDict, Processor, WrappedLogger

# Without locals: they hold whatever a request carried, such as tokens.
_TRACEBACKS = ExceptionRenderer(ExceptionDictTransformer(show_locals=False))


def configure(*, as_json: bool, level: int = logging.INFO) -> None:
    """Set up structlog, and let libraries that use the standard ``logging`` speak through the same lines."""
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso" if as_json else "%Y-%m-%d %H:%M:%S", utc=as_json),
    ]
    shared += [_TRACEBACKS] if as_json else [structlog.processors.format_exc_info, _harmless]
    last: Processor = (
        structlog.processors.JSONRenderer(ensure_ascii=False)
        if as_json
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), pad_event_to=0, pad_level=False)
    )
    structlog.configure(
        processors=[*shared, last],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(processor=last, foreign_pre_chain=shared))
    logging.basicConfig(handlers=[handler], level=logging.ERROR, force=True)  # what libraries warn of, we say better


class _Quoted:
    """A text that is shown in quotes, with escapes for what cannot be printed."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return repr(self._text)


def _harmless(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Escape what is not for a terminal; a traceback keeps its lines, which begin with blanks as no other line does."""
    for name, value in event.items():
        if not isinstance(value, str) or value.isprintable():
            continue
        if name == "exception":
            event[name] = textwrap.indent("\n".join(map(escaped, value.splitlines())), "  ")
        else:
            event[name] = escaped(value) if name == "event" else _Quoted(value)
    return event


def escaped(text: str) -> str:
    """Return a text that cannot steer a terminal or look like a line of its own."""
    return text if text.isprintable() else repr(text)[1:-1]
