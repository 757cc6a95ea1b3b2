"""What `tests/run.py` runs for a tier."""

from __future__ import annotations

import contextlib
import re
import sys
from pathlib import Path

import pytest
from tests import run
from tests.kit.node.beside import GROUPS
from tests.measures.cores import core_of

from mediafleet_testbed.process_groups import ProcessGroups


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


def test_what_takes_the_node_away_from_others_has_another_node_and_kedas_resources_come_last() -> (
    None
):
    (lanes,) = run.stages(["cluster", "keda"])
    ((beside,), (alone, keda)) = lanes
    assert beside.arguments[-2:] == ("-m", "not alone")
    assert alone.arguments == ("-m", "alone")
    assert keda.tiers == ("keda",)


def test_what_fills_the_machine_runs_by_itself() -> None:
    stages = {lane[0].tiers: lanes for lanes in run.stages(run.TIERS) for lane in lanes}
    assert [len(stages[tiers]) for tiers in (run.HERE, run.PAGES, ("proofs",))] == [1, 1, 1]


def test_lanes_of_a_stage_have_nodes_of_their_own_and_each_run_its_exit_status(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found: list[tuple[str, str]] = []

    def ran(each: run.Run, extra: object, place: run.Place, *, strict: bool) -> int:
        found.append((each.arguments[0], place.node))
        return len(each.arguments)

    monkeypatch.setattr(run, "code", ran)
    first, second, third = (
        run.Run(("cluster",), ("a",), 1),
        run.Run(("cluster",), ("b", "-x"), 1),
        run.Run(("keda",), ("c",), 1),
    )
    with contextlib.ExitStack() as stack:
        place = run.Place("mine", sys.stdout, stack)
        ended = list(run.staged([(first,), (second, third)], (), place, strict=True))
    assert ended == [(first, 1), (second, 2), (third, 1)]
    assert sorted(found) == [("a", "mine"), ("b", run.second_node()), ("c", run.second_node())]


def left(
    folder: Path, ends: str, seconds: int, monkeypatch: pytest.MonkeyPatch
) -> tuple[int, list[int]]:
    """A run whose pytest has a child, neither of which minds SIGTERM: its exit status, and who of
    them still runs."""
    pids = folder / "pids"
    script = f"trap '' TERM; sleep 600 & echo $$ $! > {pids}; {ends}"
    monkeypatch.setattr(run.Run, "command", lambda *_: ["sh", "-c", script])
    monkeypatch.setattr(run, "GROUPS", ProcessGroups(end_seconds=0.2))
    with contextlib.ExitStack() as stack:
        place = run.Place("mine", sys.stdout, stack)
        status = run.pytest(run.Run(("unit",), (), seconds), (), place, strict=True)
    return status, [pid for pid in map(int, pids.read_text().split()) if runs(pid)]


def runs(pid: int) -> bool:
    """Whether a process does; one that nobody has waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_run_that_meets_its_limit_ends_with_all_that_it_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert left(tmp_path, "wait", 1, monkeypatch) == (1, [])


def test_a_run_that_ends_by_itself_leaves_nothing_that_it_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert left(tmp_path, "exit 3", 60, monkeypatch) == (3, [])


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
