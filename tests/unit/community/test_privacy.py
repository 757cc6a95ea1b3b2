"""For random worlds: no address in anything that a reporter says, writes or logs, and what is not
published could as well not have been."""

from __future__ import annotations

import json
import logging
import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.kit.community import BY_ORIGIN, MIDNIGHT, Time

from mediafleet_common.api.community import Community
from mediafleet_scheduler.community.origins import Origins
from mediafleet_scheduler.community.pages import Pages
from mediafleet_scheduler.community.reporter import Reporter
from mediafleet_scheduler.community.state import State
from mediafleet_scheduler.core.community.cells import WORLD, Cell, grid
from mediafleet_scheduler.core.community.groups import Groups
from mediafleet_scheduler.core.community.rendering import Shared, as_json, as_prometheus
from mediafleet_scheduler.core.community.sources import source_of

HOURS = 26
"""A day whose groups are the world, and two hours of the next one, by groups of their own."""
PLACES = [grid(52, 13), grid(48, 2), grid(50, 8), grid(35, 139), WORLD]
ADDRESSES = st.one_of(
    st.integers(0x0B000000, 0xDFFFFFFF).map(lambda number: str(IPv4Address(number))),
    st.integers(0x2600 << 112, 0x2A00 << 112).map(lambda number: str(IPv6Address(number))),
)
ADDRESS = re.compile(r"\b\d{1,3}(\.\d{1,3}){3}\b|[0-9a-f]{1,4}::|0x[0-9a-f]{8}|https?:", re.I)


@dataclass(frozen=True)
class Gateway:
    """One that asks in some hours."""

    peer: str
    place: Cell
    on_chain: str | None
    hours: frozenset[int]


GATEWAYS = st.lists(
    st.builds(
        Gateway,
        ADDRESSES,
        st.sampled_from(PLACES),
        st.none() | st.integers(1, 2**160 - 1).map(lambda number: f"0x{number:040x}"),
        st.frozensets(st.sampled_from([0, 5, 23, 24, 25]), min_size=1),
    ),
    max_size=14,
    # One that is in two places counts in the one that it is seen in first.
    unique_by=lambda each: source_of(each.on_chain, each.peer),
)


class Known(Origins):
    """Knows where each gateway is."""

    def __init__(self, places: Mapping[str, Cell]) -> None:
        super().__init__(None)
        self._places = places

    def of(self, peer: str) -> Cell:
        return self._places[peer]


def lived(gateways: Sequence[Gateway], folder: Path) -> tuple[Reporter, Groups]:
    """A reporter that saw them, and the groups of its second day."""
    time = Time(MIDNIGHT)
    community = Community(region="eu-west", share=BY_ORIGIN)
    mine = Reporter(community, lambda: 7, clock=time.clock, state=State(folder))
    mine.origins = Known({each.peer: each.place for each in gateways})
    for hour in range(HOURS):
        for minute in range(0, 60, 5):
            for each in gateways:
                if hour in each.hours:
                    mine.asked(each.on_chain, each.peer)
            if mine.look():
                mine.keep()
            time.now = MIDNIGHT + hour * 3600 + minute * 60 + 300
    if mine.look():
        mine.keep()
    return mine, mine._counting.groups


def second_day(reporter: Reporter) -> tuple[bytes, str]:
    """All that is published of the second day."""
    hours = [each for each in reporter.shared.hours if each.start >= MIDNIGHT + 86_400]
    told = Shared("eu-west", None, hours)
    return json.dumps(as_json(told), sort_keys=True).encode(), as_prometheus(told)


SLOW = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@SLOW
@given(GATEWAYS)
def test_no_address_is_in_a_page_a_status_a_file_or_a_log(
    caplog: pytest.LogCaptureFixture, gateways: list[Gateway]
) -> None:
    caplog.set_level(logging.DEBUG)
    with tempfile.TemporaryDirectory() as folder:
        mine, _ = lived(gateways, Path(folder))
        pages = Pages(mine)
        said = [
            json.dumps(as_json(mine.shared)),
            as_prometheus(mine.shared),
            json.dumps(pages.status()),
            *(each.read_text() for each in Path(folder).rglob("*") if each.is_file()),
            caplog.text,
        ]
    for text in said:
        assert not ADDRESS.search(text), text
        for each in gateways:
            assert each.peer not in text
            assert (each.on_chain or "no address")[2:] not in text


@SLOW
@given(GATEWAYS)
def test_all_sources_of_windows_that_are_not_published_can_go_and_nothing_changes(
    gateways: list[Gateway],
) -> None:
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other:
        mine, groups = lived(gateways, Path(one))
        published = {
            (round(each.start - MIDNIGHT) // 3600, cell)
            for each in mine.shared.hours
            for cell, figures in each.groups.items()
            if figures.asking is not None
        }
        left = [
            Gateway(
                each.peer,
                each.place,
                each.on_chain,
                frozenset(
                    hour
                    for hour in each.hours
                    if hour < 24 or (hour, groups.of(each.place)) in published
                ),
            )
            for each in gateways
        ]
        thinned, _ = lived(left, Path(other))
        assert second_day(thinned) == second_day(mine)
