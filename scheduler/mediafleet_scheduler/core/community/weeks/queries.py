"""What is asked of a store, in PromQL. Pure.

A sample counts at the start of its hour alone: a window of a minute keeps a store from carrying it
into an hour that has none.
"""

from __future__ import annotations

import re
from collections.abc import Collection

from mediafleet_scheduler.core.community.weeks.series import ASKED, OWN, TOLD


def everything() -> str:
    """All figures of all operators."""
    return 'last_over_time({__name__=~"mediafleet_community_hour_.+"}[1m])'


def own_streams(without: Collection[str]) -> str:
    """Streams by region and figure, summed over all operators but some."""
    return f"sum by (region, figure) (last_over_time({OWN}{_but(without)}[1m]))"


def told(without: Collection[str]) -> str:
    """How many operators published, by region."""
    return f"count by (region) (last_over_time({TOLD}{_but(without)}[1m]))"


def asked() -> str:
    """How many were asked."""
    return f"max(last_over_time({ASKED}[1m]))"


def of_operator(operator: str) -> str:
    """A selector of all series of one operator, and of no other series of the store."""
    return f'{{__name__=~"mediafleet_community_hour_.+",operator={_quoted(operator)}}}'


def known(operator: str, days: int) -> str:
    """How many series of one operator have anything in the last `days`."""
    return f"count(last_over_time({of_operator(operator)}[{days}d]))"


def _but(operators: Collection[str]) -> str:
    if not operators:
        return ""
    either = "|".join(re.escape(each) for each in sorted(operators))
    return f"{{operator!~{_quoted(either)}}}"


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'
