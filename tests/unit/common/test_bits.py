"""Capabilities as bits of words of 64."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mediafleet_common.formats.bits import from_bits, to_bits


@given(st.frozensets(st.integers(0, 255)))
def test_capabilities_survive_the_wire(numbers: frozenset[int]) -> None:
    assert from_bits(to_bits(numbers)) == numbers


def test_the_lowest_bit_of_the_first_word_is_capability_0() -> None:
    assert to_bits(frozenset({0, 35, 64})) == [1 | 1 << 35, 1]


def test_a_bitstring_without_end_is_read_to_its_fourth_word() -> None:
    assert from_bits([0] * 4 + [1] * 100_000) == frozenset()
