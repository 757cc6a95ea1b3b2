"""What a release is made of: pinned, licensed, and built with least rights."""

from __future__ import annotations

import importlib.metadata
import re
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

ROOT: Final = Path(__file__).parents[3]
WORKFLOWS: Final = sorted((ROOT / ".github/workflows").glob("*.yml"))
LOCK: Final = (ROOT / "requirements/runtime.txt").read_text(encoding="utf-8")
ELSEWHERE: Final = {"async-timeout", "colorama"}
"""For another Python or system: not installed where tests run."""
TAKEN: Final = re.compile(
    r"apache|mit\b|bsd|isc|psf|python software foundation|mpl|mozilla public", re.IGNORECASE
)
COPYLEFT: Final = re.compile(r"\b(?:A|L)?GPL|General Public", re.IGNORECASE)


def packages() -> list[str]:
    return re.findall(r"^([A-Za-z0-9._-]+)==", LOCK, re.MULTILINE)


def steps(workflow: Path) -> list[dict[str, Any]]:
    jobs = yaml.safe_load(workflow.read_text(encoding="utf-8"))["jobs"]
    return [step for job in jobs.values() for step in job["steps"]]


def test_the_runtime_lock_has_nothing_that_only_a_type_checker_reads() -> None:
    assert [each for each in packages() if each.startswith("types-")] == []


@pytest.mark.parametrize("name", sorted({*packages()} - ELSEWHERE))
def test_a_package_has_a_licence_that_the_product_may_be_shipped_with(name: str) -> None:
    told = importlib.metadata.metadata(name)
    words = " ".join(
        [
            *(told.get_all("License-Expression") or []),
            *(each.split("\n")[0] for each in told.get_all("License") or []),
            *(each for each in told.get_all("Classifier") or [] if each.startswith("License")),
        ]
    )
    assert TAKEN.search(words), words
    assert not COPYLEFT.search(words), words


def test_base_images_are_named_by_digest() -> None:
    lines = (ROOT / "Dockerfile").read_text(encoding="utf-8").splitlines()
    stages = {line.split(" AS ")[1] for line in lines if line.startswith("FROM ")}
    bases = {line.split()[1] for line in lines if line.startswith("FROM ")} - stages
    assert bases
    assert all(re.search(r"@sha256:[0-9a-f]{64}$", base) for base in bases)


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_runs_pinned_actions_with_least_rights(workflow: Path) -> None:
    told = yaml.safe_load(workflow.read_text(encoding="utf-8"))
    assert told["permissions"] == {}
    for name, job in told["jobs"].items():
        writes = {right for right, level in job["permissions"].items() if level == "write"}
        assert writes <= ({"packages", "id-token"} if name == "publish" else set()), name
        assert job["timeout-minutes"] > 0
    for step in steps(workflow):
        assert re.fullmatch(r"[^@]+@[0-9a-f]{40}", step.get("uses", f"a@{'0' * 40}")), step
        # What stands in an expression would be text of a script.
        assert "${{" not in step.get("run", ""), step


def test_every_change_is_checked_and_a_tag_publishes_only_what_was_checked() -> None:
    assert [path.stem for path in WORKFLOWS] == ["check", "release"]
    for workflow in WORKFLOWS:
        assert any(".ci/run" in step.get("run", "") for step in steps(workflow))
    release = yaml.safe_load(WORKFLOWS[1].read_text(encoding="utf-8"))
    assert release["jobs"]["publish"]["needs"] == "check"
