"""Logs: one line a record, for people or as JSON; and how foreign text gets into them."""

from __future__ import annotations

import json as json_text
import logging
import sys
from typing import Final

from mediafleet_common.formats.times import rfc3339

_NOISY: Final = ("aiohttp.access", "asyncio", "grpc", "kopf", "kubernetes")
"""Libraries that log too much below WARNING."""


def configure(level: str = "info", json: bool = False) -> None:
    """Send logs to stderr, since stdout is for the one line that says a command is ready."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonFormatter() if json else _PlainFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name in _NOISY:
        logging.getLogger(name).setLevel(max(root.level, logging.WARNING))


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
