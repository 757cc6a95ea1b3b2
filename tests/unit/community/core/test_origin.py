"""Which cell a record of a geographical database names."""

from __future__ import annotations

import pytest

from mediafleet_scheduler.core.community.cells import WORLD, country, grid
from mediafleet_scheduler.core.community.origin import cell_of

BERLIN = {"latitude": 52.5, "longitude": 13.4}


def test_a_place_counts_before_the_country_that_it_lies_in() -> None:
    assert cell_of({"location": BERLIN, "country": {"iso_code": "DE"}}) == grid(52.5, 13.4)
    assert cell_of({"location": {"latitude": 52, "longitude": 13}}) == grid(52, 13)


@pytest.mark.parametrize("record", [{"country": {"iso_code": "DE"}}, {"country_code": "de"}])
def test_a_country_is_read_from_nested_and_from_flat_databases(record: object) -> None:
    assert cell_of(record) == country("DE")


@pytest.mark.parametrize(
    "location",
    [
        "52.5,13.4",
        {"latitude": 52.5},
        {"longitude": 13.4},
        {"latitude": "52.5", "longitude": "13.4"},
        {"latitude": 91.0, "longitude": 13.4},
        {"latitude": float("nan"), "longitude": 13.4},
    ],
)
def test_a_place_that_is_none_leaves_the_country(location: object) -> None:
    assert cell_of({"location": location, "country_code": "DE"}) == country("DE")


@pytest.mark.parametrize(
    "record",
    [None, [], "DE", {}, {"country": {}}, {"country": {"iso_code": 49}}]
    + [{"country_code": code} for code in ("", "D", "DEU", "D1", "ÄÖ")],
)
def test_a_record_that_names_no_place_is_somewhere_in_the_world(record: object) -> None:
    assert cell_of(record) == WORLD
