"""Traces of jobs: text -> jobs, with errors that name the line and the field. Pure but for `load`.

CSV has a header; JSON is a list of objects, an object with that list as `jobs`, or what LiveKit's
ListEgress answers (simulate/list_egress.py). Fields:

    time        seconds, or an RFC 3339 time; the same kind in the whole trace
    type        as in `spec.accepts`: track, web, room_composite or room-composite, …
    duration    seconds, as in resources: 90s, 5m, or as clocks show it: 00:35:00
    room        optional
    cpu         optional: CPUs that the job really uses; otherwise its cost by the fleet's table
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from importlib import resources
from pathlib import Path
from typing import Any, Final

from mediafleet_common.api import durations
from mediafleet_common.api.egress.costs import RequestType
from mediafleet_common.serving.small_files import read_small_text
from mediafleet_scheduler.simulate import list_egress

SHIPPED: Final = ("burst", "day", "mixed")
"""Traces inside the package, by name."""
MAX_BYTES: Final = 64 * 1024 * 1024

_SHOWN: Final = 40
"""Characters of a wrong value that an error shows."""
_REQUIRED: Final = ("time", "type", "duration")
_OPTIONAL: Final = ("room", "cpu")


class BadTraceError(ValueError):
    """The trace cannot be read; the text says where and what to correct."""


@dataclass(frozen=True, slots=True)
class TraceJob:
    """One job that was or will be asked for."""

    at: float
    """Seconds after the first one."""
    kind: RequestType
    seconds: float
    """How long it records."""
    room: str = ""
    real_cores: float | None = None
    """CPUs that it really uses; `None`: what it costs by the fleet's table."""


def load(trace: str) -> tuple[TraceJob, ...]:
    """The jobs of a shipped trace, or of a file.

    Raises:
        BadTraceError: it is not there, too large, or cannot be read.
    """
    if trace in SHIPPED:
        text = resources.files(__package__).joinpath("traces", f"{trace}.csv").read_text("utf-8")
        return parse(text, trace)
    path = Path(trace)
    try:
        return parse(read_small_text(path, MAX_BYTES), trace)
    except FileNotFoundError as error:
        names = ", ".join(SHIPPED)
        raise BadTraceError(f"{trace}: no such file, and no trace of {names}") from error
    except OSError as error:
        raise BadTraceError(f"{trace}: {error.strerror}") from error


def parse(text: str, name: str) -> tuple[TraceJob, ...]:
    """The jobs of a trace, by time; `name` is for errors.

    Raises:
        BadTraceError: it cannot be read, or has no jobs.
    """
    rows = _json_rows(text, name) if text.lstrip()[:1] in ("[", "{") else _csv_rows(text, name)
    return of_rows(rows, name)


def of_rows(rows: Iterable[tuple[int, Mapping[str, Any]]], name: str) -> tuple[TraceJob, ...]:
    """The jobs of lines or entries, each with its number.

    Raises:
        BadTraceError: one of them is wrong, or there are none.
    """
    read = [_Row(name, line, fields) for line, fields in rows]
    if not read:
        raise BadTraceError(f"{name}: it has no jobs")
    by_clock = isinstance(read[0].time(None)[0], datetime)
    times = [row.time(by_clock)[1] for row in read]
    first = min(times)
    jobs = [row.job(at - first) for row, at in zip(read, times, strict=True)]
    return tuple(sorted(jobs, key=lambda job: job.at))


@dataclass(frozen=True, slots=True)
class _Row:
    """One line or entry, read field by field."""

    name: str
    line: int
    fields: Mapping[str, Any]

    def bad(self, field: str, problem: str) -> BadTraceError:
        return BadTraceError(f"{self.name} line {self.line}, field {field}: {problem}")

    def text(self, field: str) -> str:
        value = self.fields.get(field)
        if value is None or isinstance(value, (dict, list, bool)) or not str(value).strip():
            raise self.bad(field, "it is missing" if not value else f"{value!r} is no plain value")
        return str(value).strip()

    def time(self, by_clock: bool | None) -> tuple[datetime | float, float]:
        """What it says, and that as seconds; `by_clock`: whether it must be an RFC 3339 time."""
        text = self.text("time")
        parsed: datetime | float | None = _number(text)
        if parsed is None:
            try:
                parsed = datetime.fromisoformat(text)
            except ValueError:
                problem = f"{text[:_SHOWN]!r} is neither a number of seconds nor an RFC 3339 time"
                raise self.bad("time", problem) from None
            if parsed.tzinfo is None:
                raise self.bad("time", f"{text!r} has no time zone: add Z or +01:00")
        if by_clock is not None and isinstance(parsed, datetime) != by_clock:
            raise self.bad("time", "the first job has a time of another kind; use one for all")
        return parsed, parsed.timestamp() if isinstance(parsed, datetime) else parsed

    def job(self, at: float) -> TraceJob:
        kind = self.text("type").lower().replace("-", "_")
        try:
            request = RequestType(kind)
        except ValueError:
            known = ", ".join(each.value for each in RequestType)
            raise self.bad("type", f"{kind[:_SHOWN]!r} is none of {known}") from None
        cpu = self.fields.get("cpu")
        return TraceJob(
            at=at,
            kind=request,
            seconds=self._positive("duration"),
            room=str(self.fields.get("room") or ""),
            real_cores=None if cpu in (None, "") else self._positive("cpu"),
        )

    def _positive(self, field: str) -> float:
        text = self.text(field)
        value = _number(text)
        if value is None and field == "duration":
            value = _of_clock(text)
            try:
                value = durations.seconds(text) if value is None else value
            except ValueError:
                said = f"{text[:_SHOWN]!r} is no time: write 90, 90s, 5m or 00:05:00"
                raise self.bad(field, said) from None
        if value is None or value <= 0:
            raise self.bad(field, f"{text[:_SHOWN]!r} is no number above 0")
        return value


def _of_clock(text: str) -> float | None:
    """Seconds of hh:mm:ss; `None`: it is none."""
    parts = text.split(":")
    if len(parts) != 3 or not all(each.isascii() and each.isdigit() for each in parts):
        return None
    hours, minutes, seconds = (int(each) if len(each) < 5 else 60 for each in parts)
    return hours * 3600.0 + minutes * 60 + seconds if minutes < 60 and seconds < 60 else None


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _csv_rows(text: str, name: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    numbered = [
        (number, line)
        for number, line in enumerate(text.splitlines(), 1)
        if line.strip() and not line.lstrip().startswith("#")
    ]
    if not numbered:
        raise BadTraceError(f"{name}: it is empty")
    head = [cell.strip().lower() for cell in _cells(*numbered[0], name)]
    _check_head(head, f"{name} line {numbered[0][0]}")
    for number, line in numbered[1:]:
        cells = _cells(number, line, name)
        if len(cells) != len(head):
            raise BadTraceError(f"{name} line {number}: {len(cells)} fields, not {len(head)}")
        yield number, dict(zip(head, cells, strict=True))


def _cells(number: int, line: str, name: str) -> list[str]:
    try:
        return next(csv.reader(io.StringIO(line)))
    except (csv.Error, StopIteration) as error:
        raise BadTraceError(f"{name} line {number}: no CSV: {error}") from None


def _check_head(head: list[str], where: str) -> None:
    missing = [each for each in _REQUIRED if each not in head]
    unknown = [each for each in head if each not in (*_REQUIRED, *_OPTIONAL)]
    if missing:
        raise BadTraceError(f"{where}: the header lacks {', '.join(missing)}")
    if unknown:
        known = ", ".join((*_REQUIRED, *_OPTIONAL))
        raise BadTraceError(f"{where}, field {unknown[0]}: it is none of {known}")


def _json_rows(text: str, name: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Entry by entry, so that each is known by its line."""
    try:
        whole = json.loads(text)
    except json.JSONDecodeError as error:
        raise BadTraceError(f"{name} line {error.lineno}: no JSON: {error.msg}") from None
    except (RecursionError, ValueError):
        raise BadTraceError(f"{name}: no JSON: nested too deep, or a number too long") from None
    if list_egress.is_one(whole):
        yield from list_egress.rows(whole["items"])
        return
    entries = whole["jobs"] if isinstance(whole, dict) and set(whole) == {"jobs"} else whole
    if not isinstance(entries, list):
        raise BadTraceError(f'{name}: write a list of jobs, or {{"jobs": […]}}')
    lines = _lines_of_entries(text, len(entries))
    for line, entry in zip(lines, entries, strict=True):
        if not isinstance(entry, dict):
            raise BadTraceError(
                f"{name} line {line}: a job is an object with {', '.join(_REQUIRED)}"
            )
        unknown = [each for each in entry if each not in (*_REQUIRED, *_OPTIONAL)]
        if unknown:
            known = ", ".join((*_REQUIRED, *_OPTIONAL))
            field = unknown[0][:_SHOWN]
            raise BadTraceError(f"{name} line {line}, field {field}: it is none of {known}")
        yield line, entry


def _lines_of_entries(text: str, count: int) -> list[int]:
    decoder = json.JSONDecoder()
    at = text.index("[") + 1
    lines = []
    line, counted = 1, 0
    for _ in range(count):
        while text[at] in " \t\r\n,":
            at += 1
        line += text.count("\n", counted, at)
        counted = at
        lines.append(line)
        at = decoder.raw_decode(text, at)[1]
    return lines
