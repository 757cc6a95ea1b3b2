"""A source's name of the day, and the cells of places."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mediafleet_scheduler.core.community.cells import WORLD, country, grid, named, region, within
from mediafleet_scheduler.core.community.sources import pseudonym, source_of

GATEWAY = "0x" + "Ab" * 20


@pytest.mark.parametrize(
    ("peer", "source"),
    [
        ("203.0.114.77", "203.0.114.0/24"),
        ("::ffff:203.0.114.77", "203.0.114.0/24"),
        ("2a01:4f8:1:2::9", "2a01:4f8:1::/48"),
        ("10.1.2.3", None),
        ("127.0.0.1", None),
        ("169.254.1.1", None),
        ("fd00::1", None),
        ("no address", None),
        (None, None),
    ],
)
def test_a_source_is_a_network_unless_its_address_names_nobody(
    peer: str | None, source: str | None
) -> None:
    assert source_of(None, peer) == source


def test_a_verified_gateway_is_one_source_wherever_it_calls_from() -> None:
    assert source_of(GATEWAY, "203.0.114.77") == GATEWAY.lower()
    assert source_of(GATEWAY.lower(), "10.1.2.3") == GATEWAY.lower()


def test_a_name_is_of_its_key_and_shows_nothing_of_the_address() -> None:
    source = "203.0.114.0/24"
    name = pseudonym(b"k" * 32, source)
    assert name == pseudonym(b"k" * 32, source) != pseudonym(b"l" * 32, source)
    assert len(name) == 32
    assert "203" not in bytes.fromhex(name).decode("latin-1")


def test_a_key_that_hides_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 32"):
        pseudonym(b"", "203.0.114.0/24")


@given(st.floats(-90, 90), st.floats(-1000, 1000))
@example(-5e-324, 0.0)
def test_a_place_lies_in_one_bin_of_each_size_and_none_is_finer_than_five_degrees(
    latitude: float, longitude: float
) -> None:
    cell = grid(latitude, longitude)
    east = (longitude + 180) % 360 - 180
    assert within(cell, WORLD)
    assert len(cell) == 4
    for bin_, size in zip(cell[1:], (45, 15, 5), strict=True):
        south, west = int(bin_[2:5]), int(bin_[5:])
        assert bin_.startswith(f"{size:02d}")
        assert south % size == west % size == 0
        assert south <= latitude <= south + size
        assert west <= east <= west + size


def test_bins_of_one_size_nest_in_those_of_the_next() -> None:
    assert grid(52.5, 13.4) == ("world", "45+45+000", "15+45+000", "05+50+010")
    assert grid(-0.1, -0.1) == ("world", "45-45-045", "15-15-015", "05-05-005")
    assert grid(-90, 0) == ("world", "45-90+000", "15-90+000", "05-90+000")
    assert grid(90, 180) == grid(90, -180) == ("world", "45+45-180", "15+75-180", "05+85-180")


@pytest.mark.parametrize("at", [(91, 0), (float("nan"), 0), (0, float("inf"))])
def test_what_is_no_place_is_refused(at: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="no place"):
        grid(*at)


def test_a_country_and_a_region_of_the_operators_own_lie_in_the_world() -> None:
    assert country("de") == ("world", "country DE")
    assert region("eu-west") == ("world", "region eu-west")


@given(st.floats(-90, 90), st.floats(-180, 180), st.integers(1, 4))
def test_each_bin_is_found_by_its_name(latitude: float, longitude: float, depth: int) -> None:
    cell = grid(latitude, longitude)[:depth]
    assert named(cell[-1]) == cell


@pytest.mark.parametrize("name", ["world", "country DE", "region eu-west"])
def test_each_other_cell_is_found_by_its_name(name: str) -> None:
    assert named(name)[-1] == name


@pytest.mark.parametrize(
    "name", ["", "europe", "country de", "05+51+010", "10+50+010", "05+95+010", "192.0.2.1"]
)
def test_a_name_of_no_cell_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"no cell|no place"):
        named(name)
