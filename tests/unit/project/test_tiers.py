"""What `tests/run.py` runs for a tier."""

from __future__ import annotations

import re

import pytest
from tests import run
from tests.kit.node.beside import GROUPS
from tests.measures.cores import core_of


@pytest.mark.parametrize("tier", run.TIERS)
def test_a_tier_is_the_folder_of_its_name_and_has_tests(tier: str) -> None:
    for each in run.runs([tier]):
        assert f"tests/{tier}" in each.command(["-x"])
    assert list((run.ROOT / "tests" / tier).rglob("test_*.py"))


def test_every_folder_with_tests_is_a_tier() -> None:
    found = {
        path.relative_to(run.ROOT / "tests").parts[0]
        for path in run.ROOT.glob("tests/**/test_*.py")
    }
    assert found == set(run.TIERS)


def test_tiers_on_the_node_run_inside_its_network() -> None:
    for each in run.runs(run.TIERS):
        assert ("exec" in each.command([])) == each.on_node


def test_what_takes_the_node_away_from_others_runs_after_them() -> None:
    beside, alone = run.runs(["cluster"])
    assert beside.arguments[-2:] == ("-m", "not alone")
    assert alone.arguments == ("-m", "alone")


@pytest.mark.parametrize(
    ("codes", "said"),
    [
        ([], "NOT RUN"),
        ([0], "passed"),
        ([0, 5], "passed"),
        ([5, 0], "passed"),
        ([5, 5], "FAILED"),
        ([1, 0], "FAILED"),
        ([0, 1], "FAILED"),
    ],
)
def test_a_tier_passes_where_each_run_of_it_does_and_one_has_tests(
    codes: list[int], said: str
) -> None:
    assert run.verdict(codes) == said


@pytest.mark.parametrize("path", GROUPS)
def test_groups_on_the_node_name_files_that_exist(path: str) -> None:
    assert (run.ROOT / path).exists()


def test_the_makefile_names_files_of_tests_that_exist() -> None:
    text = (run.ROOT / "Makefile").read_text()
    named = re.findall(r"tests/[\w/]+\.py", text)
    assert named
    assert [path for path in named if not (run.ROOT / path).exists()] == []


def test_how_a_node_is_brought_up_is_seen_through_its_package_front_alone() -> None:
    """As import-linter holds it inside the testbed."""
    inside = re.compile(r"mediafleet_testbed\.node\.\w+ import|testbed\.node import \(?[a-z]+,? as")
    files = [*run.ROOT.glob("tests/**/*.py"), *run.ROOT.glob("bench/**/*.py")]
    assert [str(path) for path in files if inside.search(path.read_text())] == []


def test_every_core_is_measured() -> None:
    cores = [path for path in run.ROOT.glob("*/mediafleet_*/core/**/*.py") if path.name[0] != "_"]
    assert cores
    names = [path.relative_to(run.ROOT).as_posix() for path in cores]
    assert [name for name in names if core_of(name) is None] == []
