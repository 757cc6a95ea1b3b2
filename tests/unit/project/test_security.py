"""SECURITY.md names tests: each of them is there."""

from __future__ import annotations

import re
from typing import Final

import pytest

from mediafleet_testbed.paths import REPOSITORY

TEXT: Final = (REPOSITORY / "SECURITY.md").read_text(encoding="utf-8")
FILES: Final = sorted(set(re.findall(r"`(tests/[a-z_/]+\.py)`", TEXT)))
ATTACKS: Final = re.findall(r"`([a-z_/]+\.py)::(test_[a-z0-9_]+)`", TEXT)


@pytest.mark.parametrize("file", FILES)
def test_what_stops_an_attacker_has_tests(file: str) -> None:
    assert "def test_" in (REPOSITORY / file).read_text(encoding="utf-8")


@pytest.mark.parametrize(("file", "name"), ATTACKS)
def test_an_attack_that_is_told_of_is_a_test(file: str, name: str) -> None:
    assert f"def {name}(" in (REPOSITORY / "tests" / file).read_text(encoding="utf-8")


def test_attacks_are_told_of() -> None:
    assert len(ATTACKS) > 20
