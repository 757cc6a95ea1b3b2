"""Logs: one line a record, for people or as JSON; and how foreign text gets into them."""

from __future__ import annotations

import json as json_text
import logging
import sys
from contextvars import ContextVar
from typing import Final

from mediafleet_common.formats.times import rfc3339

_NOISY: Final = ("aiohttp.access", "asyncio", "grpc", "kopf", "kubernetes")
"""Libraries that log too much below WARNING."""
LINES_A_SECOND: Final = 50
"""Of one kind for one tenant: whoever can have lines written could fill the node's disk."""
_KINDS: Final = 1000
on_behalf_of: Final[ContextVar[str]] = ContextVar("on_behalf_of", default="")
"""The tenant that something is done for, where several share a process."""


def configure(level: str = "info", json: bool = False) -> None:
    """Send logs to stderr, since stdout is for the one line that says a command is ready."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonFormatter() if json else _PlainFormatter())
    handler.addFilter(Sparing())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name in _NOISY:
        logging.getLogger(name).setLevel(max(root.level, logging.WARNING))


class Sparing(logging.Filter):
    """Lets so many lines of one kind through each second; the next one says how many were not."""

    def __init__(self) -> None:
        super().__init__()
        self._seen: dict[tuple[str, str, str], tuple[float, int]] = {}
        """When the second began, and lines since."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether a line is written. A kind is what stands in the code."""
        kind, now = (record.name, str(record.msg), on_behalf_of.get()), record.created
        began, lines = self._seen.get(kind, (now, 0))
        if not 0 <= now - began < 1:
            if lines > LINES_A_SECOND:
                left_out = f" ({lines - LINES_A_SECOND} lines like this were left out)"
                record.msg, record.args = record.getMessage() + left_out, None
            began, lines = now, 0
        if len(self._seen) > _KINDS:
            self._seen.clear()
        self._seen[kind] = (began, lines + 1)
        return lines < LINES_A_SECOND


def printable(text: str, limit: int = 200) -> str:
    """`text` from elsewhere, fit for a log line: control characters escaped, cut at `limit`."""
    cut = text[:limit]
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in cut)
    return shown + ("…" if len(text) > limit else "")


def _moment(record: logging.LogRecord) -> str:
    return rfc3339(record.created, "milliseconds")


class _PlainFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = f"{_moment(record)} {record.levelname:7} {record.name}: {record.getMessage()}"
        if record.exc_info:
            line += "\n" + self.formatException(record.exc_info)
        return line


class _JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        fields = {
            "time": _moment(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            fields["error"] = self.formatException(record.exc_info)
        return json_text.dumps(fields, ensure_ascii=False)
