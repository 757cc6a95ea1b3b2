"""What `tests/run.py` runs for a tier."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests import run


@pytest.mark.parametrize("tier", ["proofs", "keda"])
def test_a_tier_of_named_files_runs_these_and_no_others(tier: str) -> None:
    paths = [each for each in run.command(tier, ["-x"]) if each.endswith(".py")]
    assert paths
    assert all(Path(path).is_file() for path in paths)


def test_a_keda_tier_without_tests_is_said_not_to_run_and_never_runs_all(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(run, "KEDA", [])
    monkeypatch.setattr(run, "run", lambda *_, **__: pytest.fail("a tier ran"))
    monkeypatch.setattr(run, "PROGRAMS", {})
    monkeypatch.setattr("sys.argv", ["run.py", "--strict", "keda"])
    assert run.main() == 1
    assert "TIER KEDA NOT RUN: there is no tests/cluster/test_keda*.py" in capsys.readouterr().out
