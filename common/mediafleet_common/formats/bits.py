"""Capabilities as go-livepeer writes them: the bits of words of 64, lowest first. Pure.

Source: livepeer/go-livepeer core/capabilities.go.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

_WORD: Final = 64
_WORDS: Final = 4
"""Words that are read; upstream is at 38 bits."""


def from_bits(words: Sequence[int]) -> frozenset[int]:
    """The numbers of the bits set."""
    return frozenset(
        _WORD * index + bit
        for index, word in enumerate(words[:_WORDS])
        for bit in range(_WORD)
        if word >> bit & 1
    )


def to_bits(numbers: frozenset[int]) -> list[int]:
    """The words with these bits set."""
    words = [0] * (max(numbers) // _WORD + 1) if numbers else []
    for number in numbers:
        words[number // _WORD] |= 1 << number % _WORD
    return words
