"""Times and hosts as text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediafleet_common.formats.hosts import bracketed, unbracketed, with_port
from mediafleet_common.formats.times import Fraction, rfc3339, unix


@pytest.mark.parametrize(
    ("fraction", "text"),
    [
        ("seconds", "2026-01-02T03:04:05Z"),
        ("milliseconds", "2026-01-02T03:04:05.678Z"),
        ("microseconds", "2026-01-02T03:04:05.678901Z"),
    ],
)
def test_a_time_is_written_in_utc_and_cut_at_its_fraction(fraction: Fraction, text: str) -> None:
    assert rfc3339(1_767_323_045.678901, fraction) == text


@given(st.integers(0, 4_000_000_000_000))
def test_a_time_is_read_as_it_was_written(milliseconds: int) -> None:
    assert unix(rfc3339(milliseconds / 1000, "milliseconds")) == milliseconds / 1000


@pytest.mark.parametrize(
    "text", [None, 7, "", "yesterday", "2026-01-02T03:04:05", "2026-13-01T00:00:00Z"]
)
def test_what_is_no_time_with_a_zone_is_unknown(text: object) -> None:
    assert unix(text) is None


def test_other_zones_are_read() -> None:
    assert unix("2026-01-02T05:04:05+02:00") == 1_767_323_045.0


@pytest.mark.parametrize(
    ("host", "text"), [("10.0.0.1", "10.0.0.1:80"), ("::1", "[::1]:80"), ("node", "node:80")]
)
def test_an_ipv6_address_stands_in_brackets(host: str, text: str) -> None:
    assert with_port(host, 80) == text
    assert unbracketed(bracketed(host)) == host
