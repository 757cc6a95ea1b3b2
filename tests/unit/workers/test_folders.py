"""Where a job's files lie."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from mediafleet_scheduler.broker.inputs import Folder


def test_a_job_without_files_leaves_nothing_on_disk(tmp_path: Path) -> None:
    folder = Folder(tmp_path, "job-")
    assert list(tmp_path.iterdir()) == []
    folder.remove()
    assert list(tmp_path.iterdir()) == []


def test_files_of_a_job_lie_together_for_us_alone_until_it_is_over(tmp_path: Path) -> None:
    folder, other = Folder(tmp_path, "job-"), Folder(tmp_path, "job-")
    folder.file("input").write_bytes(b"a")
    folder.file("result-1-0").write_bytes(b"b")
    other.file("input").write_bytes(b"c")
    made = folder.file("input").parent
    assert sorted(each.name for each in made.iterdir()) == ["input", "result-1-0"]
    assert stat.S_IMODE(made.stat().st_mode) == 0o700
    folder.remove()
    assert [each.name for each in tmp_path.iterdir()] == [other.file("input").parent.name]


def test_what_comes_after_a_jobs_end_makes_no_file(tmp_path: Path) -> None:
    folder = Folder(tmp_path, "job-")
    folder.remove()
    with pytest.raises(FileNotFoundError):
        folder.file("result-1-0")
    assert list(tmp_path.iterdir()) == []
