"""`spec.autoscaling.schedule`: times in which other bounds hold."""

from __future__ import annotations

import re
from typing import Annotated, Final

from pydantic import AfterValidator, Field, JsonValue

from mediafleet_common.api.base import Model, Rule, rules

MAX_PODS: Final = 5000


CRON_PATTERN: Final = r"^[0-9*,/-]+ +[0-9*,/-]+ +[0-9*,/-]+ +[0-9A-Za-z*,/-]+ +[0-9A-Za-z*,/-]+$"


TIME_ZONE_PATTERN: Final = r"^[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+)*$"


_CRON_CHARACTERS: Final = 100


_TIME_ZONE_CHARACTERS: Final = 64


_EXAMPLE: Final = "write five fields, for example 0 18 * * 1-5 (18:00 from Monday to Friday)"


def _cron(field: str) -> dict[str, JsonValue]:
    pattern = CRON_PATTERN.replace("\\", "\\\\")
    return {
        "maxLength": _CRON_CHARACTERS,
        **rules((f"self.matches('{pattern}')", f"schedule {field}: {_EXAMPLE}")),
    }


def _checked_cron(text: str) -> str:
    if len(text) > _CRON_CHARACTERS or not re.fullmatch(CRON_PATTERN, text):
        raise ValueError(_EXAMPLE)
    return text


def _checked_time_zone(text: str) -> str:
    if len(text) > _TIME_ZONE_CHARACTERS or not re.fullmatch(TIME_ZONE_PATTERN, text):
        raise ValueError("write an IANA name, for example Europe/Berlin")
    return text


class Window(Model):
    """A time in which other bounds hold, from each start to the next end."""

    RULES = (
        Rule(
            ("self.start != self.end"),
            ("schedule: start and end are the same, so it never ends"),
            lambda self: self.start != self.end,
        ),
        Rule(
            ("!has(self.max) || self.min <= self.max"),
            ("schedule: min is above max; lower min or raise max"),
            lambda self: self.max is None or self.min <= self.max,
        ),
    )

    start: Annotated[str, AfterValidator(_checked_cron), Field(json_schema_extra=_cron("start"))]
    """When it opens: minute, hour, day of month, month, day of week (0 or 7 is Sunday)."""
    end: Annotated[str, AfterValidator(_checked_cron), Field(json_schema_extra=_cron("end"))]
    """When it closes, in the same way."""
    time_zone: Annotated[
        str,
        AfterValidator(_checked_time_zone),
        Field(
            json_schema_extra={
                "maxLength": _TIME_ZONE_CHARACTERS,
                **rules(
                    (
                        f"self.matches('{TIME_ZONE_PATTERN}')",
                        "schedule timeZone: write an IANA name, for example Europe/Berlin",
                    )
                ),
            }
        ),
    ] = "UTC"
    """IANA name of the time zone that start and end are in; daylight saving is followed."""
    min: Annotated[int, Field(ge=0, le=MAX_PODS)]
    """At least so many pods meanwhile, where autoscaling.min is less."""
    max: Annotated[int, Field(ge=1, le=MAX_PODS)] | None = None
    """At most so many pods meanwhile, in place of autoscaling.max. Of several open windows the \
highest counts."""
