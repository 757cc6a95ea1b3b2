"""What `tests/run.py` runs for a tier."""

from __future__ import annotations

import pytest
from tests import run


@pytest.mark.parametrize("tier", sorted(run.SECONDS))
def test_a_tier_is_the_folder_of_its_name_and_has_tests(tier: str) -> None:
    folder = run.command(tier, ["-x"])[-2]
    assert folder == f"tests/{tier}"
    assert list((run.ROOT / folder).rglob("test_*.py"))


def test_every_folder_with_tests_is_a_tier() -> None:
    found = {
        path.relative_to(run.ROOT / "tests").parts[0]
        for path in run.ROOT.glob("tests/**/test_*.py")
    }
    assert found == set(run.SECONDS)


def test_tiers_on_the_node_run_inside_its_network() -> None:
    assert all("exec" in run.command(tier, []) for tier in run.ON_NODE)
    assert "exec" not in run.command("unit", [])
